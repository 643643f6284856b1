"""One pass over the bytes of a data set: what is kept stays bytes, what a rule touches becomes a piece to render.

    file bytes ──scan──▶ pieces: bytes │ Copy │ Changed │ Nested ──render──▶ bytes

The loop looks up tag and VR of each element in a compiled table (:mod:`policies.plan`) and moves on; runs of kept
elements are never taken apart. Large values are not read at all: they become :class:`Copy` ranges which the kernel
copies later. Nothing here knows a rule. Encodings: PS3.5 section 7 and annex A.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from policies.elements import (
    ITEM,
    ITEM_END,
    LONG_VRS,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    encode,
    encode_item,
    tag_bytes,
    tag_text,
)
from policies.errors import Refusal
from policies.pseudonyms import Identifier

KEEP_SHORT: Final = 0
KEEP_LONG: Final = 1
REMOVE: Final = 2
CHANGE: Final = 3
DESCEND: Final = 4
PRIVATE: Final = 5
REMOVE_SHORT: Final = 6
"""REMOVE for an element whose header is known to be short and whose length to be defined."""
REPLACE: Final = 7
"""The element becomes the same bytes in every instance (``Entry.fixed``)."""

PIXEL_DATA: Final = 0x7FE00010

_WINDOW: Final = 1 << 16
_DEEPEST: Final = 32
_SEQUENCE_LIMIT: Final = 1 << 28

_head_explicit = struct.Struct("<6sH").unpack_from
_head_implicit = struct.Struct("<4sI").unpack_from
_u32 = struct.Struct("<I").unpack_from
_item_head: Callable[..., tuple[int, int, int]] = struct.Struct("<HHI").unpack_from


class Answers(Protocol):
    """What rendering needs: pseudonyms, and what is known of the subject."""

    @property
    def pseudonyms(self) -> Mapping[Identifier, str]: ...

    @property
    def patient_pseudonym(self) -> str: ...

    @property
    def date_offset(self) -> int: ...


class Change(Protocol):
    """What happens to the value of one element. Stateless; shared by all instances of a plan.

    ``vr`` is the VR to write where the file's own is hidden (implicit encoding, UN). ``asks`` is False for changes
    that never need an answer, so that nobody asks them.
    """

    @property
    def asks(self) -> bool: ...

    @property
    def vr(self) -> bytes: ...

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Return the identifiers that must be answered before :meth:`value` can be asked."""
        ...

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the new value, or None to remove the element."""
        ...


class Entry(NamedTuple):
    """What happens to one element of one level: ``kind`` is one of the constants above."""

    tag: int
    kind: int
    change: Change | None = None
    table: Table | None = None
    fixed: bytes = b""


class Table(Protocol):
    """The rules for one nesting level: lookup by the raw first bytes of an element."""

    entries: dict[bytes, Entry]
    filters_items: bool

    def decide(self, head: bytes) -> Entry:
        """Return (and remember) the entry for a head that is not yet in ``entries``."""
        ...

    def for_item(self, item: bytes, explicit: bool) -> Table | None:
        """Return the table for one item, or None to drop it; asked only when ``filters_items``."""
        ...

    def implicit(self) -> Table:
        """Return the same rules for items in implicit encoding."""
        ...

    def private(self, creator: str, group: int, element: int, vr: bytes) -> Entry:
        """Return what happens to a private element of this creator (``element`` is the low byte)."""
        ...


class Rendered(Protocol):
    """An element that is written only when the identifiers are answered, or added by the engine."""

    tag: int

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole element, or nothing when it does not apply to this instance."""
        ...


class Facts:
    """What is learnt about one instance on the way: what waits for answers, who the subject is, what to search for."""

    def __init__(self, *, explicit: bool) -> None:
        self.explicit = explicit
        self.pending: list[Changed] = []
        self.dropped_items = 0
        self.by_reference = False
        self.shifts_dates = False
        self.issuer = ""
        self.study: Identifier | None = None
        self.age_years: int | None = None
        self.age_value = b""
        self.carried: dict[int, Changed] = {}
        self.known_words: frozenset[str] = frozenset()
        self.unmistakable: frozenset[str] = frozenset()
        self.decode: Callable[[bytes], str] = lambda raw: raw.decode("latin-1")

    def in_implicit(self) -> Facts:
        """Return these facts for a part of the data set that is in implicit encoding; lists are shared."""
        implicit = copy(self)
        implicit.explicit = False
        return implicit

    def adopt(self, other: Facts) -> None:
        """Take over what was learnt of the subject in another pass over the same instance."""
        self.issuer, self.study, self.decode = other.issuer, other.study, other.decode
        self.age_years, self.age_value, self.carried = other.age_years, other.age_value, other.carried
        self.known_words, self.unmistakable = other.known_words, other.unmistakable


@dataclass(frozen=True, slots=True)
class Copy:
    """A range of the source, copied as it is."""

    offset: int
    length: int


Inner = bytes | Rendered
Piece = Inner | Copy


class Changed:
    """One element whose new value is known only when the identifiers are answered."""

    __slots__ = ("change", "raw", "tag", "vr", "whole")

    def __init__(self, tag: int, vr: bytes, whole: bytes, raw: bytes, change: Change) -> None:
        self.tag = tag
        self.vr = vr if vr and vr != b"UN" else change.vr
        self.whole = whole
        self.raw = raw
        self.change = change

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole element: as it was when its value stays, nothing when it is removed."""
        value = self.change.value(self.raw, facts, answers)
        if value is None:
            return b""
        if value is self.raw and self.whole:
            return self.whole
        return encode(self.tag, self.vr, value, explicit=facts.explicit)


class Nested:
    """A sequence in which something changes. Lengths keep their style: defined stays defined."""

    __slots__ = ("items", "tag", "undefined")

    def __init__(self, tag: int, undefined: bool, items: list[tuple[bool, list[Inner]]]) -> None:
        self.tag = tag
        self.undefined = undefined
        self.items = items

    def item_bytes(self, facts: Facts, answers: Answers) -> bytes:
        """Return the items without the sequence's own header and delimiter."""
        out = []
        for undefined, pieces in self.items:
            content = render(pieces, facts, answers)
            if undefined:
                out.append(b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + content + b"\xfe\xff\x0d\xe0\0\0\0\0")
            else:
                out.append(encode_item(content))
        return b"".join(out)

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole sequence element."""
        content = self.item_bytes(facts, answers)
        if not self.undefined:
            return encode(self.tag, b"SQ", content, explicit=facts.explicit)
        head = tag_bytes(self.tag) + (b"SQ\0\0" if facts.explicit else b"") + b"\xff\xff\xff\xff"
        return head + content + b"\xfe\xff\xdd\xe0\0\0\0\0"


def render(pieces: list[Inner], facts: Facts, answers: Answers) -> bytes:
    """Return the bytes of pieces that hold no :class:`Copy`."""
    return b"".join(piece if isinstance(piece, bytes) else piece.render(facts, answers) for piece in pieces)


class UnknownNested:
    """A sequence of VR UN in which something changes; it stays UN, and its items implicit."""

    __slots__ = ("nested", "tag")

    def __init__(self, nested: Nested) -> None:
        self.tag = nested.tag
        self.nested = nested

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole sequence element."""
        content = self.nested.item_bytes(facts.in_implicit(), answers)
        if not self.nested.undefined:
            return encode(self.tag, b"UN", content, explicit=True)
        return tag_bytes(self.tag) + b"UN\0\0\xff\xff\xff\xff" + content + b"\xfe\xff\xdd\xe0\0\0\0\0"


class Source(Protocol):
    """Random access to the bytes of one instance."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        ...


class FileSource:
    """An open file."""

    __slots__ = ("descriptor", "size")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return os.pread(self.descriptor, length, offset)


class MemorySource:
    """A data set that had to be inflated first."""

    __slots__ = ("content", "size")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return self.content[offset : offset + length]


class _Short(Exception):
    """The window ends before the element does."""


_TRUNCATED = "The file ends inside an element."


def scan(source: Source, offset: int, table: Table, facts: Facts, marks: list[Rendered]) -> list[Piece]:
    """Return the data set that begins at ``offset`` as pieces in order, the marks put in their places.

    Raises:
        Refusal: ``truncated`` or ``malformed``; nothing was written.
    """
    return _TopLevel(source, offset, table, facts, marks).scan()


class _TopLevel:
    """The top level of a data set, read through a window that moves over the source."""

    def __init__(
        self, source: Source, offset: int, table: Table, facts: Facts, marks: list[Rendered]
    ) -> None:
        self.source = source
        self.base = offset
        self.table = table
        self.facts = facts
        self.marks = sorted(marks, key=lambda mark: mark.tag, reverse=True)
        self.pieces: list[Piece] = []
        self.private = _PrivateBlocks()
        self.window = _WINDOW

    def scan(self) -> list[Piece]:
        while self.base < self.source.size:
            buf = self.source.read(self.base, self.window)
            used = self._window(buf)
            if used:
                self.window = _WINDOW
            elif len(buf) < self.window:
                raise Refusal("truncated", _TRUNCATED)
            elif self.window >= _SEQUENCE_LIMIT:
                raise Refusal("malformed", "A sequence is larger than 256 MiB.")
            else:
                self.window *= 4
            self.base += used
        self.pieces.extend(reversed(self.marks))
        return self.pieces

    def _window(self, buf: bytes) -> int:
        """Take whole elements from the window; return how many bytes of the source they are."""
        explicit = self.facts.explicit
        head = _head_explicit if explicit else _head_implicit
        get, decide = self.table.entries.get, self.table.decide
        pieces, marks, pending = self.pieces, self.marks, self.facts.pending
        next_mark = marks[-1].tag if marks else 1 << 32
        end = len(buf)
        pos = run = at = 0
        while pos + 8 <= end:
            at = pos
            raw, length = head(buf, pos)
            entry = get(raw)
            if entry is None:
                entry = decide(raw)
            tag, kind, change, _, fixed = entry
            if tag >= next_mark:
                if run < pos:
                    pieces.append(buf[run:pos])
                run = pos
                while marks and marks[-1].tag <= tag:
                    pieces.append(marks.pop())
                next_mark = marks[-1].tag if marks else 1 << 32
            if kind == KEEP_SHORT:
                pos += 8 + length
                continue
            if kind == REMOVE_SHORT:
                if run < pos:
                    pieces.append(buf[run:pos])
                run = pos = pos + 8 + length
                continue
            start = pos + 8
            if explicit and raw[4:] in LONG_VRS:
                if pos + 12 > end:
                    break
                length = _u32(buf, start)[0]
                start = pos + 12
            if kind == KEEP_LONG and length != UNDEFINED_LENGTH and start + length <= end:
                pos = start + length
                continue
            # From here on the element is touched, or too large for the window: the run ends before it.
            if run < pos:
                pieces.append(buf[run:pos])
            run = pos
            if length != UNDEFINED_LENGTH and start + length <= end:
                if kind == REPLACE:
                    pieces.append(fixed)
                    pos = run = start + length
                    continue
                if kind == CHANGE and change is not None:
                    stop = start + length
                    changed = Changed(tag, raw[4:], buf[pos:stop], buf[start:stop], change)
                    pending.append(changed)
                    pieces.append(changed)
                    pos = run = stop
                    continue
            learnt = len(self.facts.pending), self.facts.dropped_items
            try:
                after, piece = self._element(buf, pos, start, length, raw, entry)
            except _Short:
                # The same element is scanned again in a larger window: forget what this attempt learnt.
                del self.facts.pending[learnt[0] :]
                self.facts.dropped_items = learnt[1]
                return pos
            if piece is not None:
                pieces.append(piece)
            if after > end:
                return after
            pos = run = after
        if pos > end or at > pos:
            pos = at
        if run < pos:
            pieces.append(buf[run:pos])
        return pos

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
        return _touch(buf, pos, start, length, len(buf), vr, entry, self.table, self.facts, self.private, 0)

    def _encapsulated_end(self, offset: int) -> int:
        """Return the source offset after the last fragment's delimiter (PS3.5 A.4)."""
        while True:
            header = self.source.read(offset, 8)
            if len(header) < 8:
                raise Refusal("truncated", "The file ends inside its compressed pixel data.")
            group, element, length = _item_head(header)
            offset += 8 + length
            if (group << 16 | element) == SEQUENCE_END:
                return offset - length
            if (group << 16 | element) != ITEM or length == UNDEFINED_LENGTH:
                raise Refusal("malformed", "The compressed pixel data is not a series of fragments.")


class _PrivateBlocks:
    """The private creators of one level: which block is whose, and which creator elements stay (PS3.5 7.8)."""

    __slots__ = ("creators", "placed")

    def __init__(self) -> None:
        self.creators: dict[tuple[int, int], str] = {}
        self.placed: dict[tuple[int, int], _Creator] = {}

    def reserve(self, group: int, block: int, creator: str, element: bytes) -> _Creator:
        self.creators[group, block] = creator
        self.placed[group, block] = placed = _Creator(group << 16 | block, element)
        return placed

    def owner(self, group: int, block: int) -> str | None:
        return self.creators.get((group, block))

    def use(self, group: int, block: int) -> None:
        self.placed[group, block].used = True


class _Creator:
    """A Private Creator element; it stays only when an element of its block stays."""

    __slots__ = ("element", "tag", "used")

    def __init__(self, tag: int, element: bytes) -> None:
        self.tag = tag
        self.element = element
        self.used = False

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the creator element, or nothing when its block is gone."""
        return self.element if self.used else b""


def _touch(
    buf: bytes,
    pos: int,
    start: int,
    length: int,
    end: int,
    vr: bytes,
    entry: Entry,
    table: Table,
    facts: Facts,
    private: _PrivateBlocks,
    depth: int,
) -> tuple[int, Inner | None]:
    """Do what the entry says to one element that is not simply kept; return its end and its piece."""
    tag, kind, change, inner, fixed = entry
    if inner is not None:
        if vr == b"UN":
            return _unknown_sequence(buf, pos, start, length, end, tag, inner, facts, depth)
        return _sequence(buf, pos, start, length, end, tag, inner, facts, depth)
    if length == UNDEFINED_LENGTH:
        after = _skip(buf, start, length, end, facts.explicit and vr != b"UN", depth)
        if change is not None:
            return after, _pending(Changed(tag, vr, b"", b"", change), facts)
        return after, fixed if kind == REPLACE else None
    stop = start + length
    if stop > end:
        raise _Short
    if change is not None:
        return stop, _pending(Changed(tag, vr, buf[pos:stop], buf[start:stop], change), facts)
    if kind == REPLACE:
        return stop, fixed
    if kind == PRIVATE:
        return stop, _private(buf, pos, start, stop, vr, tag, table, facts, private)
    return stop, None if kind == REMOVE else buf[pos:stop]


def _pending(changed: Changed, facts: Facts) -> Changed:
    facts.pending.append(changed)
    return changed


def _private(
    buf: bytes,
    pos: int,
    start: int,
    stop: int,
    vr: bytes,
    tag: int,
    table: Table,
    facts: Facts,
    private: _PrivateBlocks,
) -> Inner | None:
    group, element = tag >> 16, tag & 0xFFFF
    if 0x10 <= element <= 0xFF:
        return private.reserve(group, element, buf[start:stop].decode("latin-1").strip(" \0"), buf[pos:stop])
    owner = private.owner(group, element >> 8)
    if owner is None:
        return None
    rule = table.private(owner, group, element & 0xFF, vr)
    if rule.kind == REMOVE:
        return None
    private.use(group, element >> 8)
    if rule.change is not None:
        return _pending(Changed(tag, vr, buf[pos:stop], buf[start:stop], rule.change), facts)
    return buf[pos:stop]


def _sequence(
    buf: bytes, pos: int, start: int, length: int, end: int, tag: int, table: Table, facts: Facts, depth: int
) -> tuple[int, Inner | None]:
    """Scan the items of a sequence; an unchanged one is returned as its bytes."""
    if depth >= _DEEPEST:
        raise Refusal("malformed", f"Sequences are nested deeper than {_DEEPEST} levels.")
    undefined = length == UNDEFINED_LENGTH
    stop = end if undefined else start + length
    if stop > end:
        raise _Short
    at = start
    items: list[tuple[bool, list[Inner]]] = []
    changed = False
    while undefined or at < stop:
        if at + 8 > stop:
            _ran_out(undefined, tag)
        group, element, item_length = _item_head(buf, at)
        item = group << 16 | element
        at += 8
        if item == SEQUENCE_END and undefined:
            break
        if item != ITEM:
            raise Refusal("malformed", f"The sequence {tag_text(tag)} holds something that is not an item.")
        open_item = item_length == UNDEFINED_LENGTH
        item_stop = stop if open_item else at + item_length
        if item_stop > stop:
            _ran_out(undefined, tag)
        inner: Table | None = table
        if table.filters_items:
            inner = table.for_item(buf[at:item_stop], facts.explicit)
        if inner is None:
            facts.dropped_items += 1
            changed = True
            at = _item_end(buf, at, facts.explicit, depth, stop) if open_item else item_stop
            continue
        at, pieces, touched = _level(buf, at, item_stop, open_item, undefined, inner, facts, depth)
        changed = changed or touched
        if touched and not pieces:
            # Nothing of the item stays: an empty item would only break its macro.
            continue
        items.append((open_item, pieces))
    if not changed:
        return at, buf[pos:at]
    if not items:
        # A sequence of which nothing stays goes: an empty content tree would not be legal.
        return at, None
    return at, Nested(tag, undefined, items)


def _unknown_sequence(
    buf: bytes, pos: int, start: int, length: int, end: int, tag: int, table: Table, facts: Facts, depth: int
) -> tuple[int, Inner | None]:
    """Scan a sequence of VR UN, whose items are in implicit encoding whatever surrounds them (PS3.5 6.2.2)."""
    implicit = facts.in_implicit()
    after, piece = _sequence(buf, pos, start, length, end, tag, table.implicit(), implicit, depth)
    facts.dropped_items = implicit.dropped_items
    return after, UnknownNested(piece) if isinstance(piece, Nested) else piece


def _ran_out(undefined: bool, tag: int) -> None:
    if undefined:
        raise _Short
    raise Refusal("malformed", f"An item is longer than its sequence {tag_text(tag)}.")


def _level(
    buf: bytes, pos: int, end: int, open_item: bool, may_grow: bool, table: Table, facts: Facts, depth: int
) -> tuple[int, list[Inner], bool]:
    """Scan one item; return where it ends, its pieces, and whether anything in it changes."""
    explicit = facts.explicit
    head = _head_explicit if explicit else _head_implicit
    get, decide = table.entries.get, table.decide
    pieces: list[Inner] = []
    private: _PrivateBlocks | None = None
    changed = False
    run = pos
    while pos < end:
        if pos + 8 > end:
            _out_of_item(may_grow or open_item)
        raw, length = head(buf, pos)
        entry = get(raw)
        if entry is None:
            if raw[:4] == b"\xfe\xff\x0d\xe0" and open_item:
                if run < pos:
                    pieces.append(buf[run:pos])
                return pos + 8, pieces, changed
            entry = decide(raw)
        kind = entry[1]
        if kind == KEEP_SHORT:
            pos += 8 + length
            continue
        start = pos + 8
        if explicit and raw[4:] in LONG_VRS:
            if pos + 12 > end:
                _out_of_item(may_grow or open_item)
            length = _u32(buf, start)[0]
            start = pos + 12
        if kind == KEEP_LONG and length != UNDEFINED_LENGTH:
            pos = start + length
            continue
        if private is None:
            private = _PrivateBlocks()
        if length != UNDEFINED_LENGTH and start + length > end:
            _out_of_item(may_grow or open_item)
        after, piece = _touch(
            buf,
            pos,
            start,
            length,
            end,
            raw[4:] if explicit else b"",
            entry,
            table,
            facts,
            private,
            depth + 1,
        )
        if isinstance(piece, bytes) and piece == buf[pos:after]:
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


def _out_of_item(may_grow: bool) -> None:
    if may_grow:
        raise _Short
    raise Refusal("malformed", "An element is longer than the item that holds it.")


def _skip(buf: bytes, start: int, length: int, end: int, explicit: bool, depth: int) -> int:
    """Return where a value ends that is not looked into."""
    if length != UNDEFINED_LENGTH:
        if start + length > end:
            raise _Short
        return start + length
    if depth >= _DEEPEST:
        raise Refusal("malformed", f"Sequences are nested deeper than {_DEEPEST} levels.")
    at = start
    while True:
        if at + 8 > end:
            raise _Short
        group, element, item_length = _item_head(buf, at)
        at += 8
        item = group << 16 | element
        if item == SEQUENCE_END:
            return at
        if item != ITEM:
            raise Refusal("malformed", "A sequence holds something that is not an item.")
        at = _item_end(buf, at, explicit, depth, end) if item_length == UNDEFINED_LENGTH else at + item_length


def _item_end(buf: bytes, pos: int, explicit: bool, depth: int, end: int) -> int:
    """Return the position after the delimiter of an item of undefined length."""
    while True:
        if pos + 8 > end:
            raise _Short
        group, element, length = _item_head(buf, pos)
        if (group << 16 | element) == ITEM_END:
            return pos + 8
        start = pos + 8
        inner_explicit = explicit
        if explicit:
            vr = buf[pos + 4 : pos + 6]
            if vr in LONG_VRS:
                if pos + 12 > end:
                    raise _Short
                length = _u32(buf, start)[0]
                start = pos + 12
                inner_explicit = vr != b"UN"
            else:
                length >>= 16
        pos = _skip(buf, start, length, end, inner_explicit, depth + 1)
