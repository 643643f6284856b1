"""Writing a DICOMDIR: the Basic Directory IOD, record by record, in one pass (PS3.3 annex F, PS3.10 section 8).

Records come depth first, each below its parent, and go to the file as they come; a link back is a number kept
until the end, and only records above the instances need one. Time is linear, memory is a few bytes a series.
What the records say is the business of :mod:`media.records`.

::

    PATIENT ── next ──────────────► PATIENT
      └ lower ► STUDY ── next ► STUDY
                  └ lower ► SERIES
                              └ lower ► IMAGE ► IMAGE ► SR DOCUMENT
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from media.errors import LabelFault
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN
from media.records import element

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
IMPLEMENTATION_CLASS_UID = "2.25.61548655792962955805138514890840808674"
IMPLEMENTATION_VERSION_NAME = "TCE_MEDIA"
IN_USE = 0xFFFF
_LARGEST_OFFSET = 0xFFFFFFFE
_NEXT, _LOWER = 16, 38  # where, in an encoded record, the two offsets stand


@dataclass(frozen=True, slots=True)
class ReferencedFile:
    """The file that a record stands for: File ID components, and what its File Meta Information says."""

    file_id: tuple[str, ...]
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One directory record: how deep it lies (0 is the root), its type, its encoded keys, the file if it has one."""

    level: int
    type: str
    body: bytes
    file: ReferencedFile | None = None


def write_dicomdir(out: Path, records: Iterable[Record], *, fileset_id: str, sop_instance_uid: str) -> None:
    """Write the DICOMDIR of a File-set to a new file.

    ``records`` come depth first. Raises :class:`LabelFault` when there is no record or the directory would pass the
    4 GB that its offsets can reach.
    """
    with out.open("xb") as file:
        file.write(_preamble_and_meta(sop_instance_uid))
        file.write(element(0x00041130, "CS", fileset_id.encode("ascii")))
        roots = file.tell() + 8
        file.write(element(0x00041200, "UL", bytes(4)) + element(0x00041202, "UL", bytes(4)))
        file.write(element(0x00041212, "US", bytes(2)))
        file.write(element(0x00041220, "SQ", b""))
        links = _write_records(file, records)
        if links.last_root == 0:
            raise LabelFault("a File-set without any directory record is not one")
        length = file.tell() - links.start
        patches = [
            *links.patches,
            (links.start - 4, length),
            (roots, links.start),
            (roots + 12, links.last_root),
        ]
        for place, value in patches:
            file.seek(place)
            file.write(struct.pack("<I", value))


@dataclass(slots=True)
class _Links:
    """Where the records begin and the last root record stands, and the numbers to put in afterwards."""

    start: int
    last_root: int
    patches: list[tuple[int, int]]


def _write_records(file: BinaryIO, records: Iterable[Record]) -> _Links:
    here = file.tell()
    links = _Links(here, 0, [])
    open_records: list[
        int
    ] = []  # the last record of each level on the way down, which may still get a sibling
    for record, following in _with_following(records):
        # A record's children follow it at once, and so does the sibling of one without children.
        next_level = -1 if following is None else following.level
        encoded = _encoded(record)
        end = here + len(encoded)
        if end > _LARGEST_OFFSET:
            raise LabelFault(
                "the DICOMDIR would be larger than 4 GB", next_step="write the instances to several media"
            )
        sibling = end if next_level == record.level else 0
        child = end if next_level > record.level else 0
        struct.pack_into("<I", encoded, _NEXT, sibling)
        struct.pack_into("<I", encoded, _LOWER, child)
        file.write(encoded)
        if record.level < len(open_records):
            earlier = open_records[record.level]
            links.patches.append((earlier + _NEXT, here))
        del open_records[record.level :]
        if child:
            open_records.append(here)
        if record.level == 0:
            links.last_root = here
        here = end
    return links


def _with_following(records: Iterable[Record]) -> Iterator[tuple[Record, Record | None]]:
    current: Record | None = None
    for record in records:
        if current is not None:
            yield current, record
        current = record
    if current is not None:
        yield current, None


def _encoded(record: Record) -> bytearray:
    """Encode a record whose two offsets are still 0."""
    content = bytearray()
    content += element(0x00041400, "UL", bytes(4))
    content += element(0x00041410, "US", struct.pack("<H", IN_USE))
    content += element(0x00041420, "UL", bytes(4))
    content += element(0x00041430, "CS", record.type.encode("ascii"))
    if record.file is not None:
        content += element(0x00041500, "CS", "\\".join(record.file.file_id).encode("ascii"))
        content += element(0x00041510, "UI", record.file.sop_class_uid.encode("ascii"))
        content += element(0x00041511, "UI", record.file.sop_instance_uid.encode("ascii"))
        content += element(0x00041512, "UI", record.file.transfer_syntax_uid.encode("ascii"))
    content += record.body
    return bytearray(b"\xfe\xff\x00\xe0") + struct.pack("<I", len(content)) + content


def _preamble_and_meta(sop_instance_uid: str) -> bytes:
    meta = (
        element(0x00020001, "OB", b"\0\1")
        + element(0x00020002, "UI", MEDIA_STORAGE_DIRECTORY.encode("ascii"))
        + element(0x00020003, "UI", sop_instance_uid.encode("ascii"))
        + element(0x00020010, "UI", EXPLICIT_VR_LITTLE_ENDIAN.encode("ascii"))
        + element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode("ascii"))
        + element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"))
    )
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta
