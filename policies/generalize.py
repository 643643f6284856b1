"""Quasi-identifiers made coarser: age bands, rounded numbers, words by a table.

AS has no ranges, so a band is stored as its lower bound; De-identification Method says how wide the bands are. From
the top code up, all ages become the top code. What a policy says of it is :mod:`policies.quasi_identifiers`.
Standards: PS3.5 6.2 AS and DS; HIPAA 164.514(b)(2)(i)(B) and (C).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from policies.quasi_identifiers import Generalization, folded

_AS = re.compile(rb"(\d{3})([DWMY])")
_MOST_PER_YEAR = {b"D": 365.2425, b"W": 52.1775, b"M": 12.0, b"Y": 1.0}
_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,14})?|\.\d{1,14})(?:[eE][+-]?\d{1,2})?", re.A)
_POSTAL = re.compile(r"(\d{5})(?:-?\d{4})?", re.A)
_LARGEST = Decimal(10) ** 9


def read_age(value: bytes) -> int | None:
    """Return an AS value in completed years, or None if it is not an age."""
    found = _AS.fullmatch(value.strip(b" \0"))
    return int(int(found[1]) / _MOST_PER_YEAR[found[2]]) if found else None


@dataclass(frozen=True, slots=True)
class Bands:
    """Age bands by their lower bounds, rising: the first is 0, the last begins the open band."""

    lowers: tuple[int, ...]

    def lower(self, years: int) -> int:
        """Return the lower bound of the band that holds an age in years."""
        return self.lowers[bisect_right(self.lowers, years) - 1]


def age_string(years: int) -> bytes:
    """Return an age in years as an AS value."""
    return b"%03dY" % min(years, 999)


@dataclass(frozen=True, slots=True)
class Words:
    """A table of words. ``digits`` are those of a postal code that stay where the table has no line for them."""

    table: Mapping[str, str]
    digits: int | None

    def coarser(self, text: str) -> str | None:
        """Return what stands for a word, or None where nothing does."""
        if self.digits is None:
            return self.table.get(folded(text))
        postal = _POSTAL.fullmatch(text.strip(" \0"))
        if postal is None:
            return None
        first = postal[1][: self.digits]
        return self.table.get(first, first)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Multiples of ``step``: the nearest one, or the one below where ``down``; within ``bottom`` and ``top``."""

    step: Decimal
    down: bool
    bottom: Decimal | None
    top: Decimal | None

    def coarser(self, text: str) -> str | None:
        """Return what stands for a number, or None where it is none."""
        bare = text.strip(" \0")
        number = Decimal(bare) if _NUMBER.fullmatch(bare) else None
        if number is None or abs(number) > _LARGEST:
            return None
        steps = (number / self.step).quantize(Decimal(1), ROUND_FLOOR if self.down else ROUND_HALF_UP)
        found = steps * self.step
        if self.top is not None and (number >= self.top or found > self.top):
            found = self.top
        if self.bottom is not None and (number <= self.bottom or found < self.bottom):
            found = self.bottom
        written = f"{found:f}"
        written = written.rstrip("0").rstrip(".") if "." in written else written
        return written if len(written) <= 16 else None


def way_of(rule: Generalization) -> Words | Numbers:
    """Return how a rule makes values coarser."""
    step = rule.round if rule.round is not None else rule.width
    if step is None:
        return Words({folded(before): after for before, after in rule.table}, rule.digits)
    return Numbers(step, rule.round is None, rule.bottom, rule.top)
