"""What says nothing: empty values, dummies, and words that are known to be safe.

Forms of values and nothing else; which of them an attribute must have is :mod:`policies.expected`, and those of
pseudonyms are :mod:`policies.forms`. Written from the documentation of dummies (PS3.15 Table E.1-1a), not from the
code that makes them.
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
    from policies.quasi_identifiers import AgeBands

_SILENT = frozenset(
    {"", "REMOVED", "ANONYMOUS", "ANONYMIZED", "UNKNOWN", "UNSPECIFIED", "URN:REMOVED", "99TCE"}
)
_SILENT_NUMBER = re.compile(r"[+-]?0*(?:\.0*)?[DWMY]?|0*1?9000101(?:0{6})?")
_ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")
_BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "US", "SS", "UL", "SL", "SV", "UV", "FL", "FD", "AT"}
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


def is_structural(tag: int) -> bool:
    """Does the UI attribute name a kind of thing, a syntax or a code set, never an instance or an entity?"""
    return str(keyword_for_tag(tag)).endswith(_STRUCTURAL)


def is_registered(uid: str) -> bool:
    """Is it one of the standard's own (PS3.6 Annex A)? To begin like one is not enough."""
    return uid in UID_dictionary


def zone(element: Element) -> bool:
    """Is it empty, or an offset from UTC?"""
    return says_nothing(element) or _ZONE.fullmatch(element.text()) is not None


def is_band(years: float, bands: AgeBands | None) -> bool:
    """Is ``years`` the lower bound of one of the policy's age bands, or does the policy have none?"""
    if bands is None or years in (0, bands.top):
        return True
    if bands.bounds:
        return years in bands.bounds
    assert bands.width is not None
    return bands.start <= years < bands.top and (years - bands.start) % bands.width == 0


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
