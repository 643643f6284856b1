"""The tree that the records of a DICOMDIR make by their offsets: who lies below whom (PS3.3 F.2).

The order in the file says nothing about it. Offsets may lead nowhere or round in circles; both are found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from media.directory import DirectoryRecord


@dataclass(slots=True)
class Links:
    """Takes records in any order; once they are all there, :meth:`follow` gives the tree."""

    _types: dict[int, str] = field(default_factory=dict)
    _next: dict[int, int] = field(default_factory=dict)
    _lower: dict[int, int] = field(default_factory=dict)

    def add(self, record: DirectoryRecord) -> None:
        """Take a record in."""
        self._types[record.offset] = record.type
        self._next[record.offset] = record.next
        self._lower[record.offset] = record.lower

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self._types)

    def follow(self, first: int) -> Tree:
        """Follow the links from the first root record."""
        parents: dict[int, int] = {}
        astray = 0
        waiting = [(first, 0)]
        while waiting:
            offset, parent = waiting.pop()
            while offset:
                if offset not in self._types or offset in parents:
                    astray += 1
                    break
                parents[offset] = parent
                if self._lower[offset]:
                    waiting.append((self._lower[offset], offset))
                offset = self._next[offset]
        return Tree(parents, self._types, astray, len(self._types) - len(parents))


@dataclass(frozen=True, slots=True)
class Tree:
    """The parent of each record reached (0 for the root), by offset.

    ``astray`` counts links that lead to no record or to one already reached; ``unreached`` the records that no link
    leads to.
    """

    parents: dict[int, int]
    types: dict[int, str]
    astray: int
    unreached: int

    def type_above(self, offset: int) -> str:
        """Return the type of a record's parent; empty for the root."""
        return self.types.get(self.parents.get(offset, 0), "")

    def above(self, offset: int) -> Iterator[int]:
        """Yield the offsets of all records above one, the nearest first."""
        parent = self.parents.get(offset, 0)
        while parent:
            yield parent
            parent = self.parents[parent]
