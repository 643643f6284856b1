"""A structured report that references the images.

TID 2000 (Basic Diagnostic Imaging Report) in a Comprehensive SR, with content items of most value types. It
repeats the person's name in free text, as radiologists do, and its evidence names real instances, so that
references can be followed after every stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID

from tce.samples.headers import code, new_document, reference_to, set_file_meta, set_series, study_uid
from tce.samples.people import Encounter

COMPREHENSIVE_SR = UID("1.2.840.10008.5.1.4.1.1.88.33")


def report(encounter: Encounter, images: Sequence[Dataset], *, impression: str) -> Dataset:
    """A verified report on ``images`` whose content tree names patient, observer, dates and references."""
    ds = new_document(encounter, COMPREHENSIVE_SR, "report")
    set_series(ds, encounter, modality="SR", series="report", number=900, description="Radiology report")
    ds.Manufacturer, ds.ManufacturerModelName = "Waldkauz Systeme", "Diktat 7"
    ds.SoftwareVersions = "7.2.1"
    ds.InstanceNumber = "1"
    ds.ContentDate, ds.ContentTime = encounter.visit.date, "171500"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "VERIFIED"
    ds.VerifyingObserverSequence = [_verifier(encounter)]
    ds.PerformedProcedureCodeSequence = []
    ds.ReferencedRequestSequence = [_referenced_request(encounter)]
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(encounter, images)]
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("18748-4", "LN", "Diagnostic imaging study")]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2000"
    ds.ContentTemplateSequence = [template]
    ds.ContentSequence = [*_context(encounter), *_sections(encounter, images, impression)]
    set_file_meta(ds, encounter)
    return ds


def _verifier(encounter: Encounter) -> Dataset:
    item = Dataset()
    item.VerifyingObserverName = encounter.visit.reading
    item.VerifyingOrganization = encounter.visit.institution
    item.VerificationDateTime = f"{encounter.visit.date}172203"
    item.VerifyingObserverIdentificationCodeSequence = [
        code("RAD-0417", "99SUEDHANG", encounter.visit.reading.replace("^", " "))
    ]
    return item


def _referenced_request(encounter: Encounter) -> Dataset:
    visit = encounter.visit
    item = Dataset()
    item.StudyInstanceUID = study_uid(encounter)
    item.ReferencedStudySequence = []
    item.AccessionNumber = visit.accession
    item.PlacerOrderNumberImagingServiceRequest = visit.placer_order
    item.FillerOrderNumberImagingServiceRequest = visit.filler_order
    item.RequestedProcedureID = f"RP{visit.study_id}"
    item.RequestedProcedureDescription = visit.study_description
    item.RequestedProcedureCodeSequence = []
    item.ReasonForTheRequestedProcedure = visit.reason
    return item


def _evidence(encounter: Encounter, images: Sequence[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedSOPSequence = [reference_to(image) for image in images]
    study = Dataset()
    study.StudyInstanceUID = study_uid(encounter)
    study.ReferencedSeriesSequence = [series]
    return study


def _item(relationship: str, value_type: str, name: Dataset | None) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [name]
    return item


def _text(relationship: str, name: Dataset, text: str) -> Dataset:
    item = _item(relationship, "TEXT", name)
    item.TextValue = text
    return item


def _coded(relationship: str, name: Dataset, value: Dataset) -> Dataset:
    item = _item(relationship, "CODE", name)
    item.ConceptCodeSequence = [value]
    return item


def _named(relationship: str, name: Dataset, person: str) -> Dataset:
    item = _item(relationship, "PNAME", name)
    item.PersonName = person
    return item


def _number(relationship: str, name: Dataset, value: str, unit: Dataset) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [unit]
    item = _item(relationship, "NUM", name)
    item.MeasuredValueSequence = [measured]
    return item


def _image(relationship: str, image: Dataset) -> Dataset:
    item = _item(relationship, "IMAGE", None)
    item.ReferencedSOPSequence = [reference_to(image)]
    return item


def _context(encounter: Encounter) -> list[Dataset]:
    """Language, observer and subject context: TID 1204, 1002 and 1006."""
    patient, visit = encounter.patient, encounter.visit
    study = _item("HAS OBS CONTEXT", "UIDREF", code("121018", "DCM", "Procedure Study Instance UID"))
    study.UID = study_uid(encounter)
    born = _item("HAS OBS CONTEXT", "DATE", code("121031", "DCM", "Subject Birth Date"))
    born.Date = patient.birth_date
    dictated = _item("HAS OBS CONTEXT", "DATETIME", code("121437", "DCM", "Procedure DateTime"))
    dictated.DateTime = f"{visit.date}{visit.time}"
    sex = code("F", "DCM", "Female") if patient.sex == "F" else code("M", "DCM", "Male")
    years = code("a", "UCUM", "year")
    age = str(int(patient.age[:3]))
    return [
        _coded(
            "HAS CONCEPT MOD",
            code("121049", "DCM", "Language of Content Item and Descendants"),
            code("en", "RFC5646", "English"),
        ),
        _coded("HAS OBS CONTEXT", code("121005", "DCM", "Observer Type"), code("121006", "DCM", "Person")),
        _named("HAS OBS CONTEXT", code("121008", "DCM", "Person Observer Name"), visit.reading),
        _text(
            "HAS OBS CONTEXT",
            code("121009", "DCM", "Person Observer's Organization Name"),
            visit.institution,
        ),
        study,
        dictated,
        _named("HAS OBS CONTEXT", code("121029", "DCM", "Subject Name"), patient.name),
        _text("HAS OBS CONTEXT", code("121030", "DCM", "Subject ID"), patient.patient_id),
        born,
        _coded("HAS OBS CONTEXT", code("121032", "DCM", "Subject Sex"), sex),
        _number("HAS OBS CONTEXT", code("121033", "DCM", "Subject Age"), age, years),
    ]


def _section(name: Dataset, items: Sequence[Dataset]) -> Dataset:
    section = _item("CONTAINS", "CONTAINER", name)
    section.ContinuityOfContent = "SEPARATE"
    section.ContentSequence = list(items)
    return section


def _sections(encounter: Encounter, images: Sequence[Dataset], impression: str) -> list[Dataset]:
    """History, comparison, findings with a measurement and its images, impression."""
    visit, key = encounter.visit, images[len(images) // 2]
    seen_on = _text(
        "CONTAINS", code("121071", "DCM", "Finding"), f"{encounter.patient.spoken_name}: nodule 12 mm."
    )
    seen_on.ContentSequence = [_image("INFERRED FROM", key)]
    length = _number("CONTAINS", code("410668003", "SCT", "Length"), "12.4", code("mm", "UCUM", "millimeter"))
    length.ContentSequence = [_region(key)]
    previous = _item("CONTAINS", "DATE", code("111060", "DCM", "Study Date"))
    previous.Date = "20231205"
    return [
        _section(
            code("121060", "DCM", "History"),
            [_text("CONTAINS", code("121060", "DCM", "History"), visit.history)],
        ),
        _section(code("121068", "DCM", "Previous Findings"), [previous]),
        _section(
            code("121070", "DCM", "Findings"),
            [seen_on, length, _image("CONTAINS", images[0]), _image("CONTAINS", images[-1])],
        ),
        _section(
            code("121072", "DCM", "Impressions"),
            [_text("CONTAINS", code("121073", "DCM", "Impression"), impression)],
        ),
    ]


def _region(image: Dataset) -> Dataset:
    """The two ends of the measured distance, selected from the image."""
    region = _item("INFERRED FROM", "SCOORD", code("121055", "DCM", "Path"))
    region.GraphicType = "POLYLINE"
    region.GraphicData = [40.0, 52.0, 58.5, 52.0]
    region.ContentSequence = [_image("SELECTED FROM", image)]
    return region
