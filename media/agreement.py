"""Do the records above instances say what the files below them hold (PS3.3 F.5)?

A DICOMDIR that was made before de-identification, or of other files, still names the patient beside files that no
longer do. So each value of a PATIENT, STUDY or SERIES record has to stand in at least one of the files below it, and
what a record holds beyond its keys has to stand in them too.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import dictionary_keyword

from media.attributes import BINARY_VRS, SPECIFIC_CHARACTER_SET, Attributes
from media.directory import DirectoryRecord
from media.errors import UnreadableInstance
from media.links import Tree
from media.record_types import PATIENT, SERIES, STUDY, Key, RecordType, record_types

_ABOVE = (PATIENT, STUDY, SERIES)
_ICON_IMAGE = 0x00880200
"""An icon is made of the pixels; no file holds it as its record does."""
_OF_THE_DIRECTORY = 0x0004


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A record above instances whose attribute none of the files below it holds as it does."""

    record: str
    attribute: str


@dataclass(frozen=True, slots=True, repr=False)
class _Said:
    """What one data set says under the keys of the records above, as bytes, and in which character set."""

    values: tuple[bytes, ...]
    charset: bytes


@dataclass(slots=True, repr=False)
class Above:
    """Takes records and files in any order; :meth:`disagreements` compares them once the tree is known.

    Files that say the same are kept as one, so that it needs memory by series rather than by instance.
    """

    _records: dict[int, tuple[RecordType, Attributes]] = field(default_factory=dict)
    _files: dict[int, _Said] = field(default_factory=dict)
    _first: dict[_Said, tuple[_Said, Path, Attributes]] = field(default_factory=dict)

    def take_record(self, record: DirectoryRecord, kind: RecordType) -> None:
        """Note a record that stands above instances; others are left to who reads their file."""
        if kind.name in _ABOVE:
            self._records[record.offset] = kind, record.attributes

    def take_file(self, offset: int, path: Path, attributes: Attributes) -> None:
        """Note what the file says that the record at ``offset`` names."""
        said = _Said(
            tuple(attributes.value(key.tag) for key in _keys_above()),
            attributes.value(SPECIFIC_CHARACTER_SET),
        )
        self._files[offset], _, _ = self._first.setdefault(said, (said, path, attributes))

    def disagreements(self, tree: Tree) -> Iterator[Disagreement]:
        """Yield what records above say and no file below them does, each once for its record.

        Raises :class:`UnreadableInstance` when a file cannot be read as far as the comparison needs.
        """
        below: dict[int, dict[_Said, None]] = defaultdict(dict)
        for offset, said in self._files.items():
            for above in tree.above(offset):
                below[above][said] = None
        for offset, (kind, attributes) in self._records.items():
            files = [self._first[said] for said in below.get(offset, ())]
            if not files:
                continue
            for at, key in enumerate(_keys_above()):
                if key in kind.keys and not _agrees(attributes, key, at, files):
                    yield Disagreement(kind.name, key.name)
            for name in further_than(attributes, kind, files[0][1]):
                yield Disagreement(kind.name, name)


def further_than(attributes: Attributes, kind: RecordType, file: Path) -> Iterator[str]:
    """Yield what a record holds beyond its keys and its file does not hold likewise. Private elements are told apart.

    Raises :class:`UnreadableInstance` when the file cannot be read as far as that.
    """
    keys = {key.tag for key in kind.keys} | {SPECIFIC_CHARACTER_SET, _ICON_IMAGE}
    further = [
        int(tag)
        for tag in attributes.dataset.keys()  # noqa: SIM118 - iterating over the data set itself would decode it
        if tag.group != _OF_THE_DIRECTORY and not tag.is_private and int(tag) not in keys
    ]
    if not further:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            held = dcmread(file, specific_tags=[*further, SPECIFIC_CHARACTER_SET], stop_before_pixels=True)
            unlike = [tag for tag in further if not _alike(attributes.dataset, held, tag)]
        except Exception as fault:  # a broken file may break a parser anywhere; its text may quote values
            raise UnreadableInstance(
                "malformed", f"a file breaks the parser ({type(fault).__name__})"
            ) from None
    for tag in unlike:
        yield f"{_keyword(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _keyword(tag: int) -> str:
    try:
        return str(dictionary_keyword(tag))
    except KeyError:
        return "an attribute"


def _alike(record: Any, file: Any, tag: int) -> bool:
    said = record[tag]
    if said.is_empty:
        return True
    return tag in file and bool(said.value == file[tag].value)


@cache
def _keys_above() -> tuple[Key, ...]:
    return tuple(
        key
        for name in _ABOVE
        for key in record_types()[name].keys
        if key.vr != "SQ" and key.vr not in BINARY_VRS
    )


def _agrees(attributes: Attributes, key: Key, at: int, files: list[tuple[_Said, Path, Attributes]]) -> bool:
    value = attributes.value(key.tag)
    held = {said.values[at] for said, _, _ in files}
    if value in held or (key.type == "1" and held == {b""}):
        return True  # or a number or date that the File-set's creator has put into the record
    # The same text may be written in another character set.
    return any(attributes.text(key.keyword) == file.text(key.keyword) for _, _, file in files)
