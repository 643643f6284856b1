"""Check de-identified instances from the outside: is this what the policy promises, and do references hold?

It reads the result with pydicom, never with the engine's reader, and asks :mod:`policies.expected` about every
element of every level. One finding holds the whole export (PS3.15 E.1.1; RAD-53). It does not know the original
values, which is the part of :mod:`policies.residue`, and it is no validator of IODs beyond Types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from policies.expected import Place, complaint_about, is_band
from policies.model import Dates, Policy
from policies.standard.tables import attribute_type

# The only elements that File Meta Information needs; others name who sent or received (PS3.15 E.1.1).
_META = {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}
_TEMPORAL = {Dates.REMOVE: "REMOVED", Dates.SHIFT: "MODIFIED", Dates.KEEP: "UNMODIFIED"}
_SUBJECT_AGE = {("121033", "DCM"), ("30525-0", "LN"), ("424144002", "SCT")}
_EQUIPMENT = {0x00080070, 0x00081090, 0x00181020, 0x0040A170}
# Study and performed step are referenced as SOP instances, and are none that could be in a set of files.
_NO_STORED_INSTANCE = "1.2.840.10008.3.1."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``where`` is the path of tags; no field holds a value of the instance.

    ``channel`` is ``preamble``, ``file meta``, ``data set`` or ``references``.
    """

    code: str
    where: str
    channel: str
    what: str


def check_instance(path: Path, policy: Policy, *, source: Path | None = None) -> list[Finding]:
    """Findings about the de-identified instance in ``path``; none means that it may pass.

    With ``source``, the instance it was made from, attributes that the IOD requires must still be there if they
    were; without it only required attributes that stand there empty are found. What cannot be read is a finding.
    """
    try:
        ds = pydicom.dcmread(path)
        findings = [
            *_file(ds),
            *_marks(ds, policy),
            *_elements(ds, str(ds.get("SOPClassUID", "")), (), "", policy),
            *_types(ds, source),
        ]
    except (
        InvalidDicomError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        NotImplementedError,
    ) as fault:
        return [
            Finding("unreadable", "", "data set", f"it cannot be read to its end ({type(fault).__name__})")
        ]
    return findings


def check_references(paths: Iterable[Path], *, absent: Collection[str] = ()) -> list[Finding]:
    """Findings about references between the instances in ``paths``.

    Every referenced SOP instance must be among them, with the SOP Class, study and series that the reference
    gives, or be one of ``absent`` (UIDs known not to be part of the export). ``where`` begins with the position
    of the referencing file in ``paths``.
    """
    known: dict[str, tuple[str, str, str]] = {}
    references: list[tuple[str, _Reference]] = []
    for position, path in enumerate(paths):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        known[str(ds.SOPInstanceUID)] = (
            str(ds.SOPClassUID),
            str(ds.get("StudyInstanceUID", "")),
            str(ds.get("SeriesInstanceUID", "")),
        )
        references += [(f"file {position}: {found.where}", found) for found in _references(ds, "", "", "")]
    findings = []
    for where, reference in references:
        if reference.sop_class.startswith(_NO_STORED_INSTANCE):
            continue
        target = known.get(reference.instance)
        if target is None and reference.instance not in absent:
            what = "the referenced instance is neither in the set nor declared absent"
            findings.append(Finding("unresolved-reference", where, "references", what))
        elif target is not None and not reference.fits(target):
            what = "the reference names another SOP Class, study or series than the instance has"
            findings.append(Finding("wrong-reference", where, "references", what))
    return findings


def unresolved_references(paths: Iterable[Path]) -> frozenset[str]:
    """UIDs that instances in ``paths`` reference and that are not among them."""
    own: set[str] = set()
    named: set[str] = set()
    for path in paths:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        own.add(str(ds.SOPInstanceUID))
        named.update(
            found.instance
            for found in _references(ds, "", "", "")
            if not found.sop_class.startswith(_NO_STORED_INSTANCE)
        )
    return frozenset(named - own)


@dataclass(frozen=True, slots=True)
class _Reference:
    where: str
    sop_class: str
    instance: str
    study: str
    series: str

    def fits(self, target: tuple[str, str, str]) -> bool:
        given = (self.sop_class, self.study, self.series)
        return all(not mine or mine == theirs for mine, theirs in zip(given, target, strict=True))


def _references(ds: Dataset, where: str, study: str, series: str) -> Iterator[_Reference]:
    """References in the items of ``ds``, with the study and series that the items around them name."""
    for element in ds:
        if element.VR != "SQ":
            continue
        for number, item in enumerate(element.value, start=1):
            at = _step(where, element, number)
            inner_study = str(item.get("StudyInstanceUID", study))
            inner_series = str(item.get("SeriesInstanceUID", series))
            instance = str(item.get("ReferencedSOPInstanceUID", ""))
            if instance:
                sop_class = str(item.get("ReferencedSOPClassUID", ""))
                yield _Reference(at, sop_class, instance, inner_study, inner_series)
            yield from _references(item, at, inner_study, inner_series)


def _step(where: str, element: DataElement, number: int = 0) -> str:
    tag = f"({element.tag.group:04X},{element.tag.element:04X})"
    step = f"{tag}[{number}]" if number else tag
    return f"{where}/{step}" if where else step


def _file(ds: Dataset) -> Iterator[Finding]:
    if ds.preamble and ds.preamble.strip(b"\0"):
        yield Finding("preamble", "", "preamble", "the 128 bytes before the file's prefix are not empty")
    meta = ds.file_meta
    for element in meta:
        if int(element.tag) not in _META:
            yield Finding(
                "file-meta", _step("", element), "file meta", "it may tell where the file came from"
            )
    for tag, keyword in ((0x00020002, "SOPClassUID"), (0x00020003, "SOPInstanceUID")):
        if tag not in meta or meta[tag].value != ds.get(keyword):
            what = f"it differs from {keyword} of the data set"
            yield Finding("file-meta", f"({tag >> 16:04X},{tag & 0xFFFF:04X})", "file meta", what)


def _marks(ds: Dataset, policy: Policy) -> Iterator[Finding]:
    """PS3.15 E.1.1: that, how and by whom the instance was de-identified, neither more nor less than is true."""
    if ds.get("PatientIdentityRemoved") != "YES":
        yield Finding("mark", "(0012,0062)", "data set", "it does not say YES")
    if ds.get("LongitudinalTemporalInformationModified") != _TEMPORAL[policy.dates]:
        yield Finding("mark", "(0028,0303)", "data set", f"it does not say {_TEMPORAL[policy.dates]}")
    claimed = {
        (str(item.get("CodeValue")), str(item.get("CodingSchemeDesignator")))
        for item in ds.get("DeidentificationMethodCodeSequence", ())
    }
    if claimed != {(value, "DCM") for value, _ in policy.codes}:
        yield Finding("mark", "(0012,0064)", "data set", "it claims other methods than the policy's")
    for number, item in enumerate(ds.get("ContributingEquipmentSequence", ()), start=1):
        purpose = [str(code.get("CodeValue")) for code in item.get("PurposeOfReferenceCodeSequence", ())]
        if purpose != ["109104"] or any(int(element.tag) not in _EQUIPMENT for element in item):
            where = f"(0018,A001)[{number}]"
            yield Finding("mark", where, "data set", "equipment other than the de-identifier, or more of it")


def _elements(
    ds: Dataset, sop_class: str, path: tuple[int, ...], where: str, policy: Policy
) -> Iterator[Finding]:
    if _concept(ds) in _SUBJECT_AGE:
        yield from _reported_age(ds, where, policy)
    for element in ds:
        tags = (*path, int(element.tag))
        at = _step(where, element)
        complaint = complaint_about(element, Place(sop_class, tags, _creator(ds, element)), policy)
        if complaint is not None:
            yield Finding(complaint.code, at, "data set", complaint.what)
        elif element.VR == "SQ":
            for number, item in enumerate(element.value, start=1):
                yield from _elements(item, sop_class, tags, _step(where, element, number), policy)


def _creator(ds: Dataset, element: DataElement) -> str:
    """The private creator that reserved the block in which a private element stands."""
    if not element.tag.is_private or element.tag.is_private_creator:
        return ""
    reserved = element.tag.private_creator
    return str(ds[reserved].value or "") if reserved in ds else ""


def _concept(ds: Dataset) -> tuple[str, str]:
    names = ds.get("ConceptNameCodeSequence") or [Dataset()]
    return str(names[0].get("CodeValue", "")), str(names[0].get("CodingSchemeDesignator", ""))


def _reported_age(ds: Dataset, where: str, policy: Policy) -> Iterator[Finding]:
    """An age in a report's content tree obeys the bands like Patient's Age does."""
    for measured in ds.get("MeasuredValueSequence", ()):
        if not is_band(float(measured.get("NumericValue") or 0), policy):
            yield Finding("age", where, "data set", "a report's age that is not the lower bound of a band")


def _types(ds: Dataset, source: Path | None) -> Iterator[Finding]:
    """Required attributes: none may stand empty that may not, and none that the source had may be missing."""
    sop_class = str(ds.get("SOPClassUID", ""))
    before = (
        None if source is None else dict(_filled(pydicom.dcmread(source, stop_before_pixels=True), (), ""))
    )
    after = dict(_filled(ds, (), ""))
    # Counted, not compared place by place: where items of a content tree went, the places behind them moved.
    empty_before = Counter(
        (path, where.endswith("]")) for where, (path, filled) in (before or {}).items() if not filled
    )
    for where, (path, filled) in after.items():
        if filled:
            continue
        if empty_before[path, where.endswith("]")] > 0:
            empty_before[path, where.endswith("]")] -= 1
            continue
        if where.endswith("]"):
            yield Finding("empty-item", where, "data set", "an item of a sequence without any attribute")
        elif (use := attribute_type(sop_class, path)) and use.type == "1":
            yield Finding("empty-type-1", where, "data set", "empty, where the IOD demands a value")
    for where, (path, _) in (before or {}).items():
        use = attribute_type(sop_class, path)
        gone = len(path) == 1 and not where.endswith("]") and where not in after
        if gone and use and use.mandatory_module and use.type in ("1", "2"):
            what = f"missing, where the IOD demands it (Type {use.type})"
            yield Finding("missing-required", where, "data set", what)


def _filled(
    ds: Dataset, path: tuple[int, ...], where: str
) -> Iterator[tuple[str, tuple[tuple[int, ...], bool]]]:
    """For every standard element and item: its place, the tags that lead to it, and whether it has a value."""
    for element in ds:
        if element.tag.is_private:
            continue
        tags = (*path, int(element.tag))
        yield _step(where, element), (tags, not element.is_empty)
        if element.VR == "SQ":
            for number, item in enumerate(element.value, start=1):
                yield _step(where, element, number), (tags, len(item) > 0)
                yield from _filled(item, tags, _step(where, element, number))
