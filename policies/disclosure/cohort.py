"""A cohort as numbers: equivalence classes, k, l-diversity, and the risk that a patient is found in it.

    columns of released values ──encode──▶ integers ──▶ class of each patient ──▶ sizes ──▶ k, l, risks

Patients who have the same released values of all quasi-identifiers are one class. Risks are those of the IHE
De-Identification Handbook: 1/f in the class of the release, 1/F in the population that it was taken from. That somebody
tries at all is taken for certain (Rc = 1), so they are upper bounds. No loop runs over patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

THRESHOLDS = (0.1, 0.09, 0.075, 0.05)
"""Risks that are usual limits: 0.09 is that of EMA policy 0070 and Health Canada, the others are benchmarks."""

_LARGEST = 1 << 62
_COUNTED = 1 << 22


def encoded(values: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    """Return a column as integers from 0, and what each of them stands for, in order."""
    if not len(values):
        return np.zeros(0, np.int64), ()
    named, codes = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
    return codes.reshape(-1).astype(np.int64), tuple(named.tolist())


def classes(columns: Sequence[Codes], patients: int) -> tuple[Codes, int]:
    """Return the class of each patient, numbered from 0 by the codes of the columns in order, and how many there are.

    Without a column all patients are one class.
    """
    if not patients:
        return np.zeros(0, np.int64), 0
    key, card = np.zeros(patients, np.int64), 1
    for column in columns:
        width = int(column.max()) + 1
        if card * width >= _LARGEST:
            key, card = _dense(key, card)
        key, card = key * width + column, card * width
    return _dense(key, card)


def _dense(key: Codes, card: int) -> tuple[Codes, int]:
    """Number the values of a key without gaps, in their order."""
    if card <= _COUNTED:  # counting is quicker than sorting
        there = np.zeros(card, np.bool_)
        there[key] = True
        numbers = np.cumsum(there) - 1
        return numbers[key], int(numbers[-1]) + 1
    found, inverse = np.unique(key, return_inverse=True)
    return inverse.reshape(-1).astype(np.int64), len(found)


def sizes_of(class_of: Codes, count: int, weights: Codes | None = None) -> Codes:
    """Return how many patients each class has; ``weights`` say for how many a row stands."""
    sizes = np.bincount(class_of, weights=weights, minlength=count)
    return sizes.astype(np.int64)


def diversity_of(class_of: Codes, count: int, sensitive: Codes, blank: int | None) -> Codes:
    """Return how many different sensitive values each class has; the code ``blank`` is none."""
    told = np.ones(len(class_of), np.bool_) if blank is None else sensitive != blank
    width = int(sensitive.max(initial=0)) + 1
    pairs = np.unique(class_of[told] * width + sensitive[told])
    return np.bincount(pairs // width, minlength=count).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The patients of a release by what is released of them. ``sensitive`` are codes, ``blank`` is that of no value."""

    columns: tuple[Codes, ...]
    patients: int
    sensitive: Codes | None = None
    blank: int | None = None

    def classes(self) -> tuple[Codes, int]:
        """The class of each patient, and the number of classes."""
        return classes(self.columns, self.patients)


def cohort(columns: Sequence[Sequence[str]], sensitive: Sequence[str] | None = None) -> Cohort:
    """Return a cohort of columns of released values, one entry a patient; an empty sensitive value is none."""
    lengths = {len(column) for column in (*columns, *(() if sensitive is None else (sensitive,)))}
    if len(lengths) != 1:
        raise ValueError("a cohort needs columns, all of one length")
    codes = tuple(encoded(column)[0] for column in columns)
    if sensitive is None:
        return Cohort(codes, lengths.pop())
    told, named = encoded(sensitive)
    return Cohort(codes, lengths.pop(), told, named.index("") if "" in named else None)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a release has to keep: ``k`` patients in each class, ``diversity`` sensitive values where there are any."""

    k: int = 1
    diversity: int = 1

    @property
    def ask(self) -> bool:
        """Whether they ask for anything."""
        return self.k > 1 or self.diversity > 1


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a cohort stands: the class of each patient, and of each class its size and its sensitive values."""

    class_of: Codes
    sizes: Codes
    diversity: Codes | None

    def short(self, limits: Limits) -> Mask:
        """Return of each class whether it is below the limits."""
        short: Mask = self.sizes < limits.k
        if self.diversity is not None and limits.diversity > 1:
            short |= (self.diversity > 0) & (self.diversity < limits.diversity)
        return short

    def falls_short(self, limits: Limits) -> Mask:
        """Return of each patient whether the class is below the limits."""
        found: Mask = self.short(limits)[self.class_of]
        return found


def standing(of: Cohort) -> Standing:
    """Return where a cohort stands."""
    class_of, count = of.classes()
    told = None if of.sensitive is None else diversity_of(class_of, count, of.sensitive, of.blank)
    return Standing(class_of, sizes_of(class_of, count), told)


@dataclass(frozen=True, slots=True)
class Risk:
    """The risk that a patient is found: the largest, the average, and the share of patients above each threshold."""

    largest: float
    average: float
    above: tuple[tuple[float, float], ...]


def prosecutor(sizes: Codes) -> Risk:
    """Return the risk from somebody who knows that the person is in the release: 1/f of each patient's class."""
    return _risk(sizes, sizes)


def journalist(sizes: Codes, population: Codes) -> Risk:
    """Return the risk from somebody who only has the population: 1/F; ``population`` are the classes' sizes there.

    Raises ValueError where a class of the release is larger than that of the population it was taken from.
    """
    if len(sizes) != len(population) or bool((population < sizes).any()):
        raise ValueError("the release is not part of the population")
    return _risk(sizes, population)


def _risk(sizes: Codes, company: Codes) -> Risk:
    patients = int(sizes.sum())
    if not patients:
        return Risk(0.0, 0.0, tuple((threshold, 0.0) for threshold in THRESHOLDS))
    each = 1.0 / company
    # A risk that is exactly the threshold is within it, whatever binary fractions make of it.
    above = tuple(
        (threshold, float(sizes[each > threshold + 1e-12].sum()) / patients) for threshold in THRESHOLDS
    )
    return Risk(float(each.max()), float((each * sizes).sum()) / patients, above)
