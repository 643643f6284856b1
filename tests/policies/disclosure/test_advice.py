"""What is proposed for a policy, and that it does what it says: policies.disclosure.ladders and advice."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policies.disclosure.advice import advise
from policies.disclosure.cohort import Limits
from policies.disclosure.ladders import stays
from policies.loader import load_library
from policies.model import Policy

BASE: dict[str, Any] = {
    "name": "ours",
    "version": "1",
    "stage": "anonymize",
    "title": "Ours",
    "description": "For tests.",
    "options": ["retain-patient-characteristics"],
}


def a_policy(*names: str, **changes: Any) -> Policy:
    return Policy.model_validate(BASE | changes | {"disclosure": {"quasi_identifiers": list(names)}})


def proposed(policy: Policy, lines: str) -> Policy:
    """The policy as it is when somebody has written what was proposed."""
    fields = policy.model_dump(mode="json") | {"ages": None} | (yaml.safe_load(lines) or {})
    return Policy.model_validate({key: value for key, value in fields.items() if value is not None})


def test_the_narrowest_band_that_does_is_proposed() -> None:
    """Ages 30 to 39, two of each five years: bands of five are enough for two, ten for four."""
    policy = a_policy("PatientAge")
    columns = {"PatientAge": ["030Y", "033Y", "036Y", "039Y"]}
    two, four = (advise(policy, columns, Limits(k)) for k in (2, 4))
    assert two is not None and four is not None
    assert yaml.safe_load(two.lines)["ages"] == {"width": 5}
    assert yaml.safe_load(four.lines)["ages"] == {"width": 10}
    assert (two.before.k, two.after.k, four.after.k) == (1, 2, 4)
    assert proposed(policy, two.lines).ages is not None


def test_a_policy_that_does_already_is_left_alone() -> None:
    """Nothing is proposed where nobody falls short."""
    policy = a_policy("PatientAge", ages={"width": 10})
    found = advise(policy, {"PatientAge": ["031Y", "038Y"]}, Limits(2))
    assert found is not None
    assert (found.lines, found.loss > 0, found.left_out) == ("", True, 0)


@pytest.mark.parametrize(("share", "left_out", "width"), [(0.0, 0, 40), (0.2, 1, 5)])
def test_few_patients_left_out_save_the_others_much(share: float, left_out: int, width: int) -> None:
    """One old patient among young ones costs all of them their ages, unless he may be left out."""
    policy = a_policy("PatientAge")
    columns = {"PatientAge": ["030Y", "031Y", "032Y", "033Y", "034Y", "075Y"]}
    found = advise(policy, columns, Limits(2), share_left_out=share)
    assert found is not None
    assert found.left_out == left_out
    written = yaml.safe_load(found.lines)
    assert written.get("ages") == ({"width": 5} if share else None)
    assert found.after.kept and found.after.patients == 6 - left_out


def test_rare_words_become_one() -> None:
    """Values of enough patients stay; those of few become OTHER together, and are not named."""
    policy = a_policy("EthnicGroup")
    columns = {"EthnicGroup": ["Maori", "Maori", "Sami", "Ainu"]}
    found = advise(policy, columns, Limits(2))
    assert found is not None
    (rule,) = yaml.safe_load(found.lines)["generalize"]
    assert (rule["table"], rule["otherwise"]) == ({"Maori": "Maori"}, "OTHER")
    assert "Sami" not in str(found.as_data()) and "Ainu" not in str(found.as_data())


def test_dates_lose_what_they_must_and_take_the_options_with_them() -> None:
    """Two days of one month become the month; the options follow."""
    policy = a_policy("StudyDate", options=["retain-longitudinal-full-dates"], dates="keep")
    found = advise(policy, {"StudyDate": ["20240105", "20240120", "20250301", "20250311"]}, Limits(2))
    assert found is not None
    written = yaml.safe_load(found.lines)
    assert written == {"options": ["retain-longitudinal-modified-dates"], "dates": "truncate-to-month"}


def test_numbers_are_rounded_further_and_words_are_taken_away_at_last() -> None:
    """A weight that is rounded to five becomes rounded to fifteen; who has nobody like him loses the attribute."""
    policy = a_policy("PatientWeight", generalize=[{"attribute": "PatientWeight", "round": 5}])
    found = advise(policy, {"PatientWeight": ["61", "64", "66", "60"]}, Limits(4))
    assert found is not None
    assert yaml.safe_load(found.lines)["generalize"] == [{"attribute": "PatientWeight", "round": "15"}]
    policy = a_policy("PatientSex")
    found = advise(policy, {"PatientSex": ["M", "F"]}, Limits(2))
    assert found is not None
    assert found.choices[0].after == "removed"
    assert proposed(policy, found.lines).overrides[0].attribute == "PatientSex"


def test_too_few_patients_cannot_be_helped() -> None:
    """No generalization makes four patients five."""
    assert advise(a_policy("PatientSex"), {"PatientSex": ["M"] * 4}, Limits(5)) is None


def test_what_a_policy_removes_is_not_compared() -> None:
    """Under the basic policy nothing of a patient is left to be compared, under the trial's the age is."""
    basic, trial = load_library("basic"), load_library("longitudinal-trial")
    assert not any(stays(basic, name) for name in ("PatientAge", "PatientSex", "PatientWeight", "StudyDate"))
    assert stays(trial, "PatientAge") and not stays(trial, "StudyDate")


def test_the_same_table_gives_the_same_advice_in_any_order() -> None:
    """Patients in another order get the same proposal."""
    policy = a_policy("PatientAge", "PatientSex", "EthnicGroup")
    rows = [(f"0{20 + n % 37}Y", "FM"[n % 2], ["A", "B", "C", "A"][n % 4]) for n in range(60)]
    one, other = (
        advise(policy, dict(zip(policy.quasi_identifiers, zip(*some, strict=True), strict=True)), Limits(3))
        for some in (rows, rows[::-1])
    )
    assert one is not None and other is not None
    assert one.as_data() == other.as_data()
