"""Where an original and its draft differ on real instances: what its rules would leave, beside what was left.

    source ──rules of the original──▶ gone, changed or kept ─┐
    source ──engine──▶ result ──────▶ gone, changed or kept ─┴──▶ who leaves more, by attribute, counted

The original is not run; its rules, as they were understood, say what it would do. Values are compared and never told.
Pixels, marks of de-identification and private creators are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from policies.importing.naming import keyword_of
from policies.importing.original import Effect, Original, Private, Rest
from policies.standard.attributes import attribute_named

_PIXELS = 0x7FE0
_DEEPEST = 20


class Left(IntEnum):
    """What is left of a value."""

    GONE = 0
    CHANGED = 1
    KEPT = 2

    @property
    def words(self) -> str:
        """It in words."""
        return ("gone", "replaced", "kept")[self]


class Said(NamedTuple):
    """The least and the most that the original leaves; they differ where a condition decides."""

    least: Left
    most: Left

    @property
    def words(self) -> str:
        """It in words."""
        return self.least.words if self.least is self.most else f"{self.least.words} or {self.most.words}"


_GONE, _KEPT = Said(Left.GONE, Left.GONE), Said(Left.KEPT, Left.KEPT)


class Difference(NamedTuple):
    """One kind of difference: the attribute, what the original leaves, what the draft leaves."""

    what: str
    original: Said
    draft: Left

    @property
    def keeps_more(self) -> bool:
        """Whether the draft leaves more than the original does, or may do."""
        return self.draft > self.original.least

    @property
    def words(self) -> str:
        """It in words."""
        return f"{self.what}: {self.original.words} there, {self.draft.words} here"


_Place = tuple[int, str]
"""Tag and private creator. Blocks are renumbered, so of a private element the block does not count."""


class _Side:
    """One or more data sets of a result, looked into once however many items are compared with them."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = datasets
        self._elements: dict[_Place, list[DataElement]] | None = None
        self._values: dict[_Place, frozenset[Any]] = {}
        self._items: dict[_Place, _Side] = {}

    def left(self, place: _Place, element: DataElement) -> Left:
        """Return what is left of a value: the most of it that any of the data sets has."""
        place = _without_block(place)
        if place not in self._values:
            self._values[place] = frozenset(
                _plain(one.value) for one in self._found(place) if not _is_empty(one)
            )
        values = self._values[place]
        return Left.KEPT if _plain(element.value) in values else Left.CHANGED if values else Left.GONE

    def items(self, place: _Place) -> _Side:
        """Return the items of a sequence."""
        place = _without_block(place)
        if place not in self._items:
            found = [item for one in self._found(place) if one.VR == "SQ" for item in one.value]
            self._items[place] = _Side(found)
        return self._items[place]

    def _found(self, place: _Place) -> list[DataElement]:
        if self._elements is None:
            self._elements = {}
            for ds in self.datasets:
                for one in ds:
                    tag = int(one.tag)
                    key = _without_block((tag, _creator(ds, tag) if tag >> 16 & 1 else ""))
                    self._elements.setdefault(key, []).append(one)
        return self._elements.get(place, [])


def _without_block(place: _Place) -> _Place:
    tag, creator = place
    return (tag & 0xFFFF00FF, creator) if tag >> 16 & 1 else place


@dataclass(repr=False)
class Likeness:
    """Differences over all instances that were compared, counted by attribute."""

    original: Original
    differences: Counter[Difference]
    _decided: dict[tuple[int, str], Said | None] = field(default_factory=dict)

    @classmethod
    def of(cls, original: Original) -> Likeness:
        """Return one that has compared nothing yet."""
        return cls(original, Counter())

    def add(self, source: Dataset, result: Dataset) -> None:
        """Compare one instance with what the engine made of it."""
        self._level(source, _Side((result,)), (), None)

    def _level(self, source: Dataset, result: _Side, path: tuple[str, ...], inside: Said | None) -> None:
        """Compare one nesting level. ``inside`` is what becomes of all of it, where the sequence above decided that."""
        for element in source:
            tag = int(element.tag)
            if tag >> 16 == _PIXELS or tag & 0xFFFF == 0 or _is_creator(tag) or _is_ours(tag):
                continue
            said = inside or self._said(source, element)
            place = (tag, _creator(source, tag)) if tag >> 16 & 1 else (tag, "")
            if element.VR == "SQ":
                self._sequence(element, result.items(place), (*path, _name(tag)), said, inside)
            elif not _is_empty(element):
                self._count((*path, _name(tag)), said, result.left(place, element))

    def _sequence(
        self,
        element: DataElement,
        result: _Side,
        path: tuple[str, ...],
        said: Said | None,
        inside: Said | None,
    ) -> None:
        items = list(element.value)
        if not items or len(path) > _DEEPEST:
            return
        if not result.datasets:
            self._count(path, said, Left.GONE)
            return
        if said is not None and said.most is not Left.KEPT:
            below: Said | None = _GONE
        elif inside is not None:
            below = inside
        else:
            below = None if self._descends(int(element.tag)) else said
        # Where items were left out, the most that any of them has counts.
        alike = len(result.datasets) == len(items)
        for at, item in enumerate(items):
            self._level(item, _Side((result.datasets[at],)) if alike else result, path, below)

    def _descends(self, tag: int) -> bool:
        if self.original.descends:
            return True
        rules = self.original.deciding(tag, keyword_of(tag), "SQ")
        return any(rule.descends for rule in rules)

    def _count(self, path: tuple[str, ...], said: Said | None, left: Left) -> None:
        if said is not None and not said.least == said.most == left:
            self.differences[Difference(" > ".join(path), said, left)] += 1

    def _said(self, source: Dataset, element: DataElement) -> Said | None:
        """Return what the original leaves of an element; None where it does what the Basic Profile does."""
        tag = int(element.tag)
        if tag >> 16 & 1:
            return self._said_of_private(source, element)
        key = (tag, str(element.VR))
        if key not in self._decided:
            rules = self.original.deciding(tag, keyword_for_tag(tag), key[1])
            outcome = self.original.outcome(rules, tag)
            lefts = [_of_effect(effect) for effect in outcome.effects] or [Left.GONE]
            self._decided[key] = None if outcome.by_profile else Said(min(lefts), max(lefts))
        return self._decided[key]

    def _said_of_private(self, source: Dataset, element: DataElement) -> Said:
        tag = int(element.tag)
        name = (_creator(source, tag), tag >> 16, tag & 0xFF)
        for rule in self.original.rules:
            if rule.where.private == name and not rule.sometimes:
                lefts = [_of_effect(effect) for effect in rule.effects] or [Left.GONE]
                return Said(min(lefts), max(lefts))
        for rule in self.original.deciding(tag, "", str(element.VR)):
            if max(rule.effects, default=Effect.REMOVED) <= Effect.EMPTIED and not rule.sometimes:
                return _GONE
        if self.original.private is Private.SAFE:
            return Said(Left.GONE, Left.KEPT)
        removed = self.original.private is Private.REMOVED or self.original.rest is Rest.REMOVED
        return _GONE if removed else _KEPT


def _of_effect(effect: Effect) -> Left:
    if effect in (Effect.REMOVED, Effect.EMPTIED):
        return Left.GONE
    return Left.KEPT if effect is Effect.KEPT else Left.CHANGED


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).rstrip(b"\0 ")
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return tuple(_plain(one) for one in value)
    return str(value).strip(" \0")


def _is_empty(element: DataElement) -> bool:
    return element.value is None or _plain(element.value) in ("", b"", ())


def _is_creator(tag: int) -> bool:
    return bool(tag >> 16 & 1) and 0x0010 <= tag & 0xFFFF <= 0x00FF


@cache
def _is_ours(tag: int) -> bool:
    return not tag >> 16 & 1 and attribute_named(keyword_of(tag)).written_by_us


@cache
def _name(tag: int) -> str:
    return f"({tag >> 16:04X},xx{tag & 0xFF:02X})" if tag >> 16 & 1 else keyword_of(tag)


def _creator(source: Dataset, tag: int) -> str:
    block = tag >> 16 << 16 | tag >> 8 & 0xFF
    return str(source[block].value).strip() if block in source else ""
