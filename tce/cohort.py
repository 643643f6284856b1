"""The cohort of a case: who looks alike by what is released of them, and which exports may go.

An export that waits is let go together with others as soon as each of their patients has enough company:

    released patients ─┐
    the export         ├─▶ classes ─▶ leave out who falls short, look again ─▶ those that go together
    exports that wait  ─┘

Patients are known by their research pseudonyms, and of each only the released values are known that the policy
compares. What somebody in a class is told may be found in the handbook as k-anonymity and l-diversity
(:mod:`policies.disclosure.cohort`); why it is decided so is decision 0048.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from policies.disclosure.cohort import Cohort, Limits, Standing, standing
from policies.disclosure.report import Report, report
from policies.model import Policy
from policies.parsing import read
from policies.standard.attributes import path_named

Traits = Mapping[str, tuple[str, ...]]
"""By keyword of a quasi-identifier, or of the sensitive attribute: all values that are released, in order."""

_UNKNOWN = "\0"
"""What stands for a value that was released before it was kept: it is like no other."""


@dataclass(frozen=True, slots=True)
class CohortRule:
    """What the cohort of a case has to keep, and by which attributes its patients are compared."""

    compared: tuple[str, ...]
    sensitive: str | None
    limits: Limits

    @property
    def attributes(self) -> tuple[str, ...]:
        """Everything that is kept of a patient."""
        return (*self.compared, *([self.sensitive] if self.sensitive else []))


def rule_of(policy: Policy, minimum: int) -> CohortRule:
    """Return the rule of a policy and of a case that asks for ``minimum`` patients; the larger counts."""
    clause = policy.disclosure
    limits = Limits(max(policy.k, minimum), clause.diversity if clause else 1)
    return CohortRule(policy.quasi_identifiers, clause.sensitive if clause else None, limits)


@dataclass(frozen=True, slots=True)
class Joining:
    """What an export would release of its patient, and the rule that it has to keep."""

    patient: str = field(repr=False)
    traits: Traits = field(repr=False)
    rule: CohortRule


@dataclass(frozen=True, slots=True)
class Share:
    """What one export has released of its patient (``out``), or would release."""

    export: int
    patient: str = field(repr=False)
    traits: Traits = field(repr=False)
    out: bool


@dataclass(frozen=True, slots=True)
class Company:
    """How many patients would look like one, himself included, how many sensitive values they would have, and whether
    others would be left with too few."""

    alike: int
    diversity: int | None
    leaves_others_short: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """Which exports that wait may go together, how the cohort then stands, and the company of those that may not."""

    going: frozenset[int]
    report: Report
    lonely: Mapping[int, Company]


def traits_of(paths: Iterable[Path], rule: CohortRule) -> dict[str, Traits]:
    """Return by Patient ID what the instances in files tell of each patient, at the top of their data sets.

    Raises what reading an instance raises.
    """
    tags = {name: path_named(name)[-1].tag for name in rule.attributes}
    found: dict[str, dict[str, set[str]]] = {}
    for path in paths:
        instance = read(path)
        of_patient = found.setdefault(instance.patient_id, {name: set() for name in tags})
        for name, tag in tags.items():
            of_patient[name].update((instance.text(tag),) if instance.text(tag) else ())
    return {
        patient: {name: tuple(sorted(values)) for name, values in of.items()} for patient, of in found.items()
    }


def settle(shares: Sequence[Share], rule: CohortRule) -> Settled:
    """Return which of the shares that are not out may go together, and how the cohort stands then.

    All of them are tried together. Who falls short of the rule is left out, and so is who would leave others short by
    no longer looking like them; then the rest is looked at again, until everybody who is left may go.
    """
    out = [share for share in shares if share.out]
    before = _people(out, rule)
    asking = {share.export: share for share in shares if not share.out}
    lonely: dict[int, Company] = {}
    while True:
        seen = _Seen(_people([*out, *asking.values()], rule), rule)
        company = {number: seen.company(share.patient, before) for number, share in asking.items()}
        short = {number: one for number, one in company.items() if one is not None}
        if not short:
            return Settled(frozenset(asking), seen.report(), lonely)
        lonely |= short
        asking = {number: share for number, share in asking.items() if number not in short}


def shortfall(
    traits: Mapping[str, Traits], shares: Sequence[Share], rule: CohortRule
) -> tuple[Report, set[str]]:
    """Return how the cohort stands with patients of a folder beside those who are out, and who of them falls short.

    Of one who is out already, what the folder tells is added to what is known.
    """
    out = [share for share in shares if share.out]
    before = _people(out, rule)
    coming = [Share(-1, patient, of, False) for patient, of in traits.items()]
    seen = _Seen(_people([*out, *coming], rule), rule)
    return seen.report(), {patient for patient in traits if seen.company(patient, before) is not None}


def standing_of(shares: Sequence[Share], rule: CohortRule) -> Report:
    """Return how those stand who are released."""
    return _Seen(_people([share for share in shares if share.out], rule), rule).report()


_Key = tuple[str, ...]
_Person = tuple[_Key, str]
"""The values that are compared, and the sensitive ones; several values of one attribute as one text."""


def _people(shares: Iterable[Share], rule: CohortRule) -> dict[str, _Person]:
    """Return by patient what is told of each by all the shares together."""
    told: dict[str, Traits] = {}
    for share in shares:
        known = told.get(share.patient)
        told[share.patient] = share.traits if known is None else joined(known, share.traits)
    return {patient: _person(traits, rule) for patient, traits in told.items()}


def joined(one: Traits, other: Traits) -> Traits:
    """Return what two releases tell of a patient together."""
    # What one of them does not know stays unknown.
    return {name: tuple(sorted({*one[name], *other[name]})) for name in one.keys() & other.keys()}


def _person(traits: Traits, rule: CohortRule) -> _Person:
    key = tuple("\\".join(traits[name]) if name in traits else _UNKNOWN for name in rule.compared)
    return key, "\\".join(traits.get(rule.sensitive, ())) if rule.sensitive else ""


class _Seen:
    """Patients as they would be seen in a release."""

    def __init__(self, people: Mapping[str, _Person], rule: CohortRule) -> None:
        self._people = people
        self._rule = rule
        self._number: dict[_Key, int] = {}
        for key, _ in people.values():
            self._number.setdefault(key, len(self._number))
        self._cohort = self._as_cohort()
        self._standing: Standing = standing(self._cohort)
        self._short = self._standing.short(rule.limits)

    def _as_cohort(self) -> Cohort:
        people = self._people.values()
        codes = np.fromiter((self._number[key] for key, _ in people), np.int64, len(people))
        if self._rule.sensitive is None:
            return Cohort((codes,), len(people))
        values: dict[str, int] = {"": 0}
        told = [values.setdefault(value, len(values)) for _, value in people]
        return Cohort((codes,), len(people), np.asarray(told, np.int64), blank=0)

    def company(self, patient: str, before: Mapping[str, _Person]) -> Company | None:
        """Return the company of a patient that is too small, or of those whom he leaves; None if it is large enough."""
        # Classes are numbered by their keys in the order of their first patients, as the keys are.
        number = self._number[self._people[patient][0]]
        former = self._number.get(before[patient][0]) if patient in before else None
        leaves = former is not None and former != number and bool(self._short[former])
        if not (leaves or self._short[number]):
            return None
        told = self._standing.diversity
        diversity = None if told is None else int(told[number])
        return Company(int(self._standing.sizes[number]), diversity, leaves)

    def report(self) -> Report:
        """Return how they stand."""
        return report(self._cohort, self._rule.limits)


def in_words(company: Company, rule: CohortRule, case_id: str) -> str:
    """Say to a coordinator why an export waits, and what would help. It names no value."""
    k, limits = rule.limits.k, rule.limits
    said = []
    if company.alike < k:
        who = "only this patient has" if company.alike == 1 else f"only {company.alike} patients have"
        said.append(
            f"by what is released {who} these traits, with those who wait, and {k} are needed: "
            f"{k - company.alike} fall short"
        )
    elif company.diversity is not None and 0 < company.diversity < limits.diversity:
        said.append(
            f"those who look alike have {company.diversity} value(s) of {rule.sensitive}, and {limits.diversity} "
            "are needed"
        )
    if company.leaves_others_short:
        said.append(f"released with it, the patient would leave fewer than {k} who looked alike before")
    return (
        f"{'; '.join(said)}. It goes by itself with the first exports of the case {case_id} that make it enough; "
        f"or make the policy coarser (tce policy advise), or cancel it"
    )


def figures(found: Report) -> dict[str, int]:
    """Return how a cohort stands in whole numbers, for the record of a release.

    The largest risk is one over k, the average one the groups over the patients.
    """
    counted = {"patients": found.patients, "groups": found.classes, "k asked": found.limits.k, "k": found.k}
    if found.diversity is not None:
        counted["diversity"] = found.diversity
    return {f"cohort {what}": count for what, count in counted.items()}
