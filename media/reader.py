"""Reading any vendor's medium: every instance that can be read, and every deviation that was met (IHE PDI, RAD-47).

Nothing on a medium is believed: files are found by walking, records only say which of them belong to the File-set,
and what a record says of a file is compared with the file. Whether an instance may come in is not decided here;
those that do not say Patient Identity Removed are marked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from media.dicomdir import IN_USE, MEDIA_STORAGE_DIRECTORY
from media.directory import Directory, DirectoryRecord, read_directory
from media.errors import UnreadableInstance, UnreadableMedium
from media.files import MediumFiles, is_part_10, walk_medium
from media.instances import Instance, read_instance
from media.links import Links
from media.record_types import PATIENT, record_type_of

DICOMDIR = ("DICOMDIR",)


@dataclass(frozen=True, slots=True)
class MediumInstance:
    """One instance of a medium. ``recorded`` tells whether the DICOMDIR names its file."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    patient_id: str = field(repr=False)
    identity_removed: bool
    recorded: bool


@dataclass(frozen=True, slots=True)
class MediumContents:
    """The instances of a medium, in the order of its directory, and the deviations, one sentence each."""

    instances: list[MediumInstance]
    deviations: list[str]


def read_medium(medium: Path) -> MediumContents:
    """Read the medium in a folder.

    Files that the DICOMDIR does not name are taken as well and reported; without a DICOMDIR, that is every file.
    Raises :class:`UnreadableMedium` when there is no folder or not one instance in it.
    """
    files = walk_medium(medium)
    reading = _Reading(files)
    reading.note(files.irregular, "entries are links or devices and were left alone")
    reading.note(files.unreadable_folders, "folders cannot be opened")
    reading.take_recorded()
    reading.take_unrecorded()
    if not reading.instances:
        raise UnreadableMedium(
            "there is no readable DICOM instance here",
            next_step="see whether this is the folder of the medium",
        )
    identified = sum(not instance.identity_removed for instance in reading.instances)
    reading.note(identified, "instances do not say that the patient's identity was removed")
    return MediumContents(reading.instances, reading.deviations())


class _Reading:
    """What has been read so far. Deviations are counted by kind, for a bad disc has thousands of one kind."""

    def __init__(self, files: MediumFiles) -> None:
        self._files = files
        self._seen: set[Path] = set()
        self._uids: set[str] = set()
        self._single: list[str] = []
        self._counted: Counter[str] = Counter()
        self.instances: list[MediumInstance] = []

    def note(self, count: int, what: str) -> None:
        """Count a kind of deviation; ``what`` goes on from the number."""
        if count:
            self._counted[what] += count

    def deviations(self) -> list[str]:
        """Return what was noted, in the order of first meeting."""
        return self._single + [f"{count} {what}" for what, count in self._counted.items()]

    def take_recorded(self) -> None:
        """Take the files that the DICOMDIR names."""
        path = self._files.find(DICOMDIR)
        if path is None:
            self._single.append("there is no DICOMDIR; all files were searched")
            return
        self._seen.add(path)
        try:
            directory = read_directory(path)
            if directory.sop_class_uid != MEDIA_STORAGE_DIRECTORY:
                self._single.append(
                    "the DICOMDIR is not a Media Storage Directory by its File Meta Information"
                )
            self._take_records(directory)
        except UnreadableMedium as fault:
            self._single.append(f"{fault.what}; the files that it did not name so far were searched")

    def take_unrecorded(self) -> None:
        """Take the files that are left and are DICOM."""
        listed = bool(self.instances)
        for path in self._files.names.values():
            if path in self._seen or not is_part_10(path):
                continue
            if listed:
                self.note(1, "DICOM files are named by no record")
            self._take_file(path, recorded=False)

    def _take_records(self, directory: Directory) -> None:
        links = Links()
        recorded: dict[int, str] = {}  # Patient ID by the offset of its record
        filed: dict[int, str] = {}  # Patient ID in the file, by the offset of the file's record
        for record in directory.records():
            links.add(record)
            if record.type == PATIENT:
                recorded[record.offset] = record.attributes.text("PatientID")
            instance = self._take_record(record) if record.file_id else None
            if instance is not None:
                filed[record.offset] = instance.attributes.text("PatientID")
        if not links.count:
            self._single.append("the DICOMDIR has no record")
            return
        tree = links.follow(directory.first)
        self.note(tree.astray, "links between records lead nowhere or in a circle")
        self.note(tree.unreached, "records cannot be reached by links")
        others = sum(
            any(recorded.get(above, patient_id) != patient_id for above in tree.above(offset))
            for offset, patient_id in filed.items()
        )
        self.note(others, "records stand below another Patient ID than their files hold")

    def _take_record(self, record: DirectoryRecord) -> Instance | None:
        if record.in_use != IN_USE:
            self.note(1, "records are marked as not in use")
        path = self._files.find(record.file_id)
        if path is None:
            self.note(1, "records name a file that is not on the medium")
            return None
        if path in self._seen:
            self.note(1, "records name a file that another record names as well")
            return None
        self._seen.add(path)
        instance = self._take_file(path, recorded=True)
        if instance is None:
            return None
        if (record.sop_class_uid, record.sop_instance_uid) != (
            instance.sop_class_uid,
            instance.sop_instance_uid,
        ):
            self.note(1, "records name another SOP Class or SOP Instance than their files")
        if record.transfer_syntax_uid != instance.transfer_syntax_uid:
            self.note(1, "records name another transfer syntax than their files")
        return instance

    def _take_file(self, path: Path, *, recorded: bool) -> Instance | None:
        try:
            instance = read_instance(path)
        except UnreadableInstance as fault:
            self.note(1, f"DICOM files cannot be read: {fault.what}")
            return None
        if instance.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
            self.note(1, "further DICOMDIR files were left alone")
            return None
        if record_type_of(instance.sop_class_uid) is None:
            self.note(1, "instances are of a SOP Class that is not known here")
        if instance.sop_instance_uid in self._uids:
            self.note(1, "instances are there a second time and were taken once")
            return instance
        self._uids.add(instance.sop_instance_uid)
        found = MediumInstance(
            path=path,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            patient_id=instance.attributes.text("PatientID"),
            identity_removed=instance.identity_removed,
            recorded=recorded,
        )
        self.instances.append(found)
        return instance
