"""Reading the DICOMDIR of any medium, record by record, without believing a word of it (PS3.3 annex F).

Records are read in the order in which they stand in the file, whatever the links between them say; following the
links is the checker's business. No path is made here: a File ID is a tuple of words until
:class:`media.files.MediumFiles` finds a file for it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.filereader import read_partial, read_sequence_item

from media.attributes import Attributes
from media.errors import UnreadableMedium
from media.instances import NEEDED_META
from media.measured import Measured

_RECORD_SEQUENCE = 0x00041220
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LARGEST_RECORD = 16 << 20
"""Bytes: more than any icon and any report's codes need."""
_END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"
_END_OF_SEQUENCE_BIG_ENDIAN = b"\xff\xfe\xe0\xdd\0\0\0\0"
_HEAD = frozenset(
    {
        *NEEDED_META,
        *(0x00041130, 0x00041141, 0x00041142, 0x00041200, 0x00041202, 0x00041212),
    }
)
"""What may stand before the records: File Meta Information, File-set identification, the offsets (PS3.3 F.3.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class DirectoryRecord:
    """One record as it stands: its place in the file and in the count, its links, its file, its keys."""

    number: int
    offset: int
    type: str
    next: int
    lower: int
    in_use: int
    file_id: tuple[str, ...] = field(repr=False)
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    attributes: Attributes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Directory:
    """What stands before the records of a DICOMDIR."""

    path: Path
    meta_version: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    fileset_id: str = field(repr=False)
    first: int
    last: int
    consistency: int
    """File-set Consistency Flag (0004,1212); -1 where there is none."""
    further: bool
    """Whether something stands in the preamble, before the records, or behind them, that no DICOMDIR needs."""

    def records(self) -> Iterator[DirectoryRecord]:
        """Yield the records one after the other. Raises :class:`UnreadableMedium` where they cannot be parsed."""
        with self.path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield from _records(Measured(file, _LARGEST_RECORD))
            except (
                Exception
            ) as fault:  # a broken DICOMDIR may break a parser anywhere; its text may quote values
                raise _unreadable(fault) from None


def read_directory(path: Path) -> Directory:
    """Read what stands before the records. Raises :class:`UnreadableMedium` when this is no DICOMDIR."""
    with warnings.catch_warnings():
        # pydicom's warnings quote values.
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file:
                beside = any(file.read(128))
                file.seek(0)
                measured = Measured(file, _LARGEST_RECORD)
                dataset = _head(measured)
                beside = beside or not _records_are_last(measured, dataset)
            meta = dataset.file_meta
            return Directory(
                path=path,
                meta_version=bytes(meta.get("FileMetaInformationVersion", b"")),
                sop_class_uid=str(meta.get("MediaStorageSOPClassUID", "")),
                sop_instance_uid=str(meta.get("MediaStorageSOPInstanceUID", "")),
                transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
                fileset_id=str(dataset.get("FileSetID") or ""),
                first=_number(dataset, "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity"),
                last=_number(dataset, "OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity"),
                consistency=_number(dataset, "FileSetConsistencyFlag", absent=-1),
                further=beside or any(int(tag) not in _HEAD for tag in (*meta.keys(), *dataset.keys())),
            )
        except Exception as fault:  # as above
            raise _unreadable(fault) from None


def _head(file: Measured) -> Any:
    source: Any = file
    return read_partial(source, stop_when=lambda tag, vr, length: tag >= _RECORD_SEQUENCE)


def _records_are_last(file: Measured, head: Any) -> bool:
    """Whether the file ends with its records."""
    length = _length_of_records(file, head)
    first, size = file.tell(), file.seek(0, os.SEEK_END)
    if length != _UNDEFINED_LENGTH:
        return first + (length or 0) == size
    file.seek(max(first, size - len(_END_OF_SEQUENCE)))
    end = file.read(len(_END_OF_SEQUENCE))
    return end == (_END_OF_SEQUENCE if head.is_little_endian else _END_OF_SEQUENCE_BIG_ENDIAN)


def _length_of_records(file: Measured, head: Any) -> int | None:
    """Read up to the first record; None where there are no records."""
    implicit, little_endian = head.is_implicit_VR, head.is_little_endian
    order: Any = "little" if little_endian else "big"
    start = file.read(8 if implicit else 12)
    if int.from_bytes(start[:2], order) != 4 or int.from_bytes(start[2:4], order) != 0x1220:
        return None
    return int.from_bytes(start[-4:], order)


def _records(file: Measured) -> Iterator[DirectoryRecord]:
    head = _head(file)
    implicit, little_endian = head.is_implicit_VR, head.is_little_endian
    length = _length_of_records(file, head)
    if length is None:
        return
    end = file.tell() + length
    number = 0
    while length == _UNDEFINED_LENGTH or file.tell() < end:
        offset = file.tell()
        file.begin()
        source: Any = file
        item = read_sequence_item(source, implicit, little_endian, "iso8859")
        if item is None:
            return
        number += 1
        yield _record(item, number, offset, big_endian=not little_endian)


def _record(item: Any, number: int, offset: int, *, big_endian: bool) -> DirectoryRecord:
    attributes = Attributes(item, big_endian)
    file_id = attributes.text("ReferencedFileID")
    return DirectoryRecord(
        number=number,
        offset=offset,
        type=attributes.text("DirectoryRecordType"),
        next=_number(item, "OffsetOfTheNextDirectoryRecord"),
        lower=_number(item, "OffsetOfReferencedLowerLevelDirectoryEntity"),
        in_use=_number(item, "RecordInUseFlag"),
        file_id=tuple(word.strip() for word in file_id.split("\\")) if file_id else (),
        sop_class_uid=attributes.text("ReferencedSOPClassUIDInFile"),
        sop_instance_uid=attributes.text("ReferencedSOPInstanceUIDInFile"),
        transfer_syntax_uid=attributes.text("ReferencedTransferSyntaxUIDInFile"),
        attributes=attributes,
    )


def _number(dataset: Any, keyword: str, *, absent: int = 0) -> int:
    value = dataset.get(keyword)
    return value if isinstance(value, int) else absent


def _unreadable(fault: Exception) -> UnreadableMedium:
    return UnreadableMedium(
        f"the DICOMDIR cannot be read ({type(fault).__name__})",
        next_step="read the medium without it: its files are then searched one by one",
    )
