"""Reading any vendor's media: every instance that can be read, and every deviation that was met (IHE PDI, RAD-47).

::

    discs ──▶ DICOMDIR of each: the files that it names ──▶ instances, each once
          ──▶ all other files that are DICOM ───────────▶ (and what could not be taken, with its reason)

Nothing on a medium is believed: files are found by walking, records only say which of them belong to the File-set,
and what a record says of a file is compared with the file. Whether an instance may come in is not decided here;
those that do not say Patient Identity Removed are marked.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from media.agreement import Above
from media.bare import data_set_digest, lacks_preamble
from media.dicomdir import IN_USE, MEDIA_STORAGE_DIRECTORY
from media.directory import Directory, DirectoryRecord, read_directory
from media.errors import UnreadableInstance, UnreadableMedium
from media.files import MediumFiles, is_part_10, walk_medium
from media.fileset import is_legal_file_id
from media.instances import Instance, read_instance
from media.links import Links
from media.record_types import PATIENT, record_type_of, record_types

DICOMDIR = ("DICOMDIR",)


@dataclass(frozen=True, slots=True)
class MediumInstance:
    """One instance of a medium. ``recorded`` tells whether the DICOMDIR names its file."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    identity_removed: bool
    recorded: bool
    disc: int
    """Which of the media it is on, from 1."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is an instance, or should be, and could not be taken. ``path`` may hold what a stranger wrote."""

    path: Path = field(repr=False)
    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class MediumContents:
    """The instances of media, in the order of their directories, and the deviations, one sentence each."""

    instances: list[MediumInstance]
    deviations: list[str]
    left_out: list[LeftOut]


def read_medium(*media: Path) -> MediumContents:
    """Read the medium in a folder, or several that belong together.

    Files that the DICOMDIR does not name are taken as well and reported; without a DICOMDIR, that is every file. An
    instance that is there twice with the same data set is taken once; with different ones, neither is.
    Raises :class:`UnreadableMedium` when there is no folder or not one instance in all of them.
    """
    taken = _Taken(len(media))
    for disc, medium in enumerate(media, start=1):
        files = walk_medium(medium)
        reading = _Reading(files, taken, disc)
        taken.note(files.irregular, "entries are links or devices and were left alone")
        taken.note(files.unreadable_folders, "folders cannot be opened")
        reading.take_recorded()
        reading.take_unrecorded()
    if not taken.instances:
        raise UnreadableMedium(
            "there is no readable DICOM instance here",
            next_step="see whether this is the folder of the medium",
        )
    instances = list(taken.instances.values())
    identified = sum(not instance.identity_removed for instance in instances)
    taken.note(identified, "instances do not say that the patient's identity was removed")
    discs_of: dict[str, set[int]] = {}
    for instance in instances:
        discs_of.setdefault(instance.study_uid, set()).add(instance.disc)
    taken.note(sum(len(discs) > 1 for discs in discs_of.values()), "studies are spread over several media")
    return MediumContents(instances, taken.deviations(), taken.left_out)


class _Taken:
    """What was taken from all media. Deviations are counted by kind, for a bad disc has thousands of one kind."""

    def __init__(self, media: int) -> None:
        self._several = media > 1
        self._single: list[str] = []
        self._counted: Counter[str] = Counter()
        self._digests: dict[str, bytes] = {}
        self._disputed: set[str] = set()
        self.instances: dict[str, MediumInstance] = {}
        self.left_out: list[LeftOut] = []

    def note(self, count: int, what: str) -> None:
        """Count a kind of deviation; ``what`` goes on from the number."""
        if count:
            self._counted[what] += count

    def say(self, disc: int, what: str) -> None:
        """Note what is said once of a medium."""
        self._single.append(f"medium {disc}: {what}" if self._several else what)

    def leave_out(self, path: Path, reason: str, what: str) -> None:
        self.left_out.append(LeftOut(path, reason, what))

    def deviations(self) -> list[str]:
        """Return what was noted, in the order of first meeting."""
        return self._single + [f"{count} {what}" for what, count in self._counted.items()]

    def take(self, found: MediumInstance) -> None:
        """Take an instance, or settle what becomes of one that is there already."""
        uid = found.sop_instance_uid
        if uid in self._disputed:
            self._dispute(found)
        elif (first := self.instances.get(uid)) is None:
            self.instances[uid] = found
        elif first.transfer_syntax_uid == found.transfer_syntax_uid and self._digest(
            first
        ) == data_set_digest(found.path):
            self.note(1, "instances are there a second time and were taken once")
        else:
            self._disputed.add(uid)
            del self.instances[uid]
            self._dispute(first)
            self._dispute(found)

    def _digest(self, first: MediumInstance) -> bytes:
        uid = first.sop_instance_uid
        if uid not in self._digests:
            self._digests[uid] = data_set_digest(first.path)
        return self._digests[uid]

    def _dispute(self, found: MediumInstance) -> None:
        self.note(1, "files have the SOP Instance UID of another with other content; none of them was taken")
        self.leave_out(found.path, "conflict", "another file has the same SOP Instance UID and other content")


class _Reading:
    """One medium, while it is read."""

    def __init__(self, files: MediumFiles, taken: _Taken, disc: int) -> None:
        self._files = files
        self._taken = taken
        self._disc = disc
        self._seen: set[Path] = set()
        self._count = 0

    def take_recorded(self) -> None:
        """Take the files that the DICOMDIR names."""
        path = self._files.find(DICOMDIR)
        if path is None:
            self._say("there is no DICOMDIR; all files were searched")
            return
        self._seen.add(path)
        try:
            directory = read_directory(path)
            if directory.sop_class_uid != MEDIA_STORAGE_DIRECTORY:
                self._say("the DICOMDIR is not a Media Storage Directory by its File Meta Information")
            self._take_records(directory)
        except UnreadableMedium as fault:
            self._say(f"{fault.what}; the files that it did not name so far were searched")

    def take_unrecorded(self) -> None:
        """Take the files that are left and are DICOM."""
        listed = bool(self._count)
        for name, path in self._files.names.items():
            if path in self._seen:
                continue
            if not is_part_10(path):
                if lacks_preamble(path):
                    self._note(1, "files begin like instances without preamble and were left alone")
                    self._taken.leave_out(path, "not-dicom", "no DICOM file: it has no preamble")
                continue
            if listed:
                self._note(1, "DICOM files are named by no record")
            if not is_legal_file_id(name):
                self._note(1, "names of DICOM files are not legal in a File-set")
            if len(name) == 1:
                self._note(1, "DICOM files lie in the root")
            self._take_file(path, recorded=False)

    def _say(self, what: str) -> None:
        self._taken.say(self._disc, what)

    def _note(self, count: int, what: str) -> None:
        self._taken.note(count, what)

    def _take_records(self, directory: Directory) -> None:
        links, above = Links(), Above()
        recorded: dict[int, str] = {}  # Patient ID by the offset of its record
        filed: dict[int, str] = {}  # Patient ID in the file, by the offset of the file's record
        for record in directory.records():
            links.add(record)
            kind = record_types().get(record.type)
            if kind is None:
                self._note(1, "records are of a type that is not allowed")
            else:
                above.take_record(record, kind)
            if record.type == PATIENT:
                recorded[record.offset] = record.attributes.text("PatientID")
            instance = self._take_record(record) if record.file_id else None
            if instance is not None:
                filed[record.offset] = instance.attributes.text("PatientID")
                with contextlib.suppress(UnreadableInstance):
                    above.take_file(record.offset, instance.path, instance.attributes)
        if not links.count:
            self._say("the DICOMDIR has no record")
            return
        tree = links.follow(directory.first)
        self._note(tree.astray, "links between records lead nowhere or in a circle")
        self._note(tree.unreached, "records cannot be reached by links")
        others = sum(
            any(recorded.get(above, patient_id) != patient_id for above in tree.above(offset))
            for offset, patient_id in filed.items()
        )
        self._note(others, "records stand below another Patient ID than their files hold")
        try:
            for one in above.disagreements(tree):
                self._note(1, f"{one.record} records have a {one.attribute} that no file below them has")
        except UnreadableInstance:
            self._say("the records above the instances could not be compared with the files")

    def _take_record(self, record: DirectoryRecord) -> Instance | None:
        if record.in_use != IN_USE:
            self._note(1, "records are marked as not in use")
        path = self._files.find(record.file_id)
        if path is None:
            self._note(1, "records name a file that is not on the medium")
            return None
        if path in self._seen:
            self._note(1, "records name a file that another record names as well")
            return None
        if record.file_id not in self._files.names:
            self._note(1, "records write a file's name otherwise: its case, version number or ending")
        if len(record.file_id) == 1:
            self._note(1, "DICOM files lie in the root")
        self._seen.add(path)
        instance = self._take_file(path, recorded=True)
        if instance is None:
            return None
        if (record.sop_class_uid, record.sop_instance_uid) != (
            instance.sop_class_uid,
            instance.sop_instance_uid,
        ):
            self._note(1, "records name another SOP Class or SOP Instance than their files")
        if record.transfer_syntax_uid != instance.transfer_syntax_uid:
            self._note(1, "records name another transfer syntax than their files")
        return instance

    def _take_file(self, path: Path, *, recorded: bool) -> Instance | None:
        try:
            instance = read_instance(path)
            if instance.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
                self._note(1, "further DICOMDIR files were left alone")
                return None
            if record_type_of(instance.sop_class_uid) is None:
                self._note(1, "instances are of a SOP Class that is not known here")
            self._count += 1
            self._taken.take(
                MediumInstance(
                    path=path,
                    sop_class_uid=instance.sop_class_uid,
                    sop_instance_uid=instance.sop_instance_uid,
                    transfer_syntax_uid=instance.transfer_syntax_uid,
                    patient_id=instance.attributes.text("PatientID"),
                    study_uid=instance.attributes.text("StudyInstanceUID"),
                    identity_removed=instance.identity_removed,
                    recorded=recorded,
                    disc=self._disc,
                )
            )
            return instance
        except UnreadableInstance as fault:
            self._note(1, f"DICOM files cannot be read: {fault.what}")
            self._taken.leave_out(path, fault.reason, fault.what)
        except OSError as fault:
            self._note(1, f"DICOM files cannot be read: {fault.strerror}")
            self._taken.leave_out(path, "unreadable", "the file cannot be read")
        return None
