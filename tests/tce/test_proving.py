"""Every result of both roads is proved: an export with a finding is held, a file with one is taken back."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pydicom
import pytest

from policies.engine import Draft, Engine, Written
from policies.forms import Forms
from policies.loader import load_library
from policies.model import Policy
from policies.parsing import read_source
from policies.pseudonyms import Identifier, Pseudonyms
from tce.folder import de_identify
from tce.proving import Provers, Told, prove_set, sought
from tce.road import Anonymized, Received
from tce.workshop import SetVerifier
from tests.builders import a_ct_study, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

NAME = "Lindqvist^Åsa"


class Leaking(Engine):
    """An engine that lets a name through in the second slice of each study."""

    def write(
        self,
        draft: Draft,
        pseudonyms: Mapping[Identifier, str],
        out: str | Path,
        *,
        scratch: str | Path | None = None,
    ) -> Written:
        made = super().write(draft, pseudonyms, out, scratch=scratch)
        ds = pydicom.dcmread(out)
        if ds.get("InstanceNumber") == 2 and ds.Modality == "CT":
            ds.StationName = "for Lindqvist"
            ds.save_as(out, enforce_file_format=False)
        return made


def leaking() -> tuple[Engine, Callable[[], Pseudonyms]]:
    return Leaking(load_library("pseudonymization")), CountedPseudonyms


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    written(a_ct_study(slices=3), tmp_path / "sources")
    return tmp_path / "sources"


def test_a_right_folder_passes(sources: Path, tmp_path: Path) -> None:
    """Verified, stage 1 writes the same files as without."""
    bench = lambda: (Engine(load_library("pseudonymization")), CountedPseudonyms)  # noqa: E731
    account = de_identify([sources], tmp_path / "out", bench, workers=1, prove=Forms())
    assert (account.written, account.set_aside) == (5, [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_leak_of_stage_1_is_taken_back(sources: Path, tmp_path: Path, workers: int) -> None:
    """The one file with a finding is set aside as held, by reason and tag and without the value; the others stay."""
    account = de_identify([sources], tmp_path / "out", leaking, workers=workers, prove=Forms())
    (aside,) = account.set_aside
    assert (account.written, aside.held) == (4, True)
    assert "(0008,1010)" in aside.what
    assert "indqvist" not in aside.what + aside.next_step
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(left) == 4
    assert not any(b"Lindqvist" in path.read_bytes() for path in left)


def made_by(engine: Engine, sources: list[Path], out: Path) -> list[Anonymized]:
    made = []
    for place, source in enumerate(sources):
        with engine.read(source) as draft:
            one = engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out / str(place))
        received = Received(source, draft.sop_class_uid, draft.sop_instance_uid, "")
        names = one.names
        made.append(
            Anonymized(
                source=received,
                path=Path(one.path),
                sop_class_uid=names.sop_class_uid,
                sop_instance_uid=names.sop_instance_uid,
                series_uid=names.series_uid,
                study_uid=names.study_uid,
                patient_id=names.patient_id,
                transfer_syntax_uid=one.transfer_syntax_uid,
                tally={},
            )
        )
    return made


def test_an_export_is_asked_about_every_instance(sources: Path, tmp_path: Path) -> None:
    """The reasons name the instance by its number and the tag, from verification and from the search; no value."""
    files = sorted(path for path in sources.rglob("*") if path.is_file())
    policy = load_library("longitudinal-trial")
    verifier = SetVerifier(policy, {})
    (tmp_path / "right").mkdir()
    assert verifier.findings(made_by(Engine(policy), files, tmp_path / "right")) == []
    (tmp_path / "leaking").mkdir()
    reasons = verifier.findings(made_by(Leaking(policy), files, tmp_path / "leaking"))
    assert {"residue", "retained-value"} <= {reason.code for reason in reasons}
    assert all("(0008,1010)" in reason.what and reason.what.startswith("instance ") for reason in reasons)
    assert "indqvist" not in repr(reasons)


def test_a_missing_result_is_a_finding(sources: Path, tmp_path: Path) -> None:
    """What cannot be opened never passes, and stops nothing else from being looked at."""
    source = next(path for path in sources.rglob("*") if path.is_file())
    found = prove_set([(tmp_path / "nowhere", source)], a_policy())
    assert "unreadable" in {finding.code for finding in found}


def a_policy() -> Policy:
    return load_library("basic")


def test_large_values_are_mapped_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large instance no piece is read that is longer than a few megabytes: it may be larger than the memory."""
    from policies import parsing

    ds = a_ct_study(slices=1)[0].instance
    ds.NumberOfFrames, frame = 1000, ds.PixelData
    ds.PixelData = frame * 1000
    source = tmp_path / "source"
    ds.save_as(source, enforce_file_format=True)
    with Engine(a_policy()).read(source) as draft:
        Engine(a_policy()).write(draft, CountedPseudonyms().resolve([draft.subject]), tmp_path / "made")
    longest = 0

    class Watched(mmap.mmap):
        def __getitem__(self, key: object) -> object:
            nonlocal longest
            found = super().__getitem__(key)  # type: ignore[call-overload]
            longest = max(longest, len(found) if isinstance(found, bytes) else 1)
            return found

    monkeypatch.setattr(parsing.mmap, "mmap", Watched)
    found = prove_set([(tmp_path / "made", source)], a_policy())
    assert "pixels" not in {finding.code for finding in found}
    assert 1 << 19 < longest <= 3 << 20


def test_who_shares_the_proof_changes_nothing(tmp_path: Path) -> None:
    """Several processes find what one finds, at the same places, also what only the whole set shows."""
    policy = load_library("pseudonymization")
    pairs = _made(tmp_path, 60, policy)
    for place in (3, 40):
        result = pairs[place][0]
        result.write_bytes(result.read_bytes() + b"Lindqvist ")
    pairs[50][0].write_bytes(pairs[10][0].read_bytes())
    alone = prove_set(pairs, policy)
    shared = prove_set(pairs, policy, provers=Provers(3))
    assert shared == alone
    assert {"residue", "uid-consistency"} <= {finding.code for finding in alone}
    assert {finding.instance for finding in alone} >= {4, 41, 51}


def test_a_prover_that_dies_stops_no_proof(tmp_path: Path) -> None:
    """What its processes cannot do any more is done by the one that asks."""
    provers = Provers(2)
    assert provers.map(_die_in_a_child, [(os.getpid(),), (os.getpid(),)]) == [1, 1]
    assert provers.map(_die_in_a_child, [(os.getpid(),), (os.getpid(),)]) == [1, 1]


def _made(tmp_path: Path, count: int, policy: Policy) -> list[tuple[Path, Path]]:
    engine, pseudonyms = Engine(policy), CountedPseudonyms()
    sources = written(a_ct_study(slices=count), tmp_path / "many")
    (tmp_path / "made").mkdir()
    pairs = []
    for number, source in enumerate(sources):
        with engine.read(source) as draft:
            result = tmp_path / "made" / f"{number}.dcm"
            engine.write(draft, pseudonyms.resolve([draft.subject]), result)
            pairs.append((result, source))
    return pairs


def _die_in_a_child(asker: int) -> int:
    if os.getpid() != asker:
        os._exit(3)
    return 1


@pytest.mark.parametrize("option", ["retain-uids", "retain-device-identity"])
def test_the_uid_of_a_device_stays_where_either_option_keeps_it(
    sources: Path, tmp_path: Path, option: str
) -> None:
    """Table E.1-1 keeps Device UID with the UIDs and with the device: it is then no residue."""
    for path in sources.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.DeviceUID = "1.2.826.0.1.3680043.9.7.555.1"
        ds.save_as(path, enforce_file_format=False)
    trial = load_library("longitudinal-trial")
    chosen = {**trial.model_dump(mode="json"), "options": [*trial.options, option], "generalize": []}
    policy = Policy.model_validate(chosen)
    account = de_identify(
        [sources], tmp_path / "out", lambda: (Engine(policy), CountedPseudonyms), workers=1, prove=Forms()
    )
    assert (account.written > 0, account.set_aside) == (True, [])


def test_what_an_exception_keeps_of_a_device_is_no_residue(sources: Path, tmp_path: Path) -> None:
    """A policy that keeps the station's name, with a reason, is not held because it stands there."""
    trial = load_library("longitudinal-trial").model_dump(mode="json")
    kept = {"attribute": "StationName", "action": "K", "reason": "scanners are compared"}
    policy = Policy.model_validate({**trial, "overrides": [kept]})
    account = de_identify(
        [sources], tmp_path / "out", lambda: (Engine(policy), CountedPseudonyms), workers=1, prove=Forms()
    )
    assert account.set_aside == []
    made = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(ds.get("StationName") for ds in made)


def test_a_text_that_an_exception_keeps_excuses_no_place(sources: Path) -> None:
    """A hospital that is named in a description which stays is searched for everywhere all the same."""
    path = sorted(sources.rglob("*.dcm"))[0]
    ds = pydicom.dcmread(path)
    ds.InstitutionName, ds.StudyDescription = "Rosenhof Spital", "CT thorax, Rosenhof Spital"
    ds.save_as(path, enforce_file_format=False)
    trial = load_library("longitudinal-trial").model_dump(mode="json")
    kept = {"attribute": "StudyDescription", "action": "K", "reason": "it is read"}
    policy = Policy.model_validate({**trial, "overrides": [kept]})
    told = Told()
    told.hear(read_source(path), policy)
    assert "Rosenhof Spital" in sought(told, policy)
