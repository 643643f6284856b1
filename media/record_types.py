"""Directory record types, their keys, and the SOP Classes they stand for, as the tables say (PS3.3 annex F).

The tables are rows in ``media/tables``; this module only reads them. A Storage SOP Class without a row has no
directory record and cannot go onto a medium. Type 1C keys are written when the instance has them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Source(StrEnum):
    """Where the value of a key comes from."""

    INSTANCE = ""
    NUMBERED = "numbered"  # the instance's; where it has none, the File-set's creator numbers the record
    CONCEPT_MODIFIERS = "concept modifiers"  # the HAS CONCEPT MOD items of the root of the content tree
    LATEST_VERIFICATION = "latest verification"  # the most recent of Verifying Observer Sequence


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute of a directory record. ``type`` is ``1``, ``1C`` or ``2``."""

    keyword: str
    tag: int
    vr: str
    type: str
    source: Source

    @property
    def name(self) -> str:
        """The attribute as a person looks it up: ``StudyDate (0008,0020)``."""
        return f"{self.keyword} ({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"


@dataclass(frozen=True, slots=True)
class RecordType:
    """A directory record type: its parent's name (empty for the root), File ID prefix, and keys by tag."""

    name: str
    parent: str
    prefix: str
    keys: tuple[Key, ...]


PATIENT, STUDY, SERIES = "PATIENT", "STUDY", "SERIES"


@cache
def record_types() -> dict[str, RecordType]:
    """Return every record type that a medium may have, by name."""
    keys: dict[str, list[Key]] = defaultdict(list)
    for record, keyword, kind, source in _rows("record_keys.csv"):
        tag = int(tag_for_keyword(keyword))
        keys[record].append(Key(keyword, tag, str(dictionary_VR(tag)), kind, Source(source)))
    return {
        record: RecordType(record, parent, prefix, tuple(sorted(keys[record], key=lambda key: key.tag)))
        for record, parent, prefix in _rows("record_types.csv")
    }


def record_type_of(sop_class_uid: str) -> RecordType | None:
    """Return the record type for instances of a SOP Class, or None when it has none."""
    name = _records_by_sop_class().get(sop_class_uid)
    return None if name is None else record_types()[name]


def levels_of(record: RecordType) -> tuple[RecordType, ...]:
    """Return the record types on the way from the root to ``record``, which is the last of them."""
    if not record.parent:
        return (record,)
    return (*levels_of(record_types()[record.parent]), record)


def sop_classes() -> tuple[str, ...]:
    """Return the SOP Classes whose instances can go onto a medium."""
    return tuple(_records_by_sop_class())


@cache
def key_tags() -> frozenset[int]:
    """Return the tags of all keys of all record types."""
    return frozenset(key.tag for record in record_types().values() for key in record.keys)


@cache
def _records_by_sop_class() -> dict[str, str]:
    return {uid: record for uid, _, record in _rows("sop_classes.csv")}


def _rows(name: str) -> Iterator[list[str]]:
    with files("media").joinpath("tables", name).open(encoding="ascii") as table:
        rows = csv.reader(table)
        next(rows)
        yield from rows
