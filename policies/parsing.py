"""Read a DICOM file for the verification: strictly what a stage has written, as far as can be what others wrote.

    file ──▶ preamble │ File Meta Information │ elements, items, fragments │ what lies behind ──▶ Instance, faults

The verification's own reader. It hides nothing that another reader would forgive: duplicates, wrong order, odd
lengths, elements without a legal VR and bytes behind the data set are faults that it names by their place. It
reads the four uncompressed encodings (PS3.5 7, A.1 to A.5); files are mapped, not loaded.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from pathlib import Path

from pydicom.datadict import dictionary_VR

from policies.layout import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    Element,
    Fault,
    Instance,
    Level,
    Octets,
    Step,
)

_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
_SHORT = {
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST"),
    *("TM", "UI", "UL", "US"),
}
_VRS = {vr.encode(): vr for vr in (*_LONG, *_SHORT)}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_HEAD = b"\xfe\xff\x00\xe0"
_PIXEL_DATA = 0x7FE00010
_DEEPEST = 64
_MOST_INFLATED = 1 << 30


class Unreadable(Exception):
    """The file is no DICOM file, or cannot be followed to its end. The text holds no value."""


def read(path: Path) -> Instance:
    """Read a file strictly. Large values stay on the disk; the file is mapped, not loaded.

    Raises Unreadable when it is no Part 10 file or its elements cannot be followed, OSError when it cannot be opened.
    """
    data = _mapped(path)
    if data[128:132] != b"DICM":
        raise Unreadable("it is no DICOM file")
    try:
        instance, whole = _read(path, data)
    except (struct.error, zlib.error, IndexError) as fault:
        raise Unreadable("its elements cannot be followed to the end") from fault
    if not whole:
        instance.faults.append(Fault("trailing-bytes", (), "bytes behind the last element"))
    return instance


def read_source(path: Path) -> Instance:
    """Read a file that others wrote, as far as it can be followed: without meta, in another encoding than it says.

    What cannot be followed to its end has the elements that come before. Raises OSError when it cannot be opened.
    """
    data = _mapped(path)
    has_prefix = data[128:132] == b"DICM"
    empty = len(data) > 136 and not bytes(data[:128]).strip(b"\0")
    start = 132 if has_prefix else 128 if empty else 0
    meta, top = Level(), Level()
    instance = Instance(path, bytes(data[:128]) if has_prefix else b"", meta, top, data, False, True, [], [])
    with contextlib.suppress(Unreadable, struct.error, zlib.error, IndexError):
        begin = _Reader(data, big_endian=False).level(meta, start, len(data), True, (), only_group=0x0002)
        if instance.transfer_syntax_uid == DEFLATED:
            instance.data, begin = _inflated(data[begin:])[0], 0
        body = instance.data
        # The lower group numbers of a data set tell the byte order: 0008H, or the other way round.
        instance.big_endian = body[begin : begin + 1] == b"\0" and body[begin + 1 : begin + 2] != b"\0"
        instance.explicit = body[begin + 4 : begin + 6] in _VRS
        reader = _Reader(body, big_endian=instance.big_endian, forgiving=True)
        instance.faults, instance.doubles = reader.faults, reader.doubles
        reader.level(top, begin, len(body), instance.explicit, ())
    return instance


def _mapped(path: Path) -> Octets:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""


def _read(path: Path, data: Octets) -> tuple[Instance, bool]:
    """Return what a Part 10 file holds, and whether nothing lies behind it."""
    reader = _Reader(data, big_endian=False)
    meta, top = Level(), Level()
    pos = reader.level(meta, 132, len(data), True, (), only_group=0x0002)
    syntax = meta[0x00020010].text() if 0x00020010 in meta else IMPLICIT_LITTLE
    body, begin, behind = data, pos, b""
    if syntax == DEFLATED:
        body, behind = _inflated(data[pos:])
        begin = 0
    reader = _Reader(body, big_endian=syntax == EXPLICIT_BIG, faults=reader.faults)
    explicit = syntax != IMPLICIT_LITTLE
    end = reader.level(top, begin, len(body), explicit, ())
    big_endian = syntax == EXPLICIT_BIG
    instance = Instance(
        path, data[:128], meta, top, body, big_endian, explicit, reader.faults, reader.doubles
    )
    return instance, end == len(body) and not behind.strip(b"\0")


def _inflated(packed: bytes) -> tuple[bytes, bytes]:
    """Return a deflated data set inflated, and what lies behind it (PS3.5 A.5: at most one NUL)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(packed, _MOST_INFLATED)
    if not inflater.eof:
        raise Unreadable("its deflated data set does not end")
    return found, inflater.unused_data


class _Reader:
    def __init__(
        self, data: Octets, *, big_endian: bool, faults: list[Fault] | None = None, forgiving: bool = False
    ) -> None:
        self.data = data
        self._forgiving = forgiving
        self.faults: list[Fault] = faults or []
        self.doubles: list[tuple[tuple[Step, ...], Element]] = []
        order = ">" if big_endian else "<"
        self._tag = struct.Struct(order + "HH").unpack_from
        self._u16 = struct.Struct(order + "H").unpack_from
        self._u32 = struct.Struct(order + "I").unpack_from

    def fault(self, code: str, steps: tuple[Step, ...], tag: int, what: str) -> None:
        self.faults.append(Fault(code, (*steps, (tag, 0)), what))

    def level(
        self,
        into: Level,
        pos: int,
        end: int,
        explicit: bool,
        steps: tuple[Step, ...],
        *,
        delimited: bool = False,
        only_group: int = 0,
    ) -> int:
        """Read elements from ``pos`` on; return where they end. ``delimited``: up to an Item Delimitation Item."""
        if len(steps) > _DEEPEST:
            raise Unreadable("its sequences lie too deep")
        data, last = self.data, -1
        while pos + 8 <= end:
            group, number = self._tag(data, pos)
            if only_group and group != only_group:
                break
            tag = group << 16 | number
            if tag == _ITEM_END and delimited:
                return pos + 8
            if self._forgiving and tag in (_ITEM_END, _SEQUENCE_END):
                pos += 8
                continue
            if group == 0xFFFE:
                raise Unreadable("an item or a delimiter stands where an element should be")
            vr, start, length = self._head(pos, tag, explicit, steps)
            if tag <= last:
                same = tag == last or tag in into
                code, what = (
                    ("duplicate", "it stands twice") if same else ("order", "it stands behind a higher tag")
                )
                self.fault(code, steps, tag, what)
                if tag in into:
                    self.doubles.append(((*steps, (tag, 0)), into[tag]))
            last = max(last, tag)
            element = Element(tag, vr, start, length, data)
            pos = self._value(element, end, explicit, steps)
            into[tag] = element
        if delimited:
            raise Unreadable("an item does not end")
        return pos

    def _head(self, pos: int, tag: int, explicit: bool, steps: tuple[Step, ...]) -> tuple[str, int, int]:
        if not explicit:
            return _vr_by_dictionary(tag), pos + 8, self._u32(self.data, pos + 4)[0]
        vr = _VRS.get(self.data[pos + 4 : pos + 6])
        if vr is None:
            # Some writers slip an element of the implicit encoding in; what it is, is read, and told.
            self.fault("vr", steps, tag, "it has no legal Value Representation")
            return "UN", *self._guessed(pos, tag)
        if vr in _LONG:
            return vr, pos + 12, self._u32(self.data, pos + 8)[0]
        return vr, pos + 8, self._u16(self.data, pos + 6)[0]

    def _guessed(self, pos: int, tag: int) -> tuple[int, int]:
        """Return where the value of an element without a legal VR begins, and its length.

        Of the three places where a length may stand, the first is right behind whose value a later element begins.
        """
        places = [(pos + 8, self._u32(self.data, pos + 4)[0])]
        if self._forgiving and pos + 12 <= len(self.data):
            places += [
                (pos + 12, self._u32(self.data, pos + 8)[0]),
                (pos + 8, self._u16(self.data, pos + 6)[0]),
            ]
        for start, length in places:
            after = start + length
            if after == len(self.data):
                return start, length
            if after + 8 <= len(self.data) and self.data[after + 4 : after + 6] in _VRS:
                group, number = self._tag(self.data, after)
                if group << 16 | number > tag:
                    return start, length
        return places[0]

    def _value(self, element: Element, end: int, explicit: bool, steps: tuple[Step, ...]) -> int:
        """Place the value of ``element``, items and fragments included; return where it ends."""
        tag, vr, start, length = element.tag, element.vr, element.start, element.length
        if length != _UNDEFINED:
            stop = start + length
            if stop > end:
                if not self._forgiving or steps:
                    raise Unreadable("an element is longer than what is left")
                element.length, stop = end - start, end
            if length & 1:
                self.fault("odd-length", steps, tag, "its length is odd")
            if vr == "SQ":
                stop = self._sequence(element, stop, end, explicit, steps)
            elif vr == "UN" and length >= 8 and self.data[start : start + 4] == _ITEM_HEAD:
                self._perhaps_items(element, stop, steps)
            return stop
        if vr in ("OB", "OW") and tag == _PIXEL_DATA:
            element.fragments, stop = self._fragments(start, end, tag, steps)
        else:
            stop = self._undefined(element, end, explicit and vr != "UN", explicit, steps)
        element.length = stop - start
        return stop

    def _sequence(
        self, element: Element, stop: int, end: int, explicit: bool, steps: tuple[Step, ...]
    ) -> int:
        at = (*steps, (element.tag, 0))
        before = len(self.faults), len(self.doubles)
        try:
            element.items = self._items(element.start, stop, explicit, at)[0]
        except Unreadable:
            if not self._forgiving:
                raise
            del self.faults[before[0] :], self.doubles[before[1] :]
            # Its length is wrong; it goes on for as long as items follow.
            element.items, stop = self._items(element.start, end, explicit, at, loose=True)
            element.length = stop - element.start
        return stop

    def _undefined(
        self, element: Element, end: int, inside: bool, explicit: bool, steps: tuple[Step, ...]
    ) -> int:
        at = (*steps, (element.tag, 0))
        try:
            element.items, stop = self._items(element.start, end, inside, at, delimited=True)
        except (Unreadable, struct.error):
            if not self._forgiving or inside == explicit:
                raise
            # A writer's own way: what should be implicit in a value of unknown VR is not.
            element.items, stop = self._items(element.start, end, explicit, at, delimited=True)
        return stop

    def _perhaps_items(self, element: Element, stop: int, steps: tuple[Step, ...]) -> None:
        """Look into a value of unknown VR that begins like an item (PS3.5 6.2.2): implicit, or a writer's own way."""
        for explicit in (False, True):
            before = len(self.faults), len(self.doubles)
            try:
                found, _ = self._items(element.start, stop, explicit, (*steps, (element.tag, 0)))
            except (Unreadable, struct.error):
                del self.faults[before[0] :], self.doubles[before[1] :]
                continue
            element.items = found
            return

    def _items(
        self,
        pos: int,
        end: int,
        explicit: bool,
        steps: tuple[Step, ...],
        *,
        delimited: bool = False,
        loose: bool = False,
    ) -> tuple[list[Level], int]:
        """Read items; ``delimited``: up to the Sequence Delimitation Item; ``loose``: as long as there are any."""
        items: list[Level] = []
        above, tag = steps[:-1], steps[-1][0]
        while pos + 8 <= end:
            group, number = self._tag(self.data, pos)
            length = self._u32(self.data, pos + 4)[0]
            if group << 16 | number == _SEQUENCE_END and delimited:
                return items, pos + 8
            if self._forgiving and group << 16 | number in (_ITEM_END, _SEQUENCE_END):
                pos += 8
                continue
            if group << 16 | number != _ITEM:
                if loose:
                    return items, pos
                raise Unreadable("something else stands where an item should be")
            item: Level = {}
            inner = (*above, (tag, len(items) + 1))
            if length == _UNDEFINED:
                pos = self.level(item, pos + 8, end, explicit, inner, delimited=True)
            else:
                stop = pos + 8 + length
                if stop > end or self.level(item, pos + 8, stop, explicit, inner) != stop:
                    raise Unreadable("an item does not end where it says")
                pos = stop
            items.append(item)
        if delimited or (pos != end and not loose):
            raise Unreadable("a sequence does not end")
        return items, pos

    def _fragments(
        self, pos: int, end: int, tag: int, steps: tuple[Step, ...]
    ) -> tuple[list[tuple[int, int]], int]:
        fragments: list[tuple[int, int]] = []
        while pos + 8 <= end:
            group, number = self._tag(self.data, pos)
            length = self._u32(self.data, pos + 4)[0]
            pos += 8
            if group << 16 | number == _SEQUENCE_END:
                return fragments, pos
            if group << 16 | number != _ITEM or pos + length > end:
                break
            if length & 1:
                self.fault("odd-length", steps, tag, "a fragment's length is odd")
            fragments.append((pos, length))
            pos += length
        raise Unreadable("compressed pixel data does not end")


def _vr_by_dictionary(tag: int) -> str:
    """The VR that an element without one has; of several the one that reads as bytes."""
    group, number = tag >> 16, tag & 0xFFFF
    if group & 1:
        return "LO" if 0x10 <= number <= 0xFF else "UN"
    if number == 0:
        return "UL"
    found = _by_dictionary.get(tag)
    if found is None:
        try:
            found = dictionary_VR(tag).split(" or ")[-1]
        except KeyError:
            found = "UN"
        _by_dictionary[tag] = found
    return found


_by_dictionary: dict[int, str] = {}
