"""The first octets of an element in a data set that may not be conforming: what was said, or what must be meant.

Where they can be read in two ways, that one is taken behind which the next element can stand. For the mending only
(:mod:`policies.mending`); the scan reads what conforms without asking.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR

from policies.elements import ITEM, ITEM_END, KNOWN_VRS, LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, Style
from policies.errors import Refusal

WIDTHS: Final = {
    b"AT": 2,
    b"FD": 8,
    b"FL": 4,
    b"OD": 8,
    b"OF": 4,
    b"OL": 4,
    b"OV": 8,
    b"OW": 2,
    b"SL": 4,
    b"SS": 2,
    b"SV": 8,
    b"UL": 4,
    b"US": 2,
    b"UV": 8,
}
"""Octets of one number; the other Value Representations are the same in either byte order (PS3.5 7.3)."""


class Head(NamedTuple):
    """The first octets of an element, and how they were understood."""

    tag: int
    vr: bytes
    start: int
    length: int
    explicit: bool


def looks_like(head: bytes) -> Style | None:
    """Return how the data set is encoded that begins with ``head``, None when it is none (nearly as DCMTK guesses)."""
    if len(head) < 8:
        return None
    for order, big_endian in (("<", False), (">", True)):
        group, element = struct.unpack_from(order + "HH", head)
        if group <= 0xFF and vr_of(group << 16 | element):
            return Style(explicit=_seems_explicit(head, big_endian=big_endian), big_endian=big_endian)
    return None


def _seems_explicit(head: bytes, *, big_endian: bool) -> bool:
    """Say whether the first element has a VR, or has an illegal one; implicit is what reads as implicit."""
    if head[4:6] in KNOWN_VRS:
        return True
    probe = Heads(head, Style(explicit=False, big_endian=big_endian))
    group, element = probe.tag_at(head, 0)
    implicit = probe.implicit(0, group << 16 | element)
    return not (probe.fits(implicit, len(head)) and probe.goes_on(implicit, len(head)))


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """Return what the dictionary gives as VR, empty for what it does not know and for private elements."""
    if tag & 0xFFFF == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else ""
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""


class Heads:
    """The heads of elements in ``buf``. ``signed`` tells what the dictionary leaves open (PS3.5 annex A)."""

    def __init__(self, buf: bytes, style: Style) -> None:
        self.buf = buf
        order = ">" if style.big_endian else "<"
        self.tag_at = struct.Struct(order + "HH").unpack_from
        self.u16 = struct.Struct(order + "H").unpack_from
        self.u32 = struct.Struct(order + "I").unpack_from
        self.meant = len(buf.rstrip(b"\0"))
        """Behind this are zeros only."""
        self.signed = False

    def at(self, pos: int, end: int, tag: int, explicit: bool, *, top: bool) -> Head:
        """Return the element at ``pos`` of a level that ends at ``end`` and is said to be ``explicit`` or not.

        Raises:
            Refusal: it does not fit, however it is read.
        """
        said, seems_explicit = None, self.buf[pos + 4 : pos + 6] in KNOWN_VRS
        if explicit and seems_explicit:
            said = self._explicit_head(pos, end, tag)
        elif not explicit:
            said = self.implicit(pos, tag)
        if said is not None and (explicit or not seems_explicit) and self.fits(said, end):
            return said
        meant = self._other_heads(pos, end, tag, explicit, seems_explicit)
        for head in meant:
            if self.fits(head, end) and self.goes_on(head, end):
                return head
        if said is None and meant:
            said = meant[-1]
        if said is not None and self.fits(said, end):
            return said
        if top or end == len(self.buf):
            raise truncated()
        raise malformed("An element is longer than the item that holds it.")

    def _other_heads(self, pos: int, end: int, tag: int, explicit: bool, seems_explicit: bool) -> list[Head]:
        """Return what else the octets may mean, the likeliest first."""
        heads = []
        if explicit or not seems_explicit:
            heads.append(self.implicit(pos, tag))
        if seems_explicit:
            if (head := self._explicit_head(pos, end, tag)) is not None:
                heads.append(head)
            if not explicit:
                heads.append(self.implicit(pos, tag))
        elif explicit and (head := self._illegal_head(pos, end, tag)) is not None:
            heads.append(head)
        return heads

    def _explicit_head(self, pos: int, end: int, tag: int) -> Head | None:
        vr = self.buf[pos + 4 : pos + 6]
        if vr not in LONG_VRS:
            return Head(tag, vr, pos + 8, self.u16(self.buf, pos + 6)[0], explicit=True)
        if pos + 12 > end:
            return None
        return Head(tag, vr, pos + 12, self.u32(self.buf, pos + 8)[0], explicit=True)

    def _illegal_head(self, pos: int, end: int, tag: int) -> Head | None:
        """Return an explicit head whose VR does not exist: a future one of capital letters has a long length."""
        future = self.buf[pos + 4 : pos + 6]
        if future.isalpha() and future.isupper():
            if pos + 12 > end:
                return None
            length = self.u32(self.buf, pos + 8)[0]
            return Head(tag, self._known_vr(tag, length), pos + 12, length, explicit=True)
        length = self.u16(self.buf, pos + 6)[0]
        return Head(tag, self._known_vr(tag, length), pos + 8, length, explicit=True)

    def implicit(self, pos: int, tag: int) -> Head:
        """Return the element at ``pos`` as Implicit VR."""
        length = self.u32(self.buf, pos + 4)[0]
        return Head(tag, self._known_vr(tag, length), pos + 8, length, explicit=False)

    def _known_vr(self, tag: int, length: int) -> bytes:
        """Return the VR that the dictionary gives; what it leaves open is decided as PS3.5 annex A asks."""
        known = vr_of(tag)
        if length == UNDEFINED_LENGTH and known != "SQ":
            return b"UN"
        if "OW" in known:
            return b"OW"
        vr = (b"SS" if self.signed else b"US") if known == "US or SS" else known[:2].encode()
        return vr if vr and length % WIDTHS.get(vr, 1) == 0 else b"UN"

    def fits(self, head: Head, end: int) -> bool:
        """Say whether the element ends before ``end``, or begins like a sequence of undefined length."""
        if head.length != UNDEFINED_LENGTH:
            return head.start + head.length <= end
        if head.start + 8 > len(self.buf):
            return False
        group, element = self.tag_at(self.buf, head.start)
        return (group << 16 | element) in (ITEM, SEQUENCE_END)

    def goes_on(self, head: Head, end: int) -> bool:
        """Say whether what stands behind the element may be one: the next, or the end."""
        if head.length == UNDEFINED_LENGTH:
            return True
        stop = head.start + head.length
        if stop == end or stop >= self.meant:
            return True
        if stop + 8 > end:
            return False
        group, element = self.tag_at(self.buf, stop)
        tag = group << 16 | element
        if tag in (ITEM_END, SEQUENCE_END):
            return True
        return tag > head.tag and (bool(group & 1) or bool(vr_of(tag)))


def truncated() -> Refusal:
    """The file is not whole."""
    return Refusal("truncated", "The file ends inside an element.")


def malformed(what: str) -> Refusal:
    """The file cannot be understood."""
    return Refusal("malformed", what)
