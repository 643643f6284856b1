"""The instances of a File-set to be, as patients, studies and series, with everything that speaks against them.

Instances come in any order; what comes out does not depend on it. Only keys are kept in memory; the records of the
instances wait in a temporary file, so that a hundred thousand of them need no more than their names.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from media.attributes import plain_name
from media.dicomdir import Record, ReferencedFile
from media.errors import Fault
from media.fileset import FILE_ID_ROOT, component
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN, Instance
from media.profiles import Handling
from media.record_types import PATIENT, SERIES, STUDY, Key, RecordType, Source, record_type_of, record_types
from media.records import Body, body_of

_LAST = 1 << 62
_TEXTS = {
    PATIENT: ("PatientID", "PatientName"),
    STUDY: ("StudyDate", "StudyTime", "StudyID", "StudyDescription", "StudyInstanceUID"),
    SERIES: ("Modality", "SeriesNumber", "SeriesDescription", "SeriesInstanceUID"),
}
_IDENTITY = {PATIENT: 0x00100020, STUDY: 0x0020000D, SERIES: 0x0020000E}
_PATIENT_NAME = 0x00100010


@dataclass(slots=True, repr=False)
class Entry:
    """One instance that goes onto the medium."""

    path: Path
    size: int
    record: RecordType
    handling: Handling
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    number: int
    body_place: tuple[int, int]
    gap: tuple[int, Key] | None

    @property
    def number_shown(self) -> str:
        """The Instance Number for people; empty when there is none."""
        return "" if self.number == _LAST else str(self.number)


@dataclass(slots=True, repr=False)
class Node:
    """One patient, study or series. ``representative`` is the UID of the instance that its record is taken from."""

    record: RecordType
    identity: bytes
    body: Body
    representative: str
    source: Path
    texts: dict[str, str]
    parent: Node | None = None
    known_name: str = ""
    children: dict[bytes, Node] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def order(self) -> tuple[object, ...]:
        """What its place among its siblings depends on."""
        if self.record.name == SERIES:
            return (_number(self.texts["SeriesNumber"]), self.identity)
        if self.record.name == STUDY:
            return (self.texts["StudyDate"], self.texts["StudyTime"], self.identity)
        return (self.identity,)


class Hierarchy:
    """Takes instances in with :meth:`add`, and gives the faults, the files and the records back in order.

    ``bodies`` is an empty binary file, open for reading and writing, for the keys of the instances' records.
    """

    def __init__(self, bodies: IO[bytes], *, date_if_missing: str = "") -> None:
        self._date_if_missing = date_if_missing
        self._bodies = bodies
        self._end = 0
        self._faults: list[Fault] = []
        self._by_uid: dict[str, Entry] = {}
        self._nodes: dict[tuple[str, bytes], Node] = {}
        self._roots: dict[bytes, Node] = {}
        self._root_entries: list[Entry] = []

    def add(self, instance: Instance, handling: Handling) -> None:
        """Take an instance in. A byte-identical double of an earlier one counts once; any other is a fault."""
        record = record_type_of(instance.sop_class_uid)
        if record is None:
            what = "the SOP Class has no directory record in this edition of the standard"
            self._fault(instance, what, "leave these instances out of the medium")
            return
        earlier = self._by_uid.get(instance.sop_instance_uid)
        if earlier is not None:
            if not filecmp.cmp(earlier.path, instance.path, shallow=False):
                what = "another instance with the same SOP Instance UID but other content is there"
                self._fault(instance, what, "decide which of the two is right and give only that one")
            return
        series: Node | None = None
        if record.parent:
            series = self._place(instance)
            if series is None:
                return
        entry = self._entry(instance, record, handling)
        self._by_uid[entry.sop_instance_uid] = entry
        (self._root_entries if series is None else series.entries).append(entry)

    def faults(self) -> list[Fault]:
        """Return everything that speaks against writing, missing keys of the upper records included."""
        faults = list(self._faults)
        for node in self._nodes.values():
            # Its record is taken from the instance that lacks least: what that lacks, all of them lack.
            hindering = _hindering(node.body)
            paths = [entry.path for entry in _below(node)] if hindering else []
            faults += [
                _missing(path, node.record, key) for key in hindering for path in paths or [node.source]
            ]
        return faults

    @property
    def entries(self) -> Iterable[Entry]:
        """All instances, in the order in which they came."""
        return self._by_uid.values()

    def part(self, studies: Iterable[Node], *, first: bool) -> Hierarchy:
        """Return a File-set to be of some studies alone, and of what belongs to no patient if it is the first."""
        part = Hierarchy(self._bodies, date_if_missing=self._date_if_missing)
        for study in studies:
            assert study.parent is not None
            identity = study.parent.identity
            patient = part._roots.get(identity)
            if patient is None:
                patient = replace(study.parent, children={})
                part._roots[identity] = part._nodes[PATIENT, identity] = patient
            patient.children[study.identity] = part._nodes[STUDY, study.identity] = study
            for series in study.children.values():
                part._nodes[SERIES, series.identity] = series
                part._by_uid |= {entry.sop_instance_uid: entry for entry in series.entries}
        if first:
            part._root_entries = self._root_entries
            part._by_uid |= {entry.sop_instance_uid: entry for entry in self._root_entries}
        return part

    @property
    def sop_instance_uids(self) -> list[str]:
        """The SOP Instance UIDs of all instances taken in."""
        return list(self._by_uid)

    def count(self, record: str) -> int:
        """Return how many PATIENT, STUDY or SERIES records there are."""
        return sum(name == record for name, _ in self._nodes)

    @property
    def root_entries(self) -> list[Entry]:
        """The instances that belong to no patient."""
        return list(self._root_entries)

    def numbered(self) -> int:
        """Return how many records get a number that their instances have not."""
        bodies = [node.body.gap for node in self._nodes.values()]
        return sum(gap is not None for gap in [*bodies, *(entry.gap for entry in self._by_uid.values())])

    def patients(self) -> list[Node]:
        """Return the patients in order; :func:`in_order` does the same below them."""
        return in_order(self._roots)

    def files(self) -> Iterator[tuple[Entry, tuple[str, ...]]]:
        """Yield each instance with the File ID that it gets, in the order of the records."""
        for level in self._walk():
            if isinstance(level[1], Entry):
                yield level[1], level[2]

    def records(self) -> Iterator[Record]:
        """Yield the directory records, depth first."""
        for depth, what, file_id, ordinal in self._walk():
            if isinstance(what, Node):
                yield Record(depth, what.record.name, what.body.numbered(ordinal))
                continue
            start, length = what.body_place
            self._bodies.seek(start)
            body = Body(self._bodies.read(length), gap=what.gap).numbered(ordinal)
            syntax = what.transfer_syntax_uid
            file = ReferencedFile(file_id, what.sop_class_uid, what.sop_instance_uid, syntax)
            yield Record(depth, what.record.name, body, file)

    def _walk(self) -> Iterator[tuple[int, Node | Entry, tuple[str, ...], int]]:
        """Yield depth, what is there, its File ID or folder, and its ordinal among its siblings; depth first."""
        top = (FILE_ID_ROOT,)
        for number, patient in enumerate(self.patients(), 1):
            yield from self._walk_node(0, patient, top, number)
        for number, entry in enumerate(sorted(self._root_entries, key=_entry_order), 1):
            yield 0, entry, (*top, component(entry.record.prefix, number)), number

    def _walk_node(
        self, depth: int, node: Node, above: tuple[str, ...], ordinal: int
    ) -> Iterator[tuple[int, Node | Entry, tuple[str, ...], int]]:
        folder = (*above, component(node.record.prefix, ordinal))
        yield depth, node, folder, ordinal
        for number, child in enumerate(in_order(node.children), 1):
            yield from self._walk_node(depth + 1, child, folder, number)
        for number, entry in enumerate(sorted(node.entries, key=_entry_order), 1):
            yield depth + 1, entry, (*folder, component(entry.record.prefix, number)), number

    def _entry(self, instance: Instance, record: RecordType, handling: Handling) -> Entry:
        body = body_of(instance.attributes, record, date_if_missing=self._date_if_missing)
        self._faults += [_missing(instance.path, record, key) for key in _hindering(body)]
        self._bodies.write(body.data)
        place = (self._end, len(body.data))
        self._end += len(body.data)
        rewritten = handling is Handling.REWRITE
        return Entry(
            path=instance.path,
            size=instance.size,
            record=record,
            handling=handling,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN if rewritten else instance.transfer_syntax_uid,
            number=_number(instance.attributes.text("InstanceNumber")),
            body_place=place,
            gap=body.gap,
        )

    def _place(self, instance: Instance) -> Node | None:
        """Find or make the patient, study and series of an instance; None when it cannot belong to one."""
        levels = [record_types()[name] for name in (PATIENT, STUDY, SERIES)]
        identities = [instance.attributes.value(_IDENTITY[level.name]) for level in levels]
        absent = [level for level, identity in zip(levels, identities, strict=True) if not identity]
        for level in absent:
            key = next(key for key in level.keys if key.tag == _IDENTITY[level.name])
            self._faults.append(_missing(instance.path, level, key))
        if absent:
            return None
        node: Node | None = None
        for level, identity in zip(levels, identities, strict=True):
            above, node = node, self._nodes.get((level.name, identity))
            if node is None:
                node = self._new_node(instance, level, identity, above)
            elif node.parent is not above:
                whose, owner = (STUDY, PATIENT) if level.name == STUDY else (SERIES, STUDY)
                what = f"one {whose} belongs to two of the {owner} level"
                self._fault(instance, what, "give each study one patient and each series one study")
                return None
            self._improve(node, instance)
        return node

    def _new_node(self, instance: Instance, record: RecordType, identity: bytes, above: Node | None) -> Node:
        body = body_of(instance.attributes, record, date_if_missing=self._date_if_missing)
        uid, path = instance.sop_instance_uid, instance.path
        node = Node(record, identity, body, uid, path, _texts(instance, record), above)
        self._nodes[record.name, identity] = node
        (self._roots if above is None else above.children)[identity] = node
        return node

    def _improve(self, node: Node, instance: Instance) -> None:
        """Let the record be taken from the instance that lacks least of it, of those the one with the first UID."""
        if node.record.name == PATIENT:
            self._refuse_two_names(node, instance)
        if not node.body.missing and node.representative <= instance.sop_instance_uid:
            return
        body = body_of(instance.attributes, node.record, date_if_missing=self._date_if_missing)
        offered = (len(body.missing), instance.sop_instance_uid)
        if offered < (len(node.body.missing), node.representative):
            node.body, node.representative, node.source = body, instance.sop_instance_uid, instance.path
            node.texts = _texts(instance, node.record)

    def _refuse_two_names(self, node: Node, instance: Instance) -> None:
        known, name = node.known_name, instance.attributes.text("PatientName")
        if known and name and plain_name(known) != plain_name(name):
            what = "one Patient ID goes with two Patient's Names: two patients stay two"
            self._fault(instance, what, "give each patient a Patient ID of his own")
        node.known_name = known or name

    def _fault(self, instance: Instance, what: str, next_step: str) -> None:
        record = record_type_of(instance.sop_class_uid)
        self._faults.append(Fault(instance.path, what, next_step, "" if record is None else record.name))


def _below(node: Node) -> Iterator[Entry]:
    yield from node.entries
    for child in node.children.values():
        yield from _below(child)


def in_order(nodes: dict[bytes, Node]) -> list[Node]:
    """Return nodes of one level in their order on the medium."""
    return sorted(nodes.values(), key=lambda node: node.order)


def _entry_order(entry: Entry) -> tuple[int, str]:
    return (entry.number, entry.sop_instance_uid)


def _number(text: str) -> int:
    """Return a number to sort by; what has none comes last."""
    try:
        return int(text)
    except ValueError:
        return _LAST


def _texts(instance: Instance, record: RecordType) -> dict[str, str]:
    return {keyword: instance.attributes.text(keyword) for keyword in _TEXTS[record.name]}


def _hindering(body: Body) -> list[Key]:
    return [key for key in body.missing if key.source is not Source.NUMBERED]


def _missing(path: Path, record: RecordType, key: Key) -> Fault:
    step = "let the policy keep, shift or replace these values, or hand in a date for them"
    if key.vr not in ("DA", "TM"):
        step = "let the policy keep or replace these values"
    return Fault(
        path, f"{key.name} of the {record.name} record is missing or empty", step, record.name, key.name
    )
