"""The clause of a policy about the cohort: by which attributes patients are compared, and how many must look alike.

A quasi-identifier names nobody and, beside others, singles somebody out; a sensitive attribute is what nobody shall
learn of a person who was singled out (IHE De-Identification Handbook; ISO/IEC 20889).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from policies.clauses import Clause
from policies.standard.attributes import path_named
from policies.standard.beyond import never_kept

USUAL = (
    "PatientAge",
    "PatientBirthDate",
    "PatientSex",
    "PatientSize",
    "PatientWeight",
    "PatientBodyMassIndex",
    "EthnicGroup",
    "Occupation",
    "CountryOfResidence",
    "RegionOfResidence",
    "PatientReligiousPreference",
    "MilitaryRank",
    "PatientSpeciesDescription",
    "InstitutionName",
    "StudyDate",
)
"""The attributes that are compared where a policy names none."""

STUDY_DATE = "StudyDate"
_COMPARABLE = frozenset({"AE", "AS", "CS", "DA", "DS", "IS", "LO", "LT", "SH", "ST", "UC", "UT"})

Risk = Annotated[Decimal, Field(gt=0, le=1, max_digits=6)]


def _comparable(name: str) -> str:
    path = path_named(name)
    found = path[-1]
    if len(path) > 1:
        raise ValueError("is below a sequence; write an attribute that stands in the instance itself")
    if found.private or found.written_by_us or found.repeats or found.vr not in _COMPARABLE:
        raise ValueError(f"{found.written} cannot be compared between patients; leave it out")
    if found.keyword in never_kept():
        raise ValueError(f"{found.written} is never kept: {never_kept()[found.keyword]}; leave it out")
    return found.written


class Disclosure(Clause):
    """By what the patients of a cohort are compared, and what a release has to keep beside k.

    ``quasi_identifiers`` are compared as they are released, without any the usual ones. Patients with the same values
    of all of them are a class.
    ``largest_risk`` bounds the prosecutor risk of every patient: one divided by the size of the class. In each class
    whose patients have a ``sensitive`` attribute there are at least ``diversity`` different values of it (distinct
    l-diversity).
    """

    quasi_identifiers: tuple[str, ...] = ()
    sensitive: str | None = None
    diversity: int = Field(default=1, ge=1, le=1000)
    largest_risk: Risk = Decimal(1)

    @field_validator("quasi_identifiers")
    @classmethod
    def _each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(_comparable(name) for name in names)
        if len(set(found)) < len(found):
            raise ValueError("'quasi_identifiers' has an attribute twice; write it once")
        return found

    @field_validator("sensitive")
    @classmethod
    def _one(cls, name: str | None) -> str | None:
        return None if name is None else _comparable(name)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.sensitive in self.quasi_identifiers:
            raise ValueError(
                f"{self.sensitive} is sensitive and a quasi-identifier; write it in one of the two"
            )
        if (self.diversity > 1) != (self.sensitive is not None):
            raise ValueError(
                "'sensitive' and 'diversity' go together; write both, with a diversity of 2 or more"
            )
        return self

    @property
    def k(self) -> int:
        """How many patients have to look alike, for the largest risk that is allowed."""
        return int((1 / self.largest_risk).to_integral_value(ROUND_CEILING))

    def faults_beside(self, *, shifted: bool, released: bool) -> Iterator[tuple[str, str]]:
        """Yield key and fault for what it cannot mean beside shifted dates, or in a stage that releases nothing."""
        if shifted and STUDY_DATE in self.quasi_identifiers:
            yield (
                "disclosure",
                "StudyDate is shifted by another number for each patient, so nobody would look alike; leave it out of"
                " quasi_identifiers",
            )
        if not released:
            yield "disclosure", "is about what is released, and this stage releases nothing; leave it out"
