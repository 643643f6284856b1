"""Digits of decimal strings that look like a number that is known, only because they stand beside each other.

A quick search looks at the bytes of many elements without punctuation, where ``1.0000\\0.0000`` holds 10000000. Such a
hit is no reason to look at every value: where it lies in a DS or IS whose numbers, each as a whole, are unknown, it is
chance. What cannot be told for sure counts as a hit. Encodings: PS3.5 sections 6.2 and 7.1.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR

_IN_NUMBERS: Final = b"0123456789+-.eE\\ "
_BEFORE: Final = re.compile(rb"[0-9+\-.eE\\ ]*\Z")
_FARTHEST: Final = 1 << 10
_BETWEEN: Final = (
    b"[" + b"".join(b"\\x%02x" % code for code in range(0x80) if not chr(code).isalnum()) + b"]*"
)
_DECIMAL: Final = frozenset({"DS", "IS"})

_explicit_head = struct.Struct("<HH2sH").unpack_from
_implicit_head = struct.Struct("<HHI").unpack_from


def stand_only_in_numbers(content: bytes, digits: bytes, is_known: Callable[[bytes], bool]) -> bool:
    """Say whether digits, with any punctuation between them, stand in decimal strings only, and in no known number.

    ``content`` are whole elements; ``is_known`` says whether one of the numbers of a decimal string is known.
    """
    found = False
    for match in _apart(digits).finditer(content):
        found = True
        value = _decimal_string_around(content, match.start(1), match.end(1))
        if value is None or is_known(value):
            return False
    return found


@lru_cache(maxsize=256)
def _apart(digits: bytes) -> re.Pattern[bytes]:
    return re.compile(b"(?=(" + _BETWEEN.join(bytes((digit,)) for digit in digits) + b"))")


def _decimal_string_around(content: bytes, start: int, end: int) -> bytes | None:
    """Return the value of the DS or IS in which a range lies, or None when that is not certain."""
    before = _BEFORE.search(content[max(0, start - _FARTHEST) : start])
    at = start - len(before.group()) if before else start
    if at < 8:
        return None
    group, element, vr, length = _explicit_head(content, at - 8)
    if vr.decode("latin-1") not in _DECIMAL:
        group, element, length = _implicit_head(content, at - 8)
    value = content[at : at + length]
    if at + length < end or value.translate(None, _IN_NUMBERS) or not _is_decimal(group << 16 | element):
        return None
    return value


@cache
def _is_decimal(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) in _DECIMAL
