"""The engine's promises, each on one instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from policies import writing
from policies.engine import Engine, Written
from policies.errors import Held, Refusal
from policies.loader import load_library, loads
from policies.model import Policy
from policies.pseudonyms import Identifier, Kind
from tests.builders import a_code, a_ct_image, a_ct_study, an_item
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}


class Carrier:
    """Carries data sets through a policy in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.written: Written | None = None

    def save(self, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
        self.count += 1
        path = self.folder / f"in-{self.count}.dcm"
        ds.file_meta.TransferSyntaxUID = syntax
        implicit = syntax == ImplicitVRLittleEndian
        ds.save_as(path, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
        return path

    def carry_file(self, path: Path, policy: Policy) -> Path:
        engine = Engine(policy, trial=TRIAL)
        out = self.folder / f"out-{self.count}.dcm"
        with engine.read(path) as draft:
            self.written = engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        return out

    def __call__(
        self, ds: Dataset, policy: str | Policy = "longitudinal-trial", syntax: str = ExplicitVRLittleEndian
    ) -> pydicom.FileDataset:
        chosen = load_library(policy) if isinstance(policy, str) else policy
        return pydicom.dcmread(self.carry_file(self.save(ds, syntax), chosen))


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def with_(ds: Dataset, change: Callable[[Dataset], object]) -> Dataset:
    change(ds)
    return ds


@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_pixels_are_identical(carry: Carrier, policy: str) -> None:
    """Pixel bytes that no rule changes are those of the input."""
    ds = a_ct_image()
    assert carry(ds, policy).PixelData == ds.PixelData


@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_the_result_says_what_was_done(carry: Carrier, policy: str) -> None:
    """Patient Identity Removed, method and codes are there, and the codes are the policy's."""
    out = carry(a_ct_image(), policy)
    assert out.PatientIdentityRemoved == "YES"
    assert out.DeidentificationMethod[0] == f"{policy} {load_library(policy).version}"
    codes = [item.CodeValue for item in out.DeidentificationMethodCodeSequence]
    assert codes == [code for code, _ in load_library(policy).codes]
    assert out.LongitudinalTemporalInformationModified == load_library(policy).temporal_information
    purpose = out.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0]
    assert purpose.CodeValue == "109104"


def test_same_input_same_bytes(carry: Carrier, tmp_path: Path) -> None:
    """The same instance under the same policy and keys gives the same bytes."""
    path = carry.save(a_ct_image())
    first = carry.carry_file(path, load_library("basic")).read_bytes()
    carry.count += 1
    assert carry.carry_file(path, load_library("basic")).read_bytes() == first


def test_preamble_and_meta_are_new(carry: Carrier) -> None:
    """Nothing of the source's preamble and File Meta Information stays but the transfer syntax and class."""
    ds = a_ct_image()
    path = carry.save(ds)
    content = bytearray(path.read_bytes())
    content[:10] = b"HOSPITAL X"
    path.write_bytes(content)
    out = carry.carry_file(path, load_library("basic"))
    meta = pydicom.dcmread(out).file_meta
    assert out.read_bytes()[:128] == bytes(128)
    assert meta.MediaStorageSOPInstanceUID == carry.written.names.sop_instance_uid  # type: ignore[union-attr]
    assert "SourceApplicationEntityTitle" not in meta
    assert meta.ImplementationVersionName == "TCE_1"


def test_one_original_uid_gets_one_pseudonym_everywhere(carry: Carrier) -> None:
    """The same UID is replaced by the same UID in every attribute and at every depth."""
    ds = a_ct_image()
    item = Dataset()
    item.ReferencedSOPClassUID = ds.SOPClassUID
    item.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    ds.ReferencedImageSequence = Sequence([item])
    out = carry(ds)
    assert out.ReferencedImageSequence[0].ReferencedSOPInstanceUID == out.SOPInstanceUID
    assert out.ReferencedImageSequence[0].ReferencedSOPClassUID == ds.SOPClassUID
    assert out.SOPInstanceUID.startswith("2.25.")


def test_uids_of_the_standard_stay(carry: Carrier) -> None:
    """UIDs below 1.2.840.10008 name classes and well-known instances and are never replaced."""
    ds = a_ct_image()
    ds.FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"
    assert carry(ds).FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"


def test_the_patient_becomes_the_pseudonym(carry: Carrier) -> None:
    """Patient ID and Patient's Name are the subject's pseudonym, and the birth date is empty."""
    out = carry(a_ct_image())
    assert out.PatientID == str(out.PatientName) == out.ClinicalTrialSubjectID
    assert out.PatientBirthDate == ""


@pytest.mark.parametrize(
    ("age", "stored"),
    [
        ("038Y", "035Y"),
        ("035Y", "035Y"),
        ("089Y", "085Y"),
        ("090Y", "090Y"),
        ("104Y", "090Y"),
        ("007M", "000Y"),
    ],
)
def test_an_age_becomes_the_lower_bound_of_its_band(carry: Carrier, age: str, stored: str) -> None:
    """A five-year band is stored as its lower bound, the method says how wide bands are, from 90 up there is one."""
    out = carry(with_(a_ct_image(), lambda ds: setattr(ds, "PatientAge", age)))
    assert out.PatientAge == stored
    assert "AGE BANDS OF 5 YEARS, 90+" in out.DeidentificationMethod


def test_an_absent_age_is_computed(carry: Carrier) -> None:
    """Where only birth and study date tell the age, the band is computed from them, and they go."""
    ds = a_ct_image()
    del ds.PatientAge
    ds.PatientBirthDate, ds.StudyDate = "19850616", "20240615"
    assert carry(ds).PatientAge == "035Y"


def test_an_illegal_age_is_not_kept(carry: Carrier) -> None:
    """What is no age string is neither kept nor banded."""
    ds = a_ct_image()
    ds.PatientBirthDate = ""
    ds["PatientAge"]._value = "38 years, Smith"
    assert "PatientAge" not in carry(ds)


def test_dates_move_together(carry: Carrier) -> None:
    """All dates of a patient move by the same days: intervals and times of day are exactly kept."""
    ds = a_ct_image()
    ds.StudyDate, ds.SeriesDate = "20240301", "20240229"
    ds.AcquisitionDateTime = "20240301235959.123456+0200"
    out = carry(ds)
    assert (out.StudyDate, out.SeriesDate) == ("20231122", "20231121")
    assert out.AcquisitionDateTime == "20231122235959.123456+0200"
    assert out.StudyTime == ds.StudyTime


def test_a_date_that_is_none_is_not_kept(carry: Carrier) -> None:
    """A value that is no date is not carried along as if it were one."""
    ds = a_ct_image()
    ds["SeriesDate"]._value = "JOHNSMIT"
    assert (
        b"JOHNSMIT" not in carry.carry_file(carry.save(ds), load_library("longitudinal-trial")).read_bytes()
    )


def test_without_a_temporal_option_dates_go(carry: Carrier) -> None:
    """The basic profile leaves no date but the dummies that a DICOMDIR needs."""
    out = carry(a_ct_image(), "basic")
    dates = {element.value for element in out.iterall() if element.VR in ("DA", "DT") and element.value}
    assert dates <= {"19000101", "19000101000000"}
    assert out.StudyDate == "19000101"


def test_private_elements_go(carry: Carrier) -> None:
    """Private elements go with their creators, at every depth, unless the policy keeps them."""
    ds = a_ct_image()
    ds.private_block(0x0099, "ACME", create=True).add_new(1, "LO", "JOHN SMITH")
    out = carry(ds)
    assert not [element for element in out.iterall() if element.tag.is_private]


def test_a_private_element_is_kept_by_creator_wherever_its_block_lies(carry: Carrier) -> None:
    """The policy names creator and element; the block may lie anywhere, and its creator stays with it."""
    text = (
        "name: keep\nversion: 1\nstage: anonymize\ntitle: t\ndescription: d\n"
        "options: [retain-safe-private]\n"
        "private:\n  - {creator: ACME, group: '0099', element: '01', reason: dose}\n"
    )
    policy = loads(text, "test")
    ds = a_ct_image()
    ds.add_new((0x0099, 0x0010), "LO", "OTHER")
    ds.add_new((0x0099, 0x0042), "LO", "ACME")
    ds.add_new((0x0099, 0x1001), "DS", "9")
    ds.add_new((0x0099, 0x4201), "DS", "1.5")
    ds.add_new((0x0099, 0x4202), "LO", "JOHN SMITH")
    out = carry(ds, policy)
    private = {int(element.tag): str(element.value) for element in out if element.tag.group == 0x0099}
    assert private == {0x00990042: "ACME", 0x00994201: "1.5"}


def test_an_unknown_element_goes(carry: Carrier) -> None:
    """Deny by default: an even-group element that no dictionary knows is removed."""
    ds = a_ct_image()
    ds.add_new((0x0018, 0x9FF0), "LO", "JOHN SMITH")
    assert (0x0018, 0x9FF0) not in carry(ds)


def test_a_value_of_the_wrong_representation_goes(carry: Carrier) -> None:
    """Text in the place of a number is not kept: nobody knows what it says."""
    ds = a_ct_image()
    del ds.SliceThickness
    ds.add_new((0x0018, 0x0050), "LO", "JOHN SMITH")
    assert "SliceThickness" not in carry(ds)


@pytest.mark.parametrize(
    "keyword", ["SeriesDescription", "ImageComments", "ContrastBolusAgent", "FilterType"]
)
@pytest.mark.parametrize("policy", ["pseudonymization", "longitudinal-trial"])
def test_the_name_goes_wherever_it_is_written(carry: Carrier, keyword: str, policy: str) -> None:
    """A part of the patient's name in a kept text does not stay, in any case or order."""
    ds = a_ct_image()
    ds.PatientName = "Abdomen^Quirin"
    setattr(ds, keyword, "CT quirin aBDomen")
    out = carry(ds, policy)
    assert "abdomen" not in str(out.get(keyword, "")).lower()
    assert "quirin" not in str(out.get(keyword, "")).lower()


@pytest.mark.parametrize(
    "written",
    [
        "MÜLLER".encode("latin-1"),
        "müller".encode("latin-1"),
        "MÜLLER".encode(),
        b"Mueller",
        b"MULLER",
        "Бела".encode("iso8859-5"),
    ],
)
@pytest.mark.parametrize("policy", ["pseudonymization", "longitudinal-trial"])
def test_a_name_in_another_spelling_goes(carry: Carrier, written: bytes, policy: str) -> None:
    """A name with letters beyond ASCII does not stay in another case, without accents, or in a mis-declared set."""
    ds = a_ct_image()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Müller^Jürgen^Бела"
    ds["FilterType"] = pydicom.DataElement(0x00181160, "SH", "PLACE-OF-THE-NAME"[:16])
    path = carry.save(ds)
    content = path.read_bytes()
    assert content.count(b"PLACE-OF-THE-NAM") == 1
    path.write_bytes(content.replace(b"PLACE-OF-THE-NAM", written.ljust(16)))
    assert written not in carry.carry_file(path, load_library(policy)).read_bytes()


@pytest.mark.parametrize("keyword", ["SliceThickness", "AcquisitionTime", "PatientAge"])
def test_a_name_in_the_place_of_a_number_goes(carry: Carrier, keyword: str) -> None:
    """A number or a time that holds the patient's name does not stay."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    path = carry.save(ds)
    element = ds[keyword]
    element._value = "QUIRIN"
    path = carry.save(ds)
    assert b"quirin" not in carry.carry_file(path, load_library("pseudonymization")).read_bytes().lower()


def test_a_name_in_binary_data_is_held(carry: Carrier, tmp_path: Path) -> None:
    """Binary data that names the patient cannot be cleaned, so the instance is held and nothing is written."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    ds.add_new("RedPaletteColorLookupTableData", "OW", b"\0\1Quirin\0\2")
    path = carry.save(ds)
    with pytest.raises(Held) as held:
        carry.carry_file(path, load_library("pseudonymization"))
    assert held.value.reason == "names-the-patient"
    assert not list(tmp_path.glob("out-*"))


def test_a_name_that_no_header_knows_goes(carry: Carrier) -> None:
    """Clean Descriptors keeps only words that are known to be safe."""
    ds = a_ct_image()
    ds.StudyDescription = "CT Thorax with contrast for Zbigniew Nowak 12345"
    assert carry(ds).StudyDescription == "CT Thorax with contrast"


def test_the_burned_in_say_so_is_held(carry: Carrier, tmp_path: Path) -> None:
    """An instance that says it has burned-in text is held, not passed."""
    path = carry.save(with_(a_ct_image(), lambda ds: setattr(ds, "BurnedInAnnotation", "YES")))
    with pytest.raises(Held) as held:
        Engine(load_library("basic")).read(path)
    assert held.value.reason == "at-risk-burned-in-annotation"
    assert held.value.next_step


def test_a_saved_screen_is_held(carry: Carrier) -> None:
    """A screen saved as an image of its modality is held, because text is part of the picture."""
    path = carry.save(
        with_(a_ct_image(), lambda ds: setattr(ds, "ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]))
    )
    with pytest.raises(Held) as held:
        Engine(load_library("basic")).read(path)
    assert held.value.reason == "at-risk-secondary-capture"


@pytest.mark.parametrize(
    ("sop_class", "reason", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", "at-risk-secondary-capture", Held),
        ("1.2.840.10008.5.1.4.1.1.6.1", "at-risk-ultrasound", Held),
        ("1.2.840.10008.5.1.4.1.1.104.1", "at-risk-encapsulated-document", Held),
        ("1.2.840.10008.5.1.4.1.1.77.1.4", "at-risk-visible-light", Held),
        ("1.3.12.2.1107.5.9.1", "private-sop-class", Refusal),
        ("1.2.840.10008.5.1.4.1.1.999.9", "unknown-sop-class", Refusal),
    ],
)
def test_what_cannot_be_decided_does_not_pass(
    carry: Carrier, sop_class: str, reason: str, kind: type[Refusal]
) -> None:
    """Kinds at risk are held, private and unknown kinds refused, each by its reason."""
    ds = a_ct_image()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    path = carry.save(ds)
    with pytest.raises(kind) as refusal:
        Engine(load_library("basic")).read(path)
    assert refusal.value.reason == reason


def test_files_that_are_no_instance_are_refused_by_name(carry: Carrier, tmp_path: Path) -> None:
    """Not DICOM, cut off anywhere, without SOP Instance UID: each is a refusal with its reason."""
    engine = Engine(load_library("basic"))
    whole = carry.save(a_ct_image()).read_bytes()
    nameless = a_ct_image()
    del nameless.SOPInstanceUID
    cases = {
        "not-dicom": [b"", b"hello", b"\0" * 200],
        "truncated": [whole[:-1], whole[:5000], whole[: len(whole) // 2]],
        "no-sop-instance-uid": [_bytes_of(nameless, tmp_path)],
    }
    for reason, contents in cases.items():
        for content in contents:
            path = tmp_path / "case.dcm"
            path.write_bytes(content)
            with pytest.raises(Refusal) as refusal:
                engine.read(path)
            assert refusal.value.reason == reason


def _bytes_of(ds: Dataset, folder: Path) -> bytes:
    path = folder / "nameless.dcm"
    meta = ds.file_meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, ds, enforce_file_format=False)
    return path.read_bytes()


def test_a_file_cut_anywhere_never_passes(carry: Carrier, tmp_path: Path) -> None:
    """Wherever a file is cut off, it is refused, or — between two elements — it has no pixels to show."""
    ds = a_ct_image()
    ds.PixelData = ds.PixelData[:64]
    ds.Rows = ds.Columns = 4
    ds.PixelData = b"\1" * 32
    whole = carry.save(ds).read_bytes()
    engine = Engine(load_library("basic"))
    for end in range(0, len(whole), 7):
        path = tmp_path / "cut.dcm"
        path.write_bytes(whole[:end])
        try:
            engine.read(path).close()
        except Refusal as refusal:
            assert refusal.reason in {"not-dicom", "truncated", "malformed", "no-sop-instance-uid"}


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_little_endian_encoding_gives_the_same_attributes(carry: Carrier, syntax: str) -> None:
    """Implicit, explicit and deflated instances are de-identified alike and keep their transfer syntax."""
    plain = carry(a_ct_image())
    out = carry(a_ct_image(), syntax=syntax)
    assert out.file_meta.TransferSyntaxUID == syntax
    assert {e.tag: e.value for e in out if e.VR not in ("UN", "SQ")} == {
        e.tag: e.value for e in plain if e.VR not in ("UN", "SQ")
    }


def test_a_private_transfer_syntax_is_refused_by_name(carry: Carrier) -> None:
    """A transfer syntax that is not read is refused, with what to do."""
    path = carry.save(a_ct_image())
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0"))
    with pytest.raises(Refusal) as refusal:
        Engine(load_library("basic")).read(path)
    assert refusal.value.reason == "unsupported-transfer-syntax"
    assert "Explicit VR Little Endian" in refusal.value.next_step


def test_undefined_lengths_stay_undefined_and_are_cleaned(carry: Carrier) -> None:
    """Sequences and items of undefined length are cleaned like those of defined length."""
    ds = a_ct_image()
    inner = Dataset()
    inner.PatientID, inner.ReferencedSOPInstanceUID = "MRN-77", "1.2.3.4"
    inner.is_undefined_length_sequence_item = True
    ds.ReferencedStudySequence = Sequence([inner])
    ds["ReferencedStudySequence"].is_undefined_length = True
    path = carry.save(ds)
    out = carry.carry_file(path, load_library("pseudonymization"))
    assert b"MRN-77" not in out.read_bytes()
    assert pydicom.dcmread(out).PixelData == ds.PixelData


@pytest.mark.parametrize("undefined", [False, True])
def test_a_sequence_of_unknown_representation_is_cleaned(carry: Carrier, undefined: bool) -> None:
    """A sequence that came through as VR UN is looked into: its items are implicit, whatever surrounds them."""
    ds = a_ct_image()
    uid = b"1.2.3.4\0"
    inner = b"\x08\x00\x55\x11" + len(uid).to_bytes(4, "little") + uid
    inner += b"\x10\x00\x20\x00\x06\0\0\0MRN-77"
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    value = item + (b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b"")
    length = b"\xff\xff\xff\xff" if undefined else len(item).to_bytes(4, "little")
    if "ReferencedImageSequence" in ds:
        del ds.ReferencedImageSequence
    path = carry.save(ds)
    content = path.read_bytes()
    place = content.index(b"\x10\x00\x10\x00PN")
    path.write_bytes(content[:place] + b"\x08\x00\x40\x11UN\0\0" + length + value + content[place:])
    out = carry.carry_file(path, load_library("longitudinal-trial"))
    (kept,) = pydicom.dcmread(out).ReferencedImageSequence
    assert kept.ReferencedSOPInstanceUID.startswith("2.25.")
    assert b"MRN-77" not in out.read_bytes()


def test_large_values_are_copied_not_read(carry: Carrier) -> None:
    """A value beyond the window, in the middle of the data set, is passed on unchanged."""
    ds = a_ct_image()
    ds.add_new("RedPaletteColorLookupTableData", "OW", bytes(range(256)) * 1024)
    out = carry(ds)
    assert out.RedPaletteColorLookupTableData == ds.RedPaletteColorLookupTableData
    assert out.PixelData == ds.PixelData


def test_large_values_of_deflated_instances_are_not_lost(carry: Carrier) -> None:
    """Values beyond the window of an instance that had to be inflated arrive whole."""
    ds = a_ct_image()
    ds.Rows = ds.Columns = 512
    ds.PixelData = bytes(range(256)) * 2048
    assert carry(ds, syntax=DeflatedExplicitVRLittleEndian).PixelData == ds.PixelData


def test_being_wary_changes_no_byte(carry: Carrier, tmp_path: Path) -> None:
    """An engine that has just met a name in a text writes the next instances as a fresh engine would."""
    policy = load_library("pseudonymization")
    telling = a_ct_image()
    telling.PatientName = "Quirin^Zoe"
    telling.FilterType = "QUIRIN"
    silent = a_ct_image()
    silent.PatientName = "Quirin^Zoe"
    paths = [carry.save(telling), carry.save(silent), carry.save(a_ct_image(patient=2)), carry.save(silent)]
    one = Engine(policy)
    for number, path in enumerate(paths):
        results = []
        for name, engine in (("same", one), ("fresh", Engine(policy))):
            out = tmp_path / f"{name}-{number}.dcm"
            with engine.read(path) as draft:
                engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
            results.append(out.read_bytes())
        assert results[0] == results[1]


@pytest.mark.parametrize("number", ["10001", "10008"])
def test_a_false_alarm_changes_no_byte(carry: Carrier, tmp_path: Path, number: str) -> None:
    """Numbers that only together look like an identifier stay, and hide no text that does hold it."""
    policy = load_library("pseudonymization")
    numbers, telling = a_ct_image(), a_ct_image()
    for ds in (numbers, telling):
        ds.PatientID = number
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    telling.FilterType = f"ID {number}"
    one = Engine(policy)
    for place, ds in enumerate((numbers, numbers, telling, numbers, telling)):
        results = []
        path = carry.save(ds)
        for name, engine in (("same", one), ("fresh", Engine(policy))):
            out = tmp_path / f"{name}-{place}.dcm"
            with engine.read(path) as draft:
                engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
            results.append(out)
        assert results[0].read_bytes() == results[1].read_bytes()
        written = pydicom.dcmread(results[0])
        assert written.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        assert number not in written.get("FilterType", "")


def test_a_sequence_beyond_the_window_is_cleaned(carry: Carrier) -> None:
    """A sequence larger than what is read at first is read whole and cleaned to the last item."""
    ds = a_ct_image()
    items = []
    for number in range(3000):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, f"1.2.3.{number}"
        items.append(item)
    ds.ReferencedImageSequence = Sequence(items)
    out = carry(ds)
    uids = [item.ReferencedSOPInstanceUID for item in out.ReferencedImageSequence]
    assert len(set(uids)) == 3000
    assert all(uid.startswith("2.25.") for uid in uids)


@pytest.mark.parametrize("nothing", ["", " ", "\t", " \0"])
def test_patients_without_an_id_stay_apart(carry: Carrier, nothing: str) -> None:
    """Two studies without Patient ID are two subjects, never one, whatever the empty value is padded with."""
    engine = Engine(load_library("pseudonymization"))
    patients = set()
    for patient in (1, 2):
        ds = a_ct_image(patient=patient)
        ds.PatientID = nothing
        with engine.read(carry.save(ds)) as draft:
            patients.add(draft.subject.patient)
            assert all(identifier.value.strip() for identifier in draft.subject.identifiers)
    assert len(patients) == 2


def test_an_issuer_is_not_taken_for_none(carry: Carrier) -> None:
    """The word that stands for patients without an identifier is no issuer of one, so nobody becomes one of them."""
    ds = a_ct_image()
    ds.IssuerOfPatientID, ds.PatientID = "study ", str(ds.StudyInstanceUID)
    with pytest.raises(Refusal) as refused:
        Engine(load_library("pseudonymization")).read(carry.save(ds))
    assert refused.value.reason == "malformed"


def test_the_subject_carries_what_custody_needs(carry: Carrier) -> None:
    """Name and birth date are handed over for sealing, decoded by the declared character set."""
    ds = a_ct_image()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.IssuerOfPatientID = "Müller^Jürgen", "CLINIC"
    with Engine(load_library("pseudonymization")).read(carry.save(ds)) as draft:
        subject = draft.subject
    assert dict(subject.attributes)["PatientName"] == "Müller^Jürgen"
    assert subject.patient == Identifier(Kind.PATIENT_ID, "CLINIC", ds.PatientID)
    assert "Müller" not in repr(subject)
    assert ds.PatientID not in repr(subject)


def test_reports_keep_their_structure_and_lose_their_people(carry: Carrier, tmp_path: Path) -> None:
    """A report keeps findings and references; names, and an exact age beside an age band, go."""
    report = next(s.instance for s in a_ct_study() if s.instance.Modality == "SR")
    out_path = carry.carry_file(carry.save(report), load_library("longitudinal-trial"))
    out = pydicom.dcmread(out_path)
    assert [item.ValueType for item in out.ContentSequence if item.ValueType == "CONTAINER"]
    concepts = {item.ConceptNameCodeSequence[0].CodeValue for item in out.ContentSequence}
    assert "121033" not in concepts
    content = out_path.read_bytes().lower()
    for part in str(report.PatientName).lower().encode("latin-1", "replace").split(b"^"):
        assert part not in content


def test_overlays_go_as_whole_planes(carry: Carrier) -> None:
    """An overlay's bitmap may show a name, so the whole overlay plane goes."""
    ds = a_ct_image()
    ds.add_new((0x6000, 0x0010), "US", 8)
    ds.add_new((0x6000, 0x0011), "US", 8)
    ds.add_new((0x6000, 0x3000), "OW", b"\xff" * 8)
    assert not [element for element in carry(ds) if element.tag.group == 0x6000]


def test_an_existing_file_is_never_replaced(carry: Carrier, tmp_path: Path) -> None:
    """Writing to a name that is taken fails and leaves what is there, and no unfinished file."""
    engine = Engine(load_library("basic"))
    out = tmp_path / "taken.dcm"
    out.write_bytes(b"precious")
    with engine.read(carry.save(a_ct_image())) as draft, pytest.raises(FileExistsError):
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    assert out.read_bytes() == b"precious"
    assert not list(tmp_path.glob("*.part"))


def test_a_missing_pseudonym_stops_the_instance(carry: Carrier, tmp_path: Path) -> None:
    """An identifier without an answer is an error; nothing is written."""
    engine = Engine(load_library("basic"))
    with engine.read(carry.save(a_ct_image())) as draft:
        answers = dict(CountedPseudonyms().resolve([draft.subject]))
        answers.pop(next(name for name in answers if name.kind == Kind.UID))
        with pytest.raises(KeyError):
            engine.write(draft, answers, tmp_path / "never.dcm")
    assert not (tmp_path / "never.dcm").exists()


def test_retained_uids_stay(carry: Carrier) -> None:
    """Under Retain UIDs, UIDs are those of the input, also the file's own."""
    policy = loads(
        "name: uids\nversion: 1\nstage: anonymize\ntitle: t\ndescription: d\noptions: [retain-uids]\n", "test"
    )
    ds = a_ct_image()
    out = carry(ds, policy)
    assert out.SOPInstanceUID == ds.SOPInstanceUID == out.file_meta.MediaStorageSOPInstanceUID


def test_following_another_instance_changes_no_byte(carry: Carrier, tmp_path: Path) -> None:
    """Whatever instance went before — same series, other patient, other dates, more or fewer elements — the bytes are
    those that a fresh engine writes."""
    series = [sample.instance for sample in a_ct_study(slices=3) if sample.instance.Modality == "CT"]
    shorter, longer, other = a_ct_image(), a_ct_image(), a_ct_image(patient=3)
    for keyword in ("SeriesDescription", "KVP", "PatientSex"):
        del shorter[keyword]
    longer.ImageComments, longer.PatientComments = "chest", "Testov called"
    longer.add_new((0x0010, 0x1000), "LO", "MRN-9")
    later = a_ct_image()
    later.StudyDate = "20240305"
    unknown = a_ct_image()
    unknown.PatientID = ""
    order = [
        *series,
        shorter,
        longer,
        series[0],
        other,
        later,
        series[1],
        unknown,
        longer,
        shorter,
        series[2],
    ]
    paths = [carry.save(ds) for ds in order]
    for policy in map(load_library, ("pseudonymization", "basic", "longitudinal-trial")):
        one = Engine(policy, trial=TRIAL)
        for number, path in enumerate(paths):
            results = []
            for name, engine in (("same", one), ("fresh", Engine(policy, trial=TRIAL))):
                out = tmp_path / f"{policy.name}-{name}-{number}.dcm"
                with engine.read(path) as draft:
                    engine.write(draft, CountedPseudonyms(-number - 1).resolve([draft.subject]), out)
                results.append(out.read_bytes())
            assert results[0] == results[1], f"instance {number} under {policy.name}"


@pytest.mark.parametrize(
    ("keyword", "value", "written"),
    [
        ("PatientID", "123-45-6789", "123456789"),
        ("PatientID", "MRN4455667", "MRN 4455667"),
        ("PatientID", "4455667", "0004455667"),
        ("PatientID", "AB-1234-X", "ab1234x"),
        ("AccessionNumber", "ACC-99-88", "ACC9988"),
        ("PatientTelephoneNumbers", "+49 30 555 12 34", "+49305551234"),
        ("PatientName", "Lee^Anna", "LeeAnna"),
        ("PatientName", "Li^Wu", "wu li"),
        ("PatientName", "Street^Doctor", "Street"),
        ("PatientBirthDate", "19620304", "04.03.1962"),
        ("RequestedProcedureID", "RP-7781", "see RP7781"),
        ("AdmissionID", "ADM-5519", "ADM 5519"),
        ("StudyID", "ST-77665", "ST77665"),
        ("PlacerOrderNumberImagingServiceRequest", "PLAC7766", "PLAC7766"),
        ("PatientName", "Anna-Lena^X", "AnnaLena"),
        ("PatientName", "Vandenberg^X", "Van den Berg"),
        ("PatientName", "Zorgblatt^X", "Zorg-Blatt"),
    ],
)
@pytest.mark.parametrize("policy", ["pseudonymization", "basic"])
def test_an_identifier_written_otherwise_goes(
    carry: Carrier, keyword: str, value: str, written: str, policy: str
) -> None:
    """Without its punctuation, its spaces, its leading zeros, or in another order, an identifier does not stay."""
    ds = a_ct_image()
    setattr(ds, keyword, value)
    ds.ManufacturerModelName = f"Model {written}"
    assert written.lower() not in str(carry(ds, policy).get("ManufacturerModelName", "")).lower()


def test_an_identifier_known_from_a_removed_sequence_goes(carry: Carrier) -> None:
    """What a sequence says that is removed itself — another ID of the patient — is searched for in what stays."""
    ds = a_ct_image()
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "OLD-665544", "TEXT"
    ds.OtherPatientIDsSequence = Sequence([other])
    ds.ManufacturerModelName = "Model OLD665544"
    assert "665544" not in str(carry(ds, "basic").get("ManufacturerModelName", ""))


def test_what_only_two_values_together_spell_stays(carry: Carrier) -> None:
    """The end of one value and the beginning of the next name nobody, though together they spell an identifier."""
    ds = a_ct_image()
    ds.AccessionNumber = "RCTS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]
    assert list(carry(ds, "basic").ImageType) == list(ds.ImageType)


def test_one_value_of_a_code_string_goes_alone(carry: Carrier) -> None:
    """Of several values only the one that names somebody goes; the others stay in their places."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "QUIRIN", "CT_SOM5"]
    assert list(carry(ds, "basic").ImageType) == ["ORIGINAL", "PRIMARY", "", "CT_SOM5"]


def test_a_patient_who_is_called_like_a_term_changes_none(carry: Carrier) -> None:
    """The terms of the standard stay, whoever is called like one of them; in a text the name goes."""
    ds = a_ct_image()
    ds.PatientName, ds.BodyPartExamined, ds.FilterType = "Chest^Original^Hfs", "CHEST", "CHEST"
    ds.ImageType, ds.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
    out = carry(ds, "basic")
    assert (list(out.ImageType), out.PatientPosition) == (["ORIGINAL", "PRIMARY", "AXIAL"], "HFS")
    assert out.Modality == "CT"
    assert out.get("BodyPartExamined", "CHEST") == "CHEST"
    assert "CHEST" not in str(out.get("FilterType", ""))


def test_a_name_known_from_any_removed_sequence_goes(carry: Carrier) -> None:
    """Former names of the patient, and persons whom a removed sequence names, are searched for as well."""
    ds = a_ct_image()
    former, person = Dataset(), Dataset()
    former.PatientName, person.PersonName = "Vorher^Xaver", "Quast^Ylva"
    former.PersonIdentificationCodeSequence = Sequence([person])
    original = Dataset()
    original.ModifiedAttributesSequence = Sequence([former])
    ds.OriginalAttributesSequence = Sequence([original])
    ds.ManufacturerModelName, ds.FilterType = "Model VORHER", "B30 quast"
    out = carry(ds, "basic")
    assert "VORHER" not in str(out.get("ManufacturerModelName", ""))
    assert "quast" not in str(out.get("FilterType", ""))


@pytest.mark.parametrize(
    "keyword",
    [
        "PlacerOrderNumberProcedure",
        "FillerOrderNumberProcedure",
        "ContentDescription",
        "OwnerID",
        "FrameOfInterestDescription",
    ],
)
@pytest.mark.parametrize("policy", ["pseudonymization", "longitudinal-trial", "basic"])
def test_what_the_table_forgets_goes(carry: Carrier, keyword: str, policy: str) -> None:
    """Order numbers and what people write are not kept because Table E.1-1 has no row for them."""
    ds = a_ct_image()
    setattr(ds, keyword, "ZX-778899 Nowak")
    content = carry.carry_file(carry.save(ds), load_library(policy)).read_bytes()
    assert b"778899" not in content
    assert b"Nowak" not in content


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_text_across_the_window_is_searched(carry: Carrier, syntax: str) -> None:
    """A text that straddles the window, or is larger than it, is searched like any other."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    ds.add_new("RedPaletteColorLookupTableData", "OW", bytes(65_200))
    ds.ConvolutionKernel = "B30 QUIRIN"
    ds.add_new("EncapsulatedDocument", "OB", b"\0\1")
    for size in (65_000, 65_400, 65_536, 70_000):
        ds.RedPaletteColorLookupTableData = bytes(size)
        ds.SelectorUTValue = "x " * 40_000 + "Quirin"
        out = carry.carry_file(carry.save(ds, syntax), load_library("basic"))
        assert b"quirin" not in out.read_bytes().lower()


@pytest.mark.parametrize("size", [16, 200_000])
def test_large_binary_data_is_searched(carry: Carrier, size: int) -> None:
    """Binary data that is copied unread is searched for names too."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    ds.add_new("RedPaletteColorLookupTableData", "OW", bytes(size) + b"Quirin")
    with pytest.raises(Held):
        carry(ds, "basic")


def test_a_comment_in_a_compressed_frame_is_searched(carry: Carrier) -> None:
    """The head of each fragment, where JPEG streams keep their comments, is searched for names."""
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    frame = b"\xff\xd8\xff\xfe\x00\x12Quirin^Zoe MRN7" + bytes(70_000) + b"\xff\xd9"
    ds.PixelData = pydicom.encaps.encapsulate([frame])
    ds["PixelData"].is_undefined_length = True
    path = carry.folder / "compressed.dcm"
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    ds.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
    with pytest.raises(Held):
        carry.carry_file(path, load_library("basic"))


def test_a_uid_that_only_begins_like_the_standards_is_replaced(carry: Carrier) -> None:
    """Only UIDs that the standard has registered stay; anybody can write one that begins like them."""
    ds = a_ct_image()
    ds.StudyInstanceUID = "1.2.840.10008.4455667"
    ds.FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"
    out = carry(ds)
    assert out.StudyInstanceUID.startswith("2.25.")
    assert out.FrameOfReferenceUID == ds.FrameOfReferenceUID


def test_a_source_that_changes_is_refused(carry: Carrier, tmp_path: Path) -> None:
    """A file that somebody writes to between reading and writing is refused, and nothing is left."""
    engine = Engine(load_library("basic"))
    path = carry.save(a_ct_image())
    with engine.read(path) as draft:
        path.write_bytes(path.read_bytes()[:-4] + b"JOHN")
        with pytest.raises(Refusal) as refusal:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), tmp_path / "never.dcm")
    assert refusal.value.reason == "changed"
    assert not (tmp_path / "never.dcm").exists()


def test_what_goes_with_a_sequence_is_known_in_every_instance(carry: Carrier, tmp_path: Path) -> None:
    """An address that stands only in sequences that go is searched for in all instances of a series, not in the first
    alone."""
    ds = a_ct_image()
    for keyword in ("PhysiciansOfRecordIdentificationSequence", "PerformingPhysicianIdentificationSequence"):
        item = an_item(PersonAddress="Quuxweg 5", PersonIdentificationCodeSequence=[a_code("1", "L", "None")])
        setattr(ds, keyword, [item])
    del ds.PerformingPhysicianName
    ds.FilterType = "Quuxweg"
    path = carry.save(ds)
    one = Engine(load_library("basic"))
    for number in range(4):
        out = tmp_path / f"{number}.dcm"
        with one.read(path) as draft:
            one.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        assert b"Quuxweg" not in out.read_bytes(), number


@pytest.mark.parametrize("policy", ["pseudonymization", "basic"])
def test_what_only_begins_like_a_transfer_syntax_is_refused(carry: Carrier, policy: str) -> None:
    """The transfer syntax is written into the result, so nobody's number may hang on it."""
    ds = a_ct_image()
    del ds.PixelData
    path = carry.save(ds, "1.2.840.10008.1.2.4.50")
    told = b"1.2.840.10008.1.2.4.50"
    path.write_bytes(path.read_bytes().replace(b"\x16\0" + told, b"\x20\0" + told[:-2] + b"19550322.471"))
    with pytest.raises(Refusal) as refusal:
        Engine(load_library(policy)).read(path)
    assert refusal.value.reason == "unsupported-transfer-syntax"


@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_nothing_hides_beside_a_public_code(carry: Carrier, policy: str) -> None:
    """No second code value, version that is none, or phrase for a maker's code passes with a public code."""
    ds = a_ct_image()
    double = a_code("69536005", "SCT", "Head")
    double.LongCodeValue = "Zorgblatt Jane"
    ds.AnatomicRegionSequence = [double]
    ds.PatientOrientationCodeSequence = [a_code("Zorgblatt Eve", "99GEMS", "Head")]
    region = a_code("69536005", "SCT", "Head")
    region.CodingSchemeVersion = "Zorgblatt"
    ds.PatientGantryRelationshipCodeSequence = [region]
    carry(ds, policy)
    assert carry.written is not None
    assert b"Zorgblatt" not in Path(carry.written.path).read_bytes()


def test_more_names_than_can_be_searched_for_are_refused(carry: Carrier) -> None:
    """The search takes as long as names and texts are many, so an instance that names thousands is refused."""
    ds = a_ct_image()
    ds.PhysiciansOfRecordIdentificationSequence = [
        an_item(PersonAddress=f"{number:x}weg Zorgblatt") for number in range(4000)
    ]
    with pytest.raises(Refusal) as refusal:
        Engine(load_library("basic")).read(carry.save(ds))
    assert refusal.value.reason == "malformed"


def test_a_long_text_is_judged_in_linear_time(carry: Carrier) -> None:
    """Letters without an end make no check walk over them once for each letter."""
    ds = a_ct_image()
    ds.add_new((0x0018, 0x1160), "SH", "FILTER")
    path = carry.save(ds, ImplicitVRLittleEndian)
    content = path.read_bytes()
    short = b"\x18\0\x60\x11\x06\0\0\0FILTER"
    assert content.count(short) == 1
    length = 2_000_000
    path.write_bytes(content.replace(short, short[:4] + length.to_bytes(4, "little") + b"x" * length))
    carry.carry_file(path, load_library("basic"))


@pytest.mark.parametrize("renames", [True, False], ids=["renamed", "linked"])
def test_a_name_that_is_taken_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool
) -> None:
    """Whatever the file system can, a file that is there stays, and nothing is left beside it."""
    if not renames:
        monkeypatch.setattr(writing, "_renameat2", None)
    source = tmp_path / "in.dcm"
    a_ct_image().save_as(source, enforce_file_format=True)
    engine, out = Engine(load_library("basic")), tmp_path / "out"
    out.mkdir()
    with engine.read(source) as draft:
        answers = CountedPseudonyms().resolve([draft.subject])
        engine.write(draft, answers, out / "a")
        first = (out / "a").read_bytes()
        with pytest.raises(FileExistsError):
            engine.write(draft, answers, out / "a")
        with pytest.raises(FileNotFoundError):
            engine.write(draft, answers, out / "nowhere" / "a", scratch=out)
    assert [path.name for path in out.iterdir()] == ["a"]
    assert (out / "a").read_bytes() == first
