"""Checking a medium from its own bytes, against what PDI and DICOM ask of it (PS3.3 F, PS3.10, PS3.11 D, IHE PDI).

The directory is compared with the files and the files with the directory; nothing the writer knew is used. Findings
name records by their number and attributes by their names, never a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from media.agreement import Above, further_than
from media.attributes import BINARY_VRS, Attributes, plain_name
from media.bare import lacks_preamble
from media.dicomdir import IN_USE, MEDIA_STORAGE_DIRECTORY
from media.directory import Directory, DirectoryRecord, read_directory
from media.errors import LabelFault, UnreadableInstance, UnreadableMedium
from media.files import MediumFiles, is_part_10, walk_medium
from media.fileset import is_legal_file_id, require_legal_fileset_id
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN, META_VERSION, Instance, read_instance
from media.layout import layout_faults
from media.links import Links, Tree
from media.profiles import Profile
from media.record_types import PATIENT, SERIES, STUDY, RecordType, Source, record_type_of, record_types
from media.records import key_value
from media.volume import Volume

_NAME = "PatientName"
_IDENTITY = {PATIENT: "PatientID", STUDY: "StudyInstanceUID", SERIES: "SeriesInstanceUID"}
# Retired, or not for interchange; their names are words of the standard and can be shown (PS3.3 F.5).
_NOT_USED = frozenset(
    {
        "VISIT",
        "RESULTS",
        "INTERPRETATION",
        "STUDY COMPONENT",
        "STORED PRINT",
        "TOPIC",
        "MRDR",
        "PRIVATE",
        "PRINT QUEUE",
    }
    | {
        "FILM SESSION",
        "FILM BOX",
        "IMAGE BOX",
        "OVERLAY",
        "CURVE",
        "MODALITY LUT",
        "VOI LUT",
        "HL7 STRUC DOC",
    }
)
# What is looked at record by record, and of that, what needs the record's file.
_BY_RECORD = ("records", "keys", "files", "instances", "agreement", "identity")
_BY_FILE = ("instances", "agreement", "identity")
CHECKS = {
    "dicomdir": "one DICOMDIR in the root, a Media Storage Directory in Explicit VR Little Endian, nothing beside it",
    "records": "records of allowed types, linked as a tree, each patient, study, series and instance once",
    "keys": "every record has its Type 1 keys and nothing private",
    "files": "every record's file is there under a legal File ID, and every DICOM file has a record",
    "instances": "the files are whole, agree with their File Meta Information, and have a syntax of the profile",
    "agreement": "records say what their files say, and nothing besides",
    "identity": "every instance says that the patient's identity was removed",
    "layout": "names, texts and pages are as PDI asks, and nothing starts by itself",
}
VOLUME = "an ISO 9660 level 1 volume with the name of the File-set, and nothing beside its primary volume"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``what`` says what was checked, what was found wrong, or why the check was not made."""

    name: str
    passed: bool
    what: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the checks of one medium gave. ``instances`` counts the files that records name and that were read."""

    passed: bool
    checks: list[Check]
    instances: int


@dataclass(frozen=True, slots=True, repr=False)
class Examined:
    """The report of one medium, and what a set of media is compared by."""

    report: CheckReport
    fileset_id: str
    identities: Mapping[str, frozenset[str]]
    """The UIDs and Patient IDs of the records, by their type; those of instances under ``instance``."""


def check_medium(medium: Path, *, profile: Profile = Profile.STD_GEN_CD) -> CheckReport:
    """Check the medium in a folder. Raises :class:`UnreadableMedium` when there is no folder."""
    return examine(medium, profile=profile).report


def examine(medium: Path, *, profile: Profile = Profile.STD_GEN_CD, volume: Volume | None = None) -> Examined:
    """Check the medium in a folder, and the ``volume`` that it came from, if that is an image.

    Raises :class:`UnreadableMedium` when there is no folder.
    """
    files = walk_medium(medium)
    checking = _Checking(files, profile)
    for fault in layout_faults(files):
        checking.fault("layout", fault)
    path = files.names.get(("DICOMDIR",))
    fileset_id = ""
    if path is None:
        checking.fault("dicomdir", "there is none")
        checking.cannot(_BY_RECORD, "there is no DICOMDIR")
    else:
        try:
            directory = read_directory(path)
            fileset_id = directory.fileset_id
            checking.check_directory(directory)
        except UnreadableMedium as fault:
            checking.fault("dicomdir", fault.what)
            checking.cannot(_BY_RECORD, "the DICOMDIR cannot be read to its end")
        checking.check_unrecorded(path)
    report = checking.report()
    if volume is not None:
        checks = [*report.checks, _check_volume(volume, fileset_id)]
        report = CheckReport(all(check.passed for check in checks), checks, report.instances)
    identities = {name: frozenset(found) for name, found in checking.identities.items()}
    return Examined(report, fileset_id, identities)


def _check_volume(volume: Volume, fileset_id: str) -> Check:
    found = [text if count == 1 else f"{text} ({count} times)" for text, count in volume.faults.items()]
    found += [f"there is {further}" for further in volume.further]
    if volume.volume_id != fileset_id:
        found.append("the volume identifier is not the File-set ID")
    return Check("volume", not found, "; ".join(found) or VOLUME)


@dataclass(slots=True, repr=False)
class _Checking:
    files: MediumFiles
    profile: Profile
    faults: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in CHECKS})
    identities: dict[str, set[str]] = field(default_factory=dict)
    by_offset: dict[int, tuple[str, str]] = field(default_factory=dict)
    above: dict[int, dict[str, str]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """Patient's Name in records of patients, and in files by their records."""
    recorded: set[Path] = field(default_factory=set)
    obstacles: dict[str, str] = field(default_factory=dict)
    upper: Above = field(default_factory=Above)
    unread: int = 0
    read: int = 0

    def fault(self, check: str, what: str) -> None:
        self.faults[check][what] += 1

    def cannot(self, checks: Sequence[str], why: str) -> None:
        """Say why checks cannot be made, or not of everything: then they do not pass."""
        for check in checks:
            self.obstacles.setdefault(check, f"not made: {why}")

    def report(self) -> CheckReport:
        if self.unread:
            files = (
                "1 file that a record names" if self.unread == 1 else f"{self.unread} files that records name"
            )
            self.cannot(_BY_FILE, f"{files} could not be read")
        elif not self.read:
            self.cannot(_BY_FILE, "no record names a file")
        checks = []
        for name, passed_text in CHECKS.items():
            found = self.faults[name]
            what = "; ".join(
                text if count == 1 else f"{text} ({count} times)" for text, count in found.items()
            )
            obstacle = self.obstacles.get(name, "")
            checks.append(Check(name, not found and not obstacle, what or obstacle or passed_text))
        return CheckReport(all(check.passed for check in checks), checks, self.read)

    def check_directory(self, directory: Directory) -> None:
        """Check the DICOMDIR, its records, and the file of each."""
        if directory.meta_version != META_VERSION:
            self.fault("dicomdir", "File Meta Information Version is not 00 01")
        if directory.sop_class_uid != MEDIA_STORAGE_DIRECTORY:
            self.fault("dicomdir", "the SOP Class is not Media Storage Directory")
        if directory.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN:
            self.fault("dicomdir", "the transfer syntax is not Explicit VR Little Endian")
        if directory.consistency:
            self.fault("dicomdir", "File-set Consistency Flag (0004,1212) is not 0000H")
        if directory.further:
            self.fault("dicomdir", "there is more before or behind the records than a DICOMDIR needs")
        try:
            require_legal_fileset_id(directory.fileset_id)
        except LabelFault as fault:
            self.fault("dicomdir", fault.what)
        links = Links()
        for record in directory.records():
            links.add(record)
            try:
                self._check_record(record)
            except UnreadableInstance as fault:
                self.fault("records", f"record {record.number} cannot be compared: {fault.what}")
        self._check_tree(links.follow(directory.first), directory)

    def check_unrecorded(self, dicomdir: Path) -> None:
        """Find the DICOM files that no record names."""
        for path in self.files.names.values():
            if path == dicomdir or path in self.recorded:
                continue
            if is_part_10(path):
                self.fault("files", "a DICOM file is named by no record")
            elif lacks_preamble(path):
                self.fault("files", "a file begins like an instance without preamble")

    def _check_record(self, record: DirectoryRecord) -> None:
        kind = record_types().get(record.type)
        if kind is None:
            named = f", {record.type}" if record.type in _NOT_USED else ""
            self.fault("records", f"record {record.number} is of a type that is not allowed{named}")
            return
        self.upper.take_record(record, kind)
        if record.in_use != IN_USE:
            self.fault("records", f"record {record.number} is not marked as in use")
        if record.attributes.has_private():
            self.fault("keys", f"record {record.number} ({kind.name}) has private elements")
        for key in kind.keys:
            if key.type == "1" and not key_value_of(record.attributes, key.tag, key.vr):
                self.fault("keys", f"record {record.number} ({kind.name}) has no {key.name}")
        identity = _IDENTITY.get(kind.name)
        value = record.attributes.text(identity) if identity else record.sop_instance_uid
        known = self.identities.setdefault(kind.name if identity else "instance", set())
        if value in known:
            self.fault("records", f"record {record.number} ({kind.name}) is there a second time")
        known.add(value)
        if identity:
            self.by_offset[record.offset] = (identity, value)
        if kind.name == PATIENT:
            self.names[record.offset] = record.attributes.text(_NAME)
        if record.file_id:
            self._check_file(record, kind)
        elif not identity:
            self.fault("files", f"record {record.number} ({kind.name}) names no file")

    def _check_file(self, record: DirectoryRecord, kind: RecordType) -> None:
        if not is_legal_file_id(record.file_id):
            self.fault("files", f"record {record.number} has a File ID that is not legal")
        path = self.files.names.get(record.file_id)
        if path is None:
            self.fault("files", f"the file of record {record.number} is not there")
            self.unread += 1
            return
        if path in self.recorded:
            self.fault("files", f"the file of record {record.number} has another record as well")
        self.recorded.add(path)
        try:
            instance = read_instance(path)
        except UnreadableInstance as fault:
            self.fault("instances", f"the file of record {record.number}: {fault.what}")
            self.unread += 1
            return
        self.read += 1
        self._check_instance(record, instance)
        self._check_agreement(record, kind, instance)

    def _check_instance(self, record: DirectoryRecord, instance: Instance) -> None:
        where = f"the file of record {record.number}"
        if instance.meta_version != META_VERSION:
            self.fault("instances", f"{where}: File Meta Information Version is not 00 01")
        if instance.meta_tells:
            self.fault("instances", f"{where}: File Meta Information tells more than the file needs")
        if not instance.preamble_is_zero:
            self.fault("instances", f"{where}: the preamble is not empty")
        if instance.meta_sop_class_uid != instance.sop_class_uid:
            self.fault("instances", f"{where}: (0002,0002) is not (0008,0016)")
        if instance.meta_sop_instance_uid != instance.sop_instance_uid:
            self.fault("instances", f"{where}: (0002,0003) is not (0008,0018)")
        if instance.transfer_syntax_uid not in self.profile.transfer_syntaxes:
            self.fault("instances", f"{where}: its transfer syntax is not allowed by {self.profile}")
        if not instance.identity_removed:
            self.fault("identity", f"{where}: Patient Identity Removed (0012,0062) is not YES")

    def _check_agreement(self, record: DirectoryRecord, kind: RecordType, instance: Instance) -> None:
        where = f"record {record.number} ({kind.name})"
        if record_type_of(instance.sop_class_uid) is not kind:
            self.fault("agreement", f"{where} is of the wrong type for its file's SOP Class")
        for what, said, true in (
            ("SOP Class", record.sop_class_uid, instance.sop_class_uid),
            ("SOP Instance", record.sop_instance_uid, instance.sop_instance_uid),
            ("transfer syntax", record.transfer_syntax_uid, instance.transfer_syntax_uid),
        ):
            if said != true:
                self.fault("agreement", f"{where} names another {what} than its file")
        for key in kind.keys:
            true_value = key_value(instance.attributes, key)
            if not true_value and key.type == "1":
                continue  # a number or date that the File-set's creator has put into the record
            if key.source is Source.INSTANCE or key.source is Source.NUMBERED:
                said_value = key_value(record.attributes, key)
            else:
                said_value = key_value_of(record.attributes, key.tag, key.vr)
                true_value = true_value if key.vr != "SQ" else b"1" * bool(true_value)
                said_value = said_value if key.vr != "SQ" else b"1" * bool(said_value)
            if said_value != true_value:
                self.fault("agreement", f"{where} has another {key.name} than its file")
        for name in further_than(record.attributes, kind, instance.path):
            self.fault("agreement", f"{where} has {name}, which its file does not hold likewise")
        self.upper.take_file(record.offset, instance.path, instance.attributes)
        self.above[record.offset] = {name: instance.attributes.text(name) for name in _IDENTITY.values()}
        self.names[record.offset] = instance.attributes.text(_NAME)

    def _check_tree(self, tree: Tree, directory: Directory) -> None:
        if tree.astray:
            self.fault("records", f"{tree.astray} links lead nowhere or in a circle")
        if tree.unreached:
            self.fault("records", f"{tree.unreached} records cannot be reached")
        roots = [offset for offset, parent in tree.parents.items() if not parent]
        if not roots or directory.last != roots[-1]:
            self.fault("records", "the offset of the last root record is wrong")
        if not self.identities.get(PATIENT):
            self.fault("records", "there is no PATIENT record")
        for offset in tree.parents:
            kind = record_types().get(tree.types[offset])
            if kind is not None and kind.parent != tree.type_above(offset):
                self.fault("records", f"a {kind.name} record is not below a {kind.parent or 'root'} record")
        for offset, held in self.above.items():
            for above in tree.above(offset):
                keyword, value = self.by_offset.get(above, ("", ""))
                if keyword and held[keyword] != value:
                    self.fault("agreement", f"a record is below another {keyword} than its file holds")
                if keyword == _IDENTITY[PATIENT] and _differ(self.names[offset], self.names[above]):
                    self.fault("agreement", f"a record is below another {_NAME} than its file holds")
        try:
            for one in self.upper.disagreements(tree):
                self.fault(
                    "agreement", f"a {one.record} record has a {one.attribute} that no file below it has"
                )
        except UnreadableInstance as fault:
            self.fault("agreement", f"records above instances cannot be compared: {fault.what}")


def _differ(name: str, other: str) -> bool:
    """Whether two names are there and are of two patients, as the writer tells them apart."""
    return bool(name and other) and plain_name(name) != plain_name(other)


def key_value_of(attributes: Attributes, tag: int, vr: str) -> bytes:
    """Return something for a key that a record holds, and nothing for one that it has not or has empty."""
    if vr == "SQ":
        return b"1" if attributes.items(tag) else b""
    return attributes.words(tag) if vr in BINARY_VRS else attributes.value(tag)
