"""A tolerant reader: what is not conforming but can be understood becomes a conforming data set, in memory.

Only instances that the scan (:mod:`policies.scan`) turns down come here. They are read the way DCMTK reads them and
written anew in Explicit VR Little Endian; then they take the same road as all others. Mended are: big endian, elements
in the encoding that was not said, unknown Value Representations, odd lengths, wrong order, elements that stand twice,
lengths of sequences that are off, zeros behind the last element. What cannot be understood without guessing at values
is refused by name. Pixel values never change; see ``docs/decisions/0016-mending.md``.

Time is linear in the input. Memory is a few times the input, which is bounded by the caller.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR

from policies.elements import (
    ITEM,
    ITEM_END,
    KNOWN_VRS,
    LONG_VRS,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    Style,
    padding_of,
    tag_bytes,
    tag_text,
)
from policies.errors import Refusal

PIXEL_DATA: Final = 0x7FE00010
DEEPEST: Final = 32
_EXTENDED_OFFSETS: Final = 0x7FE00001
_BITS_ALLOCATED: Final = 0x00280100
_PIXEL_REPRESENTATION: Final = 0x00280103
_WIDTHS: Final = {
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

_NUMBERS: Final = {2: "H", 4: "I", 8: "Q"}
_ITEM_HEAD: Final = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_TAIL: Final = b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_TAIL: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LARGEST_SHORT: Final = 0xFFFE


class _Head(NamedTuple):
    """The first octets of an element, and how they were understood."""

    tag: int
    vr: bytes
    start: int
    length: int
    explicit: bool


def mend(content: bytes, style: Style) -> bytes:
    """Return a data set in Explicit VR Little Endian, elements in order, every length even.

    Raises:
        Refusal: ``duplicate-elements`` when an element stands twice with different values; ``truncated`` when it
            ends too early; ``malformed`` when it cannot be understood.
    """
    return _Mending(content, style).data_set()


def values_from(
    content: bytes, pos: int, style: Style, *, group: int | None = None
) -> Iterator[tuple[int, bytes, int]]:
    """Yield tag, value and end of the elements that begin at ``pos``, of one group only if one is given.

    Sequences have no value.

    Raises:
        Refusal: what follows cannot be read.
    """
    yield from _Mending(content, style).values(pos, group)


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
    probe = _Mending(head, Style(explicit=False, big_endian=big_endian))
    implicit = probe.first()
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


class _Mending:
    """One data set on its way from ``buf`` to ``out``."""

    def __init__(self, content: bytes, style: Style) -> None:
        self.buf = content
        self.view = memoryview(content)
        self.style = style
        order = ">" if style.big_endian else "<"
        self.tag_at = struct.Struct(order + "HH").unpack_from
        self.u16 = struct.Struct(order + "H").unpack_from
        self.u32 = struct.Struct(order + "I").unpack_from
        self.meant = len(content.rstrip(b"\0"))
        """Behind this are zeros only."""
        self.out = bytearray()
        self.signed = False
        self.bits_allocated = 0
        self.extended_offsets = False

    def data_set(self) -> bytes:
        self._level(0, len(self.buf), explicit=self.style.explicit, depth=-1, open_item=False)
        self.view.release()
        self.buf = b""  # as large as what is made now
        return bytes(self.out)

    def first(self) -> _Head:
        group, element = self.tag_at(self.buf, 0)
        return self._implicit_head(0, group << 16 | element)

    def values(self, pos: int, only: int | None) -> Iterator[tuple[int, bytes, int]]:
        end = len(self.buf)
        while pos + 8 <= end:
            group, element = self.tag_at(self.buf, pos)
            if only is not None and group != only:
                return
            tag = group << 16 | element
            head = self._head(pos, end, tag, self.style.explicit, top=True)
            if head.vr == b"SQ" or head.length == UNDEFINED_LENGTH:
                value, pos = b"", self._element(pos, end, tag, self.style.explicit, -1)
                self.out.clear()
            else:
                pos = head.start + head.length
                value = self.buf[head.start : pos]
            yield tag, value, pos

    # One level: the data set, or an item.

    def _level(self, pos: int, end: int, *, explicit: bool, depth: int, open_item: bool) -> int:
        """Read elements up to ``end``, or to the delimiter of their item; return where that ends."""
        first = len(self.out)
        tags, starts = array("L"), array("L")
        ordered, last = True, -1
        signed, bits_allocated = self.signed, self.bits_allocated
        while pos < end or open_item:
            if pos >= self.meant and depth < 0:
                break
            if pos + 8 > end:
                raise (
                    _truncated() if open_item or depth < 0 else _malformed("An item ends inside an element.")
                )
            group, element = self.tag_at(self.buf, pos)
            tag = group << 16 | element
            if tag == ITEM_END and depth >= 0:
                pos += 8
                break
            if group == 0xFFFE:
                raise _malformed("An item or a delimiter stands where an element should be.")
            start = len(self.out)
            pos = self._element(pos, end, tag, explicit, depth)
            if len(self.out) == start:
                continue
            ordered = ordered and tag > last
            last = tag
            tags.append(tag)
            starts.append(start)
        if not ordered:
            self._put_in_order(first, tags, starts)
        self.signed, self.bits_allocated = signed, bits_allocated
        return pos

    def _put_in_order(self, first: int, tags: array[int], starts: array[int]) -> None:
        """Sort the elements written since ``first``; of the same element twice one stays (PS3.5 7.1)."""
        starts.append(len(self.out))
        ordered = bytearray()
        with memoryview(self.out) as written:
            last, before = -1, written[:0]
            for place in sorted(range(len(tags)), key=tags.__getitem__):
                element = written[starts[place] : starts[place + 1]]
                if tags[place] == last:
                    if element != before:
                        raise Refusal(
                            "duplicate-elements",
                            f"The element {tag_text(last)} stands twice with different values.",
                            next_step="Find out which one is meant, and remove the other.",
                        )
                    continue
                last, before = tags[place], element
                ordered += element
            before.release()
            element.release()
        self.out[first:] = ordered

    # One element.

    def _element(self, pos: int, end: int, tag: int, explicit: bool, depth: int) -> int:
        """Read one element and write it; return where it ends."""
        head = self._head(pos, end, tag, explicit, top=depth < 0)
        kept = tag >> 16 >= 0x0008 and tag & 0xFFFF != 0
        vr = head.vr
        if tag == PIXEL_DATA and head.length == UNDEFINED_LENGTH:
            return self._fragments(head.start)
        if vr == b"SQ" or head.length == UNDEFINED_LENGTH:
            if head.length == UNDEFINED_LENGTH and vr not in (b"SQ", b"UN"):
                raise _malformed(f"The length of {tag_text(tag)} is not told.")
            inner_explicit = head.explicit and vr != b"UN"
            return self._sequence(head, end, inner_explicit, depth + 1, write=kept)
        if vr == b"UN" and vr_of(tag) == "SQ":
            return self._sequence(head, end, False, depth + 1, write=kept)
        stop = head.start + head.length
        if kept:
            self._write(tag, vr, head.start, stop, top=depth < 0)
        return stop

    def _write(self, tag: int, vr: bytes, start: int, stop: int, *, top: bool) -> None:
        """Write an element of a plain value: its octets in order, its length even."""
        width = _WIDTHS.get(vr, 1)
        length = stop - start
        value: bytes | memoryview = self.view[start:stop]
        if self.style.words_swapped and tag == PIXEL_DATA:
            if self.bits_allocated != 16:
                raise _malformed(
                    "Pixel Data in the byte order of a private transfer syntax are not of 16 bits."
                )
            value = _swapped(value, 2)
        elif width > 1 and self.style.big_endian:
            if tag == PIXEL_DATA and vr == b"OW" and self.bits_allocated > 16:
                raise Refusal(
                    "unsupported-transfer-syntax",
                    "Pixel cells of more than 16 bits are in big endian: programs do not agree on their octets.",
                    next_step="Convert it to Explicit VR Little Endian with a program of its maker.",
                )
            value = _swapped(value, width)
        if width > 1 and length % width and length % 2 and vr[:1] != b"O":
            vr = b"UN"
        if tag == _PIXEL_REPRESENTATION and length == 2:
            self.signed = bytes(value) == b"\1\0"
        elif tag == _BITS_ALLOCATED and length == 2:
            self.bits_allocated = int.from_bytes(value, "little")
        elif tag == PIXEL_DATA and self.style.encapsulated and length and top:
            raise _malformed("Pixel Data are not compressed, but the transfer syntax says so.")
        elif tag == _EXTENDED_OFFSETS:
            self.extended_offsets = True
        if length + length % 2 > _LARGEST_SHORT and vr not in LONG_VRS:
            vr = b"UN"  # PS3.5 6.2.2: a value that is too long for its VR
        if vr in LONG_VRS:
            self.out += tag_bytes(tag) + vr + b"\0\0" + struct.pack("<I", length + length % 2)
        else:
            self.out += tag_bytes(tag) + vr + struct.pack("<H", length + length % 2)
        self.out += value
        if length % 2:
            self.out += padding_of(vr)

    # The first octets of an element: what was said, or what must be meant.

    def _head(self, pos: int, end: int, tag: int, explicit: bool, *, top: bool) -> _Head:
        said, seems_explicit = None, self.buf[pos + 4 : pos + 6] in KNOWN_VRS
        if explicit and seems_explicit:
            said = self._explicit_head(pos, end, tag)
        elif not explicit:
            said = self._implicit_head(pos, tag)
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
            raise _truncated()
        raise _malformed("An element is longer than the item that holds it.")

    def _other_heads(self, pos: int, end: int, tag: int, explicit: bool, seems_explicit: bool) -> list[_Head]:
        """Return what else the octets may mean, the likeliest first."""
        heads = []
        if explicit or not seems_explicit:
            heads.append(self._implicit_head(pos, tag))
        if seems_explicit:
            if (head := self._explicit_head(pos, end, tag)) is not None:
                heads.append(head)
            if not explicit:
                heads.append(self._implicit_head(pos, tag))
        elif explicit and (head := self._illegal_head(pos, end, tag)) is not None:
            heads.append(head)
        return heads

    def _explicit_head(self, pos: int, end: int, tag: int) -> _Head | None:
        vr = self.buf[pos + 4 : pos + 6]
        if vr not in LONG_VRS:
            return _Head(tag, vr, pos + 8, self.u16(self.buf, pos + 6)[0], explicit=True)
        if pos + 12 > end:
            return None
        return _Head(tag, vr, pos + 12, self.u32(self.buf, pos + 8)[0], explicit=True)

    def _illegal_head(self, pos: int, end: int, tag: int) -> _Head | None:
        """Return an explicit head whose VR does not exist: a future one of capital letters has a long length."""
        future = self.buf[pos + 4 : pos + 6]
        if future.isalpha() and future.isupper():
            if pos + 12 > end:
                return None
            length = self.u32(self.buf, pos + 8)[0]
            return _Head(tag, self._known_vr(tag, length), pos + 12, length, explicit=True)
        length = self.u16(self.buf, pos + 6)[0]
        return _Head(tag, self._known_vr(tag, length), pos + 8, length, explicit=True)

    def _implicit_head(self, pos: int, tag: int) -> _Head:
        length = self.u32(self.buf, pos + 4)[0]
        return _Head(tag, self._known_vr(tag, length), pos + 8, length, explicit=False)

    def _known_vr(self, tag: int, length: int) -> bytes:
        """Return the VR that the dictionary gives; what it leaves open is decided as PS3.5 annex A asks."""
        known = vr_of(tag)
        if length == UNDEFINED_LENGTH and known != "SQ":
            return b"UN"
        if "OW" in known:
            return b"OW"
        vr = (b"SS" if self.signed else b"US") if known == "US or SS" else known[:2].encode()
        return vr if vr and length % _WIDTHS.get(vr, 1) == 0 else b"UN"

    def fits(self, head: _Head, end: int) -> bool:
        if head.length != UNDEFINED_LENGTH:
            return head.start + head.length <= end
        if head.start + 8 > len(self.buf):
            return False
        group, element = self.tag_at(self.buf, head.start)
        return (group << 16 | element) in (ITEM, SEQUENCE_END)

    def goes_on(self, head: _Head, end: int) -> bool:
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

    # Sequences, and the fragments of compressed pixel data.

    def _sequence(self, head: _Head, end: int, explicit: bool, depth: int, *, write: bool) -> int:
        """Read the items of a sequence and write them with delimiters; return where it ends."""
        if depth >= DEEPEST:
            raise _malformed(f"Sequences are nested deeper than {DEEPEST} levels.")
        undefined = head.length == UNDEFINED_LENGTH
        first = len(self.out)
        self.out += tag_bytes(head.tag) + b"SQ\0\0\xff\xff\xff\xff"
        pos, stop = head.start, end if undefined else head.start + head.length
        while undefined or pos < stop:
            if pos + 8 > end:
                raise _truncated() if end == len(self.buf) else _malformed("A sequence has no end.")
            group, element = self.tag_at(self.buf, pos)
            tag, length = group << 16 | element, self.u32(self.buf, pos + 4)[0]
            pos += 8
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise _malformed(f"The sequence {tag_text(head.tag)} holds something that is not an item.")
            open_item = length == UNDEFINED_LENGTH
            # An item may be longer than its sequence says, as DCMTK reads it, but not longer than what holds both.
            if not open_item and pos + length > end:
                raise (
                    _truncated()
                    if end == len(self.buf)
                    else _malformed("An item is longer than its sequence.")
                )
            self.out += _ITEM_HEAD
            pos = self._level(
                pos, end if open_item else pos + length, explicit=explicit, depth=depth, open_item=open_item
            )
            self.out += _ITEM_TAIL
        self.out += _SEQUENCE_TAIL
        if not write:
            del self.out[first:]
        return pos

    def _fragments(self, pos: int) -> int:
        """Read the fragments of compressed pixel data (PS3.5 A.4); odd ones become even, and offsets follow."""
        if not self.style.encapsulated:
            raise _malformed("Pixel Data are compressed, but the transfer syntax does not say how.")
        self.out += tag_bytes(PIXEL_DATA) + b"OB\0\0\xff\xff\xff\xff"
        table = len(self.out) + 8
        old: list[int] = []
        new: list[int] = []
        odd, offsets = False, 0
        base_old = base_new = 0
        while True:
            if pos + 8 > len(self.buf):
                raise _truncated()
            group, element = self.tag_at(self.buf, pos)
            tag, length = group << 16 | element, self.u32(self.buf, pos + 4)[0]
            if tag == SEQUENCE_END:
                break
            if tag != ITEM or length == UNDEFINED_LENGTH:
                raise _malformed("The compressed pixel data is not a series of fragments.")
            if pos + 8 + length > len(self.buf):
                raise _truncated()
            if not base_old:
                base_old, base_new = pos + 8 + length, len(self.out) + 8 + length + length % 2
                offsets = length
            else:
                old.append(pos - base_old)
                new.append(len(self.out) - base_new)
                odd = odd or length % 2 == 1
            self.out += b"\xfe\xff\x00\xe0" + struct.pack("<I", length + length % 2)
            self.out += self.view[pos + 8 : pos + 8 + length]
            self.out += b"\0" * (length % 2)
            pos += 8 + length
        self.out += _SEQUENCE_TAIL
        if odd and (offsets or self.extended_offsets):
            self._move_offsets(table, offsets, dict(zip(old, new, strict=True)))
        return pos + 8

    def _move_offsets(self, table: int, size: int, moved: dict[int, int]) -> None:
        """Let the Basic Offset Table point to where the frames begin now."""
        try:
            if self.extended_offsets or size % 4:
                raise KeyError
            offsets = struct.unpack_from(f"<{size // 4}I", self.out, table)
            struct.pack_into(f"<{size // 4}I", self.out, table, *(moved[offset] for offset in offsets))
        except (KeyError, struct.error) as wrong:
            raise _malformed("Fragments of odd length do not agree with their offset table.") from wrong


def _swapped(value: bytes | memoryview, width: int) -> bytes:
    """Return numbers in the other byte order; octets behind the last whole number stay."""
    whole = len(value) - len(value) % width
    numbers = array(_NUMBERS[width])
    numbers.frombytes(value[:whole])
    numbers.byteswap()
    return numbers.tobytes() + bytes(value[whole:])


def _truncated() -> Refusal:
    return Refusal("truncated", "The file ends inside an element.")


def _malformed(what: str) -> Refusal:
    return Refusal("malformed", what)
