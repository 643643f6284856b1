"""The data set of an instance without what lies before it: where it begins, its digest, a copy under a new head.

Preamble and File Meta Information tell who wrote and sent a file (PS3.10 section 7.1). A copy that comes from a medium
gets new ones; its data set is moved byte by byte.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from media.dicomdir import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from media.errors import UnreadableInstance
from media.instances import NEEDED_META

_LONG = frozenset({b"OB", b"OW", b"OD", b"OF", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_CHUNK = 1 << 20
_LONGEST_META = 1 << 16
_FIRST_ELEMENTS = frozenset(
    {(2, 0), (2, 1), (2, 2), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x12), (8, 0x16), (8, 0x18)}
)


def data_set_offset(file: BinaryIO) -> int:
    """Return where the data set of a Part 10 file begins. Raises :class:`UnreadableInstance`."""
    return _meta_of(file)[0]


def tells_more_than_needed(file: BinaryIO) -> bool:
    """Whether File Meta Information has more than the file needs. Raises :class:`UnreadableInstance`."""
    return not _meta_of(file)[1] <= NEEDED_META


def _meta_of(file: BinaryIO) -> tuple[int, set[int]]:
    """Return where File Meta Information ends, and the tags in it."""
    file.seek(0)
    head = file.read(_LONGEST_META)
    at = 132
    tags: set[int] = set()
    while head[at : at + 2] == b"\2\0":
        tags.add(0x00020000 + int.from_bytes(head[at + 2 : at + 4], "little"))
        vr = head[at + 4 : at + 6]
        if not vr.isalpha():
            break
        long = vr in _LONG
        at += (12 if long else 8) + int.from_bytes(
            head[at + 8 : at + 12] if long else head[at + 6 : at + 8], "little"
        )
    else:
        if 132 < at < len(head):
            return at, tags
    raise UnreadableInstance("malformed", "the File Meta Information of an instance cannot be read")


def data_set_digest(path: Path) -> bytes:
    """Return the SHA-256 of the data set alone."""
    with path.open("rb") as file:
        file.seek(data_set_offset(file))
        return hashlib.file_digest(file, "sha256").digest()


def copy_under_new_head(
    path: Path, out: Path, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
) -> None:
    """Copy an instance to a new file with an empty preamble and File Meta Information of this program."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    with path.open("rb") as reading, out.open("xb") as writing:
        copy_data_set(reading, writing, needed_meta(meta))


def needed_meta(meta: FileMetaDataset) -> FileMetaDataset:
    """Return File Meta Information of this program for the instance and transfer syntax that ``meta`` names."""
    needed = FileMetaDataset()
    needed.MediaStorageSOPClassUID = meta.MediaStorageSOPClassUID
    needed.MediaStorageSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    needed.TransferSyntaxUID = meta.TransferSyntaxUID
    needed.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    needed.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return needed


def copy_data_set(reading: BinaryIO, writing: BinaryIO, meta: FileMetaDataset) -> None:
    """Copy the data set of a Part 10 file behind an empty preamble and ``meta``."""
    offset = data_set_offset(reading)
    left = os.fstat(reading.fileno()).st_size - offset
    writing.write(bytes(128) + b"DICM")
    write_file_meta_info(writing, meta, enforce_standard=True)
    reading.seek(offset)
    while left and (chunk := reading.read(min(left, _CHUNK))):
        writing.write(chunk)
        left -= len(chunk)
    if left:
        raise UnreadableInstance("truncated", "a file became shorter while it was copied")


def lacks_preamble(path: Path) -> bool:
    """Whether a file begins like an instance whose preamble was left out: with one of the first elements of a data set.

    A guess, to tell a person of it; such a file is never taken for an instance.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    tag = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    short = (head[4:6].isalpha() and head[4:6].isupper()) or int.from_bytes(head[4:8], "little") <= 1024
    return len(head) == 12 and tag in _FIRST_ELEMENTS and short
