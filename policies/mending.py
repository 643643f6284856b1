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
from typing import Final

from policies.elements import (
    ITEM,
    ITEM_END,
    LONG_VRS,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    Style,
    padding_of,
    tag_bytes,
    tag_text,
)
from policies.errors import Refusal
from policies.heads import WIDTHS, Head, Heads, malformed, truncated, vr_of
from policies.nesting import DEEPEST, MOST_FRAGMENTS

PIXEL_DATA: Final = 0x7FE00010
_EXTENDED_OFFSETS: Final = 0x7FE00001
_BITS_ALLOCATED: Final = 0x00280100
_PIXEL_REPRESENTATION: Final = 0x00280103
_WORDS: Final = {b"OB": 8, b"OW": 16}
"""The largest cells of Pixel Data whose order is beyond doubt."""

_NUMBERS: Final = {2: "H", 4: "I", 8: "Q"}
_ITEM_HEAD: Final = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_TAIL: Final = b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_TAIL: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LARGEST_SHORT: Final = 0xFFFE
_MOST_ELEMENTS: Final = 1 << 20
"""Of one level, each of which is put into its place: no IOD has more than some thousand."""


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


class _Mending:
    """One data set on its way from ``buf`` to ``out``."""

    def __init__(self, content: bytes, style: Style) -> None:
        self.buf = content
        self.view = memoryview(content)
        self.style = style
        self.heads = Heads(content, style)
        self.tag_at, self.u32 = self.heads.tag_at, self.heads.u32
        self.out = bytearray()
        self.bits_allocated = 0
        self.extended_offsets = False

    def data_set(self) -> bytes:
        self._level(0, len(self.buf), explicit=self.style.explicit, depth=-1, open_item=False)
        self.view.release()
        self.buf = self.heads.buf = b""  # as large as what is made now
        return bytes(self.out)

    def values(self, pos: int, only: int | None) -> Iterator[tuple[int, bytes, int]]:
        end = len(self.buf)
        while pos + 8 <= end:
            group, element = self.tag_at(self.buf, pos)
            if only is not None and group != only:
                return
            tag = group << 16 | element
            head = self.heads.at(pos, end, tag, self.style.explicit, top=True)
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
        signed, bits_allocated = self.heads.signed, self.bits_allocated
        while pos < end or open_item:
            if pos >= self.heads.meant and (open_item or depth < 0):
                # Nothing but zeros until the end of the file.
                if open_item:
                    raise truncated()
                break
            if pos + 8 > end:
                raise (
                    truncated() if open_item or depth < 0 else malformed("An item ends inside an element.")
                )
            group, element = self.tag_at(self.buf, pos)
            tag = group << 16 | element
            if tag == ITEM_END and depth >= 0:
                pos += 8
                break
            if group == 0xFFFE:
                raise malformed("An item or a delimiter stands where an element should be.")
            start = len(self.out)
            pos = self._element(pos, end, tag, explicit, depth)
            if len(self.out) == start:
                continue
            ordered = ordered and tag > last
            last = tag
            tags.append(tag)
            starts.append(start)
            if len(tags) > _MOST_ELEMENTS:
                raise malformed("It is of more than a million elements at one level.")
        if not ordered:
            self._put_in_order(first, tags, starts)
        self.heads.signed, self.bits_allocated = signed, bits_allocated
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
        head = self.heads.at(pos, end, tag, explicit, top=depth < 0)
        kept = tag >> 16 >= 0x0008 and tag & 0xFFFF != 0
        vr = head.vr
        if tag == PIXEL_DATA and head.length == UNDEFINED_LENGTH:
            return self._fragments(head.start)
        if vr == b"SQ" or head.length == UNDEFINED_LENGTH:
            if head.length == UNDEFINED_LENGTH and vr not in (b"SQ", b"UN"):
                raise malformed(f"The length of {tag_text(tag)} is not told.")
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
        width = WIDTHS.get(vr, 1)
        length = stop - start
        value: bytes | memoryview = self.view[start:stop]
        if self.style.words_swapped and tag == PIXEL_DATA:
            if self.bits_allocated != 16:
                raise malformed(
                    "Pixel Data in the byte order of a private transfer syntax are not of 16 bits."
                )
            value = _swapped(value, 2)
        elif self.style.big_endian and tag == PIXEL_DATA and self.bits_allocated > _WORDS.get(vr, 0):
            raise Refusal(
                "unsupported-transfer-syntax",
                "Pixel cells are in big endian, and programs do not agree on the order of their octets.",
                next_step="Convert it to Explicit VR Little Endian with a program of its maker.",
            )
        elif width > 1 and self.style.big_endian:
            value = _swapped(value, width)
        if width > 1 and length % width and length % 2 and vr[:1] != b"O":
            vr = b"UN"
        if tag == _PIXEL_REPRESENTATION and length == 2:
            self.heads.signed = bytes(value) == b"\1\0"
        elif tag == _BITS_ALLOCATED and length == 2:
            self.bits_allocated = int.from_bytes(value, "little")
        elif tag == PIXEL_DATA and self.style.encapsulated and length and top:
            raise malformed("Pixel Data are not compressed, but the transfer syntax says so.")
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

    # Sequences, and the fragments of compressed pixel data.

    def _sequence(self, head: Head, end: int, explicit: bool, depth: int, *, write: bool) -> int:
        """Read the items of a sequence and write them with delimiters; return where it ends."""
        if depth >= DEEPEST:
            raise malformed(f"Sequences are nested deeper than {DEEPEST} levels.")
        undefined = head.length == UNDEFINED_LENGTH
        first = len(self.out)
        self.out += tag_bytes(head.tag) + b"SQ\0\0\xff\xff\xff\xff"
        pos, stop = head.start, end if undefined else head.start + head.length
        while undefined or pos < stop:
            if pos + 8 > end:
                raise truncated() if end == len(self.buf) else malformed("A sequence has no end.")
            group, element = self.tag_at(self.buf, pos)
            tag, length = group << 16 | element, self.u32(self.buf, pos + 4)[0]
            pos += 8
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise malformed(f"The sequence {tag_text(head.tag)} holds something that is not an item.")
            open_item = length == UNDEFINED_LENGTH
            # An item may be longer than its sequence says, as DCMTK reads it, but not longer than what holds both.
            if not open_item and pos + length > end:
                raise (
                    truncated() if end == len(self.buf) else malformed("An item is longer than its sequence.")
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
            raise malformed("Pixel Data are compressed, but the transfer syntax does not say how.")
        self.out += tag_bytes(PIXEL_DATA) + b"OB\0\0\xff\xff\xff\xff"
        table = len(self.out) + 8
        old: list[int] = []
        new: list[int] = []
        odd, offsets = False, 0
        base_old = base_new = 0
        while True:
            if pos + 8 > len(self.buf):
                raise truncated()
            group, element = self.tag_at(self.buf, pos)
            tag, length = group << 16 | element, self.u32(self.buf, pos + 4)[0]
            if tag == SEQUENCE_END:
                break
            if tag != ITEM or length == UNDEFINED_LENGTH:
                raise malformed("The compressed pixel data is not a series of fragments.")
            if pos + 8 + length > len(self.buf):
                raise truncated()
            if len(old) == MOST_FRAGMENTS:
                raise malformed("The compressed pixel data has more than a million fragments.")
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
            raise malformed("Fragments of odd length do not agree with their offset table.") from wrong


def _swapped(value: bytes | memoryview, width: int) -> bytes:
    """Return numbers in the other byte order; octets behind the last whole number stay."""
    whole = len(value) - len(value) % width
    numbers = array(_NUMBERS[width])
    numbers.frombytes(value[:whole])
    numbers.byteswap()
    return numbers.tobytes() + bytes(value[whole:])
