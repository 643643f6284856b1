"""What a policy did to one instance, attribute by attribute: the source beside the result, with the ground for each.

    source ┐                     ┌ removed, emptied, replaced, cleaned, coarser, moved, kept, written
           ├─ level by level ──▶ ┤
    result ┘                     └ and why (policies.grounds)

For people who try a policy; it proves nothing, which is the part of :mod:`policies.verify`. Changes hold originals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import date

from policies.charsets import encodings_of
from policies.dates import DUMMY_DATE
from policies.grounds import SILENT, Because, Ground, Grounds, Happened, Step
from policies.layout import Element, Instance, Level, creator_of
from policies.legible import shown, text_in
from policies.structured import CONCEPT_NAME, CONTENT_SEQUENCE, CONTEXTS, RELATIONSHIP, VALUE_TYPE

_CHARACTER_SET, _METHODS, _CODE_VALUE = 0x00080005, 0x00120064, 0x00080100
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_BLACKED_OUT = "113101"  # CID 7050: Clean Pixel Data Option
_WORDY = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UN"})
_TEXTS = _WORDY | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_WORD = re.compile(r"\w+")
_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_CHUNK = 1 << 20

Place = tuple[tuple[int, int], ...]
"""Tags with the numbers of items, from 1; 0 at the attribute itself. One attribute of one instance."""


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What became of one value. ``before`` and ``after`` are originals and results as people read them."""

    path: tuple[Step, ...]
    place: Place
    happened: Happened
    ground: Ground
    before: str
    after: str
    gone: tuple[str, ...] = ()
    """Words that a cleaned text lost."""
    left: int = 0
    """How many words a cleaned text has left."""
    days: int | None = None
    """By how many days a date moved; 0 for one that was kept."""


@dataclass(frozen=True, slots=True, repr=False)
class _Side:
    """One level of the source or of the result, with what it takes to read it."""

    level: Level
    encodings: tuple[str, ...]
    big_endian: bool
    by_step: dict[Step, Element] = field(default_factory=dict)

    @classmethod
    def of(cls, level: Level, above: _Side | None, *, big_endian: bool = False) -> _Side:
        """Return a level; an item reads as the level above it unless it says otherwise."""
        declared = level.get(_CHARACTER_SET)
        if declared is not None and declared.items is None:
            encodings = encodings_of(declared.text())
        else:
            encodings = above.encodings if above else ()
        side = cls(level, encodings, above.big_endian if above else big_endian)
        for element in level.values():
            if not _is_formal(element.tag):
                side.by_step[step_of(level, element)] = element
        return side

    def shown(self, element: Element | None) -> str:
        """Return a value as people read it."""
        return shown(element, self.encodings, big_endian=self.big_endian)


def step_of(level: Level, element: Element) -> Step:
    """Return how an element is named on a path: a private one without its block, which may be another one later."""
    if not element.private:
        return element.tag, ""
    return element.tag & 0xFFFF00FF, creator_of(level, element) or "(none)"


def _is_formal(tag: int) -> bool:
    """Group lengths, private creators, and what is below the data set."""
    return tag & 0xFFFF == 0 or tag >> 16 < 8 or (tag >> 16 & 1 and tag & 0xFFFF <= 0xFF) == 1


def changes(source: Instance, result: Instance, grounds: Grounds, drawn: Container[str]) -> Iterator[Change]:
    """Yield what became of every value of an instance, and what was written that it did not have.

    ``drawn`` are the pseudonyms that were given out.
    """
    before = _Side.of(source.top, None, big_endian=source.big_endian)
    after = _Side.of(result.top, None)
    yield from _Walk(grounds, drawn, _is_blacked_out(result)).level(before, after, (), ())


def _is_blacked_out(result: Instance) -> bool:
    methods = result.top.get(_METHODS)
    items = methods.items if methods is not None and methods.items else []
    return any(item[_CODE_VALUE].text() == _BLACKED_OUT for item in items if _CODE_VALUE in item)


class _Walk:
    def __init__(self, grounds: Grounds, drawn: Container[str], blacked_out: bool) -> None:
        self._grounds = grounds
        self._drawn = drawn
        self._blacked_out = blacked_out

    def level(
        self, before: _Side, after: _Side, path: tuple[Step, ...], place: Place, inside: Ground | None = None
    ) -> Iterator[Change]:
        """Compare one level. ``inside`` is the ground for everything in it, where that was decided above."""
        for step, old in before.by_step.items():
            here, at = (*path, step), (*place, (old.tag, 0))
            new = after.by_step.get(step)
            if old.items is not None:
                yield from self._sequence(old, new, before, after, here, at, inside)
            elif old.length or old.fragments:
                yield self._leaf(old, new, before, after, here, at, inside)
            elif new is not None and _says_something(new):
                yield self._added(new, after, here, at, inside)
        for step, new in after.by_step.items():
            if step not in before.by_step and _says_something(new):
                yield self._added(new, after, (*path, step), (*place, (new.tag, 0)), inside)

    def _added(
        self, new: Element, after: _Side, path: tuple[Step, ...], place: Place, inside: Ground | None
    ) -> Change:
        ground = inside or self._grounds.of(path, new.vr, Happened.ADDED)
        return Change(path, place, Happened.ADDED, ground, "", after.shown(new))

    def _sequence(
        self,
        old: Element,
        new: Element | None,
        before: _Side,
        after: _Side,
        path: tuple[Step, ...],
        place: Place,
        inside: Ground | None,
    ) -> Iterator[Change]:
        items = old.items or []
        left = new.items if new is not None and new.items else []
        if not left:
            happened = Happened.EMPTIED if new is not None else Happened.REMOVED
            ground = inside or self._grounds.of(path, "SQ", happened)
            for number, item in enumerate(items, start=1):
                side = _Side.of(item, before)
                yield from self._gone(side, path, _numbered(place, number), happened, ground)
            return
        if inside is None and self._grounds.replaces_items(path):
            inside = self._grounds.of(path, "SQ", Happened.REPLACED)
        partners = _partners(items, left)
        content = path[-1][0] == CONTENT_SEQUENCE or path[-1][0] in CONTEXTS
        for number, item in enumerate(items, start=1):
            side, at, partner = _Side.of(item, before), _numbered(place, number), partners[number - 1]
            if partner is not None:
                yield from self.level(side, _Side.of(partner, after), path, at, inside)
                continue
            ground = self._grounds.of_item() if content else self._grounds.of(path, "SQ", Happened.REMOVED)
            yield from self._gone(side, path, at, Happened.REMOVED, inside or ground)

    def _gone(
        self, before: _Side, path: tuple[Step, ...], place: Place, happened: Happened, ground: Ground
    ) -> Iterator[Change]:
        for step, old in before.by_step.items():
            here, at = (*path, step), (*place, (old.tag, 0))
            if old.items is None:
                if old.length or old.fragments:
                    yield Change(here, at, happened, ground, before.shown(old), "")
                continue
            for number, item in enumerate(old.items, start=1):
                yield from self._gone(_Side.of(item, before), here, _numbered(at, number), happened, ground)

    def _leaf(
        self,
        old: Element,
        new: Element | None,
        before: _Side,
        after: _Side,
        path: tuple[Step, ...],
        place: Place,
        inside: Ground | None,
    ) -> Change:
        shown_before, shown_after = before.shown(old), after.shown(new)
        gone: tuple[str, ...] = ()
        left, days = 0, None
        if new is None:
            happened = Happened.REMOVED
        elif not _says_something(new):
            happened = Happened.EMPTIED
        elif _same(old, new, before, after):
            happened = Happened.KEPT
            days = 0 if old.vr in ("DA", "DT") else None
        else:
            happened, gone, left, days = self._changed(old, new, before, after, path)
        vr = new.vr if old.vr == "UN" and new is not None else old.vr
        if happened is Happened.PIXELS:
            ground = self._grounds.of_pixels(blacked_out=self._blacked_out)
        else:
            ground = inside or self._grounds.of(path, vr, happened)
            if inside is not None and inside.kind is not Because.MARK and happened is Happened.KEPT:
                ground = SILENT
        return Change(path, place, happened, ground, shown_before, shown_after, gone, left, days)

    def _changed(
        self, old: Element, new: Element, before: _Side, after: _Side, path: tuple[Step, ...]
    ) -> tuple[Happened, tuple[str, ...], int, int | None]:
        """Say how a value changed, which words it lost, how many it has left, and by how many days it moved."""
        if len(path) == 1 and old.tag in _PIXELS:
            return Happened.PIXELS, (), 0, None
        if new.vr not in _TEXTS or old.vr not in _TEXTS:
            return Happened.REPLACED, (), 0, None
        one, other = text_in(old, before.encodings), text_in(new, after.encodings)
        parts = [part.strip() for part in other.split("\\") if part.strip()]
        if all(part in self._drawn for part in parts):
            return Happened.NEW_UID if new.vr == "UI" else Happened.PSEUDONYM, (), 0, None
        if new.vr == "UI" and any(part in self._drawn for part in parts):
            return Happened.NEW_UID, (), 0, None
        if self._grounds.coarsens(path):
            return Happened.COARSER, (), 0, None
        if new.vr in ("DA", "DT"):
            moved = _moved(one, other) if self._grounds.moves(path, new.vr) else None
            return (Happened.REPLACED, (), 0, None) if moved is None else (Happened.MOVED, (), 0, moved)
        if new.vr in _WORDY:
            had, has = Counter(_WORD.findall(one)), Counter(_WORD.findall(other))
            # A date that was moved within the text is no word of the source.
            if has and sum((has - had).values()) < has.total():
                return Happened.CLEANED, tuple((had - has).elements()), has.total(), None
        return Happened.REPLACED, (), 0, None


def _numbered(place: Place, number: int) -> Place:
    return (*place[:-1], (place[-1][0], number))


def _says_something(element: Element) -> bool:
    if element.items is not None:
        return bool(element.items)
    if element.vr in _TEXTS and element.length < _CHUNK:
        return bool(element.raw().strip(b" \0"))
    return bool(element.length or element.fragments)


def _same(old: Element, new: Element, before: _Side, after: _Side) -> bool:
    if new.items is not None:
        return False
    if old.fragments or new.fragments:
        # The first fragment is a table of offsets, which may be written anew.
        mine, theirs = (new.fragments or [])[1:], (old.fragments or [])[1:]
        return len(mine) == len(theirs) and all(
            _same_bytes(old, new, one, other, 1) for one, other in zip(theirs, mine, strict=True)
        )
    if old.vr in _TEXTS and old.length < _CHUNK:
        one, other = old.raw().strip(b" \0"), new.raw().strip(b" \0")
        if one == other and before.encodings == after.encodings:
            return True
        return text_in(old, before.encodings) == text_in(new, after.encodings)
    unit = {"OW": 2, "US": 2, "SS": 2, "AT": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4}.get(old.vr, 1)
    unit = 8 if old.vr in ("FD", "OD", "OV", "SV", "UV") else unit
    return _same_bytes(
        old, new, (old.start, old.length), (new.start, new.length), unit if before.big_endian else 1
    )


def _same_bytes(old: Element, new: Element, was: tuple[int, int], now: tuple[int, int], unit: int) -> bool:
    """Are two ranges the same, padding apart? ``unit`` is the number of bytes that stand the other way round."""
    (begin, size), (start, length) = was, now
    if length not in (size, size + (size & 1)):
        return False
    for at in range(0, size, _CHUNK):
        stop = min(at + _CHUNK, size)
        piece = old.data[begin + at : begin + stop]
        if unit > 1 and len(piece) % unit == 0:
            piece = b"".join(piece[i : i + unit][::-1] for i in range(0, len(piece), unit))
        if new.data[start + at : start + stop] != piece:
            return False
    return True


def _moved(before: str, after: str) -> int | None:
    one, other = _DAY.match(before), _DAY.match(after)
    if one is None or other is None or before[one.end() :] != after[other.end() :]:
        return None
    if other[0] == DUMMY_DATE.decode("ascii"):
        return None
    try:
        return (date(*map(int, other.groups())) - date(*map(int, one.groups()))).days
    except ValueError:
        return None


def _partners(items: list[Level], left: list[Level]) -> list[Level | None]:
    """Say for each item of the source which item of the result it became, None where it went.

    Items that go leave the others in their order, so each of the result is the next one of its kind.
    """
    if len(items) == len(left):
        return list(left)
    found: list[Level | None] = []
    waiting = iter(left)
    next_left = next(waiting, None)
    for item in items:
        if next_left is not None and _kind_of(item) == _kind_of(next_left):
            found.append(next_left)
            next_left = next(waiting, None)
        else:
            found.append(None)
    return found


def _kind_of(item: Level) -> tuple[str, ...]:
    names = item.get(CONCEPT_NAME)
    name = names.items[0] if names is not None and names.items else {}
    parts = [item.get(RELATIONSHIP), item.get(VALUE_TYPE), name.get(_CODE_VALUE)]
    return tuple(part.text() if part is not None and part.items is None else "" for part in parts)
