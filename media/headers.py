"""The quick way through the header of an ordinary instance: the elements that are wanted, as bytes, and no others.

A hundred thousand instances are read for one medium, and pydicom makes an object of every element. This knows Explicit
and Implicit VR Little Endian and steps over everything else by its length. Whatever is not as PS3.5 and PS3.10 have it
(an unknown VR, elements out of order, a length that leads out of the file) is not judged here: then there is no answer,
and pydicom reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from struct import Struct

_EXPLICIT_HEAD = Struct("<HH2sH").unpack_from
_IMPLICIT_HEAD = Struct("<HHI").unpack_from
_LENGTH = Struct("<I").unpack_from
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"}
    | {b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
_UNDEFINED = 0xFFFFFFFF
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRANSFER_SYNTAX = 0x00020010
_IMPLICIT = b"1.2.840.10008.1.2"
_OTHER_WAYS = frozenset({b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"})  # big endian, deflated
_AT_ONCE = 1 << 13
_LARGEST_VALUE = 1 << 20
_DEEPEST = 16


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """What a file holds: File Meta Information and the wanted elements by tag (VR, empty if implicit, and value).

    ``whole`` is False when the file ends within its pixel data.
    """

    size: int
    preamble: bytes
    meta: dict[int, bytes]
    elements: dict[int, tuple[bytes, bytes]]
    whole: bool


class _UnusualError(Exception):
    """Something that pydicom has to judge."""


def read_header(path: os.PathLike[str], wanted: Set[int]) -> Header | None:
    """Return the header of an instance, or None if it is not an ordinary one. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _Reading(handle, wanted).header()
    except _UnusualError:
        return None
    finally:
        os.close(handle)


class _Reading:
    """A window on the file that goes forward."""

    def __init__(self, handle: int, wanted: Set[int]) -> None:
        self.handle = handle
        self.wanted = wanted
        self.size = os.fstat(handle).st_size
        self.start = 0
        self.window = os.pread(handle, _AT_ONCE, 0)

    def header(self) -> Header:
        window = self.window
        if window[128:132] != b"DICM":
            raise _UnusualError
        meta, place = self._meta()
        syntax = meta.get(_TRANSFER_SYNTAX, b"").rstrip(b"\0 ")
        if not syntax or syntax in _OTHER_WAYS:
            raise _UnusualError
        elements, whole = self._elements(place, explicit=syntax != _IMPLICIT)
        return Header(self.size, window[:128], meta, elements, whole)

    def _meta(self) -> tuple[dict[int, bytes], int]:
        meta: dict[int, bytes] = {}
        place, last = 132, 0
        window = self.window
        while window[place : place + 2] == b"\x02\x00":
            if place + 12 > len(window):
                raise _UnusualError
            group, number, vr, length = _EXPLICIT_HEAD(window, place)
            tag = group << 16 | number
            first = place + 8
            if vr in _LONG:
                length = _LENGTH(window, first)[0]
                first += 4
            elif vr not in _SHORT:
                raise _UnusualError
            place = first + length
            if tag <= last or place > len(window):
                raise _UnusualError
            meta[tag] = window[first:place]
            last = tag
        return meta, place

    def _elements(self, place: int, *, explicit: bool) -> tuple[dict[int, tuple[bytes, bytes]], bool]:
        elements: dict[int, tuple[bytes, bytes]] = {}
        wanted, size, last = self.wanted, self.size, 0x00020000
        while place < size:
            tag, vr, length, first = self._head(place, explicit)
            if tag <= last:
                raise _UnusualError
            last = tag
            if tag in _PIXELS:
                return elements, length == _UNDEFINED or first + length <= size
            if tag in wanted:
                if length == _UNDEFINED or vr == b"UN" or first + length > size:
                    raise _UnusualError
                elements[tag] = (vr, self._bytes(first, length))
                place = first + length
            elif length == _UNDEFINED:
                place = self._after_items(first, explicit and vr != b"UN", 0)
            else:
                place = first + length
        if place != size:
            raise _UnusualError
        return elements, True

    def _head(self, place: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, VR, length, and where the value begins."""
        at = place - self.start
        if at < 0 or at + 12 > len(self.window):
            self._move(place)
            at = 0
        window = self.window
        if len(window) < at + 8:
            raise _UnusualError
        if not explicit:
            group, number, length = _IMPLICIT_HEAD(window, at)
            vr = window[at + 4 : at + 6]
            if vr in _LONG or vr in _SHORT:  # rather an explicit element under a wrong name
                raise _UnusualError
            return group << 16 | number, b"", length, place + 8
        group, number, vr, length = _EXPLICIT_HEAD(window, at)
        if vr in _SHORT:
            return group << 16 | number, vr, length, place + 8
        if vr not in _LONG or len(window) < at + 12:
            raise _UnusualError
        return group << 16 | number, vr, _LENGTH(window, at + 8)[0], place + 12

    def _after_items(self, place: int, explicit: bool, depth: int) -> int:
        """Return where a sequence of undefined length ends that begins at a place."""
        if depth > _DEEPEST:
            raise _UnusualError
        while True:
            tag, length = self._delimiter(place)
            place += 8
            if tag == _END_OF_SEQUENCE:
                return place
            if tag != _ITEM:
                raise _UnusualError
            place = self._after_item(place, explicit, depth) if length == _UNDEFINED else place + length

    def _after_item(self, place: int, explicit: bool, depth: int) -> int:
        while True:
            if self._delimiter(place)[0] == _END_OF_ITEM:
                return place + 8
            _, vr, length, first = self._head(place, explicit)
            if length == _UNDEFINED:
                place = self._after_items(first, explicit and vr != b"UN", depth + 1)
            else:
                place = first + length

    def _delimiter(self, place: int) -> tuple[int, int]:
        group, number, length = _IMPLICIT_HEAD(self._bytes(place, 8))
        return group << 16 | number, length

    def _bytes(self, place: int, length: int) -> bytes:
        at = place - self.start
        if at < 0 or at + length > len(self.window):
            if length > _LARGEST_VALUE:
                raise _UnusualError
            if length > _AT_ONCE:
                value = os.pread(self.handle, length, place)
                if len(value) < length:
                    raise _UnusualError
                return value
            self._move(place)
            at = 0
            if length > len(self.window):
                raise _UnusualError
        return self.window[at : at + length]

    def _move(self, place: int) -> None:
        self.start, self.window = place, os.pread(self.handle, _AT_ONCE, place)
