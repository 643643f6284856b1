"""Reading the header of one instance: File Meta Information and the attributes that directory records need.

Values stay bytes as far as possible, so that what is written into a record is what the file holds. Nothing is
trusted: whatever a file does to the parser becomes :class:`UnreadableInstance`. Pixel data is not read.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError

from media.attributes import Attributes
from media.errors import UnreadableInstance
from media.headers import Header, read_header
from media.measured import Measured, TooMuch
from media.record_types import key_tags

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
META_VERSION = b"\0\1"
_LARGEST_HEADER = 64 << 20
"""Bytes that are read of one instance before its pixel data, beside what is stepped over."""
NEEDED_META = frozenset(0x00020000 + element for element in (0x00, 0x01, 0x02, 0x03, 0x10, 0x12, 0x13))
"""What File Meta Information needs; all else tells who sent or received the file (PS3.10 section 7.1)."""
_BESIDE_KEYS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "PatientIdentityRemoved",
    "VerifyingObserverSequence",
    "SeriesDescription",
)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")
_UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, repr=False)
class Instance:
    """The header of one readable instance. UIDs are checked for form; ``attributes`` are those that records need."""

    path: Path = field(repr=False)
    size: int
    attributes: Attributes = field(repr=False)
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    meta_sop_class_uid: str
    meta_sop_instance_uid: str
    meta_version: bytes
    preamble_is_zero: bool
    meta_tells: bool
    """Whether File Meta Information has more than the file needs: who sent it, private information (PS3.15 E.1.1)."""

    @property
    def identity_removed(self) -> bool:
        """Whether the instance says Patient Identity Removed (0012,0062) is YES."""
        return self.attributes.text("PatientIdentityRemoved") == "YES"


def read_instance(path: Path) -> Instance:
    """Read the header of the instance in a file.

    Raises :class:`UnreadableInstance` for everything that is not a whole Part 10 file with a SOP Class UID, a SOP
    Instance UID and a Transfer Syntax UID.
    """
    try:
        header = read_header(path, _wanted())
        if header is not None and (instance := _of_header(path, header)) is not None:
            return instance
        with path.open("rb") as file, warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            return _parse(path, file)
    except UnreadableInstance:
        raise
    except TooMuch:
        raise UnreadableInstance("malformed", "the header of an instance is larger than any") from None
    except InvalidDicomError:
        raise UnreadableInstance("not-dicom", "a file is not DICOM Part 10") from None
    except OSError as fault:
        raise UnreadableInstance("unreadable", f"a file cannot be read: {fault.strerror}") from None
    except (
        Exception
    ) as fault:  # a hostile or broken file may break a parser anywhere; its text may quote values
        raise UnreadableInstance("malformed", f"a file breaks the parser ({type(fault).__name__})") from None


@cache
def _wanted() -> frozenset[int]:
    return key_tags() | {int(tag_for_keyword(keyword)) for keyword in _BESIDE_KEYS}


def _of_header(path: Path, header: Header) -> Instance | None:
    """Return the instance that the quick reader found; None when something of it is pydicom's to judge."""
    attributes = Attributes(elements=header.elements)
    uids = [_plain_uid(header.meta.get(tag, b"")) for tag in (0x00020002, 0x00020003, 0x00020010)]
    uids += [_plain_uid(header.elements.get(tag, (b"", b""))[1]) for tag in (0x00080016, 0x00080018)]
    if not all(uids):
        return None
    if not header.whole:
        raise UnreadableInstance("truncated", "an instance ends within its pixel data")
    meta_sop_class, meta_sop_instance, syntax, sop_class, sop_instance = uids
    return Instance(
        path=path,
        size=header.size,
        attributes=attributes,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        transfer_syntax_uid=syntax,
        meta_sop_class_uid=meta_sop_class,
        meta_sop_instance_uid=meta_sop_instance,
        meta_version=header.meta.get(0x00020001, b""),
        preamble_is_zero=not header.preamble.strip(b"\0"),
        meta_tells=not NEEDED_META.issuperset(header.meta),
    )


def _plain_uid(value: bytes) -> str:
    uid = value.rstrip(b"\0 ").decode("ascii", "replace")
    return uid if len(uid) <= 64 and _UID.fullmatch(uid) else ""


def _parse(path: Path, file: BinaryIO) -> Instance:
    preamble_is_zero = not any(file.read(128))
    file.seek(0)
    source: Any = Measured(file, _LARGEST_HEADER)
    dataset = dcmread(source, stop_before_pixels=True, specific_tags=sorted(_wanted()))
    size = os.fstat(file.fileno()).st_size
    if str(dataset.file_meta.get("TransferSyntaxUID", "")) != "1.2.840.10008.1.2.1.99":
        _refuse_truncated(file, size, explicit=not dataset.is_implicit_VR)
    return Instance(
        path=path,
        size=size,
        attributes=Attributes(dataset, big_endian=not dataset.is_little_endian),
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        transfer_syntax_uid=_uid(dataset.file_meta, "TransferSyntaxUID"),
        meta_sop_class_uid=str(dataset.file_meta.get("MediaStorageSOPClassUID", "")),
        meta_sop_instance_uid=str(dataset.file_meta.get("MediaStorageSOPInstanceUID", "")),
        meta_version=bytes(dataset.file_meta.get("FileMetaInformationVersion", b"")),
        preamble_is_zero=preamble_is_zero,
        meta_tells=any(int(tag) not in NEEDED_META for tag in dataset.file_meta.keys()),  # noqa: SIM118
    )


def _uid(dataset: Any, keyword: str) -> str:
    uid = str(dataset.get(keyword, ""))
    if not _UID.fullmatch(uid) or len(uid) > 64:
        raise UnreadableInstance("malformed", f"an instance has no legal {keyword}")
    return uid


def _refuse_truncated(file: BinaryIO, size: int, *, explicit: bool) -> None:
    """Compare the length of pixel data, before which the parser stopped, with what the file still holds.

    Big endian files are rewritten, hence read whole, and need no look ahead.
    """
    here = file.tell()
    head = file.read(12)
    if head[:4] not in _PIXEL_TAGS:
        return
    length = int.from_bytes(head[8:12] if explicit else head[4:8], "little")
    if length != _UNDEFINED_LENGTH and here + (12 if explicit else 8) + length > size:
        raise UnreadableInstance("truncated", "an instance ends within its pixel data")
