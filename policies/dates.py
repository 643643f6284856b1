"""Dates that stay useful: moved by whole days, or replaced (PS3.5 section 6.2 DA, DT, TM; PS3.15 E.3.6).

Every date of an instance moves by the same number of days, so intervals are kept exactly; the time of day is never
touched, so a time needs no move. What is not a legal date, names no day, or is what programs write where they know
none, is not kept: moved, it would give the number of days away.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

from policies.remembered import remembered

DUMMY_DATE = b"19000101"
DUMMY_TIME = b"000000"
DUMMY_DATETIME = b"19000101000000"

_DA = re.compile(rb"(\d{4})(\d{2})(\d{2})")
_DA_OLD = re.compile(rb"(\d{4})\.(\d{2})\.(\d{2})")
_DA_RANGE = re.compile(rb"(\d{8}|)-(\d{8}|)")
_TIME = rb"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_ZONE = rb"[+-](?:0\d|1[0-4])[0-5]\d"
_DT = re.compile(rb"(\d{4})(\d{2})(\d{2})(" + _TIME + rb")?(" + _ZONE + rb")?")
_TM = re.compile(
    rb"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d*)?)?)?"
    rb"|(?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:\.\d*)?)?"
)
_ZONE_VALUE = re.compile(_ZONE)

_PLACEHOLDERS = frozenset(
    {
        date(1901, 1, 1),
        date(1969, 12, 31),  # the beginning of Unix time, seen from the west
        date(1970, 1, 1),
        date(1980, 1, 1),  # the beginning of DOS time
        date(1980, 1, 6),  # the beginning of GPS time
        date(2099, 12, 31),
        date(2100, 1, 1),
        date(2999, 12, 31),
    }
)
"""Days that programs write where they know none. Years before 1901 and the year 9999 count as such throughout."""


def read_date(value: bytes) -> date | None:
    """Return a DA value (also of the form of ACR-NEMA, ``YYYY.MM.DD``) as a date, or None if it is not one."""
    found = _DA.fullmatch(value) or _DA_OLD.fullmatch(value)
    if not found:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def real_date(value: bytes) -> date | None:
    """Return a DA value, padding allowed, as a day that can have been; None for what is none or a placeholder."""
    day = read_date(value.strip(b" \0"))
    return None if day is None or is_placeholder(day) else day


def is_placeholder(day: date) -> bool:
    """Say whether a date is one that programs write where they know none."""
    return not 1900 < day.year < 9999 or day in _PLACEHOLDERS


@remembered(4096)
def shift_date(value: bytes, days: int) -> bytes | None:
    """Return a DA value (or a range of two) moved by ``days``.

    None when it is no date, is a placeholder, or leaves the years 1 to 9999.
    """
    bare = value.strip(b" \0")
    span = _DA_RANGE.fullmatch(bare)
    if span and (span[1] or span[2]):
        ends = [shift_date(end, days) if end else b"" for end in span.groups()]
        return None if None in ends else b"-".join(end for end in ends if end is not None)
    day = real_date(bare)
    return None if day is None else moved(day, days)


@remembered(4096)
def shift_datetime(value: bytes, days: int) -> bytes | None:
    """Return a DT value moved by ``days``, time, fraction and zone kept.

    None when it names no day (only a year, or a month), is no legal DT, or is a placeholder.
    """
    found = _DT.fullmatch(value.strip(b" \0"))
    day = real_date(b"".join(found.group(1, 2, 3))) if found else None
    new = None if day is None else moved(day, days)
    return None if new is None or found is None else new + (found[4] or b"") + (found[5] or b"")


@remembered(4096)
def is_time(value: bytes) -> bool:
    """Say whether a value is a TM (also ``HH:MM:SS`` of ACR-NEMA) and nothing else, a date for example."""
    return _TM.fullmatch(value.strip(b" \0")) is not None


def is_zone(value: bytes) -> bool:
    """Say whether a value is an offset from UTC as (0008,0201) holds it."""
    return _ZONE_VALUE.fullmatch(value.strip(b" \0")) is not None


def moved(day: date, days: int) -> bytes | None:
    """Return ``day`` moved by ``days`` as DA, or None outside the years 1 to 9999."""
    try:
        return (day + timedelta(days=days)).strftime("%Y%m%d").rjust(8, "0").encode()
    except OverflowError:
        return None


def years_between(born: date, then: date) -> int | None:
    """Return the completed years from ``born`` to ``then``, or None when the order is wrong."""
    if then < born:
        return None
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))
