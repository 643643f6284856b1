"""A DICOM file as it is encoded: every element of every level with its place in the bytes, and every fault.

    preamble │ File Meta Information │ elements, items, fragments

What :mod:`policies.parsing` reads and all of the verification looks at. Large values are not copied: an element knows
where its value lies. It judges no value; that is :mod:`policies.conformity` and :mod:`policies.expected`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Octets = bytes | mmap.mmap

IMPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)

Step = tuple[int, int]
Path_ = tuple[int, ...]


class Fault(NamedTuple):
    """Something that the encoding forbids. ``steps`` lead to it: tags, with the number of an item or 0."""

    code: str
    steps: tuple[Step, ...]
    what: str

    @property
    def kind(self) -> tuple[str, Path_]:
        """What makes two faults the same fault, whatever items they lie in."""
        return self.code, tuple(tag for tag, _ in self.steps)


@dataclass(slots=True)
class Element:
    """One element. ``start`` and ``length`` place its value; ``items`` are the levels of a sequence."""

    tag: int
    vr: str
    start: int
    length: int
    data: Octets = field(repr=False)
    items: list[Level] | None = field(default=None, repr=False)
    fragments: list[tuple[int, int]] | None = field(default=None, repr=False)

    def raw(self) -> bytes:
        """Return the bytes of the value."""
        return self.data[self.start : self.start + self.length]

    def text(self) -> str:
        """Return the value as ISO 8859-1 without its padding: enough for all that is of the default repertoire."""
        return self.raw().decode("latin-1").strip("\0 ")

    def texts(self) -> list[str]:
        """Return the parts of a value that backslashes divide, each without padding; none for an empty value."""
        text = self.text()
        return [part.strip("\0 ") for part in text.split("\\")] if text else []

    @property
    def private(self) -> bool:
        """Whether its group is odd."""
        return bool(self.tag >> 16 & 1)


Level = dict[int, Element]
"""The elements of a data set or of an item by tag. Of two with one tag the last counts, and there is a fault."""


@dataclass(slots=True, repr=False)
class Instance:
    """One file. ``faults`` says what the encoding forbids; an empty list is a well encoded file."""

    path: Path
    preamble: bytes
    meta: Level
    top: Level
    data: Octets = field(repr=False)
    big_endian: bool
    explicit: bool
    faults: list[Fault]
    doubles: list[tuple[tuple[Step, ...], Element]]
    _walked: list[tuple[tuple[Step, ...], Element, Level]] | None = field(default=None, repr=False)

    def elements(self) -> list[tuple[tuple[Step, ...], Element, Level]]:
        """Return every element of the data set as :func:`walk` yields it; walked once, since many ask."""
        if self._walked is None:
            self._walked = list(walk(self.top))
        return self._walked

    def text(self, tag: int) -> str:
        """Return the text of a top-level element, empty when it is not there."""
        element = self.top.get(tag)
        return element.text() if element is not None and element.items is None else ""

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax that the File Meta Information names."""
        return self.meta[0x00020010].text() if 0x00020010 in self.meta else ""

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""
        return self.text(0x00080016)

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID."""
        return self.text(0x00080018)

    @property
    def patient_id(self) -> str:
        """Patient ID."""
        return self.text(0x00100020)


def written(steps: tuple[Step, ...]) -> str:
    """Return a place as people read it: ``(0040,A730)[2]/(0040,A124)``."""
    return "/".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" + (f"[{n}]" if n else "") for tag, n in steps)


def walk(level: Level, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Element, Level]]:
    """Yield every element at every depth with the steps that lead to it and the level that it stands in."""
    for tag, element in level.items():
        yield (*steps, (tag, 0)), element, level
        for number, item in enumerate(element.items or (), start=1):
            yield from walk(item, (*steps, (tag, number)))


def creator_of(level: Level, element: Element) -> str:
    """Return the private creator that reserved the block in which a private element stands."""
    number = element.tag & 0xFFFF
    if number <= 0xFF:
        return ""
    reserved = level.get(element.tag & 0xFFFF0000 | number >> 8)
    return reserved.text() if reserved is not None else ""
