"""One pass over the bytes of a data set: what is kept stays bytes, what a rule touches becomes a piece to render.

The loop looks up tag and VR of each element in a compiled table (:mod:`policies.plan`) and moves on; runs of kept
elements are never taken apart. Large values are not read at all: they become ranges which the kernel copies later.
Instances of a series share most of their header, byte for byte: what stands where it stood in the instance before is
taken over with one comparison (:mod:`policies.memory`). Nothing here knows a rule. Encodings: PS3.5 section 7, annex A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from policies.elements import ITEM, LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, require_order, tag_text
from policies.errors import Refusal, Unconforming
from policies.memory import UNCHANGED, Memory, Segment
from policies.nesting import (
    MOST_FRAGMENTS,
    Short,
    head_explicit,
    head_implicit,
    item_head,
    touch,
    u32,
)
from policies.pieces import (
    CHANGE,
    KEEP_BULK,
    KEEP_LONG,
    KEEP_PIXELS,
    KEEP_SHORT,
    LOOK,
    PRIVATE,
    REMOVE,
    REPLACE,
    Changed,
    Copy,
    Entry,
    Facts,
    Mark,
    Piece,
    PixelData,
    Table,
)
from policies.private_blocks import PrivateBlocks
from policies.source import Source

_PIXEL_DATA: Final = 0x7FE00010
_WINDOW: Final = 1 << 16
_SEQUENCE_LIMIT: Final = 1 << 28
_BEYOND: Final = 1 << 32
_KEPT: Final = frozenset({KEEP_LONG, KEEP_BULK})
_AT_ONCE: Final = frozenset({REMOVE, REPLACE, CHANGE, LOOK})
_TRUNCATED: Final = "The file ends inside an element."


def scan(
    source: Source,
    offset: int,
    table: Table,
    facts: Facts,
    marks: Sequence[Mark],
    memory: Memory | None = None,
) -> list[Piece]:
    """Return the data set that begins at ``offset`` as pieces in order, the marks put in their places.

    The marks stand in the reverse order of their tags.

    Raises:
        Refusal: ``truncated`` or ``malformed``; nothing was written.
    """
    top = _TopLevel(source, offset, table, facts, marks, memory)
    try:
        return top.scan()
    except Refusal:
        if memory is not None:
            memory.close()
        raise


def _touched(entry: Entry, buf: bytes, start: int, stop: int) -> bool:
    return entry.change is not None and entry.change.touches(buf, start, stop)


def tag_at(element: bytes) -> int:
    """Return the tag of an element from its first bytes."""
    return (element[0] | element[1] << 8) << 16 | element[2] | element[3] << 8


class _TopLevel:
    """The top level of a data set, read through a window that moves over the source."""

    def __init__(
        self,
        source: Source,
        offset: int,
        table: Table,
        facts: Facts,
        marks: Sequence[Mark],
        memory: Memory | None,
    ) -> None:
        self.source = source
        self.base = offset
        self.table = table
        self.facts = facts
        self.marks = list(marks)
        self.next_mark = self.marks[-1].tag if self.marks else _BEYOND
        self.pieces: list[Piece] = []
        self.private = PrivateBlocks()
        self.size = _WINDOW
        self.memory = memory
        self.last = -1
        """The tag of the last element that was taken: the next one's must be greater (PS3.5 7.1)."""

    def scan(self) -> list[Piece]:
        while self.base < self.source.size:
            buf = self.source.read(self.base, self.size)
            used = self._window(buf)
            if used:
                self.size = _WINDOW
            elif len(buf) < self.size:
                raise Unconforming("truncated", _TRUNCATED)
            elif self.size >= _SEQUENCE_LIMIT:
                raise Unconforming("malformed", "A sequence is larger than 256 MiB.")
            else:
                self.size *= 4
            self.base += used
            self._forget()
        self.pieces.extend(mark.piece for mark in reversed(self.marks))
        return self.pieces

    def _window(self, buf: bytes) -> int:
        """Take whole elements from the window; return how many bytes of the source they are."""
        explicit = self.facts.explicit
        head = head_explicit if explicit else head_implicit
        get, decide = self.table.entries.get, self.table.decide
        following = self.memory is not None and self.memory.follows
        end = len(buf)
        pos = run = 0
        while pos + 8 <= end:
            if following:
                pos = run = self._follow(buf, pos)
                if pos + 8 > end:
                    break
            raw, length = head(buf, pos)
            entry = get(raw) or decide(raw)
            tag, kind = entry.tag, entry.kind
            if tag <= self.last or length & 1:
                require_order(tag, self.last, length)
            if tag >= self.next_mark:
                self._keep(buf, run, pos)
                run = pos
                self._place_marks(tag)
            start = pos + 8
            if kind != KEEP_SHORT and explicit and raw[4:] in LONG_VRS:
                if pos + 12 > end:
                    break
                if buf[pos + 6 : start] != b"\0\0":
                    raise Unconforming("malformed", f"The header of {tag_text(tag)} is not legal.")
                length = u32(buf, start)[0]
                start = pos + 12
                if length & 1:
                    require_order(tag, -1, length)
            stop = start + length
            if kind == KEEP_BULK and entry.change is not None and stop <= end:
                kind = LOOK
            if kind == KEEP_SHORT or (
                length != UNDEFINED_LENGTH
                and stop <= end
                and (kind in _KEPT or (kind == LOOK and not _touched(entry, buf, start, stop)))
            ):
                if stop > end:
                    break
                pos = stop
                self.last = tag
                if following:
                    self._keep(buf, run, pos)
                    run = pos
                continue
            # From here on the element is touched, or too large for the window: the run ends before it.
            self._keep(buf, run, pos)
            run = pos
            if length != UNDEFINED_LENGTH and stop <= end and kind in _AT_ONCE and entry.table is None:
                self._take(buf, pos, start, stop, raw, entry)
                self.last = tag
                pos = run = stop
                continue
            after = self._slowly(buf, pos, start, length, raw, entry)
            if after is None:
                return pos
            self.last = tag
            if after > end:
                return after
            pos = run = after
        self._keep(buf, run, pos)
        return pos

    def _follow(self, buf: bytes, pos: int) -> int:
        """Take what stands where it stood in the instance before; return where that ends."""
        memory = self.memory
        assert memory is not None, "asked only while there is one"
        facts, before, at = self.facts, memory.before, memory.at
        first = True
        while at < len(before):
            segment = before[at]
            source, tag, last, piece, changes, top = segment
            if tag <= self.last or not buf.startswith(source, pos):
                break
            if tag >= self.next_mark:
                self._place_marks(tag)
            elif not first:
                memory.same.append(len(memory.now))
            if piece is not None:
                self.pieces.append(piece)
            if changes:
                facts.pending.extend(changes)
                facts.top.update(top)
            memory.now.append(segment)
            pos += len(source)
            at += 1
            first = False
            self.last = last
        memory.at = at
        return pos

    def _keep(self, buf: bytes, run: int, pos: int) -> None:
        """Take a run of elements as it is."""
        if run < pos:
            kept = buf[run:pos]
            self.pieces.append(kept)
            if self.memory is not None:
                self.memory.learn(Segment(kept, tag_at(kept), self.last, kept))

    def _take(self, buf: bytes, pos: int, start: int, stop: int, raw: bytes, entry: Entry) -> None:
        """Take one element that lies in the window and is removed, replaced or changed as a whole."""
        whole = buf[pos:stop]
        piece: Piece | None = None
        changes: tuple[Changed, ...] = ()
        if entry.change is not None:
            piece = changed = Changed(entry.tag, raw[4:], whole, buf[start:stop], entry.change)
            changes = (changed,)
            self.facts.pending.append(changed)
            self.facts.top[entry.tag] = changed
        elif entry.kind == REPLACE:
            piece = entry.fixed
        if piece is not None:
            self.pieces.append(piece)
        if self.memory is not None:
            top = {entry.tag: changes[0]} if changes else {}
            self.memory.learn(Segment(whole, entry.tag, entry.tag, piece, changes, top))

    def _slowly(self, buf: bytes, pos: int, start: int, length: int, raw: bytes, entry: Entry) -> int | None:
        """Take one element that has to be looked into, or reaches beyond the window; None asks for a larger one."""
        pending = len(self.facts.pending)
        try:
            after, piece = self._element(buf, pos, start, length, raw, entry)
        except Short:
            # The same element is scanned again in a larger window: forget what this attempt learnt.
            del self.facts.pending[pending:]
            return None
        top = {piece.tag: piece} if isinstance(piece, Changed) else {}
        self.facts.top.update(top)
        if piece is not None:
            self.pieces.append(piece)
        if self.memory is not None and after <= len(buf) and not isinstance(piece, Copy):
            changes = tuple(self.facts.pending[pending:])
            self.memory.learn(Segment(buf[pos:after], entry.tag, entry.tag, piece, changes, top))
        return after

    def _place_marks(self, tag: int) -> None:
        while self.marks and self.marks[-1].tag <= tag:
            self.pieces.append(self.marks.pop().piece)
        self.next_mark = self.marks[-1].tag if self.marks else _BEYOND

    def _forget(self) -> None:
        """Keep to the first window: the memory is of the header's beginning."""
        if self.memory is not None:
            self.memory.close()
            self.memory = None

    def _element(
        self, buf: bytes, pos: int, start: int, length: int, raw: bytes, entry: Entry
    ) -> tuple[int, Piece | None]:
        """Return where the element ends (relative to the window) and what becomes of it."""
        tag, kind = entry.tag, entry.kind
        vr = raw[4:] if self.facts.explicit else b""
        if kind == KEEP_PIXELS:
            if self.facts.pixels is not None:
                raise Unconforming("malformed", "The data set has pixel data twice.")
            pixels = self._pixels(tag, pos, start, length)
            self.facts.pixels = pixels
            return pos + pixels.copy.length, pixels.copy
        if length != UNDEFINED_LENGTH and self.base + start + length > self.source.size:
            raise Unconforming("truncated", f"The file ends inside {tag_text(tag)}.")
        if kind == KEEP_BULK and length != UNDEFINED_LENGTH:
            looked_at = ((self.base + start, length),)
            return start + length, Copy(self.base + pos, start + length - pos, looked_at)
        if kind == KEEP_LONG and length != UNDEFINED_LENGTH:
            # Text is never copied unread: what stays of it is searched.
            raise Short
        if kind == REMOVE and length != UNDEFINED_LENGTH and entry.table is None:
            return start + length, None
        if kind == PRIVATE and length != UNDEFINED_LENGTH and start + length > len(buf):
            # Large: what goes is not read for it, and what stays as it is becomes a range.
            rule = self.private.entry(self.table, tag, vr)
            if rule.kind in (REMOVE, KEEP_BULK):
                return self._beyond(pos, start, length, rule)
        after, piece = touch(
            buf, pos, start, length, len(buf), vr, entry, self.table, self.facts, self.private, 0
        )
        return after, buf[pos:after] if piece is UNCHANGED else piece

    def _pixels(self, tag: int, pos: int, start: int, length: int) -> PixelData:
        at, value = self.base + pos, self.base + start
        if length == UNDEFINED_LENGTH:
            end, fragments = self._fragments(value)
            return PixelData(tag, Copy(at, end - at), value, end - value, fragments)
        if value + length > self.source.size:
            raise Unconforming("truncated", f"The file ends inside {tag_text(tag)}.")
        if self.facts.encapsulated and length and tag == _PIXEL_DATA:
            raise Unconforming("malformed", "Pixel Data are not compressed, but the transfer syntax says so.")
        return PixelData(tag, Copy(at, value + length - at), value, length)

    def _beyond(self, pos: int, start: int, length: int, rule: Entry) -> tuple[int, Piece | None]:
        """Take a private element that reaches beyond the window and need not be read."""
        if rule.kind == REMOVE:
            return start + length, None
        self.private.keep(rule.tag, b"stays")
        return start + length, Copy(self.base + pos, start + length - pos, ((self.base + start, length),))

    def _fragments(self, offset: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Return the offset after the last fragment's delimiter, and where the items' contents are (PS3.5 A.4)."""
        if self.facts.encapsulated is False:
            raise Unconforming(
                "malformed", "Pixel Data are compressed, but the transfer syntax does not say how."
            )
        fragments: list[tuple[int, int]] = []
        while True:
            header = self.source.read(offset, 8)
            if len(header) < 8:
                raise Unconforming("truncated", "The file ends inside its compressed pixel data.")
            group, element, length = item_head(header)
            offset += 8
            if (group << 16 | element) == SEQUENCE_END:
                return offset, tuple(fragments)
            if (group << 16 | element) != ITEM or length == UNDEFINED_LENGTH:
                raise Unconforming("malformed", "The compressed pixel data is not a series of fragments.")
            if length & 1:
                raise Unconforming("malformed", "The length of a fragment is odd.")
            if len(fragments) == MOST_FRAGMENTS:
                raise Refusal("malformed", "The compressed pixel data has more than a million fragments.")
            fragments.append((offset, length))
            offset += length
