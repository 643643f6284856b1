"""Dates that people and programs write into text: found, and moved like the dates around them, or taken out.

A date whose form says which part is day, month and year (``20240301``, ``2024-03-01``, ``01.03.2024``, ``25/12/2023``,
``1-MAR-2024``) is moved in the same form. One that can be read in two ways (``03/04/2024``), names no day, or is
written in a way that nobody can write back, is taken out. Works on bytes, so in every character set whose digits are
those of ASCII; serves PS3.15 E.3.6 (a value is protected wherever else it is written).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum

from policies.dates import is_placeholder
from policies.remembered import remembered

_ENGLISH = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_OTHER_MONTHS = (
    rb"j(?:\xe4|\xc3\xa4|ae|a)n(?:uar[iy]?|ner|vier|eiro)?|f(?:\xe9|\xc3\xa9|e)[bv](?:ruari?|rero|braio|rier|ereiro|r)?",
    rb"m(?:\xe4|\xc3\xa4|ae|aa|a)r(?:z|t|s|zo|\xe7o|\xc3\xa7o)|mrt|a[bv]r(?:il|ile)?|ma(?:i|g|yo|ggio|io|ei)|mei",
    rb"ju[nl]i?|jui(?:n|llet)|giu(?:gno)?|lug(?:lio)?|jun(?:io|ho)|jul(?:io|ho)|ago(?:sto)?|ao(?:\xfb|\xc3\xbb|u)t",
    rb"agosto|augustus|set(?:tembre|embro|iembre)?|sept(?:iembre|embre)?|o[kt]t(?:obre|ober|ubre)?|out(?:ubro)?",
    rb"octu?bre|ottobre|oktober|nov(?:embre|iembre|embro)?|d(?:\xe9|\xc3\xa9|e)[cz](?:embre|iembre|embro|ember)?",
    rb"dic(?:iembre|embre)?|ene(?:ro)?|gen(?:naio)?",
)
_NAMES = b"|".join(
    (
        *(name.encode() for name in _ENGLISH),
        *(name[:3].encode() for name in _ENGLISH),
        b"sept",
        *_OTHER_MONTHS,
    )
)
_MONTH = rb"(?:" + _NAMES + rb")(?![a-z])"
_YEAR = rb"(?:19|20)\d\d"
_WEEKDAY = (
    rb"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?|(?:mon|diens|donners|frei|sams|sonn)tag"
    rb"|mittwoch|lun(?:di|es|ed.{1,2})|mar(?:di|tes|ted.{1,2})|mer(?:credi|coled.{1,2})|mi.{1,2}rcoles|jeudi|jueves"
    rb"|giov(?:ed.{1,2})|ven(?:dredi|erd.{1,2})|viernes|sam(?:edi)|s.{1,2}bado|sabato|dim(?:anche)|domingo|domenica"
    rb"|(?:mo|di|mi|do|fr|sa|so)(?=[.,]))(?![a-z])"
)
"""A day of the week: beside a date that moved it would tell by how many days, but for whole weeks."""
_ISO_2022 = rb"\x1b\$[@B][^\x1b]{2,4}\x1b\([BJ]"
_CJK = rb"(?:[\x80-\xff][\x40-\xff]{1,3} ?|" + _ISO_2022 + rb")"
_ALONE = rb"(?<!\d)(?<!\d\.)"
_END = rb"(?!\d)(?!\.\d)"

_FORMS = {
    # 20240301, also in front of a time of day; 2024-03-01; 2024 and 3 and 1 with the signs for year, month, day
    "compact": rb"(?<!\d)" + _YEAR + rb"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rb"(?=(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?!\d)|(?!\d))",
    "year_first": rb"(?<!\d)" + _YEAR + rb"(?P<a>[-/._])\d{1,2}(?P=a)\d{1,2}(?!\d)",
    "signs": rb"(?<!\d)" + _YEAR + _CJK + rb"\d{1,2}" + _CJK + rb"\d{1,2}(?!\d)",
    "year_last": _ALONE + rb"\d{1,2}(?P<b>[-/._])\d{1,2}(?P=b)" + _YEAR + _END,
    # 01 03 2024 and 2024 03 01
    "spaced_last": rb"(?<![\d.])(?<!\d )\d\d \d\d (?:19\d\d|20[0-3]\d)(?![\d.])(?! \d)",
    "spaced_first": rb"(?<![\d.])(?<!\d )(?:19\d\d|20[0-3]\d) (?:0[1-9]|1[0-2]) \d\d(?![\d.])(?! \d)",
    "day_month": rb"(?<!\d)\d{1,2}(?:st|nd|rd|th)?[-/., ]{0,3}" + _MONTH + rb"[-/., ]{0,3}" + _YEAR + rb"(?!\d)",
    "month_day": rb"(?<![a-z])" + _MONTH + rb"[-/., ]{0,3}\d{1,2}(?:st|nd|rd|th)?[-/., ]{1,3}" + _YEAR + rb"(?!\d)",
    "year_month": rb"(?<!\d)" + _YEAR + rb"[-/., ]{0,3}" + _MONTH + rb"[-/., ]{0,3}\d{1,2}(?!\d)",
    "vague": rb"(?<![a-z])" + _MONTH + rb"[-/., ]{0,3}" + _YEAR + rb"(?!\d)"
    rb"|(?<!\d)\d{1,2}(?P<d>[-/.]?)" + _MONTH + rb"(?P=d)\d\d(?!\d)"
    rb"|(?<!\d)" + _YEAR + rb"[-/](?:0[1-9]|1[0-2])(?![-/.]?\d)"
    rb"|(?<!\d)(?<!\d[-/.])(?:0[1-9]|1[0-2])[-/]" + _YEAR + rb"(?!\d)"
    rb"|(?<![a-z])" + _MONTH + rb"[-/. ]{0,3}\d{1,2}(?:st|nd|rd|th)?, ?'?\d\d(?![\d:])"
    rb"|(?<![a-z])" + _MONTH + rb" {1,2}\d{1,2} [012]?\d:\d\d(?::\d\d)?(?: [a-z]{3,4})? " + _YEAR + rb"(?!\d)"
    # 01032024 or 03012024
    rb"|(?<!\d)(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|[12]\d|3[01])(?:19\d\d|20[0-3]\d)(?!\d)",
    "short": rb"(?<![\w.])\d\d(?P<c>[-/.])\d\d(?P=c)\d\d(?![\w])(?![-/.]\d)"
    rb"|(?<![\w./])\d{1,2}/\d{1,2}/\d\d(?![\w/])",
}  # fmt: skip
_WRITTEN = re.compile(
    rb"(?:(?<![a-z])" + _WEEKDAY + rb"[., (]{0,3})?"
    rb"(?:" + b"|".join(b"(?P<%s>%s)" % (name.encode(), form) for name, form in _FORMS.items()) + rb")"
    rb"(?:[, ]{0,2}\(?" + _WEEKDAY + rb"[.)]?)?",
    re.I,
)


class _Unread(Enum):
    NO_DATE = "it only looks like a date"
    UNCLEAR = "a date, but which day cannot be told"


_TWO_DIGITS = re.compile(rb"\d\d").search
_PARTS = re.compile(rb"\d+|[a-z]{3,}", re.I)


def has_date(buf: bytes, start: int, end: int) -> bool:
    """Say whether something that looks like a date is written between two places of a buffer."""
    return _TWO_DIGITS(buf, start, end) is not None and _read(buf[start:end])


@remembered(8192)
def _read(text: bytes) -> bool:
    return any(_reading(found) is not _Unread.NO_DATE for found in _WRITTEN.finditer(text))


@remembered(4096)
def move_written(text: bytes, days: int | None) -> bytes:
    """Return ``text`` with its dates moved by ``days``; without them where ``days`` is None.

    What only looks like a date and cannot be one (``99.99.2024``) stays as it is.
    """
    return _WRITTEN.sub(lambda found: _replaced(found, days), text)


def _replaced(found: re.Match[bytes], days: int | None) -> bytes:
    reading = _reading(found)
    if reading is _Unread.NO_DATE:
        return found[0]
    if not isinstance(reading, date) or days is None or is_placeholder(reading):
        return b""
    try:
        return _same_form(found[str(found.lastgroup)], reading, reading + timedelta(days=days))
    except OverflowError:
        return b""


def _reading(found: re.Match[bytes]) -> date | _Unread:
    """Return the day that is meant, or why there is none."""
    form = str(found.lastgroup)
    text = found[form]
    if form == "vague":
        return _Unread.UNCLEAR if not text.isdigit() or _may_be_a_day(text) else _Unread.NO_DATE
    if form == "compact":
        return _day(int(text[:4]), int(text[4:6]), int(text[6:8])) or _Unread.NO_DATE
    numbers = [int(part) for part in re.findall(rb"\d+", _without_signs(text))]
    if form == "short":
        a, b, c = numbers
        possible = any(_day(2000 + y, m, d) for y, m, d in ((c, b, a), (c, a, b), (a, b, c)))
        return _Unread.UNCLEAR if possible else _Unread.NO_DATE
    if form in ("year_first", "signs", "spaced_first"):
        year, month, day = numbers
        swapped = _Unread.UNCLEAR if _day(year, day, month) else _Unread.NO_DATE
        return _day(year, month, day) or swapped
    if form in ("year_last", "spaced_last"):
        return _day_or_month_first(*numbers, dotted=b"." in text)
    named = _month_in(text)
    return (_day(max(numbers), named, min(numbers)) if named else None) or _Unread.UNCLEAR


def _may_be_a_day(digits: bytes) -> bool:
    first, second, year = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    return bool(_day(year, second, first) or _day(year, first, second))


def _day_or_month_first(first: int, second: int, year: int, *, dotted: bool) -> date | _Unread:
    day_first, month_first = _day(year, second, first), _day(year, first, second)
    if dotted:
        # Nobody writes the month first with dots.
        return day_first or (_Unread.UNCLEAR if month_first else _Unread.NO_DATE)
    if day_first and month_first:
        return _Unread.UNCLEAR
    return day_first or month_first or _Unread.NO_DATE


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _month_in(text: bytes) -> int | None:
    """Return the month that an English name gives, in full or by three letters."""
    for word in re.findall(rb"[a-z]{3,}", text.lower()):
        for number, name in enumerate(_ENGLISH, start=1):
            if word.decode() in (name, name[:3]):
                return number
    return None


def _without_signs(text: bytes) -> bytes:
    return re.sub(_ISO_2022, b" ", text)


def _same_form(text: bytes, old: date, new: date) -> bytes:
    """Return ``text`` with each of its parts replaced by the new date's, as wide and as capital as it was."""
    if text.isdigit():
        return new.strftime("%Y%m%d").rjust(8, "0").encode()
    pieces: list[bytes] = []
    at = 0
    order = _order(text, old)
    for start, end, part in _date_parts(text):
        pieces += [text[at:start], _written(part, next(order) if part.isdigit() else "month", new)]
        at = end
    return b"".join([*pieces, text[at:]])


def _date_parts(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield numbers and English names of months; what stands between (signs, ``th``) stays."""
    blind = re.sub(_ISO_2022, lambda found: b"\xff" * len(found[0]), text)
    for found in _PARTS.finditer(blind):
        if found[0].isdigit() or _month_in(found[0]):
            yield found.start(), found.end(), found[0]


def _order(text: bytes, old: date) -> Iterator[str]:
    """Return the order in which the numbers of a date stand."""
    numbers = [int(part) for part in re.findall(rb"\d+", _without_signs(text))]
    if len(numbers) == 2:
        return iter(["year", "day"] if numbers[0] == old.year else ["day", "year"])
    if numbers[0] == old.year:
        return iter(["year", "month", "day"])
    day_first = numbers[:2] == [old.day, old.month]
    return iter(["day", "month", "year"] if day_first else ["month", "day", "year"])


def _written(part: bytes, what: str, new: date) -> bytes:
    if part.isdigit():
        number = {"year": new.year, "month": new.month, "day": new.day}[what]
        return str(number).rjust(len(part), "0").encode()
    name = _ENGLISH[new.month - 1]
    word = name[:3] if len(part) == 3 else name
    if part.isupper():
        word = word.upper()
    elif part[:1].isupper():
        word = word.title()
    return word.encode()
