"""The manifest (RAD-51): tce.documents.manifest."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import DataElement, config, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tce.documents import content
from tce.documents.codes import DelayReason, ExportTitle, InformationTitle, Scheme
from tce.documents.content import Reference, flattened
from tce.documents.manifest import DocumentKind, Manifest, build, parse, recognise, value_type
from tce.documents.outgoing import outgoing
from tce.errors import Refused
from tce.road import Hold
from tests.builders import a_code, a_ct_image

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CT = "1.2.840.10008.5.1.4.1.1.2"
KOS = "1.2.840.10008.5.1.4.1.1.88.59"
REFERENCES = (
    Reference("1.1", "1.1.1", CT, "1.1.1.1"),
    Reference("1.1", "1.1.1", CT, "1.1.1.2"),
    Reference("1.1", "1.1.2", "1.2.840.10008.5.1.4.1.1.88.33", "1.1.2.1"),
)
OTHER_STUDY = Reference("1.2", "1.2.1", CT, "1.2.1.1")


def headers(*study_uids: str, patient: str = "P1") -> dict[str, Dataset]:
    found = {}
    for uid in study_uids or ("1.1",):
        ds = a_ct_image()
        ds.StudyInstanceUID, ds.PatientID = uid, patient
        found[uid] = ds
    return found


def reread(ds: Dataset) -> Dataset:
    """The document as a peer would read it."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize("scheme", Scheme, ids=str)
@pytest.mark.parametrize("title", ExportTitle, ids=lambda title: title.name)
def test_what_is_built_is_read_back(title: ExportTitle, scheme: Scheme) -> None:
    """Title, all eight delay reasons, description and references survive the way, in both code schemes."""
    said = Manifest(title, REFERENCES, tuple(DelayReason), "lung-trial")
    (ds,) = build(said, headers(), scheme=scheme, now=NOW)
    parsed = parse(reread(ds))
    assert parsed.manifest == said
    assert parsed.faults == ()
    assert parsed.siblings == frozenset()
    assert recognise(KOS, ds) is DocumentKind.MANIFEST


def test_a_selection_over_two_studies_is_two_documents_that_name_each_other() -> None:
    """Each study has a document of its own, with the same content, distinct UIDs and its sibling's name."""
    documents = build(
        Manifest(ExportTitle.TEACHING, (*REFERENCES, OTHER_STUDY)), headers("1.1", "1.2"), now=NOW
    )
    assert [ds.StudyInstanceUID for ds in documents] == ["1.1", "1.2"]
    assert len({ds.SOPInstanceUID for ds in documents} | {ds.SeriesInstanceUID for ds in documents}) == 4
    first, second = (parse(reread(ds)) for ds in documents)
    assert first.manifest == second.manifest
    assert first.siblings == {second.sop_instance_uid}
    assert second.siblings == {first.sop_instance_uid}
    assert documents[0].ContentSequence == documents[1].ContentSequence


def test_an_illegal_attribute_of_an_instance_stops_no_selection() -> None:
    """Foreign instances may hold letters in a number; the document is written without that attribute."""
    header = headers()["1.1"]
    header.PatientWeight = "62.125"
    written = BytesIO()
    header.save_as(written, enforce_file_format=True)
    illegal = dcmread(BytesIO(written.getvalue().replace(b"62.125", b"heavy ")))
    (ds,) = build(Manifest(ExportTitle.TEACHING, REFERENCES), {"1.1": illegal}, now=NOW)
    assert "PatientWeight" not in reread(ds)
    assert ds.PatientID == "P1"


ILLEGAL = (b"heavy ", b"\xff\xfe\xfd\xfc", b"1\\2\\x ", b"\0\0", b"a" * 90, b"\xfe\xff\x00\xe0" + b"\xff" * 4)


@pytest.fixture(scope="module")
def legal() -> bytes:
    """An instance without pixels, as it is written."""
    written = BytesIO()
    ds = headers()["1.1"]
    del ds.PixelData
    ds.save_as(written, enforce_file_format=True)
    return written.getvalue()


def test_what_is_legal_is_taken_over(legal: bytes) -> None:
    """Patient and General Study module come along, names in their own letters, sequences too."""
    header = dcmread(BytesIO(legal))
    header.PatientName, header.PatientWeight, header.PatientAge = "Yamada^Tarou=山田^太郎", "62.5", "062Y"
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ProcedureCodeSequence = [a_code("1", "L", "CT")]
    (ds,) = build(Manifest(ExportTitle.TEACHING, REFERENCES), {"1.1": header}, now=NOW)
    again = reread(ds)
    for keyword in (*content._TYPE_2, *content._IF_PRESENT):
        if keyword in header and keyword != "StudyInstanceUID":
            assert again[keyword].value == header[keyword].value, keyword


@pytest.mark.parametrize("keyword", [*content._TYPE_2, *content._IF_PRESENT])
def test_no_illegal_attribute_stops_a_selection(keyword: str, legal: bytes) -> None:
    """Whatever the VR and the bytes of an attribute that a document takes over: it is written without it."""
    for vr in (dictionary_VR(keyword), "UN", "SQ", "FD"):
        for value in ILLEGAL:
            header = dcmread(BytesIO(legal))
            header[keyword] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
            (ds,) = build(Manifest(ExportTitle.TEACHING, REFERENCES), {"1.1": header}, now=NOW)
            again = reread(ds)
            again.walk(lambda _, element: str(element.value))
            assert again.Modality == "KO", (vr, value)


def test_evidence_is_the_content_tree() -> None:
    """Every referenced instance stands in the evidence with its series and study, and nothing else does."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES), headers(), now=NOW)
    assert tuple(flattened(ds.CurrentRequestedProcedureEvidenceSequence)) == REFERENCES


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (CT, "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "COMPOSITE"),
    ],
    ids=["ct", "segmentation", "ecg", "sr", "presentation-state", "pdf"],
)
def test_instances_are_referenced_by_what_they_are(uid: str, expected: str) -> None:
    """Images, waveforms and everything else have content item types of their own (TID 2010)."""
    assert value_type(uid) == expected


def test_a_key_object_selection_with_another_title_is_an_instance() -> None:
    """For Teaching (113004) and the like are no export titles and start nothing."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES), headers(), now=NOW)
    ds.ConceptNameCodeSequence[0].CodeValue = "113004"
    ds.ConceptNameCodeSequence[0].CodingSchemeDesignator = "DCM"
    assert recognise(KOS, ds) is DocumentKind.INSTANCE
    with pytest.raises(Hold):
        parse(ds)


@pytest.mark.parametrize("scheme", Scheme, ids=str)
@pytest.mark.parametrize("sop_class", ["11", "22", "33"], ids=["basic", "enhanced", "comprehensive"])
def test_the_title_of_the_additional_information_makes_no_manifest(sop_class: str, scheme: Scheme) -> None:
    """TCE006 or 128712 names the additional information, in every SOP Class whose IOD can hold it, and in no other."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES), headers(), now=NOW)
    title = InformationTitle.ADDITIONAL_INFORMATION.code(scheme)
    ds.ConceptNameCodeSequence[0].CodeValue = title.value
    ds.ConceptNameCodeSequence[0].CodingSchemeDesignator = title.scheme
    assert recognise(KOS, ds) is DocumentKind.INSTANCE
    assert recognise(f"1.2.840.10008.5.1.4.1.1.88.{sop_class}", ds) is DocumentKind.INFORMATION
    assert recognise("1.2.840.10008.5.1.4.1.1.88.34", ds) is DocumentKind.INSTANCE


@pytest.mark.parametrize(
    "keyword", ["ReferencedSOPSequence", "ReferencedRealWorldValueMappingInstanceSequence"]
)
def test_what_an_image_is_shown_with_is_part_of_the_selection(keyword: str) -> None:
    """A presentation state named inside of an image's reference is evidence, awaited and exported like the image."""
    state = Reference("1.1", "1.1.3", "1.2.840.10008.5.1.4.1.1.11.1", "1.1.3.1")
    (ds,) = build(Manifest(ExportTitle.TRIAL, (*REFERENCES, state)), headers(), now=NOW)
    shown = ds.ContentSequence.pop().ReferencedSOPSequence
    assert [fault.code for fault in parse(reread(ds)).faults] == ["evidence-differs"]
    setattr(ds.ContentSequence[0].ReferencedSOPSequence[0], keyword, shown)
    parsed = parse(reread(ds))
    assert parsed.faults == ()
    assert parsed.manifest.references == (*REFERENCES, state)


def drop_evidence(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]


def add_evidence(ds: Dataset) -> None:
    series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    extra = Dataset()
    extra.ReferencedSOPClassUID, extra.ReferencedSOPInstanceUID = CT, "9.9"
    series.ReferencedSOPSequence.append(extra)


def repeat_evidence(ds: Dataset) -> None:
    study = ds.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence.append(study.ReferencedSeriesSequence[0])


def other_sop_class(ds: Dataset) -> None:
    series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence[0].ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"


def empty(ds: Dataset) -> None:
    ds.ContentSequence = []
    del ds.CurrentRequestedProcedureEvidenceSequence


def unknown_modifier(ds: Dataset) -> None:
    ds.ContentSequence[0].ConceptCodeSequence[0].CodeValue = "TCE099"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (drop_evidence, "evidence-differs"),
        (add_evidence, "evidence-differs"),
        (repeat_evidence, "evidence-repeats"),
        (other_sop_class, "evidence-differs"),
        (empty, "empty-manifest"),
        (unknown_modifier, "unknown-modifier"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_manifest_that_contradicts_itself_is_named(spoil: object, code: str) -> None:
    """What cannot be decided about a manifest is a fault with a name."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES, (DelayReason.DEATH,)), headers(), now=NOW)
    spoil(ds)  # type: ignore[operator]
    assert code in {fault.code for fault in parse(reread(ds)).faults}


def test_a_reference_without_instance_is_malformed() -> None:
    """A content item that references nothing makes the manifest unreadable, and says so without its values."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES), headers(), now=NOW)
    del ds.ContentSequence[0].ReferencedSOPSequence
    with pytest.raises(Hold) as held:
        parse(reread(ds))
    assert [reason.code for reason in held.value.reasons] == ["malformed-manifest"]


@pytest.mark.parametrize(
    "uid", ["1.2.3\0", "1." + 64 * "2", "somebody", ""], ids=["nul", "long", "text", "empty"]
)
@pytest.mark.parametrize("of", ["StudyInstanceUID", "ReferencedSOPInstanceUID", "ReferencedSOPClassUID"])
def test_what_is_no_uid_references_nothing(of: str, uid: str) -> None:
    """Text, or more of it than a UID can have, makes the manifest unreadable before it reaches the index."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES[:1]), headers(), now=NOW)
    study = ds.CurrentRequestedProcedureEvidenceSequence[0]
    place = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0] if of not in study else study
    place[of] = DataElement(of, "UI", uid, validation_mode=config.IGNORE)
    with pytest.raises(Hold, match="cannot be read"):
        parse(ds)


def blanks(item: Dataset) -> None:
    for one in (item.ConceptNameCodeSequence[0], item.ConceptCodeSequence[0]):
        one.CodeValue, one.CodingSchemeDesignator = f" {one.CodeValue}", f" {one.CodingSchemeDesignator} "


def another_name(item: Dataset) -> None:
    item.ConceptNameCodeSequence[0].CodeValue = "121049"


def another_relationship(item: Dataset) -> None:
    item.RelationshipType = "CONTAINS"


def no_name(item: Dataset) -> None:
    del item.ConceptNameCodeSequence


def nothing_said(item: Dataset) -> None:
    del item.ConceptCodeSequence


@pytest.mark.parametrize("spoil", [blanks, another_name, another_relationship, no_name, nothing_said])
def test_a_delay_is_not_overlooked_because_it_is_badly_written(spoil: Callable[[Dataset], None]) -> None:
    """Whatever may be a Delay Reason delays, or holds where it does not say which; and it does not leave."""
    (ds,) = build(Manifest(ExportTitle.TRIAL, REFERENCES, (DelayReason.DEATH,)), headers(), now=NOW)
    spoil(ds.ContentSequence[0])
    parsed = parse(reread(ds))
    faults = [fault.code for fault in parsed.faults]
    if parsed.manifest.delay_reasons:
        assert (parsed.manifest.delay_reasons, faults) == ((DelayReason.DEATH,), [])
        assert outgoing(ds)
        assert "TCE017" not in str(ds)
    else:
        assert faults == ["unknown-modifier"]


@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_whatever_bytes_a_manifest_holds_it_is_read_or_held(scheme: Scheme) -> None:
    """Bytes that were altered, cut out or put in by chance lead to a manifest, a hold, or no instance at all."""
    (ds,) = build(
        Manifest(ExportTitle.TRIAL, REFERENCES, (DelayReason.DEATH,)), headers(), scheme=scheme, now=NOW
    )
    buffer, chance, outcomes = BytesIO(), random.Random(7), Counter[str]()
    ds.save_as(buffer, enforce_file_format=True)
    for _ in range(600):
        data = bytearray(buffer.getvalue())
        at, length = chance.randrange(400, len(data)), chance.choice([0, 1, 1, 1, 2, 4])
        data[at : at + length] = chance.randbytes(chance.choice([length, length, length, 2]))
        try:
            kind = recognise(KOS, spoiled := dcmread(BytesIO(bytes(data))))
        except Exception:  # refused as an instance; what matters is what counts as a manifest
            continue
        if kind is DocumentKind.MANIFEST:
            try:
                outcomes["faulty" if parse(spoiled).faults else "read"] += 1
            except Hold:
                outcomes["held"] += 1
    assert outcomes.keys() == {"read", "faulty", "held"}


def test_nothing_selected_is_refused() -> None:
    """Empty is not true: a manifest of nothing is not built."""
    with pytest.raises(Refused, match="empty"):
        build(Manifest(ExportTitle.TRIAL, ()), headers(), now=NOW)


def test_two_patients_are_refused() -> None:
    """A manifest is of one patient."""
    two = headers("1.1") | headers("1.2", patient="P2")
    with pytest.raises(Refused, match="patients"):
        build(Manifest(ExportTitle.TRIAL, (*REFERENCES, OTHER_STUDY)), two, now=NOW)


def test_the_observer_is_written_as_context() -> None:
    """Who selected stands where TID 1002 puts it, and nowhere else."""
    (ds,) = build(
        replace(Manifest(ExportTitle.TRIAL, REFERENCES), observer="Selector^Sam"), headers(), now=NOW
    )
    names = [item.PersonName for item in reread(ds).ContentSequence if item.ValueType == "PNAME"]
    assert names == ["Selector^Sam"]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed")
@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_dciodvfy_finds_no_error(tmp_path: Path, scheme: Scheme) -> None:
    """The document is legal by the IOD, in both code schemes."""
    (ds,) = build(
        Manifest(ExportTitle.TRIAL, REFERENCES, (DelayReason.DEATH,), "lung-trial"),
        headers(),
        scheme=scheme,
        now=NOW,
    )
    ds.save_as(tmp_path / "document", enforce_file_format=True)
    done = subprocess.run(["dciodvfy", str(tmp_path / "document")], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
