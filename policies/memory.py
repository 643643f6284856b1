"""What instances repeat: of the one before at the beginning of a header, and of the frame before in a large one.

The same bytes at the boundary of an element are the same elements, and under the same table the same happens to them.
So a comparison of bytes takes the place of a scan. No byte of a result depends on it. Nothing here knows a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from policies.pieces import Block, Changed, Inner, Piece

MOST_REPEATS: Final = 256
SHORT_SEQUENCE: Final = 1 << 10


class Segment(NamedTuple):
    """Neighbouring elements as they stood in an instance, and what became of them."""

    source: bytes
    tag: int
    """The first one's."""
    last: int
    """The last one's."""
    piece: Piece | None
    changes: tuple[Changed, ...] = ()
    """All changes, at every depth."""
    top: Mapping[int, Changed] = MappingProxyType({})
    """The changes at the top level, by tag."""


class Memory:
    """What the elements at the beginning of the last instance became, in their order.

    The same bytes at the boundary of an element are the same elements, and under the same table the same happens to
    them. What was the same twice becomes one segment. One memory belongs to one table without private elements, whose
    meaning depends on what stands before them.
    """

    def __init__(self) -> None:
        self.before: list[Segment] = []
        self.now: list[Segment] = []
        self.same: list[int] = []
        """Places in ``now`` of segments that follow their forerunner and were the same, not separated by a mark."""
        self.at = 0
        self.pause = self.rest = 0

    @property
    def follows(self) -> bool:
        """Whether there was an instance to follow."""
        return bool(self.before)

    def learn(self, segment: Segment) -> None:
        """Remember what became of some elements, and go on behind them."""
        if not self.before and self.now and _says_nothing(segment) and _says_nothing(self.now[-1]):
            # Neighbours that all go are one segment, until an instance differs inside it.
            last = self.now.pop()
            segment = Segment(last.source + segment.source, last.tag, segment.last, None)
        self.now.append(segment)
        before = self.before
        while self.at < len(before) and before[self.at].tag <= segment.last:
            self.at += 1

    def close(self) -> None:
        """End one instance; the next one follows it."""
        now = self.now
        if len(now) > 1.5 * len(self.before):
            # Another series has begun: what it repeats can be joined after its second instance.
            self.pause = self.rest = 1
        elif self.rest:
            self.rest -= 1
        else:
            # Joining walks over all segments, so where it gains little it is tried ever more rarely.
            joined = self._merged()
            self.pause = 1 if len(joined) < 0.75 * len(now) else min(2 * self.pause, 1024)
            self.rest, now = self.pause, joined
        self.before, self.now, self.same, self.at = now, [], [], 0

    def _merged(self) -> list[Segment]:
        merged: list[Segment] = []
        joins = set(self.same)
        group: list[Segment] = []
        for place, segment in enumerate(self.now):
            if group and (place not in joins or not _joinable(segment)):
                merged.append(_joined(group))
                group = []
            if _joinable(segment):
                group.append(segment)
            else:
                merged.append(segment)
        if group:
            merged.append(_joined(group))
        return merged


def _says_nothing(segment: Segment) -> bool:
    """Say whether nothing of a segment stays, and nothing in it says who is searched for."""
    return segment.piece is None and not segment.changes


def _joinable(segment: Segment) -> bool:
    piece = segment.piece
    if piece is None or isinstance(piece, bytes | Block):
        return True
    return isinstance(piece, Changed) and piece.change.lasting


def _joined(group: list[Segment]) -> Segment:
    if len(group) == 1:
        return group[0]
    pieces: list[bytes | Changed] = []
    for segment in group:
        if isinstance(segment.piece, Block):
            pieces.extend(segment.piece.pieces)
        elif isinstance(segment.piece, bytes | Changed):
            pieces.append(segment.piece)
    block = Block(group[0].tag, tuple(pieces))
    return Segment(
        source=b"".join(segment.source for segment in group),
        tag=group[0].tag,
        last=group[-1].last,
        piece=block if pieces else None,
        changes=tuple(change for segment in group for change in segment.changes),
        top=block.top,
    )


class Unchanged(Enum):
    """The fate of an element whose bytes stay as they are."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


class Repeat(NamedTuple):
    """A whole sequence as it stood in the instance, and what became of it."""

    source: bytes
    piece: Inner | Unchanged | None
    changes: tuple[Changed, ...]

    def __repr__(self) -> str:
        return "Repeat(…)"


class Repeats:
    """What became of short sequences of one table in one instance, by their bytes.

    The same bytes under the same table become the same. Where nothing is repeated, nothing more is learnt.
    """

    __slots__ = ("found", "last", "room")

    def __init__(self) -> None:
        self.found: dict[bytes, Repeat] = {}
        self.last: Repeat | None = None
        self.room = MOST_REPEATS

    def find(self, buf: bytes, pos: int, end: int, stop: int) -> Repeat | None:
        """Return the sequence at ``pos`` if it is known; it ends at ``stop``, or at its delimiter when that is 0."""
        if stop:
            known = self.found.get(buf[pos:stop]) if stop - pos <= SHORT_SEQUENCE and self.room else None
        else:
            # Its own delimiters say where it ends: bytes that begin like the last one are the last one again.
            known = self.last
            if known is not None and not (
                buf.startswith(known.source, pos) and pos + len(known.source) <= end
            ):
                known = None
        if known is not None:
            self.room += 1
        return known

    def learn(self, repeat: Repeat) -> None:
        """Remember what became of a sequence."""
        self.found[repeat.source] = self.last = repeat
        self.room -= 1
