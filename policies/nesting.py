"""Below the top level: sequences, their items, and private blocks, walked over a buffer that holds them whole.

An item is scanned like the top level, only that nothing in it is copied by range. An unchanged sequence is returned as
the bytes it was. A buffer that ends too early raises :class:`Short`, and the caller tries again with more. Encodings:
PS3.5 section 7.5, 7.8 and 6.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NoReturn

from policies.codes import CODE_HEADS
from policies.elements import (
    ITEM,
    ITEM_END,
    LONG_VRS,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    require_order,
    tag_text,
)
from policies.errors import Refusal, Unconforming
from policies.memory import SHORT_SEQUENCE, UNCHANGED, Repeat, Repeats, Unchanged
from policies.pieces import (
    CHANGE,
    DECLARE,
    KEEP_BULK,
    KEEP_LONG,
    KEEP_SHORT,
    LOOK,
    PRIVATE,
    REMOVE,
    REPLACE,
    Changed,
    Entry,
    Facts,
    Inner,
    Item,
    Nested,
    Table,
    UnknownNested,
)
from policies.private_blocks import PrivateBlocks

DEEPEST: Final = 32
_MOST_PIECES: Final = 1 << 22
_MOST_KINDS: Final = 1 << 12
"""Of sequences whose repetitions are remembered in one instance."""
MOST_FRAGMENTS: Final = 1 << 20
"""Of compressed pixel data: where each of them lies is held in memory."""
_ITEM_ENDS: Final = frozenset({b"\xfe\xff\x0d\xe0", b"\xfe\xff\x0d\xe0\0\0"})
_STAYS: Final = frozenset({KEEP_LONG, KEEP_BULK, LOOK})
_AT_ONCE: Final = frozenset({REMOVE, REPLACE, CHANGE})

head_explicit = struct.Struct("<6sH").unpack_from
head_implicit = struct.Struct("<4sI").unpack_from
u32 = struct.Struct("<I").unpack_from
item_head: Callable[..., tuple[int, int, int]] = struct.Struct("<HHI").unpack_from


class Short(Exception):
    """The buffer ends before the element does."""


def touch(
    buf: bytes,
    pos: int,
    start: int,
    length: int,
    end: int,
    vr: bytes,
    entry: Entry,
    table: Table,
    facts: Facts,
    private: PrivateBlocks,
    depth: int,
) -> tuple[int, Inner | Unchanged | None]:
    """Do what the entry says to one element that is not simply kept; return its end and its piece."""
    tag, kind, change, inner, fixed = entry
    if kind == PRIVATE:
        return _private(buf, pos, start, length, end, vr, tag, table, facts, private, depth)
    if inner is not None:
        after, piece = _repeated(buf, pos, start, length, end, vr, tag, inner, facts, depth)
        return after, None if kind == REMOVE else piece
    if length == UNDEFINED_LENGTH:
        after = skip(buf, start, length, end, facts.explicit and vr != b"UN", depth)
        if kind == DECLARE:
            private.declared = table.characteristics(buf, start, after, facts.explicit and vr != b"UN")
        if change is not None:
            return after, _pending(Changed(tag, vr, b"", b"", change), facts)
        return after, fixed if kind == REPLACE else None
    stop = start + length
    if stop > end:
        raise Short
    if change is not None:
        return stop, _pending(Changed(tag, vr, buf[pos:stop], buf[start:stop], change), facts)
    if kind == REPLACE:
        return stop, fixed
    if kind == DECLARE:
        private.declared = table.characteristics(buf, start, stop, facts.explicit and vr != b"UN")
    return stop, None if kind in (REMOVE, DECLARE) else UNCHANGED


def _repeated(
    buf: bytes,
    pos: int,
    start: int,
    length: int,
    end: int,
    vr: bytes,
    tag: int,
    inner: Table,
    facts: Facts,
    depth: int,
) -> tuple[int, Inner | Unchanged | None]:
    """Scan a sequence, or take over what became of the same bytes before, which frames repeat again and again."""
    scanned = _unknown_sequence if vr == b"UN" else _sequence
    if facts.content is not None:
        # What becomes of content items depends on their place in the tree.
        return scanned(buf, pos, start, length, end, tag, inner, facts, depth)
    repeats = facts.repeats.get(inner)
    if repeats is None:
        if len(facts.repeats) >= _MOST_KINDS:
            return scanned(buf, pos, start, length, end, tag, inner, facts, depth)
        repeats = facts.repeats[inner] = Repeats()
    known = repeats.find(buf, pos, end, start + length if length != UNDEFINED_LENGTH else 0)
    if known is not None:
        facts.pending.extend(known.changes)
        return pos + len(known.source), known.piece
    pending = len(facts.pending)
    after, piece = scanned(buf, pos, start, length, end, tag, inner, facts, depth)
    if after - pos <= SHORT_SEQUENCE and repeats.room:
        repeats.learn(Repeat(buf[pos:after], piece, tuple(facts.pending[pending:])))
    return after, piece


def _pending(changed: Changed, facts: Facts) -> Changed:
    facts.pending.append(changed)
    return changed


def _private(
    buf: bytes,
    pos: int,
    start: int,
    length: int,
    end: int,
    vr: bytes,
    tag: int,
    table: Table,
    facts: Facts,
    private: PrivateBlocks,
    depth: int,
) -> tuple[int, Inner | Unchanged | None]:
    """Reserve a block, or do to an element what its creator's name says."""
    if 0x10 <= tag & 0xFFFF <= 0xFF and length != UNDEFINED_LENGTH:
        stop = start + length
        if stop > end:
            raise Short
        creator = buf[start:stop].decode("latin-1").strip(" \0")
        return stop, private.reserve(tag >> 16, tag & 0xFF, creator, buf[pos:stop])
    rule = private.entry(table, tag, vr)
    after, piece = touch(buf, pos, start, length, end, vr, rule, table, facts, private, depth)
    private.keep(tag, b"stays" if piece is UNCHANGED else piece)
    return after, piece


def _sequence(
    buf: bytes, pos: int, start: int, length: int, end: int, tag: int, table: Table, facts: Facts, depth: int
) -> tuple[int, Nested | Unchanged | None]:
    """Scan the items of a sequence."""
    if table.filters_items and facts.content is None:
        return _content_tree(buf, pos, start, length, end, tag, table, facts, depth)
    if depth >= DEEPEST:
        raise Refusal("malformed", f"Sequences are nested deeper than {DEEPEST} levels.")
    undefined = length == UNDEFINED_LENGTH
    stop = end if undefined else start + length
    if stop > end:
        raise Short
    at = start
    items: list[Item] = []
    changed = False
    while undefined or at < stop:
        if at + 8 > stop:
            _ran_out(undefined, tag)
        group, element, item_length = item_head(buf, at)
        item = group << 16 | element
        at += 8
        if item == SEQUENCE_END and undefined:
            break
        if item != ITEM:
            raise Unconforming(
                "malformed", f"The sequence {tag_text(tag)} holds something that is not an item."
            )
        open_item = item_length == UNDEFINED_LENGTH
        item_stop = stop if open_item else at + item_length
        if item_stop > stop:
            _ran_out(undefined, tag)
        inner = table
        if table.filters_items and facts.content is not None and facts.content.whole:
            if at not in facts.content.stays:
                changed = True
                at = item_end(buf, at, facts.explicit, depth, stop) if open_item else item_stop
                continue
            inner = table.for_item(facts.content.stays[at])
        if buf.startswith(CODE_HEADS, at):
            inner = inner.for_code(buf, at, item_stop, facts.explicit)
        at, pieces, touched = _level(buf, at, item_stop, open_item, undefined, inner, facts, depth)
        changed = changed or touched
        facts.parts += len(pieces) + 1
        if facts.parts > _MOST_PIECES:
            raise Refusal("malformed", f"The sequence {tag_text(tag)} is of more than four million parts.")
        if touched and not pieces and not table.counts_items:
            # Nothing of the item stays: an empty item would only break its macro.
            continue
        items.append(Item(open_item, pieces, stays=table.counts_items or not touched))
    if not changed:
        return at, UNCHANGED
    if not items and not table.stands_empty:
        # A sequence of which nothing stays goes: an empty content tree would not be legal.
        return at, None
    return at, Nested(tag, undefined, items, stands_empty=table.stands_empty)


def _content_tree(
    buf: bytes, pos: int, start: int, length: int, end: int, tag: int, table: Table, facts: Facts, depth: int
) -> tuple[int, Nested | Unchanged | None]:
    """Scan a content tree: read as a whole first, because its items count each other (PS3.3 C.17.3.2.5)."""
    undefined = length == UNDEFINED_LENGTH
    stop = end if undefined else start + length
    if stop > end:
        raise Short
    content = table.content(buf, start, stop, undefined=undefined, explicit=facts.explicit)
    first, facts.content = len(facts.pending), content
    try:
        after, piece = _sequence(buf, pos, start, length, end, tag, table, facts, depth)
    finally:
        facts.content = None
    if not content.whole:
        raise Refusal("malformed", "The content tree cannot be read.")
    for changed in facts.pending[first:]:
        changed.change = content.changes.get(changed.tag, changed.change)
    return after, piece


def _unknown_sequence(
    buf: bytes, pos: int, start: int, length: int, end: int, tag: int, table: Table, facts: Facts, depth: int
) -> tuple[int, Inner | Unchanged | None]:
    """Scan a sequence of VR UN, whose items are in implicit encoding whatever surrounds them (PS3.5 6.2.2)."""
    implicit = facts.in_implicit()
    after, piece = _sequence(buf, pos, start, length, end, tag, table.implicit(), implicit, depth)
    facts.parts = implicit.parts
    return after, UnknownNested(piece) if isinstance(piece, Nested) else piece


def _ran_out(undefined: bool, tag: int) -> None:
    if undefined:
        raise Short
    raise Unconforming("malformed", f"An item is longer than its sequence {tag_text(tag)}.")


def _level(
    buf: bytes, pos: int, end: int, open_item: bool, may_grow: bool, table: Table, facts: Facts, depth: int
) -> tuple[int, list[Inner], bool]:
    """Scan one item; return where it ends, its pieces, and whether anything in it changes."""
    head = head_explicit if facts.explicit else head_implicit
    get, decide = table.entries.get, table.decide
    pieces: list[Inner] = []
    private: PrivateBlocks | None = None
    changed = False
    run, last = pos, -1
    while pos < end:
        if pos + 8 > end:
            _out_of_item(may_grow or open_item)
        raw, length = head(buf, pos)
        entry = get(raw)
        if entry is None:
            if open_item and length == 0 and raw in _ITEM_ENDS:
                if run < pos:
                    pieces.append(buf[run:pos])
                return pos + 8, pieces, changed
            entry = decide(raw)
        tag, kind, change, inner, fixed = entry
        if tag <= last or length & 1:
            require_order(tag, last, length)
        last = tag
        if kind == KEEP_SHORT:
            pos += 8 + length
            continue
        start = pos + 8
        if raw[4:] in LONG_VRS:
            length = _long_length(buf, start, end, tag, may_grow or open_item)
            start = pos + 12
        if length != UNDEFINED_LENGTH:
            after = start + length
            if kind in _STAYS and (
                change is None or (after <= end and not change.touches(buf, start, after))
            ):
                pos = after
                continue
            if after > end:
                _out_of_item(may_grow or open_item)
        piece: Inner | Unchanged | None
        if kind in _AT_ONCE and inner is None and length != UNDEFINED_LENGTH:
            if change is not None:
                piece = changing = Changed(tag, raw[4:], buf[pos:after], buf[start:after], change)
                facts.pending.append(changing)
            else:
                piece = fixed if kind == REPLACE else None
        else:
            if private is None:
                private = PrivateBlocks()
            after, piece = touch(
                buf, pos, start, length, end, raw[4:], entry, table, facts, private, depth + 1
            )
            if piece is UNCHANGED:
                pos = after
                continue
        changed = True
        if run < pos:
            pieces.append(buf[run:pos])
        if piece is not None:
            pieces.append(piece)
        pos = run = after
    if pos > end or open_item:
        _out_of_item(may_grow or open_item)
    if run < pos:
        pieces.append(buf[run:pos])
    return pos, pieces, changed


def _long_length(buf: bytes, at: int, end: int, tag: int, may_grow: bool) -> int:
    """Return the length that stands at ``at``, behind two bytes that are reserved (PS3.5 Table 7.1-1)."""
    if at + 4 > end:
        _out_of_item(may_grow)
    if buf[at - 2 : at] != b"\0\0":
        raise Unconforming("malformed", f"The header of {tag_text(tag)} is not legal.")
    length: int = u32(buf, at)[0]
    if length & 1:
        require_order(tag, -1, length)
    return length


def _out_of_item(may_grow: bool) -> NoReturn:
    if may_grow:
        raise Short
    raise Unconforming("malformed", "An element is longer than the item that holds it.")


def skip(buf: bytes, start: int, length: int, end: int, explicit: bool, depth: int) -> int:
    """Return where a value ends that is not looked into."""
    if length != UNDEFINED_LENGTH:
        if start + length > end:
            raise Short
        return start + length
    if depth >= DEEPEST:
        raise Refusal("malformed", f"Sequences are nested deeper than {DEEPEST} levels.")
    at = start
    while True:
        if at + 8 > end:
            raise Short
        group, element, item_length = item_head(buf, at)
        at += 8
        item = group << 16 | element
        if item == SEQUENCE_END:
            return at
        if item != ITEM:
            raise Unconforming("malformed", "A sequence holds something that is not an item.")
        at = item_end(buf, at, explicit, depth, end) if item_length == UNDEFINED_LENGTH else at + item_length


def item_end(buf: bytes, pos: int, explicit: bool, depth: int, end: int) -> int:
    """Return the position after the delimiter of an item of undefined length."""
    while True:
        if pos + 8 > end:
            raise Short
        group, element, length = item_head(buf, pos)
        if (group << 16 | element) == ITEM_END:
            return pos + 8
        start = pos + 8
        inner_explicit = explicit
        if explicit:
            vr = buf[pos + 4 : pos + 6]
            if vr in LONG_VRS:
                if pos + 12 > end:
                    raise Short
                length = u32(buf, start)[0]
                start = pos + 12
                inner_explicit = vr != b"UN"
            else:
                length >>= 16
        pos = skip(buf, start, length, end, inner_explicit, depth + 1)
