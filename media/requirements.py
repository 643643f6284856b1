"""What an instance must hold to go onto a medium: the Type 1 keys of its directory records (PS3.3 annex F).

A policy that empties such a key makes data that no medium can take; whoever approves the policy can ask here
before the first export. Numbers are no obstacle: the creator of a File-set assigns them where they are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from media.record_types import Key, RecordType, Source, levels_of, record_type_of


@dataclass(frozen=True, slots=True)
class MissingKey:
    """One key that a directory record needs and an instance has not. ``assignable`` keys hinder nothing."""

    record: str
    key: Key

    @property
    def assignable(self) -> bool:
        """Whether the creator of the File-set may number it."""
        return self.key.source is Source.NUMBERED


def required_keys(sop_class_uid: str) -> tuple[tuple[RecordType, Key], ...]:
    """Return the Type 1 keys of all records above and of an instance of this SOP Class.

    Empty when the SOP Class has no directory record at all; see :func:`media.record_types.record_type_of`.
    """
    record = record_type_of(sop_class_uid)
    if record is None:
        return ()
    return tuple((level, key) for level in levels_of(record) for key in level.keys if key.type == "1")


def missing(ds: Any) -> list[MissingKey]:
    """Return the Type 1 keys that a pydicom data set lacks or has empty, from PATIENT down to its own record."""
    sop_class_uid = str(ds.get("SOPClassUID", ""))
    return [
        MissingKey(level.name, key)
        for level, key in required_keys(sop_class_uid)
        if key.keyword not in ds or ds[key.keyword].is_empty
    ]
