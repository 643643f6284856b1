"""Coded entries: how far code value, scheme and meaning of one item can be trusted (PS3.3 8.8, PS3.16 chapter 8).

What a public code means is public. A code that a hospital made up, and a meaning that somebody typed, may name a
person or a place: such a value is replaced by its pseudonym, and of such a meaning only safe words stay.
"""

from __future__ import annotations

import re
import struct
from enum import Enum
from functools import cache, lru_cache

from policies.elements import LONG_VRS, text_of
from policies.legality import defined_terms
from policies.remembered import LONGEST
from policies.standard.codes import ANY_FORM, FORMS, PUBLIC_SCHEMES, VENDOR_SCHEMES, public_meaning
from policies.text import safe_words, shipped_vocabulary

CODE_VALUE = 0x00080100
CODING_SCHEME = 0x00080102
CODE_MEANING = 0x00080104
SCHEME_VERSION = 0x00080103
LONG_CODE_VALUE = 0x00080119
CODED = frozenset({CODE_VALUE, CODING_SCHEME, SCHEME_VERSION, CODE_MEANING, LONG_CODE_VALUE})

LOCAL = b"L"
"""The designator of a coding scheme that is local and has no name (PS3.3 8.2)."""

CODE_HEADS = (b"\x08\x00\x00\x01", b"\x08\x00\x19\x01", b"\x08\x00\x00\x00")
"""How the item of a coded entry begins: with Code Value, Long Code Value, or the length of their group."""

_tag = struct.Struct("<HH").unpack_from
_u16 = struct.Struct("<H").unpack_from
_u32 = struct.Struct("<I").unpack_from
_WORD = re.compile(r"[^\W_]+")
_TOO_SHORT_TO_NAME = 2
_MISSPELT = re.compile(r"^(?:UCM|UCUN|UCUM)$", re.I)
"""How the designator of the unit system is written in dose reports."""
_LONG_WORD = re.compile(r"[a-z]{5,}")
_IN_BRACES = re.compile(r"\{([^}]*)\}")
_ANNOTATIONS = shipped_vocabulary() | frozenset(
    {
        "suvbw",
        "suvlbm",
        "suvbsa",
        "suvibw",
        "counts",
        "events",
        "ratio",
        "ray",
        "rays",
        "x",
        "sources",
        "pixels",
    }
    | {"beats", "cells", "particles", "pulses", "images", "frames", "exposures", "score", "rlu", "cfu", "ppm"}
)
_VENDOR_FORM = re.compile(r"[A-Za-z0-9_.:+/-]{1,64}")
"""What the codes of makers look like: no phrase."""
_VERSION = re.compile(
    r"(?:[A-Za-z]{0,5}[ _-]?\d{1,8}[A-Za-z]{0,3}(?:[ ._:/-]\d{1,8}(?:[A-Za-z]{1,2}\d{0,4})?){0,4})?"
)


class Trust(Enum):
    """What of a coded entry is known to be public."""

    NO_ENTRY = -1
    """No coded entry begins there; what looks like a part of one is anybody's."""
    NOTHING = 0
    VALUE = 1
    """The value is of a scheme that no hospital fills; the meaning may be anybody's words."""
    ALL = 2
    """The meaning is that of a public code."""


def trust_in_item(buf: bytes, start: int, end: int, explicit: bool) -> Trust:
    """Return how far the coded entry that begins at ``start`` and ends not behind ``end`` can be trusted."""
    values = {CODE_VALUE: b"", LONG_CODE_VALUE: b"", CODING_SCHEME: b"", CODE_MEANING: b""}
    pos = start
    while pos + 8 <= end:
        group, element = _tag(buf, pos)
        tag = group << 16 | element
        if tag > LONG_CODE_VALUE:
            break
        if explicit and buf[pos + 4 : pos + 6] not in LONG_VRS:
            at, length = pos + 8, _u16(buf, pos + 6)[0]
        elif explicit:
            at, length = pos + 12, _u32(buf, pos + 8)[0] if pos + 12 <= end else 0
        else:
            at, length = pos + 8, _u32(buf, pos + 4)[0]
        if at + length > end:
            break
        if tag in values:
            values[tag] = buf[at : at + length]
        pos = at + length
    if max(map(len, values.values())) > LONGEST:
        return Trust.NOTHING
    if values[CODE_VALUE] and values[LONG_CODE_VALUE]:
        return Trust.NOTHING  # PS3.3 Table 8.8-1 allows one: the other one is anybody's
    return trust_in(
        values[CODE_VALUE] or values[LONG_CODE_VALUE], values[CODING_SCHEME], values[CODE_MEANING]
    )


@lru_cache(maxsize=8192)
def trust_in(value: bytes, scheme: bytes, meaning: bytes) -> Trust:
    """Return how far a coded entry can be trusted, from the bytes of its value, designator and meaning."""
    designator, code = text_of(scheme), text_of(value)
    public = public_meaning(designator, code)
    if public is None:
        short = len(code) <= _TOO_SHORT_TO_NAME and code.isascii() and code.isalnum()
        if not short and not _looks_public(_MISSPELT.sub("UCUM", designator), code):
            return Trust.NOTHING
    words = set(_WORD.findall(text_of(meaning).lower()))
    safe = words <= _words_of(public or "") | shipped_vocabulary()
    return Trust.ALL if safe or text_of(meaning) == code else Trust.VALUE


def _looks_public(designator: str, code: str) -> bool:
    """Say whether a code has the form of its scheme's, and no word that nobody knows."""
    if VENDOR_SCHEMES.fullmatch(designator):
        fits = _VENDOR_FORM.fullmatch(code)
    elif PUBLIC_SCHEMES.fullmatch(designator):
        fits = re.fullmatch(FORMS.get(designator, ANY_FORM), code)
    else:
        return False
    if fits is None or not _ANNOTATIONS.issuperset(_WORD.findall(" ".join(_IN_BRACES.findall(code)).lower())):
        return False
    long_words = _LONG_WORD.findall(_IN_BRACES.sub("", code).lower())
    return designator == "UCUM" or (safe_words() | defined_terms()).issuperset(long_words)


def is_known_scheme(raw: bytes) -> bool:
    """Say whether a designator is of a scheme that somebody publishes, and not of a hospital's own."""
    designator = text_of(raw)
    return (
        not designator
        or PUBLIC_SCHEMES.fullmatch(designator) is not None
        or designator.encode("latin-1") == LOCAL
        or _MISSPELT.fullmatch(designator) is not None
        or VENDOR_SCHEMES.fullmatch(designator) is not None
    )


def is_no_scheme(raw: bytes) -> bool:
    """Say whether no scheme is named."""
    return not text_of(raw)


def is_version(raw: bytes) -> bool:
    """Say whether a value is the version of a coding scheme: numbers, with a few letters."""
    return _VERSION.fullmatch(text_of(raw)) is not None


@cache
def _words_of(meaning: str) -> frozenset[str]:
    return frozenset(_WORD.findall(meaning))
