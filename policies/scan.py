"""One pass over the bytes of a data set: what is kept stays bytes, what a rule touches becomes a piece to render.

The loop looks up tag and VR of each element in a compiled table (:mod:`policies.plan`) and moves on; runs of kept
elements are never taken apart. Large values are not read at all: they become ranges which the kernel copies later.
Instances of a series share most of their header, byte for byte: what stands where it stood in the instance before is
taken over with one comparison (:class:`Memory`). Nothing here knows a rule. Encodings: PS3.5 section 7 and annex A.
"""

from __future__ import annotations

from typing import Final

from policies.elements import ITEM, LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, tag_text
from policies.errors import Refusal
from policies.nesting import PrivateBlocks, Short, head_explicit, head_implicit, item_head, touch, u32
from policies.pieces import (
    CHANGE,
    KEEP_LONG,
    KEEP_SHORT,
    REMOVE,
    REPLACE,
    Changed,
    Copy,
    Entry,
    Facts,
    Piece,
    Rendered,
    Table,
)
from policies.source import Source

PIXEL_DATA: Final = 0x7FE00010

_WINDOW: Final = 1 << 16
_SEQUENCE_LIMIT: Final = 1 << 28
_BEYOND: Final = 1 << 32
_AT_ONCE: Final = frozenset({REMOVE, REPLACE, CHANGE})
_TRUNCATED: Final = "The file ends inside an element."

Segment = tuple[bytes, int, Piece | None, tuple[Changed, ...], int]
"""Source bytes of whole elements, the first tag, what became of them, what waits for answers, dropped items."""


class Memory:
    """What the elements at the beginning of the last instance became, in their order.

    The same bytes at the boundary of an element are the same elements, and under the same table the same happens to
    them. One memory belongs to one table without private elements, whose meaning depends on what stands before them.
    """

    def __init__(self) -> None:
        self.before: list[Segment] = []
        self.now: list[Segment] = []
        self.at = 0

    @property
    def follows(self) -> bool:
        """Whether there was an instance to follow."""
        return bool(self.before)

    def learn(
        self, source: bytes, piece: Piece | None, changes: tuple[Changed, ...] = (), dropped: int = 0
    ) -> None:
        """Remember what became of some elements, and go on behind them."""
        tag = (source[0] | source[1] << 8) << 16 | source[2] | source[3] << 8
        if piece is None and not self.before and self.now and self.now[-1][2] is None:
            # Neighbours that all go are one segment, until an instance differs inside it.
            source, tag = self.now[-1][0] + source, self.now.pop()[1]
        self.now.append((source, tag, piece, changes, dropped))
        before = self.before
        while self.at < len(before) and before[self.at][1] <= tag:
            self.at += 1

    def close(self) -> None:
        """End one instance; the next one follows it."""
        self.before, self.now, self.at = self.now, [], 0


def scan(
    source: Source,
    offset: int,
    table: Table,
    facts: Facts,
    marks: list[Rendered],
    memory: Memory | None = None,
) -> list[Piece]:
    """Return the data set that begins at ``offset`` as pieces in order, the marks put in their places.

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


class _TopLevel:
    """The top level of a data set, read through a window that moves over the source."""

    def __init__(
        self,
        source: Source,
        offset: int,
        table: Table,
        facts: Facts,
        marks: list[Rendered],
        memory: Memory | None,
    ) -> None:
        self.source = source
        self.base = offset
        self.table = table
        self.facts = facts
        self.marks = sorted(marks, key=lambda mark: mark.tag, reverse=True)
        self.next_mark = self.marks[-1].tag if self.marks else _BEYOND
        self.pieces: list[Piece] = []
        self.private = PrivateBlocks()
        self.size = _WINDOW
        self.memory = memory

    def scan(self) -> list[Piece]:
        while self.base < self.source.size:
            buf = self.source.read(self.base, self.size)
            used = self._window(buf)
            if used:
                self.size = _WINDOW
            elif len(buf) < self.size:
                raise Refusal("truncated", _TRUNCATED)
            elif self.size >= _SEQUENCE_LIMIT:
                raise Refusal("malformed", "A sequence is larger than 256 MiB.")
            else:
                self.size *= 4
            self.base += used
            self._forget()
        self.pieces.extend(reversed(self.marks))
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
            if entry.tag >= self.next_mark:
                self._keep(buf, run, pos)
                run = pos
                self._place_marks(entry.tag)
            kind = entry.kind
            start = pos + 8
            if kind != KEEP_SHORT and explicit and raw[4:] in LONG_VRS:
                if pos + 12 > end:
                    break
                length = u32(buf, start)[0]
                start = pos + 12
            stop = start + length
            if kind == KEEP_SHORT or (kind == KEEP_LONG and length != UNDEFINED_LENGTH and stop <= end):
                if stop > end:
                    break
                pos = stop
                if following:
                    self._keep(buf, run, pos)
                    run = pos
                continue
            # From here on the element is touched, or too large for the window: the run ends before it.
            self._keep(buf, run, pos)
            run = pos
            if length != UNDEFINED_LENGTH and stop <= end and kind in _AT_ONCE:
                self._take(buf, pos, start, stop, raw, entry)
                pos = run = stop
                continue
            after = self._slowly(buf, pos, start, length, raw, entry)
            if after is None:
                return pos
            if after > end:
                return after
            pos = run = after
        self._keep(buf, run, pos)
        return pos

    def _follow(self, buf: bytes, pos: int) -> int:
        """Take what stands where it stood in the instance before; return where that ends."""
        memory = self.memory
        assert memory is not None, "asked only while there is one"
        pieces, pending, startswith = self.pieces, self.facts.pending, buf.startswith
        segments, at = memory.before, memory.at
        while at < len(segments):
            segment = segments[at]
            source, tag, piece, changes, dropped = segment
            if not startswith(source, pos):
                break
            if tag >= self.next_mark:
                self._place_marks(tag)
            if piece is not None:
                pieces.append(piece)
            if changes:
                pending.extend(changes)
                self.facts.dropped_items += dropped
            memory.now.append(segment)
            pos += len(source)
            at += 1
        memory.at = at
        return pos

    def _keep(self, buf: bytes, run: int, pos: int) -> None:
        """Take a run of elements as it is."""
        if run < pos:
            kept = buf[run:pos]
            self.pieces.append(kept)
            if self.memory is not None:
                self.memory.learn(kept, kept)

    def _take(self, buf: bytes, pos: int, start: int, stop: int, raw: bytes, entry: Entry) -> None:
        """Take one element that lies in the window and is removed, replaced or changed as a whole."""
        whole = buf[pos:stop]
        piece: Piece | None = None
        changes: tuple[Changed, ...] = ()
        if entry.change is not None:
            piece = changed = Changed(entry.tag, raw[4:], whole, buf[start:stop], entry.change)
            changes = (changed,)
            self.facts.pending.append(changed)
        elif entry.kind == REPLACE:
            piece = entry.fixed
        if piece is not None:
            self.pieces.append(piece)
        if self.memory is not None:
            self.memory.learn(whole, piece, changes)

    def _slowly(self, buf: bytes, pos: int, start: int, length: int, raw: bytes, entry: Entry) -> int | None:
        """Take one element that has to be looked into, or reaches beyond the window; None asks for a larger one."""
        pending, dropped = len(self.facts.pending), self.facts.dropped_items
        try:
            after, piece = self._element(buf, pos, start, length, raw, entry)
        except Short:
            # The same element is scanned again in a larger window: forget what this attempt learnt.
            del self.facts.pending[pending:]
            self.facts.dropped_items = dropped
            return None
        if piece is not None:
            self.pieces.append(piece)
        if self.memory is not None and after <= len(buf) and not isinstance(piece, Copy):
            changes = tuple(self.facts.pending[pending:])
            self.memory.learn(buf[pos:after], piece, changes, self.facts.dropped_items - dropped)
        return after

    def _place_marks(self, tag: int) -> None:
        while self.marks and self.marks[-1].tag <= tag:
            self.pieces.append(self.marks.pop())
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
        if tag == PIXEL_DATA and length == UNDEFINED_LENGTH:
            after = self._encapsulated_end(self.base + start) - self.base
            return after, Copy(self.base + pos, after - pos) if kind == KEEP_LONG else None
        if length != UNDEFINED_LENGTH and self.base + start + length > self.source.size:
            raise Refusal("truncated", f"The file ends inside {tag_text(tag)}.")
        if kind == KEEP_LONG and length != UNDEFINED_LENGTH:
            return start + length, Copy(self.base + pos, start + length - pos)
        if kind == REMOVE and length != UNDEFINED_LENGTH:
            return start + length, None
        return touch(buf, pos, start, length, len(buf), vr, entry, self.table, self.facts, self.private, 0)

    def _encapsulated_end(self, offset: int) -> int:
        """Return the source offset after the last fragment's delimiter (PS3.5 A.4)."""
        while True:
            header = self.source.read(offset, 8)
            if len(header) < 8:
                raise Refusal("truncated", "The file ends inside its compressed pixel data.")
            group, element, length = item_head(header)
            offset += 8 + length
            if (group << 16 | element) == SEQUENCE_END:
                return offset - length
            if (group << 16 | element) != ITEM or length == UNDEFINED_LENGTH:
                raise Refusal("malformed", "The compressed pixel data is not a series of fragments.")
