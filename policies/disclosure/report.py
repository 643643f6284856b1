"""What a cohort discloses, as data: k, small cells, l-diversity, and the risks with their thresholds.

It counts and names nobody. Who shows it to others shows no count below k (:func:`Report.cells`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from policies.disclosure.cohort import (
    THRESHOLDS,
    Codes,
    Cohort,
    Limits,
    Risk,
    journalist,
    prosecutor,
    standing,
)

_BOUNDS = (1, 2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class Cells:
    """The classes of one size: from ``least`` to ``most`` patients; the last has no most."""

    least: int
    most: int | None
    classes: int
    patients: int


@dataclass(frozen=True, slots=True)
class Report:
    """A cohort against its limits. ``k`` and ``diversity`` are what it has, ``limits`` what it should have.

    ``diversity`` is the least number of sensitive values of a class that has any; None where none is asked about.
    """

    limits: Limits
    patients: int
    classes: int
    k: int
    small_classes: int
    short: int
    diversity: int | None
    cells: tuple[Cells, ...]
    prosecutor: Risk
    journalist: Risk

    @property
    def kept(self) -> bool:
        """Whether nobody falls short."""
        return self.short == 0

    @property
    def marketer(self) -> float:
        """The share of patients whom somebody finds who links the whole release to the population."""
        return self.journalist.average

    def as_data(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        found = asdict(self) | {"marketer": self.marketer, "kept": self.kept}
        for name in ("prosecutor", "journalist"):
            found[name]["above"] = {f"{threshold:g}": share for threshold, share in found[name]["above"]}
        found["thresholds"] = {
            f"{threshold:g}": {
                "largest_within": self.prosecutor.largest <= threshold + 1e-12,
                "average_within": self.marketer <= threshold + 1e-12,
            }
            for threshold in THRESHOLDS
        }
        return found


def report(of: Cohort, limits: Limits, population: Codes | None = None) -> Report:
    """Return the report of a cohort.

    ``population`` has for each patient how many look alike in the population that the cohort was taken from; without it
    the cohort is all that is known, and the journalist risk is the prosecutor's.
    """
    found = standing(of)
    sizes = found.sizes
    largest = sizes
    if population is not None:
        largest = np.zeros(len(sizes), np.int64)
        largest[found.class_of] = population
    told = None
    if found.diversity is not None:
        some = found.diversity[found.diversity > 0]
        told = int(some.min()) if len(some) else 0
    short = found.short(limits)
    return Report(
        limits=limits,
        patients=of.patients,
        classes=len(sizes),
        k=int(sizes.min()) if len(sizes) else 0,
        small_classes=int((sizes < limits.k).sum()),
        short=int(sizes[short].sum()),
        diversity=told,
        cells=_cells(sizes),
        prosecutor=prosecutor(sizes),
        journalist=journalist(sizes, largest),
    )


def _cells(sizes: Codes) -> tuple[Cells, ...]:
    found = []
    for least, after in zip(_BOUNDS, (*_BOUNDS[1:], None), strict=True):
        those = sizes[(sizes >= least) & (sizes < after if after else True)]
        if len(those):
            found.append(Cells(least, after - 1 if after else None, len(those), int(those.sum())))
    return tuple(found)
