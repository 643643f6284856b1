"""Files that somebody wants to select, looked at one by one: an instance that can be sent, or set aside and why.

Only the header is read, and nothing is changed. Whether an instance may leave is not decided here; what could
not be completed as part of a selection (no DICOM, cut off, no UIDs, a SOP Class that is not the standard's)
is named, so that it does not hold up the others. Of a medium that is taken which its DICOMDIR names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from media.errors import UnreadableMedium
from media.measured import Measured
from media.recorded import is_directory_file, is_medium, recorded_files
from tce.documents.content import Reference
from tce.network.contexts import STORAGE_SOP_CLASSES
from tce.walking import files_under

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR: describes files, is none of them
_HEADER_END = 0x00204000  # the headers of Patient and General Study module end before Image Comments
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LARGEST_HEADER = 1 << 30


class NotSelected(NamedTuple):
    """A file that was not selected: which, why as a code, and why in words."""

    path: Path
    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance that can be selected. ``patient`` is Patient ID and issuer; date and modality are as it has them."""

    path: Path = field(repr=False)
    reference: Reference
    patient: tuple[str, str] = field(repr=False)
    study_date: str = field(default="", repr=False)
    modality: str = field(default="", repr=False)
    identity_removed: bool = False

    def header(self) -> Dataset:
        """Read Patient and General Study module: one a study is needed, so none is kept."""
        return dcmread(self.path, stop_before_pixels=True)[:_HEADER_END]


def examine(sources: Iterable[Path]) -> tuple[list[Candidate], list[NotSelected]]:
    """Look at every file below the sources, in an order that is the same everywhere.

    The same instance found twice is one candidate. A folder with a DICOMDIR is a medium: what that names is looked
    at, and nothing else. Raises TceError for a source that does not exist.
    """
    candidates: dict[str, Candidate] = {}
    set_aside: list[NotSelected] = []
    for path in _named_by(sources):
        found = path if isinstance(path, NotSelected) else _look_at(path)
        if isinstance(found, NotSelected):
            set_aside.append(found)
        elif found is not None:
            candidates.setdefault(found.reference.sop_instance_uid, found)
    return list(candidates.values()), set_aside


def by_patient(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Sort candidates by patient, since a manifest is of one."""
    patients: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        patients.setdefault(one.patient, []).append(one)
    return list(patients.values())


def _named_by(sources: Iterable[Path]) -> Iterator[Path | NotSelected]:
    """Yield what is to be looked at, and what a medium lacks."""
    for source in sources:
        medium = source.parent if source.is_file() and is_directory_file(source.name) else source
        if not (medium.is_dir() and is_medium(medium)):
            yield from files_under([source])
            continue
        try:
            recorded = recorded_files(medium)
        except UnreadableMedium as fault:
            yield NotSelected(medium / "DICOMDIR", "malformed", fault.what)
            continue
        yield from recorded.files
        for path in recorded.missing:
            yield NotSelected(path, "not-on-medium", "the DICOMDIR names it, and it is not there")


def _look_at(path: Path) -> Candidate | NotSelected | None:
    """Return a candidate, a file set aside, or None for a DICOMDIR."""
    try:
        with path.open("rb") as file:
            source: Any = Measured(file, _LARGEST_HEADER)
            ds = dcmread(source, stop_before_pixels=True)
            truncated = _is_truncated(ds, file)
        is_directory = ds.file_meta.get("MediaStorageSOPClassUID") == _MEDIA_DIRECTORY
        uids = [_text(ds, kw) for kw in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        sop_class_uid = _text(ds, "SOPClassUID")
        patient = _text(ds, "PatientID"), _text(ds, "IssuerOfPatientID")
        seen = _text(ds, "StudyDate"), _text(ds, "Modality"), ds.get("PatientIdentityRemoved") == "YES"
    except InvalidDicomError:
        return NotSelected(path, "not-dicom", "it is not a DICOM file")
    except Exception:  # what a broken file does to a parser is not foreseeable
        return NotSelected(path, "malformed", "it cannot be read to the end of its header")
    if is_directory:
        return None
    if truncated:
        return NotSelected(path, "truncated", "it ends in the middle of an element")
    if not uids[2]:
        return NotSelected(path, "no-sop-instance-uid", "it has no SOP Instance UID")
    if not all(uids):
        return NotSelected(path, "malformed", "it has no Study or Series Instance UID")
    if sop_class_uid not in STORAGE_SOP_CLASSES:
        reason = "private-sop-class" if UID(sop_class_uid).is_private else "unknown-sop-class"
        return NotSelected(path, reason, "its SOP Class is not one of the standard's Storage SOP Classes")
    return Candidate(path, Reference(uids[0], uids[1], sop_class_uid, uids[2]), patient, *seen)


def _text(ds: Dataset, keyword: str) -> str:
    """Return a value that is one text, empty where it is none or several."""
    value = ds.get(keyword)
    return str(value) if isinstance(value, str) else ""


def _is_truncated(ds: FileDataset, file: BinaryIO) -> bool:
    """Whether a file ends inside an element. ``file`` stands where reading stopped: at the pixel data or the end.

    Encapsulated pixel data, whose end only a delimiter marks, is left to whoever decodes it.
    """
    last = ds.get_item(max(ds.keys())) if len(ds) else None
    length, value = getattr(last, "length", 0), getattr(last, "value", None)
    if isinstance(value, bytes) and length != _UNDEFINED_LENGTH and len(value) < length:
        return True
    syntax = ds.file_meta.TransferSyntaxUID
    size = os.fstat(file.fileno()).st_size
    if syntax == DeflatedExplicitVRLittleEndian or file.tell() >= size:
        return False
    start, implicit = file.tell(), syntax.is_implicit_VR
    head = file.read(8 if implicit else 12)
    length = int.from_bytes(head[-4:], "little" if syntax.is_little_endian else "big")
    if len(head) < (8 if implicit else 12):
        return True
    return length != _UNDEFINED_LENGTH and start + len(head) + length > size
