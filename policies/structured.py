"""The content tree of a structured report or manifest: which items go, and where those that stay are found afterwards.

Before the tree is cleaned it is read once as a whole, because an item may refer to another by its place: Referenced
Content Item Identifier counts the items on the way from the root (PS3.3 C.17.3.2.5). What goes is said by PS3.15 Table
E.3.4-1, and by what an item cannot be without. What happens to the attributes inside an item that stays — references,
names, dates, text — follows the table for attributes, like anywhere else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.elements import ITEM, ITEM_END, LONG_VRS, SEQUENCE_END, UNDEFINED_LENGTH, text_of
from policies.errors import Refusal
from policies.nesting import DEEPEST, Short, item_head, skip, u32
from policies.profile import resolve_concept
from policies.standard.tables import Option

RELATIONSHIP = 0x0040A010
VALUE_TYPE = 0x0040A040
CONCEPT_NAME = 0x0040A043
CONTENT_SEQUENCE = 0x0040A730
TABULATED_VALUES = 0x0040A801
CELL_VALUES = 0x0040A808
CONTEXTS = frozenset({0x00400555, 0x00400612})
"""Acquisition Context Sequence, Specimen Preparation Step Content Item Sequence: content items without a tree."""
REFERENCE = 0x0040DB73
_CODE_VALUES = frozenset({0x00080100, 0x00080119, 0x00080120})
"""Code Value, Long Code Value, URN Code Value."""
_SCHEME = 0x00080102
_SELECTED = "SELECTED FROM"
_REFERS = frozenset({"UIDREF", "IMAGE", "COMPOSITE", "WAVEFORM"})
_ON_SOMETHING = frozenset({"SCOORD", "TCOORD"})
"""Coordinates say nothing without that from which they are selected (PS3.3 C.18.6, C.18.7)."""

_u16 = struct.Struct("<H").unpack_from

_OF_A_BUILD = {
    *(("60621009", "SCT"), ("F-01860", "SRT"), ("39156-5", "LN")),  # body mass index
    *(("301898006", "SCT"), ("8277-6", "LN"), ("3140-1", "LN")),  # body surface area
}
_TELLING: Mapping[int, Collection[tuple[str, str]]] = {
    0x00101010: {("121033", "DCM"), ("424144002", "SCT"), ("397669002", "SCT"), ("30525-0", "LN")},
    0x00100040: {("121032", "DCM"), ("263495000", "SCT"), ("734000001", "SCT"), ("46098-0", "LN")},
    0x00101020: {("50373000", "SCT"), ("1153637007", "SCT"), ("8302-2", "LN"), *_OF_A_BUILD},
    0x00101022: _OF_A_BUILD,
    0x00101030: {("27113001", "SCT"), ("29463-7", "LN"), ("3141-9", "LN"), *_OF_A_BUILD},
    0x00102160: {("364699009", "SCT"), ("397731000", "SCT"), ("69490-1", "LN")},
}


def concepts_of(tags: Collection[int]) -> frozenset[tuple[str, str]]:
    """Return the concepts (code, scheme) whose value is that of an attribute: they would undo its generalization."""
    return frozenset(concept for tag in tags for concept in _TELLING.get(tag, ()))


Decide = Callable[[str, str, str], str | None]
"""Tells for value type, concept code and coding scheme what happens to an item's value, or None where the item goes."""


def decide(
    value_type: str,
    code: str,
    scheme: str,
    options: Collection[Option],
    *,
    untold: Collection[tuple[str, str]],
) -> str | None:
    """Return the action (K, C, D) for a content item's value, empty where its concept has no row, None where it goes.

    One without a value type goes, because nobody knows what it says; and so does one whose concept is ``untold``. Where
    the table lets an item go or be replaced (X/D), references stay with new UIDs, because a template may want them and
    what they lead to is protected; everything else goes.
    """
    if not value_type or (code, scheme) in untold:
        return None
    action = resolve_concept(code, scheme, value_type, options) or ""
    if action == "X/D":
        action = "D" if value_type in _REFERS else "X"
    return None if action == "X" else action


def decide_in_context(
    value_type: str,
    code: str,
    scheme: str,
    options: Collection[Option],
    *,
    untold: Collection[tuple[str, str]],
) -> str | None:
    """Return the same for an item outside a content tree, where not every writer gives a value type."""
    return decide(value_type or "TEXT", code, scheme, options, untold=untold)


class Tree(NamedTuple):
    """What becomes of a content tree.

    ``stays`` are the actions for the values of items that stay, by where the item begins; ``places`` the new values of
    references by the old ones.
    """

    stays: dict[int, str]
    places: dict[bytes, bytes]
    whole: bool
    """False when it could not be read to its end."""

    def __repr__(self) -> str:
        return "Tree(…)"


class _Broken(Exception):
    """The tree cannot be read; the scan, which looks at every element, says why."""


@dataclass(slots=True, eq=False, repr=False)
class _Item:
    """One item of the tree, or a cell of a table in it."""

    start: int
    parent: _Item | None = None
    relationship: str = ""
    value_type: str = ""
    concept: tuple[str, str] = ("", "")
    reference: bytes = b""
    children: list[_Item] = field(default_factory=list)
    cells: list[_Item] = field(default_factory=list)
    is_cell: bool = False
    action: str = ""
    stays: bool = True
    number: int = 1
    """Its place among its siblings that stay, from 1."""

    def below(self) -> Iterator[_Item]:
        """Yield everything below it, cells included, what goes as well."""
        for part in (*self.children, *self.cells):
            yield part
            yield from part.below()

    def selected(self) -> list[_Item]:
        """Return what its coordinates are selected from, as far as it stays."""
        return [child for child in self.children if child.relationship == _SELECTED and child.stays]

    def place(self) -> tuple[int, ...]:
        """Return the numbers that lead to it from the root."""
        return (*self.parent.place(), self.number) if self.parent else (self.number,)


def read_content(
    buf: bytes, start: int, end: int, *, undefined: bool, explicit: bool, decide: Decide
) -> Tree:
    """Return what becomes of the content tree whose items begin at ``start`` and end not behind ``end``.

    Raises:
        Short: the buffer ends before the tree does.
    """
    root = _Item(start, value_type="CONTAINER")
    try:
        _Reader(buf).items(start, end, undefined, explicit, 1, root, root.children)
    except _Broken:
        return Tree({}, {}, whole=False)
    items = list(root.below())
    referring = [item for item in items if item.reference]
    targets = {item: _target(root, item.reference) for item in referring}
    _drop([item for item in items if _goes(item, targets, decide)], targets)
    for parent in (root, *items):
        for number, child in enumerate((child for child in parent.children if child.stays), 1):
            child.number = number
    places = {
        item.reference: struct.pack(f"<{len(place)}I", *place)
        for item, target in targets.items()
        if item.stays and target is not None and (place := target.place())
    }
    return Tree({item.start: item.action for item in items if item.stays}, places, whole=True)


def _goes(item: _Item, targets: Mapping[_Item, _Item | None], decide: Decide) -> bool:
    """Say whether an item goes for its own sake: its concept, or because nobody can tell what it is."""
    if item.reference:
        return targets[item] is None or bool(item.value_type)
    if item.is_cell:
        return False
    action = decide(item.value_type, *item.concept)
    item.action = action or ""
    return action is None


def _drop(first: list[_Item], targets: Mapping[_Item, _Item | None]) -> None:
    """Drop items, all below them, the references to them, and coordinates left without what they lie on."""
    referring: dict[_Item, list[_Item]] = {}
    for item, target in targets.items():
        if target is not None:
            referring.setdefault(target, []).append(item)
    waiting = list(first)
    while waiting:
        item = waiting.pop()
        if not item.stays:
            continue
        item.stays = False
        waiting += (*item.children, *item.cells, *referring.get(item, ()))
        parent = item.parent
        if (
            parent is not None
            and parent.value_type in _ON_SOMETHING
            and item.relationship == _SELECTED
            and not parent.selected()
        ):
            waiting.append(parent)


def _target(root: _Item, reference: bytes) -> _Item | None:
    """Return the item that a Referenced Content Item Identifier leads to; the first number is the root's."""
    if not reference or len(reference) % 4:
        return None
    first, *numbers = struct.unpack(f"<{len(reference) // 4}I", reference)
    found = root if first == 1 else None
    for number in numbers:
        if found is None or not 1 <= number <= len(found.children):
            return None
        found = found.children[number - 1]
    return found


class _Reader:
    """Reads what matters of a content tree; every item that it meets is one that the scan will meet."""

    def __init__(self, buf: bytes) -> None:
        self.buf = buf

    def items(
        self,
        pos: int,
        end: int,
        undefined: bool,
        explicit: bool,
        depth: int,
        parent: _Item,
        into: list[_Item],
    ) -> int:
        """Read the items of a sequence; return where it ends. ``end`` is its own, or that of what holds it."""
        if depth >= DEEPEST:
            raise _Broken
        while undefined or pos < end:
            if pos + 8 > end:
                raise Short if undefined else _Broken
            group, element, length = item_head(self.buf, pos)
            tag, pos = group << 16 | element, pos + 8
            if tag == SEQUENCE_END and undefined:
                return pos
            if tag != ITEM:
                raise _Broken
            item = _Item(pos, parent)
            into.append(item)
            if length == UNDEFINED_LENGTH:
                pos = self.elements(pos, end, True, explicit, depth, item)
            elif pos + length > end:
                raise Short if undefined else _Broken
            else:
                pos = self.whole_item(pos, pos + length, explicit, depth, item)
        return pos

    def whole_item(self, pos: int, end: int, explicit: bool, depth: int, item: _Item) -> int:
        """Read an item that lies in the buffer from beginning to end."""
        try:
            return self.elements(pos, end, False, explicit, depth, item)
        except Short:
            raise _Broken from None

    def elements(self, pos: int, end: int, undefined: bool, explicit: bool, depth: int, item: _Item) -> int:
        """Read the elements of one item; return where it ends."""
        while undefined or pos < end:
            if pos + 8 > end:
                raise Short
            tag, vr, start, size = self.head(pos, end, explicit)
            if tag >> 16 == 0xFFFE:
                if tag == ITEM_END and undefined:
                    return start
                raise _Broken
            pos = self.learn(tag, start, size, end, explicit and vr != b"UN", depth, item)
        return pos

    def head(self, pos: int, stop: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, VR, start of the value and length of the element at ``pos``."""
        group, element, size = item_head(self.buf, pos)
        tag = group << 16 | element
        if group == 0xFFFE or not explicit:
            return tag, b"", pos + 8, size
        vr = self.buf[pos + 4 : pos + 6]
        if vr not in LONG_VRS:
            return tag, vr, pos + 8, size >> 16
        if pos + 12 > stop:
            raise Short
        return tag, vr, pos + 12, u32(self.buf, pos + 8)[0]

    def learn(
        self, tag: int, start: int, size: int, end: int, explicit: bool, depth: int, item: _Item
    ) -> int:
        """Note what an element says of its item; return where the element ends."""
        undefined = size == UNDEFINED_LENGTH
        if tag in (CONTENT_SEQUENCE, TABULATED_VALUES, CELL_VALUES):
            if not undefined and start + size > end:
                raise Short
            stop = end if undefined else start + size
            into = item.children if tag == CONTENT_SEQUENCE else item.cells
            after = self.items(start, stop, undefined, explicit, depth + 1, item, into)
            if tag != CONTENT_SEQUENCE:
                for cell in item.cells:
                    cell.is_cell = True
            return after
        try:
            after = skip(self.buf, start, size, end, explicit, depth)
        except Refusal:
            raise _Broken from None
        if tag == VALUE_TYPE:
            item.value_type = text_of(self.buf[start:after])
        elif tag == RELATIONSHIP:
            item.relationship = text_of(self.buf[start:after])
        elif tag == REFERENCE:
            item.reference = self.buf[start:after]
        elif tag == CONCEPT_NAME:
            item.concept = self.code(start, after, explicit)
        return after

    def code(self, start: int, end: int, explicit: bool) -> tuple[str, str]:
        """Return code value and coding scheme of the first item of a code sequence."""
        code = scheme = ""
        pos = start + 8
        while pos + 8 <= end:
            tag, _, at, size = self.head(pos, end, explicit)
            if tag in (ITEM_END, SEQUENCE_END, ITEM) or size == UNDEFINED_LENGTH:
                break
            if tag in _CODE_VALUES:
                code = text_of(self.buf[at : at + size])
            elif tag == _SCHEME:
                scheme = text_of(self.buf[at : at + size])
            pos = at + size
        return code, scheme
