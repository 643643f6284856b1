"""The least lossy generalization that keeps the limits, found in the lattice of all of them.

Each attribute has rungs, from what is released now to nothing at all, and each rung is coarser than the one before. A
point of the lattice takes one rung of each. Whoever looks like k others does so at every coarser point as well, so one
point that falls short rules out all finer ones. Points are looked at in the order of their loss; the first that keeps
the limits is the answer, the same for the same table.

The loss of a point is the mean of its rungs' normalized certainty penalties (Xu et al., 2006): 0 for an exact value, 1
for none. Patients who are left out lose nothing; their share is bounded instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from policies.disclosure.cohort import Codes, Limits, Mask, classes, diversity_of, sizes_of

_MOST_MEASURED = 3000
"""After so many points the search goes straight up, and says that it did."""

Point = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to release an attribute: the code of each patient's value, and its loss."""

    codes: Codes
    loss: float


@dataclass(frozen=True, slots=True)
class Found:
    """The point that was found: a rung for each attribute, its loss, how many patients are to be left out.

    ``best`` says whether no point with a smaller loss keeps the limits; ``measured`` at how many points patients were
    counted.
    """

    point: Point
    loss: float
    left_out: int
    measured: int
    best: bool


def least_lossy(
    ladders: Sequence[Sequence[Rung]],
    patients: int,
    limits: Limits,
    *,
    most_left_out: int = 0,
    sensitive: Codes | None = None,
    blank: int | None = None,
) -> Found | None:
    """Return the least lossy point at which at most ``most_left_out`` patients fall short; None where there is none.

    The first rung of each ladder is the finest. Of points of equal loss the one with the lower rungs of the first
    attributes is taken.
    """
    table = _Table(ladders, patients, limits, most_left_out, sensitive, blank)
    top = tuple(len(ladder) - 1 for ladder in ladders)
    if table.monotone and not table.keeps(top):
        return None
    start = tuple(_lowest(table, top, place) if table.monotone else 0 for place in range(len(ladders)))
    waiting, seen = [(table.loss(start), start)], {start}
    while waiting:
        _, point = heapq.heappop(waiting)
        if table.keeps(point):
            return table.found(point, best=True)
        if table.measured > _MOST_MEASURED:
            break
        if table.monotone:
            table.rule_out_above(point, top)
        for further in _coarser(point, top):
            if further not in seen:
                seen.add(further)
                heapq.heappush(waiting, (table.loss(further), further))
    else:
        return None
    higher = _straight_up(table, point, top)
    return table.found(higher, best=False) if table.keeps(higher) else None


def _lowest(table: _Table, top: Point, place: int) -> int:
    """The finest rung of an attribute that can do with all others at their coarsest: a finer one never can."""
    rungs = range(top[place] + 1)
    return next(rung for rung in rungs if table.keeps((*top[:place], rung, *top[place + 1 :])))


def _coarser(point: Point, top: Point) -> Iterator[Point]:
    for place, rung in enumerate(point):
        if rung < top[place]:
            yield (*point[:place], rung + 1, *point[place + 1 :])


def _straight_up(table: _Table, point: Point, top: Point) -> Point:
    while point != top and not table.keeps(point):
        point = min(_coarser(point, top), key=lambda one: (table.loss(one), one))
    return point


class _Table:
    """Patients as the search sees them: those who are alike at every first rung are one row."""

    def __init__(
        self,
        ladders: Sequence[Sequence[Rung]],
        patients: int,
        limits: Limits,
        most_left_out: int,
        sensitive: Codes | None,
        blank: int | None,
    ) -> None:
        row_of, count = classes([ladder[0].codes for ladder in ladders], patients)
        first = np.zeros(count, np.int64)
        first[row_of[::-1]] = np.arange(patients - 1, -1, -1)
        self._rungs = [[rung.codes[first] for rung in ladder] for ladder in ladders]
        self._losses = [np.maximum.accumulate([rung.loss for rung in ladder]).tolist() for ladder in ladders]
        self._weights = sizes_of(row_of, count)
        self._limits = limits
        self._most = most_left_out
        self._told = self._pairs(row_of, sensitive, blank)
        # A class that tells nothing sensitive needs no diversity until it is joined to one that does: then more may
        # fall short at a coarser point, unless nobody may.
        self.monotone = self._told is None or blank is None or not most_left_out
        self._known: dict[Point, int] = {}
        self._ruled_out: list[Point] = []
        self.measured = 0

    def _pairs(self, row_of: Codes, sensitive: Codes | None, blank: int | None) -> tuple[Codes, Codes] | None:
        """Return (row, sensitive value) of everybody who has one, each pair once."""
        if sensitive is None or self._limits.diversity < 2:
            return None
        has: Mask = np.ones(len(row_of), np.bool_) if blank is None else sensitive != blank
        width = int(sensitive.max(initial=0)) + 1
        pairs = np.unique(row_of[has] * width + sensitive[has])
        return pairs // width, pairs % width

    def loss(self, point: Point) -> float:
        """Return the loss of a point."""
        each = [losses[rung] for losses, rung in zip(self._losses, point, strict=True)]
        return round(sum(each) / len(each), 12) if each else 0.0

    def keeps(self, point: Point) -> bool:
        """Say whether few enough fall short at a point."""
        if any(all(a <= b for a, b in zip(point, low, strict=True)) for low in self._ruled_out):
            return False
        return self.short(point) <= self._most

    def short(self, point: Point) -> int:
        """Return how many patients fall short at a point."""
        if point not in self._known:
            self._known[point] = self._count(point)
        return self._known[point]

    def rule_out_above(self, point: Point, top: Point) -> None:
        """Find how far up a point that falls short still does, and rule out everything finer than that."""
        path = [point]
        while path[-1] != top:
            path.append(min(_coarser(path[-1], top), key=lambda one: (self.loss(one), one)))
        low, high = 0, len(path) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.keeps(path[middle]) else (middle, high)
        if low:
            self._ruled_out.append(path[low])

    def found(self, point: Point, *, best: bool) -> Found:
        """Return a point as the answer."""
        return Found(point, self.loss(point), self.short(point), self.measured, best)

    def _count(self, point: Point) -> int:
        self.measured += 1
        columns = [rungs[rung] for rungs, rung in zip(self._rungs, point, strict=True)]
        class_of, count = classes(columns, len(self._weights))
        sizes = sizes_of(class_of, count, self._weights)
        short: Mask = sizes < self._limits.k
        if self._told is not None:
            rows, values = self._told
            told = diversity_of(class_of[rows], count, values, None)
            short |= (told > 0) & (told < self._limits.diversity)
        return int(sizes[short].sum())
