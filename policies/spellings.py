"""How one original value may be written: the forms in which a residue search has to look for it.

A name leaves as ``Lindqvist^Åsa``, as ``Asa Lindqvist`` or in UTF-16 on a disc's label; a date as
``15.03.1986``. This module turns a value into byte patterns and knows nothing of attributes or actions, so
that it cannot share an error with the engine whose output is searched (PS3.15 E.1.1 asks for the result, not
for the method).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from enum import Enum
from typing import NamedTuple
from uuid import UUID

_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
# For letters beyond Latin-1 only: what else DICOM's Specific Character Set allows (PS3.3 C.12.1.1.2).
_FURTHER = (
    "shift_jis",
    "euc_jp",
    "iso2022_jp",
    "euc_kr",
    "gb18030",
    "iso8859-2",
    "iso8859-5",
    "iso8859-7",
    "iso8859-8",
    "iso8859-9",
    "tis-620",
)

# A text of this many characters is no accident, even inside a longer word.
_LONG = 8

# Words that stand in name attributes where there is no name.
PLACEHOLDERS = frozenset(
    {"anonymous", "anonymized", "none", "removed", "unknown", "unnamed", "unspecified", "null"}
)

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_MONTHS_ELSEWHERE = (
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
)
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}|2\.25\.[0-9]{8,39}")


class Edge(Enum):
    """What may not stand directly beside a hit, lest a longer word or number be taken for the value."""

    NONE = "anything: the text is long enough to count inside a longer one"
    WORD = "letters and digits"
    NUMBER = "digits"
    UID = "digits and dots"
    DATE = "digits, except a time of day that follows"


class Pattern(NamedTuple):
    """One byte string to look for.

    ``unit`` is the number of bytes of an ASCII character, ``low`` the one of them that holds it.
    """

    needle: bytes
    edge: Edge
    unit: int
    low: int

    def __repr__(self) -> str:
        return "Pattern(…)"


def patterns(value: str) -> frozenset[Pattern]:
    """All byte patterns under which ``value`` may still be found, lower-cased as :meth:`bytes.lower` does.

    Empty where the value is too short or too common to be told from chance (a number of five digits, a name
    of two letters by itself): the caller must not take that for a clean search.
    """
    found: set[Pattern] = set()
    for text, edge in _forms(value.strip()):
        if edge is Edge.WORD and len(text) >= _LONG:
            edge = Edge.NONE
        for cased in {text, text.lower(), text.upper()}:
            beyond = any(ord(character) > 0xFF for character in cased)
            for encoding in (*_ENCODINGS, *_FURTHER) if beyond else _ENCODINGS:
                found.update(_encoded(cased, edge, encoding))
    return frozenset(found)


def _encoded(text: str, edge: Edge, encoding: str) -> Iterator[Pattern]:
    try:
        needle = text.encode(encoding)
    except UnicodeEncodeError:
        return
    if encoding == "iso2022_jp":
        # The code page is entered before each component of a PN; what follows belongs to the text around it.
        needle, edge = needle.removesuffix(b"\x1b(B"), Edge.NONE
    wide = encoding.startswith("utf-16")
    yield Pattern(needle.lower(), edge, 2 if wide else 1, 1 if encoding == "utf-16-be" else 0)


def _forms(value: str) -> Iterator[tuple[str, Edge]]:
    """The texts that stand for ``value``; its kind is told from its form."""
    born = _as_date(value)
    if born is not None:
        yield from ((text, Edge.DATE) for text in _date_forms(born))
        yield from ((text, Edge.UID) for text in _short_dates(born))
    elif _UID.fullmatch(value):
        yield value, Edge.UID
        yield from ((value.replace(".", mark), Edge.NUMBER) for mark in "_-")
        yield from ((form, Edge.WORD) for form in _uuid_forms(value))
    elif "^" in value or "=" in value:
        for group in value.split("="):
            yield from ((text, Edge.WORD) for text in _name_forms(group))
    elif _tellable(value):
        yield from ((text, Edge.WORD) for text in _foldings(value))
        digits = re.sub(r"[\s()/.+-]", "", value)
        if digits.isdigit() and len(digits) >= 7:
            yield digits, Edge.NUMBER
            yield from ((tail, Edge.NUMBER) for tail in _national(value))


def _tellable(text: str) -> bool:
    """Is ``text`` long enough that finding it is no accident?"""
    if text.casefold() in PLACEHOLDERS or not any(character.isalnum() for character in text):
        return False
    if text.isdigit():
        return len(text) >= 6
    if any(ord(character) > 0x2E7F for character in text):
        # Two ideographs are a name, or a good part of one.
        return len(text) >= 2
    return len(text) >= (3 if text.isalpha() else 4)


def _foldings(text: str) -> set[str]:
    """``text`` composed, decomposed, and as systems write it that know no accents."""
    composed = unicodedata.normalize("NFC", text)
    forms = {composed, unicodedata.normalize("NFD", text)}
    for plain in (composed, composed.translate(_GERMAN)):
        bare = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        if len(bare) >= 4 and len(bare) >= len(composed):
            forms.add(bare)
    return forms


def _name_forms(group: str) -> Iterator[str]:
    """Parts and orders of one component group of a PN (PS3.5 6.2.1); prefix and suffix name nobody."""
    components = [component.strip() for component in group.split("^")[:3]]
    words = {piece for component in components for piece in re.split(r"[\s-]+", component) if len(piece) >= 4}
    for part in {*components, *words}:
        if part.isalpha() or _tellable(part):
            yield from (text for text in _foldings(part) if _tellable(part))
    family, given = components[0], components[1] if len(components) > 1 else ""
    if family and given:
        for pair in (f"{family}^{given}", f"{family} {given}", f"{given} {family}", f"{family}, {given}"):
            yield from _foldings(pair)
        yield from _foldings(f"{family},{given}")
        yield from _foldings(f"{family}_{given}")


def _national(phone: str) -> Iterator[str]:
    """A number with country code, as it is dialled inside the country."""
    inside = re.fullmatch(r"\+\d{1,3}[\s(/-]+(.+)", phone)
    if inside:
        digits = re.sub(r"\D", "", inside[1])
        if len(digits) >= 7:
            yield digits
            yield "0" + digits


def _short_dates(day: date) -> Iterator[str]:
    """With two digits of the year; a mark beside it would make it a part of a UID or of a longer number."""
    year, month, number = f"{day.year % 100:02d}", f"{day.month:02d}", f"{day.day:02d}"
    for mark in "./":
        yield mark.join((number, month, year))
    yield f"{month}/{number}/{year}"


def _uuid_forms(uid: str) -> Iterator[str]:
    """A UID that is made of a UUID, as the UUID is written elsewhere (PS3.5 B.2)."""
    number = uid.removeprefix("2.25.")
    if number != uid and number.isdigit() and not int(number) >> 128:
        form = str(UUID(int=int(number)))
        yield form
        yield form.replace("-", "")


def _as_date(value: str) -> date | None:
    if not re.fullmatch(r"(?:18|19|20)\d{6}", value):
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None


def _date_forms(day: date) -> Iterator[str]:
    year, month, number = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    yield year + month + number
    for mark in "-./":
        yield from (
            mark.join(parts)
            for parts in ((year, month, number), (number, month, year), (month, number, year))
        )
    for months in _MONTHS_ELSEWHERE:
        name = months.split()[day.month - 1]
        yield from (f"{day.day} {name} {year}", f"{day.day}. {name} {year}", f"{number}. {name} {year}")
        yield f"{day.day} de {name} de {year}"
    name = _MONTHS[day.month - 1]
    for spelled in (name, name[:3]):
        yield from (f"{day.day} {spelled} {year}", f"{number} {spelled} {year}", f"{number}-{spelled}-{year}")
        yield from (f"{spelled} {day.day}, {year}", f"{spelled} {day.day} {year}")
