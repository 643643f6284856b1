"""Structured reports for tests: content items by value type, references by place, and a document around them."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
CT = "1.2.840.10008.5.1.4.1.1.2"


def coded(value: str, meaning: str = "Finding", scheme: str = "DCM") -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def an_item(
    value_type: str,
    concept: Code | None = None,
    *children: Dataset,
    relationship: str = "CONTAINS",
    **values: object,
) -> Dataset:
    """A content item; what its value type demands is there, and ``values`` replace or add attributes."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    if concept is not None:
        item.ConceptNameCodeSequence = [coded(concept.value, concept.meaning, concept.scheme_designator)]
    for keyword, value in {**_value_of(value_type), **values}.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = list(children)
    return item


def a_reference(*place: int, relationship: str = "INFERRED FROM") -> Dataset:
    """An item that refers to another one of the document by its place."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = list(place) if len(place) > 1 else place[0]
    return item


def a_report(*content: Dataset) -> Dataset:
    """A Comprehensive 3D SR of one patient that holds these items."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = COMPREHENSIVE_3D_SR
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.88.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.88.2", "1.2.3.88.3"
    ds.StudyDate, ds.StudyTime, ds.ContentDate, ds.ContentTime = "20240102", "101112", "20240102", "101213"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "SR", "Maker", "Model"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "SN-1", "1.0"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "ACC-1", "", "1"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
        "Quirin^Vyx",
        "PID-5512",
        "19500601",
        "F",
    )
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.PerformedProcedureCodeSequence = []
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [coded("126000", "Imaging Measurement Report")]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentSequence = list(content)
    return ds


def _value_of(value_type: str) -> dict[str, object]:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, "1.2.3.88.9"
    measured = Dataset()
    measured.NumericValue = "4.5"
    measured.MeasurementUnitsCodeSequence = [coded("mm", "mm", "UCUM")]
    values: dict[str, dict[str, object]] = {
        "TEXT": {"TextValue": "chest Zzyxword"},
        "CODE": {"ConceptCodeSequence": [coded("111222", "Something", "DCM")]},
        "NUM": {"MeasuredValueSequence": [measured]},
        "PNAME": {"PersonName": "Doktor^Zyxw"},
        "UIDREF": {"UID": "1.2.3.88.8"},
        "DATE": {"Date": "20240103"},
        "TIME": {"Time": "101112"},
        "DATETIME": {"DateTime": "20240103101112"},
        "CONTAINER": {"ContinuityOfContent": "SEPARATE"},
        "SCOORD": {"GraphicType": "POINT", "GraphicData": [1.0, 2.0]},
        "SCOORD3D": {
            "GraphicType": "POINT",
            "GraphicData": [1.0, 2.0, 3.0],
            "ReferencedFrameOfReferenceUID": "1.2.3.88.7",
        },
        "TCOORD": {"TemporalRangeType": "POINT", "ReferencedSamplePositions": 1},
    }
    by_reference: dict[str, object] = {"ReferencedSOPSequence": [reference]}
    return values.get(value_type, by_reference)
