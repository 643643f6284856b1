"""Content items of structured reports and manifests: which of them go (PS3.15 Table E.3.4-1, PS3.3 C.17.3).

Only the decision for an item is taken here, from its value type and concept name. What happens to the attributes
inside a kept item — references, names, dates, text — follows the table like anywhere else.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from policies.elements import ITEM, ITEM_END, LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, text_of
from policies.profile import resolve_concept
from policies.standard.tables import Option

VALUE_TYPE = 0x0040A040
CONCEPT_NAME = 0x0040A043
_CODE_VALUE = 0x00080100
_SCHEME = 0x00080102

_tag = struct.Struct("<HH").unpack_from
_u16 = struct.Struct("<H").unpack_from
_u32 = struct.Struct("<I").unpack_from


_AGES = frozenset({("121033", "DCM"), ("424144002", "SCT"), ("397669002", "SCT"), ("30525-0", "LN")})
"""Concepts whose value is an age in full years; they would undo an age band."""


def is_dropped(
    buf: bytes, start: int, end: int, explicit: bool, options: Collection[Option], *, ages_banded: bool
) -> bool:
    """Say whether a content item goes as a whole.

    The item's first element stands at ``start``; what lies behind the item is not looked at. An item whose value
    type cannot be read goes: it cannot be decided what it says.
    """
    value_type, code, scheme = _read(buf, start, end, explicit)
    if not value_type:
        return True
    if ages_banded and (code, scheme) in _AGES:
        return True
    action = resolve_concept(code, scheme, value_type, options)
    return action in ("X", "X/D")


def _read(item: bytes, pos: int, end: int, explicit: bool) -> tuple[str, str, str]:
    """Return value type, concept code value and coding scheme of a content item, each empty when absent."""
    value_type = code = scheme = ""
    while pos + 8 <= end:
        tag, start, length = _head(item, pos, explicit)
        if tag in (ITEM_END, SEQUENCE_END) or tag > CONCEPT_NAME:
            break
        if tag == VALUE_TYPE:
            value_type = text_of(item[start : start + length])
        if tag == CONCEPT_NAME:
            code, scheme = _code(item, start, explicit)
            break
        pos = _after(item, start, length, explicit)
    return value_type, code, scheme


def _code(item: bytes, start: int, explicit: bool) -> tuple[str, str]:
    """Return code value and scheme of the first item of a code sequence that begins at ``start``."""
    code = scheme = ""
    pos, end = start + 8, len(item)
    while pos + 8 <= end:
        tag, at, length = _head(item, pos, explicit)
        if tag > _SCHEME:
            break
        if tag == _CODE_VALUE:
            code = text_of(item[at : at + length])
        elif tag == _SCHEME:
            scheme = text_of(item[at : at + length])
        pos = at + length
    return code, scheme


def _head(buf: bytes, pos: int, explicit: bool) -> tuple[int, int, int]:
    """Return tag, start of the value and length of the element at ``pos``."""
    group, element = _tag(buf, pos)
    tag = group << 16 | element
    if group == 0xFFFE or not explicit:
        return tag, pos + 8, _u32(buf, pos + 4)[0]
    if buf[pos + 4 : pos + 6] in LONG_VRS:
        return tag, pos + 12, _u32(buf, pos + 8)[0] if pos + 12 <= len(buf) else 0
    return tag, pos + 8, _u16(buf, pos + 6)[0]


def _after(buf: bytes, start: int, length: int, explicit: bool) -> int:
    """Return where an element ends; sequences of undefined length are stepped through by their delimiters."""
    if length != UNDEFINED_LENGTH:
        return start + length
    pos, depth, end = start, 1, len(buf)
    while depth and pos + 8 <= end:
        tag, at, inner = _head(buf, pos, explicit)
        if tag == SEQUENCE_END:
            depth -= 1
            pos += 8
        elif tag in (ITEM, ITEM_END):
            pos += 8
        elif inner == UNDEFINED_LENGTH:
            depth += 1
            pos = at
        else:
            pos = at + inner
    return pos
