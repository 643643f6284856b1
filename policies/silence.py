"""What says nothing: empty values, dummies, pseudonyms, derived UIDs, and words that are known to be safe.

Forms of values and nothing else; which of them an attribute must have is :mod:`policies.expected`. Written from the
documentation of the pseudonym scheme and of dummies (PS3.15 Table E.1-1a), not from the code that makes them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import keyword_for_tag

from policies.layout import Element

if TYPE_CHECKING:
    from policies.clauses import AgeBands

_SILENT = frozenset(
    {"", "REMOVED", "ANONYMOUS", "ANONYMIZED", "UNKNOWN", "UNSPECIFIED", "URN:REMOVED", "99TCE"}
)
_SILENT_NUMBER = re.compile(r"[+-]?0*(?:\.0*)?[DWMY]?|0*1?9000101(?:0{6})?")
_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# A prefix of the case, base 32 without I, L, O and U, and a check character; sixteen in all.
_PSEUDONYM = re.compile(rf"(?=.{{16}}$)[0-9A-Z-]{{0,5}}[{_BASE_32}]{{11,16}}")
_ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")
_BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "US", "SS", "UL", "SL", "SV", "UV", "FL", "FD", "AT"}
_STRUCTURAL_CODES = {0x00080102}
_WORD = re.compile(r"[^\W_]+")
_MEASURE = re.compile(r"\d{1,3}(?:mm|cm|kv|kvp|sec|ms|t|d|x)?")
_JOINING = frozenset(
    {"a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "no", "none", "not", "noted", "of"}
    | {"on", "or", "seen", "the", "to", "was", "with", "without", "w", "wo", "new"}
    | {"und", "mit", "ohne", "avec", "sans", "senza"}
)
_SMALL = 1 << 16
_STRUCTURAL = (
    "ClassUID",
    "ClassesInStudy",
    "ClassesSupported",
    "SyntaxUID",
    "CodingSchemeUID",
    "ContextUID",
    "MappingResourceUID",
    "ExtensionCreatorUID",
)


def says_nothing(element: Element) -> bool:
    """Is the element empty, or does it hold a value that stands for no value?"""
    if element.items is not None:
        return all(says_nothing(inner) for item in element.items for inner in item.values())
    if element.fragments is not None or element.length > _SMALL:
        return False
    if element.vr in _BINARY:
        return not element.raw().strip(b"\0 ")
    return all(is_silent(part) for part in element.texts())


def is_silent(text: str) -> bool:
    """Does one value of text stand for no value?"""
    bare = text.strip("\0 ^=").upper()
    return bare in _SILENT or _SILENT_NUMBER.fullmatch(bare) is not None


def replaced(element: Element) -> bool:
    """Does every value say nothing, or have the form of a pseudonym?"""
    if element.vr not in ("LO", "SH", "PN", "UC", "AE", "UN") or element.items is not None:
        return says_nothing(element)
    return all(is_silent(part) or is_pseudonym(part) for part in element.texts())


def dummy(element: Element) -> bool:
    """Does the element, with all that lies in it, hold nothing but dummies, pseudonyms and derived UIDs?"""
    if element.items is not None:
        return all(dummy(inner) for item in element.items for inner in item.values())
    if element.tag in _STRUCTURAL_CODES:
        return element.text() in ("99TCE", "DCM") or says_nothing(element)
    if element.vr == "UI":
        return is_structural(element.tag) or mapped(element)
    return replaced(element)


def is_structural(tag: int) -> bool:
    """Does the UI attribute name a kind of thing, a syntax or a code set, never an instance or an entity?"""
    return str(keyword_for_tag(tag)).endswith(_STRUCTURAL)


def is_pseudonym(text: str) -> bool:
    """Has the text the form of a pseudonym: sixteen characters of which the last one checks the others?

    The prefix does not count in the check, and its length is not known here: any that fits will do.
    """
    if _PSEUDONYM.fullmatch(text) is None:
        return False
    return any(
        all(character in _BASE_32 for character in text[start:]) and _check(text[start:-1]) == text[-1]
        for start in range(6)
    )


def _check(body: str) -> str:
    """The check character over GF(32), modulo x^5 + x^2 + 1."""
    total = 0
    for character in body:
        total = (total ^ _BASE_32.index(character)) << 1
        if total & 0b100000:
            total ^= 0b100101
    return _BASE_32[total]


def mapped(element: Element) -> bool:
    """Is every UID of the element a derived one, or one that the standard itself registers?"""
    return all(is_derived(uid) or is_registered(uid) for uid in element.texts())


def is_registered(uid: str) -> bool:
    """Is it one of the standard's own (PS3.6 Annex A)? To begin like one is not enough."""
    return uid in UID_dictionary


def is_derived(uid: str) -> bool:
    """Has the UID the form ``2.25.`` and the number of a UUID of version 8?"""
    number = uid.removeprefix("2.25.")
    if number == uid or not number.isdigit() or len(number) > 39 or int(number) >> 128:
        return False
    bits = int(number)
    return bits >> 76 & 0xF == 8 and bits >> 62 & 0b11 == 0b10


def zone(element: Element) -> bool:
    """Is it empty, or an offset from UTC?"""
    return says_nothing(element) or _ZONE.fullmatch(element.text()) is not None


def is_band(years: float, bands: AgeBands | None) -> bool:
    """Is ``years`` the lower bound of one of the policy's age bands, or does the policy have none?"""
    if bands is None:
        return True
    return years == bands.top or (years < bands.top and years % bands.width == 0)


def number_in_years(element: Element) -> float:
    """A number of a report, or infinity where it is none (which is in no band)."""
    try:
        return (
            float(element.text() or 0) if element.vr != "FD" else float(struct.unpack("<d", element.raw())[0])
        )
    except (ValueError, struct.error):
        return float("inf")


class SafeWords:
    """The words that may stay in cleaned text: those shipped, the policy's own, and words that only join others."""

    def __init__(self, further: Iterable[str]) -> None:
        self._safe = _shipped() | {word.lower() for entry in further for word in _WORD.findall(entry)}

    def only(self, element: Element) -> bool:
        """Does the text hold safe words and small measures only?"""
        if element.vr == "UN" and element.length > _SMALL:
            return False
        return is_silent(element.text()) or not self.tells_more(element.text())

    def tells_more(self, text: str) -> bool:
        """Has the text any other word or number?"""
        words = _WORD.findall(text.lower())
        return not all(word in self._safe or word in _JOINING or _MEASURE.fullmatch(word) for word in words)


@cache
def _shipped() -> frozenset[str]:
    text = (resources.files("policies") / "vocabulary.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word.lower() for line in lines for word in _WORD.findall(line))
