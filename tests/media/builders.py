"""Small instances for media: ``an_instance("SR DOCUMENT", number=2)`` has just what its directory record needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from media.pages import MediumLabel
from media.pdi import Medium, write_medium

LABEL = MediumLabel("CASE_7", "Institute of Trials", "trials@example.org", "TCE", "0.1.0")
_STORAGE = "1.2.840.10008.5.1.4.1.1."
SOP_CLASSES = {
    "IMAGE": _STORAGE + "2",
    "PRESENTATION": _STORAGE + "11.1",
    "SR DOCUMENT": _STORAGE + "88.22",
    "KEY OBJECT DOC": _STORAGE + "88.59",
    "WAVEFORM": _STORAGE + "9.1.1",
    "RAW DATA": _STORAGE + "66",
    "SPECTROSCOPY": _STORAGE + "4.2",
    "REGISTRATION": _STORAGE + "66.1",
    "FIDUCIAL": _STORAGE + "66.2",
    "VALUE MAP": _STORAGE + "67",
    "MEASUREMENT": _STORAGE + "78.1",
    "SURFACE": _STORAGE + "66.5",
    "SURFACE SCAN": _STORAGE + "68.1",
    "TRACT": _STORAGE + "66.6",
    "ANNOTATION": _STORAGE + "91.1",
    "ENCAP DOC": _STORAGE + "104.1",
    "RT DOSE": _STORAGE + "481.2",
    "RT STRUCTURE SET": _STORAGE + "481.3",
    "RT PLAN": _STORAGE + "481.5",
    "RT TREAT RECORD": _STORAGE + "481.4",
    "RADIOTHERAPY": _STORAGE + "481.10",
    "ASSESSMENT": _STORAGE + "90.1",
    "STEREOMETRIC": _STORAGE + "77.1.5.3",
    "PLAN": "1.2.840.10008.5.1.4.34.7",
    "HANGING PROTOCOL": "1.2.840.10008.5.1.4.38.1",
    "PALETTE": "1.2.840.10008.5.1.4.39.1",
    "IMPLANT": "1.2.840.10008.5.1.4.43.1",
    "IMPLANT ASSY": "1.2.840.10008.5.1.4.44.1",
    "IMPLANT GROUP": "1.2.840.10008.5.1.4.45.1",
}
SEGMENTATION = _STORAGE + "66.4"
IN_THE_ROOT = ("HANGING PROTOCOL", "PALETTE", "IMPLANT", "IMPLANT ASSY", "IMPLANT GROUP")
BELOW_SERIES = tuple(record for record in SOP_CLASSES if record not in IN_THE_ROOT)


def a_code(value: str, meaning: str, *, scheme: str = "DCM") -> Dataset:
    """One coded concept."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def an_instance(
    record: str = "IMAGE",
    *,
    patient: int = 1,
    study: int = 1,
    series: int = 1,
    number: int = 1,
    **others: Any,
) -> Dataset:
    """One de-identified instance whose directory record is of type ``record``; ``None`` takes an attribute away."""
    kind = list(SOP_CLASSES).index(record)
    ds = Dataset()
    ds.SOPClassUID = SOP_CLASSES[record]
    ds.SOPInstanceUID = f"2.25.{1000 + patient}{study}{series}{kind:02d}{number:05d}"
    ds.PatientIdentityRemoved = "YES"
    if record not in IN_THE_ROOT:
        _place(ds, patient=patient, study=study, series=series, number=number)
    _TAILORS.get(record, lambda ds: None)(ds)
    for keyword, value in others.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID")
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def written(ds: Dataset, folder: Path, *, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """The file of an instance, under a name of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"in{len(list(folder.iterdir())):05d}.dcm"
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    dcmwrite(
        path,
        ds,
        implicit_vr=ds.file_meta.TransferSyntaxUID.is_implicit_VR,
        little_endian=ds.file_meta.TransferSyntaxUID.is_little_endian,
        enforce_file_format=True,
    )
    return path


def a_medium(folder: Path, *instances: Dataset) -> Medium:
    """A medium with these instances, or with one image if there are none."""
    files = [written(ds, folder / "in") for ds in instances or (an_instance(),)]
    return write_medium(files, folder / "medium", label=LABEL)


def one_of_each_kind() -> list[Dataset]:
    """One instance for each record type, all of one patient and study, one series each."""
    return [
        an_instance(record, series=series, number=1)
        for series, record in enumerate([*BELOW_SERIES, *IN_THE_ROOT], start=1)
    ]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _place(ds: Dataset, *, patient: int, study: int, series: int, number: int) -> None:
    ds.PatientName = f"PSN{patient:04d}^Case"
    ds.PatientID = f"PSN{patient:04d}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.StudyInstanceUID = f"2.25.70{patient}{study}"
    ds.StudyDate, ds.StudyTime = "20210304", f"1011{study:02d}"
    ds.StudyID = f"S{patient}{study}"
    ds.AccessionNumber = ""
    ds.StudyDescription = "Thorax"
    ds.ReferringPhysicianName = ""
    ds.SeriesInstanceUID = f"2.25.71{patient}{study}{series:03d}"
    ds.SeriesNumber = str(series)
    ds.Modality = "OT"
    ds.InstanceNumber = str(number)


def _dated(ds: Dataset) -> None:
    ds.ContentDate, ds.ContentTime = "20210305", "121314"


def _labelled(ds: Dataset) -> None:
    _dated(ds)
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "LABEL", "a description", "PSN9^Reader"


def _image(ds: Dataset) -> None:
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 2
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = b"\x01\x00\x02\x00\x03\x00\x04\x00"
    ds["PixelData"].VR = "OW"


def _presentation(ds: Dataset) -> None:
    _labelled(ds)
    del ds.ContentDate, ds.ContentTime
    ds.Modality = "PR"
    ds.PresentationCreationDate, ds.PresentationCreationTime = "20210305", "101112"
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = SOP_CLASSES["IMAGE"], "2.25.99"
    referenced = Dataset()
    referenced.SeriesInstanceUID = "2.25.98"
    referenced.ReferencedImageSequence = Sequence([image])
    ds.ReferencedSeriesSequence = Sequence([referenced])


def _document(ds: Dataset) -> None:
    _dated(ds)
    ds.Modality = "SR"
    ds.ConceptNameCodeSequence = Sequence([a_code("126000", "Imaging Measurement Report")])
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "VERIFIED"
    observers = [Dataset(), Dataset()]
    observers[0].VerificationDateTime, observers[1].VerificationDateTime = "20210306", "20210307080000"
    ds.VerifyingObserverSequence = Sequence(observers)
    modifier, text = Dataset(), Dataset()
    modifier.RelationshipType, modifier.ValueType = "HAS CONCEPT MOD", "CODE"
    modifier.ConceptNameCodeSequence = Sequence([a_code("121049", "Language of Content Item")])
    modifier.ConceptCodeSequence = Sequence([a_code("en", "English", scheme="RFC5646")])
    text.RelationshipType, text.ValueType, text.TextValue = (
        "CONTAINS",
        "TEXT",
        "A finding of nobody's business",
    )
    text.ConceptNameCodeSequence = Sequence([a_code("121071", "Finding")])
    ds.ContentSequence = Sequence([modifier, text])


def _key_object(ds: Dataset) -> None:
    _dated(ds)
    ds.Modality = "KO"
    ds.ConceptNameCodeSequence = Sequence([a_code("113000", "Of Interest")])


def _spectroscopy(ds: Dataset) -> None:
    _dated(ds)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SPECTROSCOPY", "NONE"]
    ds.NumberOfFrames = "1"
    ds.Rows = ds.Columns = 32  # a space, were it text
    ds.DataPointRows, ds.DataPointColumns = 1, 1024
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = SOP_CLASSES["IMAGE"], "2.25.99"
    ds.ReferencedImageEvidenceSequence = Sequence([image])


def _encapsulated(ds: Dataset) -> None:
    _dated(ds)
    ds.DocumentTitle, ds.MIMETypeOfEncapsulatedDocument = "A leaflet", "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.4"


def _hanging_protocol(ds: Dataset) -> None:
    ds.HangingProtocolName, ds.HangingProtocolDescription = "CHEST", "Two views"
    ds.HangingProtocolLevel, ds.HangingProtocolCreator = "SITE", "Institute"
    ds.HangingProtocolCreationDateTime = "20210101"
    definition = Dataset()
    definition.Modality = "CR"
    ds.HangingProtocolDefinitionSequence = Sequence([definition])
    ds.NumberOfPriorsReferenced = 0


def _attributes(**values: str) -> Any:
    return lambda ds: [setattr(ds, keyword, value) for keyword, value in values.items()]


_TAILORS: dict[str, Any] = {
    "IMAGE": _image,
    "PRESENTATION": _presentation,
    "SR DOCUMENT": _document,
    "KEY OBJECT DOC": _key_object,
    "WAVEFORM": _dated,
    "RAW DATA": _dated,
    "SPECTROSCOPY": _spectroscopy,
    **dict.fromkeys(("REGISTRATION", "FIDUCIAL", "VALUE MAP", "MEASUREMENT"), _labelled),
    **dict.fromkeys(("SURFACE", "TRACT", "ANNOTATION"), _labelled),
    "SURFACE SCAN": _dated,
    "ENCAP DOC": _encapsulated,
    "RT DOSE": _attributes(DoseSummationType="PLAN"),
    "RT STRUCTURE SET": _attributes(StructureSetLabel="CONTOURS", StructureSetDate="20210305"),
    "RT PLAN": _attributes(RTPlanLabel="PLAN1", RTPlanDate="20210305", RTPlanTime="1213"),
    "RT TREAT RECORD": _attributes(TreatmentDate="20210305", TreatmentTime="1213"),
    "RADIOTHERAPY": _attributes(UserContentLabel="INTENT", UserContentLongLabel="The intent"),
    "ASSESSMENT": _attributes(InstanceCreationDate="20210305", InstanceCreationTime="1213"),
    "HANGING PROTOCOL": _hanging_protocol,
    "PALETTE": _attributes(ContentLabel="HOT", ContentDescription="A palette"),
    "IMPLANT": _attributes(Manufacturer="Maker", ImplantName="Screw", ImplantPartNumber="S1"),
    "IMPLANT ASSY": lambda ds: (
        _attributes(ImplantAssemblyTemplateName="Hip", Manufacturer="Maker")(ds),
        setattr(ds, "ProcedureTypeCodeSequence", Sequence([a_code("1", "Hip", scheme="99X")])),
    ),
    "IMPLANT GROUP": _attributes(ImplantTemplateGroupName="Hips", ImplantTemplateGroupIssuer="Maker"),
}
