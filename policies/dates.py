"""Dates that stay useful: shifted by whole days, or replaced (PS3.5 section 6.2 DA, DT, TM; PS3.15 E.3.6).

A shift moves every date of a patient by the same number of days, so intervals are kept exactly; the time of day is
never touched, so a time needs no shift. What is not a legal date is not kept.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

DUMMY_DATE = b"19000101"
DUMMY_TIME = b"000000"
DUMMY_DATETIME = b"19000101000000"

_DA = re.compile(rb"(\d{4})(\d{2})(\d{2})")
_DA_OLD = re.compile(rb"(\d{4})\.(\d{2})\.(\d{2})")
_DT = re.compile(rb"(\d{4})(\d{2})(\d{2})((?:\d{2}){0,3}(?:\.\d{1,6})?)([+-]\d{4})?")


def read_date(value: bytes) -> date | None:
    """Return a DA value (also of the form of ACR-NEMA, ``YYYY.MM.DD``) as a date, or None if it is not one."""
    found = _DA.fullmatch(value) or _DA_OLD.fullmatch(value)
    if not found:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def shift_date(value: bytes, days: int) -> bytes | None:
    """Return a DA value moved by ``days``, or None when it is no date or leaves the years 1 to 9999."""
    day = read_date(value.strip(b" \0"))
    return None if day is None else _moved(day, days)


@lru_cache(maxsize=4096)
def shift_datetime(value: bytes, days: int) -> bytes | None:
    """Return a DT value moved by ``days``, fraction and zone kept; None when it names no day or is no DT."""
    found = _DT.fullmatch(value.strip(b" \0"))
    if not found:
        return None
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
    moved = _moved(day, days)
    return None if moved is None else moved + found[4] + (found[5] or b"")


def _moved(day: date, days: int) -> bytes | None:
    try:
        return (day + timedelta(days=days)).strftime("%Y%m%d").rjust(8, "0").encode()
    except OverflowError:
        return None


def years_between(born: date, then: date) -> int | None:
    """Return the completed years from ``born`` to ``then``, or None when the order is wrong."""
    if then < born:
        return None
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))
