"""A table without a rule: everything is kept, every sequence is looked into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.elements import KNOWN_VRS, LONG_VRS
from policies.errors import Unconforming
from policies.heads import vr_of
from policies.pieces import KEEP_BULK, KEEP_PIXELS, KEEP_SHORT, Content, Copy, Entry, Facts, render
from policies.pseudonyms import Identifier
from policies.scan import scan
from policies.source import MemorySource, Source


class KeepAll:
    """A table that keeps everything and looks into every sequence."""

    filters_items = False
    counts_items = False
    stands_empty = False

    def __init__(self, *, explicit: bool) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.explicit = explicit

    def decide(self, head: bytes) -> Entry:
        tag = int.from_bytes(head[1::-1] + head[3:1:-1], "big")
        vr = head[4:] if self.explicit else (vr_of(tag) or "UN").encode()
        if self.explicit and vr not in KNOWN_VRS:
            raise Unconforming("malformed", "no Value Representation")
        if tag >> 16 == 0xFFFE:
            raise Unconforming("malformed", "an item in the place of an element")
        if vr == b"SQ" or (vr == b"UN" and vr_of(tag) == "SQ"):
            entry = Entry(tag, 4, None, self)
        elif tag == 0x7FE00010:
            entry = Entry(tag, KEEP_PIXELS)
        else:
            entry = Entry(tag, KEEP_BULK if vr in LONG_VRS or not self.explicit else KEEP_SHORT)
        self.entries[head] = entry
        return entry

    def content(self, buf: bytes, start: int, end: int, *, undefined: bool, explicit: bool) -> Content:
        raise AssertionError("no items are filtered here")

    def for_item(self, action: str) -> KeepAll:
        raise AssertionError("no items are filtered here")

    def for_code(self, buf: bytes, start: int, end: int, explicit: bool) -> KeepAll:
        return self

    def implicit(self) -> KeepAll:
        return KeepAll(explicit=False)

    def private(self, creator: str, group: int, element: int, vr: bytes) -> Entry:
        raise AssertionError("nothing is private here")


@dataclass(frozen=True)
class NoAnswers:
    """Nothing asks for a pseudonym where everything is kept."""

    pseudonyms: Mapping[Identifier, str] = field(default_factory=dict)
    patient_pseudonym: str = ""
    date_offset: int = 0


def through(data_set: bytes, *, explicit: bool = True) -> bytes:
    """A data set that was scanned and rendered without any rule."""
    return kept(MemorySource(data_set), 0, explicit=explicit)


def kept(source: Source, offset: int, *, explicit: bool) -> bytes:
    """The data set at ``offset``, scanned and rendered without any rule."""
    facts = Facts(explicit=explicit)
    return b"".join(
        source.read(piece.offset, piece.length)
        if isinstance(piece, Copy)
        else render([piece], facts, NoAnswers())
        for piece in scan(source, offset, KeepAll(explicit=explicit), facts, [])
    )
