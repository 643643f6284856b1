"""Whose an instance is, and whether a grant covers it, is decided before the grant is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from policies import loader
from tce import cases, wiring
from tce.cases import Case, CaseReceiver
from tce.config import Settings, Site, save
from tce.errors import Refused
from tce.reidentifying import _owner, _require_single_values
from tce.shelf import Shelf
from vault.coverage import Coverage
from vault.custody_ledger import Request, State

ANNA, BERT = "LNANNA", "LNBERT"
FIELDS = ("patient", "uid")


def a_request(*patients: str, fields: tuple[str, ...] = FIELDS) -> Request:
    return Request(
        id="1",
        case_id="lung-1",
        patients=patients or (ANNA,),
        fields=fields,
        purpose="incidental-finding",
        ticket="T",
        requester="kim",
        requested="",
        expires="",
        state=State.APPROVED,
        decided_by="lee",
        decided="",
    )


def a_coverage(request: Request, *, closed: frozenset[str] = frozenset()) -> Coverage:
    """Two patients with a study each, and a frame of reference that both share."""
    patients = {
        ANNA: {ANNA},
        BERT: {BERT},
        "2.25.1": {ANNA},
        "2.25.2": {BERT},
        "2.25.9": {ANNA, BERT},
        "LNACC": {ANNA},
    }
    kinds = {ANNA: "patient", BERT: "patient", "LNACC": "accession"}
    own = {one for one, owners in patients.items() if owners & set(request.patients)}
    return Coverage(
        request,
        {one: frozenset(owners) for one, owners in patients.items()},
        {one: kinds.get(one, "uid") for one in own},
        closed,
        {},
        {(ANNA, "PatientName"): 2, (ANNA, "PatientBirthDate"): 1, (BERT, "PatientName"): 1},
    )


def owner(*words: str, patient_id: str = "", coverage: Coverage | None = None) -> str:
    found = frozenset({*words, patient_id, "CHEST"})
    return _owner(1, coverage or a_coverage(a_request()), found, patient_id)


def test_the_patient_is_told_by_all_that_is_known() -> None:
    """By Patient ID, by references alone, and where another patient shares one of them."""
    assert owner("2.25.1", patient_id=ANNA) == owner("2.25.1") == owner("2.25.1", "2.25.9") == ANNA
    both = a_coverage(a_request(ANNA, BERT))
    assert owner("2.25.9", "2.25.2", coverage=both) == BERT


@pytest.mark.parametrize(
    ("words", "patient_id", "reason"),
    [
        ((), "", "no-reference"),
        (("2.25.2",), BERT, "another-patient"),
        (("2.25.1", "2.25.2"), ANNA, "another-patient"),
        (("2.25.1",), BERT, "another-patient"),
        (("2.25.1",), "TRIAL-7", "another-patient"),
        (("LNACC",), ANNA, "not-granted"),
    ],
)
def test_what_is_not_clear_or_not_granted_is_refused(
    words: tuple[str, ...], patient_id: str, reason: str
) -> None:
    """Another's, two patients in one, a name that does not fit its references, a field nobody asked for: refused."""
    with pytest.raises(Refused, match=f"^{reason}: instance 1: "):
        owner(*words, patient_id=patient_id)


def test_a_reference_that_two_granted_patients_share_decides_nothing() -> None:
    """Nobody guesses whose it is."""
    with pytest.raises(Refused, match="another-patient"):
        owner("2.25.9", coverage=a_coverage(a_request(ANNA, BERT)))


def test_the_patient_s_own_identifier_must_be_granted() -> None:
    """Also where the instance does not hold it: it is written into every instance."""
    with pytest.raises(Refused, match="patient"):
        owner("2.25.1", coverage=a_coverage(a_request(fields=("uid",))))


def test_what_came_after_the_approval_is_refused() -> None:
    """Its key was not granted, so the grant is not used up for a result with holes."""
    with pytest.raises(Refused, match="added-later"):
        owner("2.25.1", coverage=a_coverage(a_request(), closed=frozenset({"2.25.1"})))


def test_two_values_of_one_attribute_are_refused_where_they_would_be_written() -> None:
    """Of two names nobody knows which is right; another patient's, or a field that was not granted, is no matter."""
    named = a_coverage(a_request(ANNA, BERT, fields=(*FIELDS, "PatientName", "PatientBirthDate")))
    with pytest.raises(Refused, match="PatientName"):
        _require_single_values(named, {ANNA})
    _require_single_values(named, {BERT})
    _require_single_values(a_coverage(a_request(ANNA, fields=(*FIELDS, "PatientBirthDate"))), {ANNA})


@dataclass(frozen=True)
class Usable:
    """Custody in which every request may be used."""

    request: Request

    def usable(self, request_id: str) -> Request:
        return self.request


@pytest.mark.parametrize("moves", [False, True])
def test_where_stage_1_moves_dates_no_instance_is_led_back(moves: bool, tmp_path: Path) -> None:
    """Also new instances, which do not say themselves that they speak of moved dates, are refused then."""
    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    site.policies_dir.mkdir()
    text = loader.library_text("pseudonymization")
    if moves:
        text = text.replace("dates: keep", "dates: shift").replace("full-dates", "modified-dates")
    stage1 = Shelf(site.policies_dir).put(text).ref
    receivers = (CaseReceiver(ae_title="R", host="127.0.0.1", port=104),)
    given = {"id": "lung-1", "title": "T", "purpose": "P", "selectors": ("S",), "receivers": receivers}
    cases.save(site.cases_dir, Case.model_validate({**given, "stage1": stage1, "stage2": stage1}))
    grant = wiring.Grant(site, Usable(a_request(ANNA)), "1")  # type: ignore[arg-type]
    if moves:
        with pytest.raises(Refused, match="changes dates"):
            grant.covers({ANNA})
    else:
        assert grant.covers({ANNA}).patients == {}
