"""The pieces of a data set between reading and writing, and what rules look like to the scan.

    file bytes ──scan──▶ pieces: bytes │ Copy │ Changed │ Nested ──render──▶ bytes

A data set becomes a list of pieces: runs of bytes that stay, ranges that the kernel copies later, and elements whose
bytes are known only when the identifiers are answered. Nothing here knows a rule or reads a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from policies.elements import encode, encode_item, tag_bytes
from policies.known import KnownWords
from policies.private import Said
from policies.pseudonyms import Identifier
from policies.source import Source
from policies.telling import TELLING

_SHORT: Final = 1 << 10

KEEP_SHORT: Final = 0
KEEP_LONG: Final = 1
REMOVE: Final = 2
CHANGE: Final = 3
DESCEND: Final = 4
PRIVATE: Final = 5
KEEP_BULK: Final = 7
"""KEEP_LONG for binary data that may be too large to read; the kernel copies it then."""
REPLACE: Final = 6
"""The element becomes the same bytes in every instance (``Entry.fixed``)."""
KEEP_PIXELS: Final = 8
"""Pixel data of the top level: always a :class:`Copy` of its own, because :mod:`policies.pixels` looks into it."""
LOOK: Final = 9
"""The element stays unless its change touches the value, which is asked of every value."""
DECLARE: Final = 10
"""Private Data Element Characteristics Sequence: read for what it says of private blocks, and removed."""


class ItemGoes(Exception):
    """Raised by a change inside an item that says nothing true without the value: the whole item goes."""


class Answers(Protocol):
    """What rendering needs: pseudonyms, and what is known of the subject."""

    @property
    def pseudonyms(self) -> Mapping[Identifier, str]: ...

    @property
    def patient_pseudonym(self) -> str: ...

    @property
    def date_offset(self) -> int | None:
        """The days by which every date moves; None where none can be moved."""
        ...


class Change(Protocol):
    """What happens to the value of one element. Stateless; shared by all instances of a plan.

    ``vr`` is the VR to write where the file's own is hidden (implicit encoding, UN). ``asks`` is False for changes
    that never need an answer, so that nobody asks them. ``lasting`` is True when the value depends on nothing but the
    raw value and the subject, not on pseudonyms. ``searches`` marks the change that looks for the subject in a text.
    """

    @property
    def lasting(self) -> bool: ...

    @property
    def searches(self) -> bool: ...

    @property
    def asks(self) -> bool: ...

    @property
    def vr(self) -> bytes: ...

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether the value between two places of a buffer may change at all; asked of LOOK only."""
        ...

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Return the identifiers that must be answered before :meth:`value` can be asked."""
        ...

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the new value, or None to remove the element.

        Raises:
            ItemGoes: the item that holds the element is to go with it; inside items only.
        """
        ...


class Entry(NamedTuple):
    """What happens to one element of one level: ``kind`` is one of the constants above.

    KEEP_BULK with a change is LOOK for a value that is small enough to be read.
    """

    tag: int
    kind: int
    change: Change | None = None
    table: Table | None = None
    fixed: bytes = b""

    def __repr__(self) -> str:
        return "Entry(…)"


class Content(NamedTuple):
    """What becomes of one content tree: the items that stay, and changes that depend on all of them."""

    stays: Mapping[int, str]
    """By where an item begins, what happens to its value; empty where nothing in particular does."""
    changes: Mapping[int, Change] = MappingProxyType({})
    """By tag, in place of those that the table gives."""
    whole: bool = True
    """False when the tree could not be read to its end; then nothing is decided."""

    def __repr__(self) -> str:
        return "Content(…)"


class Table(Protocol):
    """The rules for one nesting level: lookup by the raw first bytes of an element."""

    entries: dict[bytes, Entry]
    filters_items: bool
    counts_items: bool
    """Whether items are found by their number, so that even an empty one stays where it is."""
    stands_empty: bool
    """Whether the sequence stays without items when none is left; else it goes with them."""

    def decide(self, head: bytes) -> Entry:
        """Return (and remember) the entry for a head that is not yet in ``entries``."""
        ...

    def content(self, buf: bytes, start: int, end: int, *, undefined: bool, explicit: bool) -> Content:
        """Return what becomes of the content tree whose items begin at ``start`` and end not behind ``end``.

        Asked once for a tree, when a sequence is met that ``filters_items``.
        """
        ...

    def for_item(self, action: str) -> Table:
        """Return the table for a content item to whose value this happens."""
        ...

    def for_code(self, buf: bytes, start: int, end: int, explicit: bool) -> Table:
        """Return the table for the coded entry that begins at ``start`` and ends not behind ``end``."""
        ...

    def implicit(self) -> Table:
        """Return the same rules for items in implicit encoding."""
        ...

    def characteristics(
        self, buf: bytes, start: int, end: int, explicit: bool
    ) -> Mapping[tuple[int, str], Declared]:
        """Return what Private Data Element Characteristics say, by group and creator (kind DECLARE)."""
        ...

    def private(self, creator: str, group: int, element: int, vr: bytes, said: Said) -> Entry:
        """Return what happens to a private element of this creator.

        The low byte of ``element`` names it; ``said`` is what the instance itself says of the element.
        """
        ...


class Declared(Protocol):
    """What an instance says of one of its private blocks."""

    def says(self, element: int) -> Said:
        """Return what is said of an element by its low byte."""
        ...


class Rendered(Protocol):
    """An element that is written only when the identifiers are answered, or added by the engine."""

    tag: int

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole element, or nothing when it does not apply to this instance."""
        ...


class Facts:
    """What is learnt about one instance on the way: what waits for answers, who the subject is, what to search for."""

    def __init__(self, *, explicit: bool, encapsulated: bool | None = None) -> None:
        self.explicit = explicit
        self.encapsulated = encapsulated
        """Whether the transfer syntax is one of compressed pixels; None where nobody said."""
        self.pending: list[Changed] = []
        self.top: dict[int, Changed] = {}
        self.content: Content | None = None
        self.moves_dates = False
        self.study_date: date | None = None
        self.parts = 0
        """How many items and pieces of items are held in memory."""
        self.issuer = ""
        self.study: Identifier | None = None
        self.age_years: int | None = None
        self.age_value = b""
        self.carried: dict[int, Changed] = {}
        self.known = KnownWords()
        self.pixels: PixelData | None = None
        self.pixels_cleaned = False
        self.keeps_offset_tables = True
        self.anatomy: set[bytes] = set()
        self.repeats: dict[Table, Any] = {}
        """What became of short sequences, by their table; kept by :mod:`policies.nesting`."""
        self.uids: frozenset[bytes] = frozenset()
        self.decode: Callable[[bytes], str] = lambda raw: raw.decode("latin-1")

    def in_implicit(self) -> Facts:
        """Return these facts for a part of the data set that is in implicit encoding; lists are shared."""
        implicit = copy(self)
        implicit.explicit = False
        return implicit

    def adopt(self, other: Facts) -> None:
        """Take over what was learnt of the subject in another pass over the same instance."""
        self.issuer, self.study, self.decode = other.issuer, other.study, other.decode
        self.age_years, self.age_value = other.age_years, other.age_value
        self.study_date = other.study_date
        self.known, self.uids = other.known, other.uids
        self.pixels_cleaned, self.keeps_offset_tables = other.pixels_cleaned, other.keeps_offset_tables


class Overwriting(Protocol):
    """New bytes for parts of a range that is copied; what they do not cover stays as it is."""

    def blocks(self, source: Source) -> Iterator[tuple[int, bytes]]:
        """Yield (offset in the source, bytes), each part once, none larger than a few MiB."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """A range of the source, copied as it is. ``looked_at`` are the parts (offset, length) that may hold text."""

    offset: int
    length: int
    looked_at: tuple[tuple[int, int], ...] = ()
    overwriting: Overwriting | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Bytes that are made when they are written, block by block: pixel data in another encoding."""

    blocks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where an instance's pixel data stands: ``copy`` is its element, ``value`` the offset of its value.

    ``fragments`` are (offset, length) of the items' contents, the Basic Offset Table first; None for native data.
    """

    tag: int
    copy: Copy
    value: int
    length: int
    fragments: tuple[tuple[int, int], ...] | None = None


Inner: TypeAlias = bytes | Rendered
Piece: TypeAlias = "Inner | Block | Copy"


class Mark(NamedTuple):
    """An element that is written at its place whatever the source has there."""

    tag: int
    piece: Inner

    def __repr__(self) -> str:
        return "Mark(…)"


class Changed:
    """One element whose new value is known only when the identifiers are answered.

    The same object may stand for the same bytes in several instances; what it became is remembered for as long as
    the ``context`` (all that rendering depends on, beside pseudonyms) stays the same.
    """

    __slots__ = ("_context", "_rendered", "asks", "change", "raw", "tag", "tells", "vr", "whole")

    def __init__(self, tag: int, vr: bytes, whole: bytes, raw: bytes, change: Change) -> None:
        self.tag = tag
        self.vr = vr if vr and vr != b"UN" else change.vr
        self.whole = whole
        self.raw = raw
        self.change = change
        self.asks = change.asks
        self.tells = tag in TELLING or self.vr == b"PN"
        self._context: object = None
        self._rendered = b""

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole element: as it was when its value stays, nothing when it is removed."""
        value = self.change.value(self.raw, facts, answers)
        if value is None:
            return b""
        if value is self.raw and self.whole:
            return self.whole
        return encode(self.tag, self.vr, value, explicit=facts.explicit)

    def render_in(self, context: object, facts: Facts, answers: Answers) -> bytes:
        """Return what :meth:`render` returns, from memory where nothing that it depends on has changed."""
        if self._context is not context:
            self._rendered = self.render(facts, answers)
            self._context = context if self.change.lasting else None
        return self._rendered


class Together(NamedTuple):
    """Rendered neighbours: their bytes, those of them that stayed as they were, and whether a search found somebody."""

    rendered: bytes
    kept: bytes
    named: bool

    def __repr__(self) -> str:
        return "Together(…)"


class Block:
    """Neighbouring elements that were the same in several instances: rendered together, and remembered.

    ``pieces`` are runs that stay and lasting changes. ``top`` are its changes by tag.
    """

    __slots__ = ("_context", "_together", "pieces", "tag", "top")

    def __init__(self, tag: int, pieces: tuple[bytes | Changed, ...]) -> None:
        self.tag = tag
        self.pieces = pieces
        self.top = {piece.tag: piece for piece in pieces if isinstance(piece, Changed)}
        self._context: object = None
        self._together = Together(b"", b"", named=False)

    def render_in(self, context: object, facts: Facts, answers: Answers) -> Together:
        """Return the elements, from memory where nothing that they depend on has changed."""
        if self._context is not context:
            rendered: list[bytes] = []
            kept: list[bytes] = []
            named = False
            for piece in self.pieces:
                part = piece if isinstance(piece, bytes) else piece.render(facts, answers)
                rendered.append(part)
                if isinstance(piece, bytes) or part is piece.whole:
                    kept.append(part)
                else:
                    named = named or piece.change.searches
            self._together = Together(b"".join(rendered), b"".join(kept), named)
            self._context = context
        return self._together


class Item(NamedTuple):
    """An item of a sequence in which something changes; ``stays`` says that it does even when nothing is left in it."""

    undefined: bool
    pieces: list[Inner]
    stays: bool

    def __repr__(self) -> str:
        return "Item(…)"


class Nested:
    """A sequence in which something changes. Lengths keep their style: defined stays defined.

    An item of which nothing is left goes, and with the last one the sequence, unless it ``stands_empty``.
    """

    __slots__ = ("_answers", "_rendered", "items", "stands_empty", "tag", "undefined")

    def __init__(self, tag: int, undefined: bool, items: list[Item], *, stands_empty: bool) -> None:
        self.tag = tag
        self.undefined = undefined
        self.items = items
        self.stands_empty = stands_empty
        self._answers: Answers | None = None
        self._rendered = b""

    def item_bytes(self, facts: Facts, answers: Answers) -> bytes:
        """Return the items without the sequence's own header and delimiter."""
        out = []
        for undefined, pieces, stays in self.items:
            try:
                content = render(pieces, facts, answers)
            except ItemGoes:
                content = b""
            if not (content or stays):
                continue
            if undefined:
                out.append(b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + content + b"\xfe\xff\x0d\xe0\0\0\0\0")
            else:
                out.append(encode_item(content))
        return b"".join(out)

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the whole sequence element; a short one that stands in many places is rendered once."""
        if self._answers is answers:
            return self._rendered
        content = self.item_bytes(facts, answers)
        if not (content or self.stands_empty):
            rendered = b""
        elif self.undefined:
            head = tag_bytes(self.tag) + (b"SQ\0\0" if facts.explicit else b"") + b"\xff\xff\xff\xff"
            rendered = head + content + b"\xfe\xff\xdd\xe0\0\0\0\0"
        else:
            rendered = encode(self.tag, b"SQ", content, explicit=facts.explicit)
        if len(rendered) <= _SHORT:
            self._answers, self._rendered = answers, rendered
        return rendered


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
        if not (content or self.nested.stands_empty):
            return b""
        if not self.nested.undefined:
            return encode(self.tag, b"UN", content, explicit=True)
        return tag_bytes(self.tag) + b"UN\0\0\xff\xff\xff\xff" + content + b"\xfe\xff\xdd\xe0\0\0\0\0"
