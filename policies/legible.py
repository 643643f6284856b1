"""A value as a person reads it: decoded, cut, and without anything that a terminal or a page would obey.

What is shown may be the original of a patient. Who shows it has to say so; nothing here is ever logged.
"""

from __future__ import annotations

import struct

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from policies.charsets import decoded
from policies.layout import Element

LONGEST = 96
"""Characters of one value; what is longer is cut."""
_MOST_NUMBERS = 6
_BYTES_READ = 512
_NUMBERS = {
    **dict.fromkeys(("FD", "OD"), "d"),
    **dict.fromkeys(("FL", "OF"), "f"),
    **dict.fromkeys(("OL", "UL"), "I"),
    **dict(zip(("SL", "SS", "SV", "US", "UV", "AT"), ("i", "h", "q", "H", "Q", "HH"), strict=True)),
}
_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)


def legible(text: str) -> str:
    """Return a text on one line, cut, without control characters and what turns the direction of writing."""
    cut = text[:LONGEST]
    shown = "".join(
        " " if character.isspace() else character if character.isprintable() else "\N{MIDDLE DOT}"
        for character in cut
    )
    return shown + "…" if len(text) > LONGEST else shown


def text_in(element: Element, encodings: tuple[str, ...]) -> str:
    """Return the whole text of an element in its character sets; what is no text of them, byte by byte."""
    raw = element.raw()
    try:
        text = decoded(raw, encodings or ("iso8859",))
    except UnicodeError:
        text = raw.decode("latin-1")
    return text.strip("\0 ")


def shown(element: Element | None, encodings: tuple[str, ...], *, big_endian: bool = False) -> str:
    """Return a value for a person's eyes, empty where there is none."""
    if element is None or (not element.length and element.items is None and not element.fragments):
        return ""
    if element.items is not None:
        return f"{len(element.items)} item{'' if len(element.items) == 1 else 's'}"
    vr = _vr(element)
    if vr in _TEXT and not element.fragments:
        cut = Element(element.tag, element.vr, element.start, min(element.length, _BYTES_READ), element.data)
        return legible(text_in(cut, encodings))
    if vr in _NUMBERS and not element.fragments:
        return _numbers(element, _NUMBERS[vr], ">" if big_endian else "<")
    octets = sum(length for _, length in element.fragments) if element.fragments else element.length
    return f"{octets:,} bytes"


def _vr(element: Element) -> str:
    """Return the VR, of one that is written as unknown that of the dictionary, or of text where it can be read."""
    if element.vr != "UN":
        return element.vr
    if dictionary_has_tag(element.tag):
        return str(dictionary_VR(element.tag))
    head = bytes(element.data[element.start : element.start + min(element.length, _BYTES_READ)])
    text = head.rstrip(b" \0").decode("ascii", "replace")
    return "LO" if text.isascii() and text.isprintable() else "UN"


def _numbers(element: Element, form: str, order: str) -> str:
    unit = struct.Struct(order + form)
    count = element.length // unit.size
    values = [
        unit.unpack_from(element.data, element.start + place * unit.size)
        for place in range(min(count, _MOST_NUMBERS))
    ]
    parts = ["({:04X},{:04X})".format(*one) if len(one) == 2 else f"{one[0]:g}" for one in values]
    return "\\".join(parts) + ("…" if count > _MOST_NUMBERS else "")
