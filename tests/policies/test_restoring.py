"""Putting originals back: in every place where a pseudonym stands, in any alphabet, and nothing else changes."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies import restoring
from policies.errors import Refusal
from policies.restoring import Identity
from tests.builders import a_ct_image

PATIENT, STUDY, ACCESSION = "LN0ZQE612QW3GGSZ", "2.25.311111111111111111111111111", "LN1111112QW3GGSZ"
ORIGINALS = {PATIENT: "MRN-0815", STUDY: "1.2.840.99999.1", ACCESSION: "ACC-1"}


def an_identity(**changes: object) -> Identity:
    given: dict[str, object] = {
        "pseudonym": PATIENT,
        "issuer": "HOSPITAL",
        "originals": ORIGINALS,
        "attributes": {"PatientName": "Doe^Jane"},
        "pseudonyms": frozenset(ORIGINALS),
    }
    return Identity(**(given | changes))  # type: ignore[arg-type]


def an_instance(tmp_path: Path, *, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> FileDataset:
    """A pseudonymized instance, read from a file."""
    ds = a_ct_image()
    for keyword in ("SpecificCharacterSet", "IssuerOfPatientID", "OtherPatientNames"):
        delattr(ds, keyword)
    ds.PatientName, ds.PatientID = PATIENT, PATIENT
    ds.StudyInstanceUID, ds.AccessionNumber = STUDY, ACCESSION
    ds.PatientIdentityRemoved = "YES"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    implicit = syntax == ImplicitVRLittleEndian
    ds.save_as(tmp_path / "in.dcm", implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return restoring.read(tmp_path / "in.dcm")


def put_back(ds: FileDataset, identity: Identity | None = None) -> FileDataset:
    restoring.put_back(ds, identity or an_identity())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(restoring.encoded(ds).file))


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_place_is_restored(syntax: str, tmp_path: Path) -> None:
    """Whole values, words of texts, values of many and nested ones; pixels stay; preamble and AE titles go."""
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.TextValue = STUDY, f"Seen in {PATIENT}."
    ds = an_instance(
        tmp_path,
        syntax=syntax,
        ReferencedImageSequence=[item],
        ImageComments=f"{PATIENT}: see {ACCESSION}, {STUDY}",
        RequestAttributesSequence=[],
        OtherPatientIDs=["OTHER", PATIENT],
    )
    before = ds.PixelData
    back = put_back(ds)
    assert (back.PatientName, back.PatientID, back.IssuerOfPatientID) == ("Doe^Jane", "MRN-0815", "HOSPITAL")
    assert (back.StudyInstanceUID, back.AccessionNumber) == ("1.2.840.99999.1", "ACC-1")
    assert back.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.840.99999.1"
    assert back.ReferencedImageSequence[0].TextValue == "Seen in MRN-0815."
    assert back.ImageComments == "MRN-0815: see ACC-1, 1.2.840.99999.1"
    assert back.OtherPatientIDs == ["OTHER", "MRN-0815"]
    assert back.PixelData == before and back.file_meta.TransferSyntaxUID == syntax
    assert "SourceApplicationEntityTitle" not in back.file_meta
    assert back.preamble == b"\0" * 128


@pytest.mark.parametrize("name", ["Lindqvist^Åsa", "Yamada^Tarou=山田^太郎", "Иванова^Анна"])
@pytest.mark.parametrize("charset", [None, "ISO_IR 100", ["", "ISO 2022 IR 87"]])
def test_names_of_every_alphabet_are_written(name: str, charset: object, tmp_path: Path) -> None:
    """A name fits whatever character set the instance declared, and the instance's own texts stay what they were."""
    ds = an_instance(tmp_path, **({"SpecificCharacterSet": charset} if charset else {}))
    item = Dataset()
    item.SpecificCharacterSet, item.TextValue = "ISO_IR 100", "Größe"
    ds.ConceptNameCodeSequence = [item]
    ds.save_as(tmp_path / "with.dcm")
    back = put_back(restoring.read(tmp_path / "with.dcm"), an_identity(attributes={"PatientName": name}))
    assert str(back.PatientName) == name
    assert back.ConceptNameCodeSequence[0].TextValue == "Größe"
    assert back.SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in back.ConceptNameCodeSequence[0]


def test_without_a_granted_name_none_is_left(tmp_path: Path) -> None:
    """Patient's Name is empty then; in other places, which may need a value, a dummy stands."""
    item = Dataset()
    item.PersonName = PATIENT
    back = put_back(an_instance(tmp_path, ContentSequence=[item]), an_identity(attributes={}))
    assert (back.PatientName, back.ContentSequence[0].PersonName) == ("", "REMOVED")
    assert back.PatientID == "MRN-0815"


def test_an_identified_instance_says_so(tmp_path: Path) -> None:
    """NO is said, no method is claimed, trial and de-identifier are gone, and other equipment stays."""
    ours, other = Dataset(), Dataset()
    for item, code in ((ours, "109104"), (other, "109103")):
        purpose = Dataset()
        purpose.CodeValue = code
        item.PurposeOfReferenceCodeSequence = [purpose]
    back = put_back(
        an_instance(
            tmp_path,
            ContributingEquipmentSequence=[ours, other],
            DeidentificationMethod="pseudonymization 1",
            LongitudinalTemporalInformationModified="UNMODIFIED",
            ClinicalTrialSubjectID=PATIENT,
            ClinicalTrialProtocolID="XY-1",
            StudyID=ACCESSION,
        )
    )
    assert [element.keyword for element in back.group_dataset(0x0012)] == ["PatientIdentityRemoved"]
    assert back.PatientIdentityRemoved == "NO" and back.StudyID == ""
    assert "LongitudinalTemporalInformationModified" not in back
    [left] = back.ContributingEquipmentSequence
    assert left.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"


def test_moved_dates_are_refused(tmp_path: Path) -> None:
    """Nobody can move them back, and a wrong date beside the right study is worse than none."""
    ds = an_instance(tmp_path, LongitudinalTemporalInformationModified="MODIFIED")
    with pytest.raises(Refusal) as refused:
        restoring.put_back(ds, an_identity())
    assert refused.value.reason == "dates-moved"


def test_a_pseudonym_that_stays_is_found(tmp_path: Path) -> None:
    """A pseudonym in a private element that is not text refuses the instance; in pixels it is chance."""
    ds = an_instance(tmp_path)
    ds.private_block(0x0099, "TRIAL", create=True).add_new(1, "UN", f"x{PATIENT}x".encode())
    restoring.put_back(ds, an_identity())
    with pytest.raises(Refusal) as refused:
        restoring.require_no_pseudonym(restoring.encoded(ds).header, an_identity())
    assert refused.value.reason == "pseudonym-left"
    clean = an_instance(tmp_path)
    clean.PixelData = PATIENT.encode() * 2
    restoring.put_back(clean, an_identity())
    restoring.require_no_pseudonym(restoring.encoded(clean).header, an_identity())


def test_words_are_found_for_the_mapping(tmp_path: Path) -> None:
    """What is asked of the mapping are short values and words of texts, and not what goes anyway."""
    words = restoring.words_of(
        an_instance(
            tmp_path, ImageComments=f"see {STUDY}. " + "x " * 99, StudyID="LN9", ClinicalTrialSubjectID="LN8"
        )
    )
    assert {PATIENT, STUDY, ACCESSION} <= words
    assert not {"LN9", "LN8"} & words and max(map(len, words)) <= 64


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"Dear Mr Testov", "not-dicom"), (b"\0" * 128 + b"DICM" + b"\7" * 99, "malformed")],
)
def test_what_cannot_be_read_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    """A letter and a broken file are refused by name, and nothing of them is repeated."""
    (tmp_path / "odd.dcm").write_bytes(content)
    with pytest.raises(Refusal) as refused:
        restoring.encoded(restoring.read(tmp_path / "odd.dcm"))
    assert refused.value.reason == reason and "Testov" not in refused.value.what


def test_a_directory_is_no_instance(tmp_path: Path) -> None:
    """A DICOMDIR would not fit any more what it lists."""
    ds = an_instance(tmp_path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    ds.save_as(tmp_path / "DICOMDIR")
    with pytest.raises(Refusal) as refused:
        restoring.read(tmp_path / "DICOMDIR")
    assert refused.value.reason == "directory"


def test_nobody_hears_a_value(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Illegal originals are put back as they were, without a warning that would repeat them."""
    originals = {**ORIGINALS, STUDY: "not a UID", ACCESSION: "x" * 30}
    ds = an_instance(tmp_path)
    recwarn.clear()
    restoring.put_back(ds, an_identity(originals=originals))
    restoring.encoded(ds)
    assert not recwarn.list
    assert "Doe" not in repr(an_identity()) and "MRN" not in repr(an_identity())
