"""A day of birth as people write it: in figures and in words, in any order, with two or four digits for the year.

In DICOM's own form (DA) a date is left to the rules for dates; in a text, a number or binary data it tells who was
born then (PS3.15 E.1.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_MONTHS = (
    rb"jan|j[\x80-\xff]{1,2}n|gen|ene",
    rb"feb|f[\x80-\xff]{1,2}v|fev",
    rb"mar|m[\x80-\xff]{1,2}r|maer|maa",
    rb"apr|avr|abr",
    rb"may|mai|mag|mei",
    rb"jun|jui|giu",
    rb"jul|jui|lug",
    rb"aug|aou|ao[\x80-\xff]|ago",
    rb"sep|set",
    rb"oct|okt|ott|out",
    rb"nov",
    rb"dec|dez|d[\x80-\xff]{1,2}c|dic",
)
"""How names of months begin in English, German, French, Spanish, Italian, Portuguese and Dutch, in lower case."""

_MARKS_BEYOND_ASCII = (b"\xe5\xb9\xb4", b"\xe2\x80")
"""The sign for a year in Chinese and Japanese, and dashes, in UTF-8."""


@dataclass(frozen=True, slots=True, repr=False)
class Birth:
    """A day of birth, and how to find it in bytes that are in lower case and without NULs (``flat``)."""

    day: date

    @property
    def numbers(self) -> frozenset[bytes]:
        """The day as one number of eight digits, without leading zeros."""
        forms = ("%Y%m%d", "%d%m%Y", "%m%d%Y")
        return frozenset(self.day.strftime(form).lstrip("0").encode() for form in forms)

    def may_stand_in(self, flat: bytes, compact: bytes) -> bool:
        """Say whether the day may be written there; ``compact`` are the same bytes without punctuation.

        A longer number may hold it by chance.
        """
        hints, named, pattern = _compiled(self.day)
        if not any(hint in compact for hint in hints) and not named.search(compact):
            return False
        return pattern.search(flat) is not None

    def is_written_in(self, flat: bytes) -> bool:
        """Say whether the day is written there, and not inside a longer number."""
        return any(
            not flat[max(0, found.start() - 1) : found.start()].isdigit()
            and not flat[found.end() : found.end() + 1].isdigit()
            for found in _compiled(self.day)[2].finditer(flat)
        )


@lru_cache(maxsize=256)
def _compiled(born: date) -> tuple[frozenset[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what every written form in figures holds once its punctuation is gone, the month's name, and all forms."""
    short = b"%02d" % (born.year % 100)
    days, months = ({b"%d" % part, b"%02d" % part} for part in (born.day, born.month))
    years = {short, b"%d" % born.year}
    hints = {
        one + two + three
        for orders in ((days, months, years), (months, days, years), ({short}, months, days))
        for one in orders[0]
        for two in orders[1]
        for three in orders[2]
    } | set(_MARKS_BEYOND_ASCII)
    hints = {hint for hint in hints if not any(other != hint and other in hint for other in hints)}
    day, month, year = b"0?%d" % born.day, b"0?%d" % born.month, b"(?:%d)?%b" % (born.year // 100, short)
    exact_day, exact_month = b"%02d" % born.day, b"%02d" % born.month
    mark = rb"(?:[^0-9a-z\\\x80-\xff]{1,3}|\xe5\xb9\xb4|\xe6\x9c\x88|\xe2\x80[\x90-\x95])"
    between = rb"[^0-9a-z\\]{0,3}(?:de|of)?[^0-9a-z\\]{0,3}"
    named = b"(?:" + _MONTHS[born.month - 1] + rb")[a-z\x80-\xff]{0,9}"
    nth = rb"(?:st|nd|rd|th|er)?"
    forms = (
        day + mark + month + mark + year,
        month + mark + day + mark + year,
        year + mark + month + mark + day,
        year + exact_month + exact_day,
        exact_day + exact_month + year,
        exact_month + exact_day + year,
        day + nth + between + named + between + year,
        named + between + day + nth + between + year,
        year + between + named + between + day,
    )
    return frozenset(hints), re.compile(_MONTHS[born.month - 1]), re.compile(b"|".join(forms))
