"""Content items of SR documents (PS3.3 C.17.3) as both documents of the profile need them: built and read.

Only what Key Object Selection and Basic Text SR use: TEXT, CODE, PNAME, and references to instances. Also the
modules that a document takes over from the study it belongs to. No rule of the TCE profile is in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import IS, DSfloat

from tce.documents.codes import Code
from tce.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Patient, General Study and Patient Study module (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2): Type 1 and 2 attributes,
# those that say who is meant (a patient must not differ between instances), and the marks of an earlier
# de-identification.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_IF_PRESENT = (
    "StudyInstanceUID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "EthnicGroup",
    "PatientComments",
    "QualityControlSubject",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "MedicalAlerts",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "ConsultingPhysicianName",
    "ProcedureCodeSequence",
    "StudyDescription",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance as a document references it: by SOP Class and SOP Instance, inside a series of a study."""

    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)


def new_document(
    sop_class_uid: str, header: Dataset, modality: str, now: datetime, new_uid: Callable[[], str]
) -> Dataset:
    """Return a document in a series of its own, of the patient and study that ``header`` names."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _TYPE_2:
        setattr(ds, keyword, text_of(header, keyword))
    for keyword in _IF_PRESENT:
        # What is not legal in the instance (letters in a weight) must not stop a whole selection; it is left out.
        element = _writable(header, keyword)
        if element is not None:
            ds.add(element)
    ds.SOPClassUID = UID(sop_class_uid)
    ds.SOPInstanceUID = UID(new_uid())
    ds.Modality = modality
    ds.SeriesInstanceUID = UID(new_uid())
    ds.SeriesNumber = 1
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.Manufacturer = ""
    ds.InstanceNumber = 1
    ds.ContentDate = now.strftime("%Y%m%d")
    ds.ContentTime = now.strftime("%H%M%S")
    ds.ValueType = "CONTAINER"
    ds.ContinuityOfContent = "SEPARATE"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return ds


def coded(code: Code) -> Dataset:
    """Return a code sequence item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def text(relationship: str, name: Code, value: str) -> Dataset:
    """Return a TEXT content item."""
    item = _item(relationship, "TEXT", name)
    item.TextValue = value
    return item


def code(relationship: str, name: Code, value: Code) -> Dataset:
    """Return a CODE content item."""
    item = _item(relationship, "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    return item


def person(relationship: str, name: Code, value: str) -> Dataset:
    """Return a PNAME content item."""
    item = _item(relationship, "PNAME", name)
    item.PersonName = value
    return item


def referenced(value_type: str, reference: Reference) -> Dataset:
    """Return an IMAGE, WAVEFORM or COMPOSITE content item without a concept name."""
    item = _item("CONTAINS", value_type, None)
    item.ReferencedSOPSequence = [_sop(reference)]
    return item


def nested(references: Iterable[Reference]) -> list[Dataset]:
    """Return references as items of the Hierarchical SOP Instance Reference macro (PS3.3 C.17.2.1)."""
    studies: dict[str, dict[str, list[Reference]]] = {}
    for reference in references:
        studies.setdefault(reference.study_uid, {}).setdefault(reference.series_uid, []).append(reference)
    items = []
    for study_uid, of_study in studies.items():
        study = Dataset()
        study.ReferencedSeriesSequence = []
        study.StudyInstanceUID = study_uid
        for series_uid, of_series in of_study.items():
            series = Dataset()
            series.SeriesInstanceUID = series_uid
            series.ReferencedSOPSequence = [_sop(reference) for reference in of_series]
            study.ReferencedSeriesSequence.append(series)
        items.append(study)
    return items


def flattened(studies: Iterable[Dataset]) -> list[Reference]:
    """Read items of the Hierarchical SOP Instance Reference macro. Raises AttributeError when malformed."""
    return [
        Reference(
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(sop.ReferencedSOPClassUID),
            str(sop.ReferencedSOPInstanceUID),
        )
        for study in studies
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    ]


def concept(item: Dataset) -> Code | None:
    """Return the concept name of a content item or document."""
    return first_code(item.get("ConceptNameCodeSequence"))


def first_code(sequence: Sequence[Dataset] | None) -> Code | None:
    """Return the first code of a code sequence; None when it is absent, empty or not a short code."""
    for item in sequence or ():
        if "CodeValue" in item and "CodingSchemeDesignator" in item:
            # Blanks at either end are no part of an SH (PS3.5 section 6.2).
            value, scheme = str(item.CodeValue).strip(), str(item.CodingSchemeDesignator).strip()
            return Code(value, scheme, str(item.get("CodeMeaning", "")))
    return None


def _item(relationship: str, value_type: str, name: Code | None) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [coded(name)]
    return item


def _sop(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def text_of(header: Dataset, keyword: str) -> str:
    """Return a value as text, empty where there is none that is one legal text.

    As text, because a person name keeps the bytes of its old character set otherwise.
    """
    element = _writable(header, keyword)
    return "" if element is None or element.VM != 1 else str(element.value)


def _writable(header: Dataset, keyword: str) -> DataElement | None:
    """Return an attribute as it can be written with the VR of the standard; None where the instance has none such."""
    try:
        value = header[keyword].value
        alone = Dataset()
        alone.SpecificCharacterSet = "ISO_IR 192"
        setattr(alone, keyword, value)
        tried = DicomBytesIO()
        tried.is_little_endian, tried.is_implicit_VR = True, False
        write_dataset(tried, alone)
        element = alone[keyword]
    except Exception:  # what a broken element does to the toolkit is not foreseeable
        return None
    return (
        element if element.VR in ("SQ", "PN") or isinstance(value, (str, DSfloat, IS, MultiValue)) else None
    )
