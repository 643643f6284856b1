"""What a policy may say of its cohort: policies.disclosure.clause and the policy around it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.disclosure.clause import STUDY_DATE, USUAL
from policies.model import Policy

SOUND: dict[str, Any] = {
    "name": "ours",
    "version": "1",
    "stage": "anonymize",
    "title": "Ours",
    "description": "For tests.",
}


def a_policy(**changes: Any) -> Policy:
    return Policy.model_validate(SOUND | changes)


@pytest.mark.parametrize(
    ("disclosure", "fault"),
    [
        ({"quasi_identifiers": ["PatientAge", "(0010,1010)"]}, "twice"),
        ({"quasi_identifiers": ["PatientName"]}, "cannot be compared"),
        ({"quasi_identifiers": ["PatientID"]}, "never kept"),
        ({"quasi_identifiers": ["StudyInstanceUID"]}, "cannot be compared"),
        ({"quasi_identifiers": ["RequestAttributesSequence.StudyDate"]}, "below a sequence"),
        ({"quasi_identifiers": ["PatientSex"], "sensitive": "PatientSex", "diversity": 2}, "one of the two"),
        ({"sensitive": "BodyPartExamined"}, "go together"),
        ({"diversity": 2}, "go together"),
        ({"largest_risk": 0}, "greater than 0"),
        ({"largest_risk": 2}, "less than or equal to 1"),
        ({"k": 5}, "not permitted"),
    ],
)
def test_a_clause_that_cannot_be_meant_is_refused(disclosure: dict[str, Any], fault: str) -> None:
    """Nobody is compared by what names him, by what never stays, or by nothing that is read."""
    with pytest.raises(ValidationError, match=fault):
        a_policy(disclosure=disclosure)


def test_shifted_dates_are_not_compared() -> None:
    """A date that is another one for each patient makes everybody unique: named it is refused, unnamed left out."""
    shifted = {"options": ["retain-longitudinal-modified-dates"], "dates": "shift"}
    assert STUDY_DATE not in a_policy(**shifted, minimum_cohort=2).quasi_identifiers
    with pytest.raises(ValidationError, match="nobody would look alike"):
        a_policy(**shifted, disclosure={"quasi_identifiers": [STUDY_DATE]})
    assert STUDY_DATE in a_policy(**shifted | {"dates": "truncate-to-year"}).quasi_identifiers


def test_stage_1_has_no_cohort() -> None:
    """What is not released is not measured: a clause that nobody would carry out is refused."""
    with pytest.raises(ValidationError, match="releases nothing"):
        a_policy(stage="pseudonymize", disclosure={"largest_risk": 0.2})


def test_without_a_list_the_usual_ones_are_compared() -> None:
    """Who says nothing is not let off: everything that usually singles people out counts."""
    assert a_policy(minimum_cohort=5).quasi_identifiers == USUAL
    assert a_policy(disclosure={"largest_risk": 0.09}).quasi_identifiers == USUAL


@pytest.mark.parametrize(
    ("cohort", "risk", "k"), [(1, 1, 1), (5, 1, 5), (1, 0.09, 12), (3, 0.2, 5), (20, 0.09, 20)]
)
def test_the_stricter_of_cohort_and_risk_counts(cohort: int, risk: float, k: int) -> None:
    """A largest risk of 0.09 needs classes of twelve, whatever smaller cohort is written."""
    assert a_policy(minimum_cohort=cohort, disclosure={"largest_risk": risk}).k == k


def test_approvals_from_before_the_clause_still_hold() -> None:
    """A policy that says nothing of disclosure has the digest that it always had; one that does has another."""
    assert a_policy().digest == a_policy(disclosure=None).digest
    assert a_policy(disclosure={"largest_risk": 1}).digest != a_policy().digest
