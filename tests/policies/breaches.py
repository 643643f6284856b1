"""All ways of being wrong that verification must find, as one table: what is damaged, and what has to be said of it.

The set is a CT study under the policy of a longitudinal trial: images, a report and a presentation state.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from policies.loader import load_library
from tests.policies.breach import (
    Breach,
    adding,
    code,
    deleting,
    doubled_item,
    element,
    find_item,
    header,
    in_item,
    inserting,
    inside,
    item,
    meta,
    pixel,
    private,
    replacing,
    setting,
)

NAME = "Lindqvist^Åsa^Margareta^Dr."
ELSEWHERE = "2.25.213409372146478204391370268316312190341"
"""A UID of the form of derived ones (UUID version 8) that is no instance's."""

_CT = "1.2.840.10008.5.1.4.1.1.2"
_ROWS = header(0x00280010, b"US")


def _note(ds: Dataset) -> None:
    ds.ContentSequence.append(
        item(
            RelationshipType="HAS OBS CONTEXT",
            ValueType="TEXT",
            ConceptNameCodeSequence=[code("121022", "DCM", "Accession Number")],
            TextValue="normal",
        )
    )


def _position(ds: Dataset) -> None:
    ds.ContentSequence[0].ReferencedContentItemIdentifier = [1, 99]


def _reference_to(ds: Dataset, uid: str) -> None:
    found = find_item(ds, "IMAGE")
    assert found is not None
    found.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = uid


def _frame(ds: Dataset) -> None:
    found = find_item(ds, "IMAGE")
    assert found is not None
    found.ReferencedSOPSequence[0].ReferencedFrameNumber = "2"


def _layer(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].GraphicLayer = "OTHER"


def _equipment(ds: Dataset) -> None:
    ds.ContributingEquipmentSequence.append(
        item(
            Manufacturer="TCE",
            PurposeOfReferenceCodeSequence=[code("109101", "DCM", "Acquisition Equipment")],
        )
    )


def _claim(value: str, meaning: str) -> object:
    return lambda ds: ds.DeidentificationMethodCodeSequence.append(code(value, "DCM", meaning))


def _last_method_gone(ds: Dataset) -> None:
    ds.DeidentificationMethodCodeSequence.pop()


IDENTITY = [
    Breach("a name", setting(PatientName=NAME), "name", "(0010,0010)"),
    Breach("a name in capitals without I, L, O, U", setting(PatientName="HANSEN"), "name", "(0010,0010)"),
    Breach("a name as long as a pseudonym", setting(PatientName="SCHWARZENBERGEST"), "name", "(0010,0010)"),
    Breach("a physician", setting(ReferringPhysicianName="Wachholz^Eva"), "name", "(0008,0090)"),
    Breach("an operator", setting(OperatorsName="Pfeifenberger^Ulf"), "name", "(0008,1070)"),
    Breach(
        "a nested name",
        inside("ProcedureCodeSequence", PersonName=NAME),
        "name",
        "(0008,1032)[1]/(0040,A123)",
    ),
    Breach("a patient ID", setting(PatientID="SUE-4471902"), "retained-value", "(0010,0020)"),
    Breach("other patient IDs", setting(OtherPatientIDs="A-1"), "retained-value", "(0010,1000)"),
    Breach("an accession number", setting(AccessionNumber="RIS 24-06"), "retained-value", "(0008,0050)"),
    Breach("a birth date", setting(PatientBirthDate="19860315"), "retained-value", "(0010,0030)"),
    Breach(
        "a birth date in another calendar",
        setting(PatientBirthDateInAlternativeCalendar="S61.03.15"),
        "retained-value",
        "(0010,0033)",
    ),
    Breach("an address", setting(PatientAddress="Tannenweg 17"), "retained-value", "(0010,1040)"),
    Breach(
        "a telephone number", setting(PatientTelephoneNumbers="07661 55501"), "retained-value", "(0010,2154)"
    ),
    Breach("an institution", setting(InstitutionName="Klinikum"), "retained-value", "(0008,0080)"),
    Breach("a station", setting(StationName="CT2"), "retained-value", "(0008,1010)"),
    Breach("a device's serial number", setting(DeviceSerialNumber="RH-9"), "retained-value", "(0018,1000)"),
    Breach(
        "an address of a server",
        setting(RetrieveURL="https://pacs.example/1"),
        "retained-value",
        "(0008,1190)",
    ),
    Breach("a title of an application", setting(RetrieveAETitle="PACS1"), "retained-value", "(0008,0054)"),
    Breach("an exact age", setting(PatientAge="038Y"), "age", "(0010,1010)"),
    Breach("an age in months", setting(PatientAge="420M"), "age", "(0010,1010)"),
    Breach("another age band", setting(PatientAge="040Y"), "age", "(0010,1010)"),
    Breach(
        "former patient data",
        setting(OriginalAttributesSequence=[item(ReasonForTheAttributeModification="COERCE")]),
        "retained-sequence",
        "(0400,0561)",
    ),
    Breach(
        "encrypted attributes",
        setting(EncryptedAttributesSequence=[item(EncryptedContent=b"abcd")]),
        "retained-value",
        "(0400,0500)",
    ),
    Breach(
        "a signature",
        adding(0xFFFAFFFA, "SQ", [item(MACIDNumber=1)]),
        "retained-sequence",
        "(FFFA,FFFA)",
    ),
    Breach("an icon", setting(IconImageSequence=[item(Rows=8)]), "retained-sequence", "(0088,0200)"),
]

WORDS = [
    Breach("a name in a description", setting(StudyDescription="CT Thorax Lindqvist"), "text", "(0008,1030)"),
    Breach("an unknown word", setting(ProtocolName="Thorax Zwiebelfisch"), "text", "(0018,1030)"),
    Breach("a number in a description", setting(SeriesDescription="Thorax 4471902"), "text", "(0008,103E)"),
    Breach("a word that was not there", setting(SeriesDescription="Abdomen"), "invented", "(0008,103E)"),
    Breach("a comment", setting(ImageComments="see Lindqvist"), "text", "(0020,4000)"),
    Breach("a word in a device's text", setting(SoftwareVersions="Lindqvist"), "invented", "(0018,1020)"),
    Breach(
        "a word in a code's meaning",
        inside("ProcedureCodeSequence", CodeMeaning="CT of Lindqvist"),
        "invented",
        "(0008,1032)[1]/(0008,0104)",
    ),
    Breach("a name in a report", in_item("TEXT", TextValue="Lindqvist"), "text", "(0040,A160)", of="report"),
    Breach("a person in a report", in_item("PNAME", PersonName=NAME), "name", "(0040,A123)", of="report"),
    Breach("a content item that must go", _note, "retained-item", "(0040,A730)[11]", of="report"),
    Breach(
        "a verifier",
        inside("VerifyingObserverSequence", VerifyingOrganization="Klinikum"),
        "retained-sequence",
        "(0040,A073)",
        of="report",
    ),
    Breach(
        "a name in an annotation",
        inside("GraphicAnnotationSequence/TextObjectSequence", UnformattedTextValue="Lindqvist"),
        "text",
        "(0070,0001)[1]/(0070,0008)[1]/(0070,0006)",
        of="presentation",
    ),
    Breach(
        "a name in a label",
        setting(ContentDescription="for Lindqvist"),
        "text",
        "(0070,0081)",
        of="presentation",
    ),
]

_REGION = "ProcedureCodeSequence"
_PLACE = "(0008,1032)[1]/"

CODES = [
    Breach(
        "a second code value beside a public one",
        inside(_REGION, LongCodeValue="Zorgelin Jane"),
        "code",
        _PLACE + "(0008,0119)",
    ),
    Breach("a name as code value", inside(_REGION, CodeValue="Zorgelin"), "code", _PLACE + "(0008,0100)"),
    Breach(
        "a hospital's number as code value",
        inside(_REGION, CodeValue="47110815", CodingSchemeDesignator="L"),
        "code",
        _PLACE + "(0008,0100)",
    ),
    Breach(
        "a hospital's scheme",
        inside(_REGION, CodingSchemeDesignator="99KLINIK"),
        "code",
        _PLACE + "(0008,0102)",
    ),
    Breach(
        "a name as version of a scheme",
        inside(_REGION, CodingSchemeVersion="Zorgelin"),
        "code",
        _PLACE + "(0008,0103)",
    ),
    Breach(
        "a name in a meaning",
        inside(_REGION, CodeMeaning="Chest of Zorgelin"),
        "code",
        _PLACE + "(0008,0104)",
    ),
    Breach(
        "a name among the words of a unit",
        inside(_REGION, CodeValue="{Zorgelin}/s", CodingSchemeDesignator="UCUM"),
        "code",
        _PLACE + "(0008,0100)",
    ),
]

UNKNOWN = [
    Breach(
        "a private element",
        private(0x0011, "SIEMENS RIS", 0x30, "LO", "any"),
        "private-element",
        "(0011,1030)",
    ),
    Breach(
        "a private creator", private(0x0011, NAME[:9], 0x30, "LO", "any"), "private-element", "(0011,0010)"
    ),
    Breach(
        "a nested private element",
        private(0x0011, "SIEMENS RIS", 0x30, "LO", "any", within="ProcedureCodeSequence"),
        "private-element",
        "(0008,1032)[1]/(0011,1030)",
    ),
    Breach(
        "a private sequence",
        private(0x0011, "SIEMENS RIS", 0x30, "SQ", [item(PatientName="A^B")]),
        "private-element",
        "(0011,1030)",
    ),
    Breach("an unknown element", adding(0x0018EEEE, "LO", "any"), "unknown-element", "(0018,EEEE)"),
    Breach("an overlay", adding(0x60003000, "OW", b"\1\0"), "overlay", "(6000,3000)"),
    Breach("an overlay's words", adding(0x60024000, "LT", "Lindqvist"), "overlay", "(6002,4000)"),
    Breach("a curve", adding(0x50003000, "OW", b"\1\0"), "overlay", "(5000,3000)"),
    Breach("padding", adding(0xFFFCFFFC, "OB", b"Lindqvist "), "retained-value", "(FFFC,FFFC)"),
    Breach(
        "a group length",
        None,
        "unknown-element",
        "(0008,0000)",
        octets=inserting(0x00080005, b"CS", element(0x00080000, b"UL", b"\1\0\0\0")),
    ),
]

UIDS = [
    Breach("an original UID", setting(StudyInstanceUID="1.2.826.0.1.3680043.8.498.7"), "uid", "(0020,000D)"),
    Breach("a UID that is not derived", setting(FrameOfReferenceUID="2.25.12345"), "uid", "(0020,0052)"),
    Breach(
        "a UID that begins like the standard's",
        setting(FrameOfReferenceUID="1.2.840.10008.4711"),
        "uid",
        "(0020,0052)",
    ),
    Breach("a UID that no table lists", setting(ConcatenationUID="1.2.3.4.5"), "uid", "(0020,9161)"),
    Breach(
        "another frame of reference", setting(FrameOfReferenceUID=ELSEWHERE), "uid-consistency", "(0020,0052)"
    ),
    Breach("another study", setting(StudyInstanceUID=ELSEWHERE), "uid-consistency", "(0020,000D)"),
    Breach(
        "an unmapped UID in a report",
        lambda ds: _reference_to(ds, ELSEWHERE),
        "uid-consistency",
        "(0008,1155)",
        of="report",
    ),
    Breach(
        "a dangling reference",
        lambda ds: _reference_to(ds, ELSEWHERE),
        "unresolved-reference",
        "(0008,1199)[1]",
        of="report",
    ),
    Breach(
        "a reference by another class",
        inside(
            "CurrentRequestedProcedureEvidenceSequence/ReferencedSeriesSequence/ReferencedSOPSequence",
            ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.4",
        ),
        "wrong-reference",
        "(0040,A375)[1]/(0008,1115)[1]/(0008,1199)[1]",
        of="report",
    ),
    Breach(
        "a reference into another series",
        inside(
            "CurrentRequestedProcedureEvidenceSequence/ReferencedSeriesSequence", SeriesInstanceUID=ELSEWHERE
        ),
        "wrong-reference",
        "(0040,A375)[1]/(0008,1115)[1]/(0008,1199)[1]",
        of="report",
    ),
    Breach("a frame that is not there", _frame, "wrong-reference", "(0008,1199)[1]", of="report"),
    Breach("a position without an item", _position, "wrong-reference", "(0040,DB73)", of="report"),
    Breach(
        "a layer that is not there",
        _layer,
        "wrong-reference",
        "(0070,0001)[1]/(0070,0002)",
        of="presentation",
    ),
    Breach(
        "evidence that is less than the content",
        lambda ds: ds.__delattr__("CurrentRequestedProcedureEvidenceSequence"),
        "wrong-reference",
        "(0008,1199)[1]",
        of="report",
    ),
    Breach(
        "one of several references",
        lambda ds: (
            ds.CurrentRequestedProcedureEvidenceSequence[0]
            .ReferencedSeriesSequence[0]
            .ReferencedSOPSequence.pop()
        ),
        "lost-reference",
        "(0008,1199)",
        of="report",
    ),
    Breach("another patient", setting(PatientID="P0000000000000000"[:16]), "patient", "(0010,0020)"),
]

DATES = [
    Breach("a date that did not move", setting(StudyDate="20240611"), "date", "(0008,0020)"),
    Breach("a date that moved otherwise", setting(AcquisitionDate="20240304"), "intervals", "(0008,0022)"),
    Breach("another time in a date", setting(AcquisitionDateTime="20240303101743"), "date", "(0008,002A)"),
    Breach("another time", setting(SeriesTime="101543"), "date", "(0008,0031)"),
    Breach(
        "a date in a report",
        in_item("DATETIME", DateTime="20240305101542"),
        "intervals",
        "(0040,A120)",
        of="report",
    ),
    Breach(
        "a date that the source does not have",
        setting(DateOfSecondaryCapture="20240303"),
        "added",
        "(0018,1012)",
        of="second image",
    ),
]

CLAIMS = [
    Breach("identity not removed", setting(PatientIdentityRemoved="NO"), "mark", "(0012,0062)"),
    Breach("no mark", deleting("PatientIdentityRemoved"), "mark", "(0012,0062)"),
    Breach("no method", deleting("DeidentificationMethod"), "mark", "(0012,0063)"),
    Breach(
        "a method that says more",
        setting(
            DeidentificationMethod=[
                *load_library("longitudinal-trial").method_text,
                "by Ulf",
            ]
        ),
        "mark",
        "(0012,0063)",
    ),
    Breach("an exact weight", setting(PatientWeight="72.4"), "generalized", "(0010,1030)"),
    Breach("no codes", deleting("DeidentificationMethodCodeSequence"), "mark", "(0012,0064)"),
    Breach("a method left out", _last_method_gone, "mark", "(0012,0064)"),
    Breach("a method not done", _claim("113101", "Clean Pixel Data Option"), "mark", "(0012,0064)"),  # type: ignore[arg-type]
    Breach("a method of stage 1", _claim("113109", "Retain Device Identity Option"), "mark", "(0012,0064)"),  # type: ignore[arg-type]
    Breach(
        "a method by another name",
        inside("DeidentificationMethodCodeSequence", CodeMeaning="of Lindqvist"),
        "mark",
        "(0012,0064)",
    ),
    Breach("a method twice", doubled_item("DeidentificationMethodCodeSequence"), "mark", "(0012,0064)"),
    Breach(
        "dates kept", setting(LongitudinalTemporalInformationModified="UNMODIFIED"), "mark", "(0028,0303)"
    ),
    Breach("pixels cleaned", setting(BurnedInAnnotation="NO"), "mark", "(0028,0301)"),
    Breach("features cleaned", setting(RecognizableVisualFeatures="NO"), "mark", "(0028,0302)"),
    Breach("no equipment", deleting("ContributingEquipmentSequence"), "mark", "(0018,A001)"),
    Breach("more equipment", _equipment, "mark", "(0018,A001)[2]"),
    Breach(
        "a station's equipment",
        inside("ContributingEquipmentSequence", StationName="ROUTER01"),
        "mark",
        "(0018,A001)[1]",
    ),
    Breach(
        "a foreign maker",
        inside("ContributingEquipmentSequence", Manufacturer="Klinikum"),
        "mark",
        "(0018,A001)[1]",
    ),
    Breach("another sponsor", setting(ClinicalTrialSponsorName="Klinikum"), "mark", "(0012,0010)"),
    Breach("another subject", setting(ClinicalTrialSubjectID="S-1"), "mark", "(0012,0040)"),
    Breach("no protocol", deleting("ClinicalTrialProtocolID"), "mark", "(0012,0020)"),
    Breach("a reading", setting(ClinicalTrialSubjectReadingID="R-1"), "mark", "(0012,0042)"),
]

FILE = [
    Breach("a preamble", setting(preamble=b"EXPORT CT2".ljust(128, b"\0")), "preamble", ""),
    Breach("a sender", meta(SourceApplicationEntityTitle="CTSUEDHANG2"), "file-meta", "(0002,0016)"),
    Breach(
        "private information",
        meta(PrivateInformationCreatorUID="1.2.3", PrivateInformation=b"ab"),
        "file-meta",
        "(0002,0102)",
    ),
    Breach(
        "another implementation", meta(ImplementationClassUID="1.2.276.0.7230010"), "file-meta", "(0002,0012)"
    ),
    Breach("another version", meta(ImplementationVersionName="DCMTK"), "file-meta", "(0002,0013)"),
    Breach(
        "meta of another instance", meta(MediaStorageSOPInstanceUID=ELSEWHERE), "file-meta", "(0002,0003)"
    ),
    Breach(
        "meta of another class",
        meta(MediaStorageSOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
        "file-meta",
        "(0002,0002)",
    ),
    Breach(
        "no class in meta",
        lambda ds: ds.file_meta.__delattr__("MediaStorageSOPClassUID"),
        "file-meta",
        "(0002,0002)",
    ),
    Breach(
        "another syntax",
        None,
        "file-meta",
        "(0002,0010)",
        octets=lambda data: data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1),
    ),
    Breach(
        "a wrong group length",
        None,
        "file-meta",
        "(0002,0000)",
        octets=lambda data: data[:140] + b"\1" + data[141:],
    ),
    Breach("words behind", None, "unreadable", "", octets=lambda data: data + b"Lindqvist^Asa "),
    Breach("bytes behind", None, "encoding", "", octets=lambda data: data + b"Asa "),
    Breach("less than all", None, "unreadable", "", octets=lambda data: data[:-3]),
    Breach("no DICOM", None, "unreadable", "", octets=lambda data: data[132:]),
]

LEGALITY = [
    Breach(
        "an element twice",
        None,
        "encoding",
        "(0008,0060)",
        octets=inserting(0x00080060, b"CS", element(0x00080060, b"CS", b"MR")),
    ),
    Breach(
        "a hidden twin",
        None,
        "name",
        "(0010,0010)",
        octets=inserting(0x00100010, b"PN", element(0x00100010, b"PN", b"Lindqvist^Asa ")),
    ),
    Breach(
        "the wrong order",
        None,
        "encoding",
        "(0008,0080)",
        octets=inserting(
            0x00080090, b"PN", element(0x00080090, b"PN", b"") + element(0x00080080, b"LO", b"")
        ),
    ),
    Breach("an odd length", None, "encoding", "(0008,0060)", octets=replacing(0x00080060, b"CS", b"CTX")),
    Breach(
        "no VR",
        None,
        "encoding",
        "(0008,0060)",
        octets=lambda data: data.replace(
            header(0x00080060, b"CS") + b"\2\0", header(0x00080060, b"\2\0") + b"\0\0"
        ),
    ),
    Breach(
        "another VR",
        None,
        "encoding",
        "(0008,0060)",
        octets=replacing(0x00080060, b"CS", b"CT", new_vr=b"LO"),
    ),
    Breach(
        "half a number", None, "encoding", "(0028,0010)", octets=replacing(0x00280010, b"US", b"\1\0\0\0")
    ),
    Breach("too many values", setting(Modality=["CT", "CT"]), "encoding", "(0008,0060)"),
    Breach("too few values", setting(ImagePositionPatient=[1, 2]), "encoding", "(0020,0032)"),
    Breach("small letters", None, "encoding", "(0018,5100)", octets=replacing(0x00185100, b"CS", b"ffs ")),
    Breach(
        "a letter in a number", None, "encoding", "(0018,0050)", octets=replacing(0x00180050, b"DS", b"5mm ")
    ),
    Breach("no date", None, "encoding", "(0008,0021)", octets=replacing(0x00080021, b"DA", b"20241399")),
    Breach("no time", None, "encoding", "(0008,0031)", octets=replacing(0x00080031, b"TM", b"996042")),
    Breach("no UID", None, "encoding", "(0020,0052)", octets=replacing(0x00200052, b"UI", b"2.25.x.1")),
    Breach(
        "a long value", None, "encoding", "(0018,1210)", octets=replacing(0x00181210, b"SH", b"STANDARD" * 3)
    ),
    Breach(
        "a line break", None, "encoding", "(0018,1210)", octets=replacing(0x00181210, b"SH", b"STANDA\r\n")
    ),
    Breach(
        "letters of no repertoire",
        deleting("SpecificCharacterSet"),
        "encoding",
        "(0008,0070)",
        octets=replacing(0x00080070, b"LO", b"GE M\xc4DICAL"),
    ),
    Breach("an empty Type 1", setting(StudyInstanceUID=""), "empty-type-1", "(0020,000D)"),
    Breach("a missing Type 2", deleting("PatientSex"), "missing-required", "(0010,0040)"),
    Breach("a missing Type 1", deleting("Modality"), "missing-required", "(0008,0060)"),
    Breach(
        "an item of nothing",
        setting(ProcedureCodeSequence=[Dataset()]),
        "empty-item",
        "(0008,1032)[1]",
    ),
]

CONTENT = [
    Breach("a changed cell", pixel(1000), "pixels", "(7FE0,0010)"),
    Breach("fewer cells", lambda ds: setattr(ds, "PixelData", ds.PixelData[:-2]), "pixels", "(7FE0,0010)"),
    Breach("no pixels", deleting("PixelData"), "lost", "(7FE0,0010)"),
    Breach("another size", setting(Rows=64), "changed", "(0028,0010)"),
    Breach("another slope", setting(RescaleSlope="2"), "changed", "(0028,1053)"),
    Breach("another position", setting(ImagePositionPatient=[0, 0, 0]), "changed", "(0020,0032)"),
    Breach("another dose", setting(CTDIvol=1.0), "changed", "(0018,9345)"),
    Breach("no spacing", deleting("PixelSpacing"), "lost", "(0028,0030)"),
    Breach("another modality", setting(Modality="MR"), "changed", "(0008,0060)"),
    Breach("a measurement of nobody", setting(PatientBodyMassIndex="22"), "added", "(0010,1022)"),
    Breach("another weight", setting(PatientWeight="125"), "generalized", "(0010,1030)"),
]

BREACHES = [*IDENTITY, *WORDS, *CODES, *UNKNOWN, *UIDS, *DATES, *CLAIMS, *FILE, *LEGALITY, *CONTENT]
