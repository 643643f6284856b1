"""The private blocks of one level while it is read: which is whose, and which creators stay with their elements."""

from __future__ import annotations

from collections.abc import Mapping

from policies.pieces import REMOVE, Answers, Declared, Entry, Facts, Inner, Table
from policies.private import Said


class PrivateBlocks:
    """The private creators of one level: which block is whose, and which creator elements stay (PS3.5 7.8).

    ``declared`` is what the level's Private Data Element Characteristics say, by group and creator.
    """

    __slots__ = ("_creators", "declared")

    def __init__(self) -> None:
        self._creators: dict[tuple[int, int], _Creator] = {}
        self.declared: Mapping[tuple[int, str], Declared] = {}

    def reserve(self, group: int, block: int, creator: str, element: bytes) -> _Creator:
        """Give a block to a creator. Elements stand in order and once, so no block is given twice."""
        self._creators[group, block] = placed = _Creator(group << 16 | block, creator, element)
        return placed

    def entry(self, table: Table, tag: int, vr: bytes) -> Entry:
        """Return what happens to a private element that is no creator; in a block of nobody it goes."""
        owner = self._creators.get((tag >> 16, tag >> 8 & 0xFF))
        if owner is None:
            return Entry(tag, REMOVE)
        said = self.declared.get((tag >> 16, owner.name))
        word = Said.NOTHING if said is None else said.says(tag & 0xFF)
        return table.private(owner.name, tag >> 16, tag & 0xFFFF, vr, word)

    def keep(self, tag: int, piece: Inner | None) -> None:
        """Note that an element of a block stays, as far as its piece does."""
        if piece is not None:
            self._creators[tag >> 16, tag >> 8 & 0xFF].pieces.append(piece)


class _Creator:
    """A Private Creator element; it stays only when an element of its block stays."""

    __slots__ = ("element", "name", "pieces", "tag")

    def __init__(self, tag: int, name: str, element: bytes) -> None:
        self.tag = tag
        self.name = name
        self.element = element
        self.pieces: list[Inner] = []

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the creator element, or nothing when its block is gone."""
        stays = any(isinstance(piece, bytes) or piece.render(facts, answers) for piece in self.pieces)
        return self.element if stays else b""
