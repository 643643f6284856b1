"""Private Data Element Characteristics Sequence (0008,0300): what an instance says of its own private blocks.

It stands before all private groups of its level, so one pass is enough. What it is worth is decided in
:mod:`policies.private`. Serves PS3.3 C.12.1 (SOP Common) and PS3.15 E.3.10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from policies.elements import LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, text_of
from policies.nesting import item_end, item_head, skip, u32
from policies.private import Said

CHARACTERISTICS = 0x00080300

_GROUP = 0x00080301
_CREATOR = 0x00080302
_STATUS = 0x00080303
_SAFE_ELEMENTS = 0x00080304
_ACTIONS = 0x00080305
_UNSAFE_ELEMENTS = 0x00080306

_u16 = struct.Struct("<H").unpack_from


@dataclass(frozen=True, slots=True)
class Characteristics:
    """What is said of one block."""

    status: str = ""
    safe: frozenset[int] = frozenset()
    unsafe: frozenset[int] = frozenset()

    def says(self, element: int) -> Said:
        """Return what is said of an element by its low byte; what contradicts itself is unsafe."""
        if element in self.unsafe or self.status == "UNSAFE":
            return Said.UNSAFE
        if self.status == "SAFE":
            return Said.SAFE
        if self.status == "MIXED":
            return Said.SAFE if element in self.safe else Said.UNSAFE
        return Said.NOTHING

    def and_also(self, other: Characteristics) -> Characteristics:
        """Return what two items of one block say together: they agree, or the block is unsafe."""
        same = (self.status, self.safe) == (other.status, other.safe)
        return Characteristics(self.status if same else "UNSAFE", self.safe, self.unsafe | other.unsafe)


def read_characteristics(
    buf: bytes, start: int, end: int, explicit: bool
) -> dict[tuple[int, str], Characteristics]:
    """Return what the items of the sequence say, by group and creator.

    The sequence's value, and its delimiter where it has one, stand between ``start`` and ``end``.

    Raises:
        Refusal: ``malformed``.
    """
    found: dict[tuple[int, str], Characteristics] = {}
    for values in _items(buf, start, end, explicit):
        unsafe: set[int] = set()
        if _ACTIONS in values:
            for action in _items(buf, *values[_ACTIONS], explicit):
                if _UNSAFE_ELEMENTS in action:
                    unsafe |= _numbers(buf[slice(*action[_UNSAFE_ELEMENTS])])
        text = {
            tag: buf[slice(*values[tag])]
            for tag in (_GROUP, _CREATOR, _STATUS, _SAFE_ELEMENTS)
            if tag in values
        }
        groups, creator = _numbers(text.get(_GROUP, b"")), text_of(text.get(_CREATOR, b""))
        said = Characteristics(
            text_of(text.get(_STATUS, b"")), _numbers(text.get(_SAFE_ELEMENTS, b"")), frozenset(unsafe)
        )
        for group in groups:
            key = (group, creator)
            found[key] = found[key].and_also(said) if key in found else said
    return found


def _numbers(value: bytes) -> frozenset[int]:
    return frozenset(_u16(value, at)[0] for at in range(0, len(value) - 1, 2))


def _items(buf: bytes, pos: int, end: int, explicit: bool) -> Iterator[dict[int, tuple[int, int]]]:
    """Yield where the values of each item of a sequence stand, by tag."""
    while pos + 8 <= end:
        group, element, length = item_head(buf, pos)
        if (group << 16 | element) == SEQUENCE_END:
            return
        pos += 8
        stop = item_end(buf, pos, explicit, 0, end) if length == UNDEFINED_LENGTH else pos + length
        yield dict(_values(buf, pos, stop, explicit))
        pos = stop


def _values(buf: bytes, pos: int, end: int, explicit: bool) -> Iterator[tuple[int, tuple[int, int]]]:
    while pos + 8 <= end:
        group, element, length = item_head(buf, pos)
        start = pos + 8
        if group == 0xFFFE:
            return
        within = explicit
        if explicit:
            vr = buf[pos + 4 : pos + 6]
            length >>= 16
            if vr in LONG_VRS:
                length, start = u32(buf, start)[0], pos + 12
                within = vr != b"UN"
        pos = skip(buf, start, length, end, within, 0)
        yield group << 16 | element, (start, pos)
