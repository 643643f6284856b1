"""Quasi-identifiers made coarser: age bands (standards: PS3.5 6.2 AS; HIPAA 164.514(b)(2)(i)(C) for the top code).

AS has no ranges, so a band is stored as its lower bound; De-identification Method says how wide the bands are. From
the top code up, all ages become the top code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_AS = re.compile(rb"(\d{3})([DWMY])")
_MOST_PER_YEAR = {b"D": 365.2425, b"W": 52.1775, b"M": 12.0, b"Y": 1.0}


def read_age(value: bytes) -> int | None:
    """Return an AS value in completed years, or None if it is not an age."""
    found = _AS.fullmatch(value.strip(b" \0"))
    return int(int(found[1]) / _MOST_PER_YEAR[found[2]]) if found else None


@dataclass(frozen=True, slots=True)
class Bands:
    """Age bands of ``width`` years from zero, and one open band from ``top`` up."""

    width: int
    top: int

    def lower(self, years: int) -> int:
        """Return the lower bound of the band that holds an age in years."""
        return self.top if years >= self.top else years - years % self.width


def age_string(years: int) -> bytes:
    """Return an age in years as an AS value."""
    return b"%03dY" % min(years, 999)
