"""A medium is written whole or not at all, and the same instances make the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XmlTree

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from media.bare import data_set_digest
from media.errors import InstancesUnfit, LabelFault, MediumUnproven, OutputRefused
from media.pages import MediumLabel
from media.pdi import Profile, write_medium
from tests.media.builders import (
    LABEL,
    SOP_CLASSES,
    a_medium,
    an_instance,
    bytes_of,
    one_of_each_kind,
    written,
)


def faults_of(folder: Path, *instances: Any, **options: Any) -> list[tuple[str, str, str]]:
    """Record, attribute and sentence of each fault with which writing is refused."""
    files = [written(ds, folder / "in") for ds in instances]
    with pytest.raises(InstancesUnfit) as refusal:
        write_medium(files, folder / "medium", label=LABEL, **options)
    assert not (folder / "medium").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["in"]
    return [(fault.record, fault.attribute, fault.what) for fault in refusal.value.faults]


def test_a_medium_has_the_layout_of_pdi(tmp_path: Path) -> None:
    """DICOMDIR, README.TXT, INDEX.HTM, IHE_PDI and the instances under counted names are all that is there."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2), an_instance("PRESENTATION", series=2))
    assert sorted(bytes_of(medium.path)) == [
        "DICOM/PA000001/ST000001/SE000001/IM000001",
        "DICOM/PA000001/ST000001/SE000001/IM000002",
        "DICOM/PA000001/ST000001/SE000002/PR000001",
        "DICOMDIR",
        "IHE_PDI/INDEX.HTM",
        "IHE_PDI/JP000001.JPG",
        "IHE_PDI/JP000002.JPG",
        "IHE_PDI/SE000001.HTM",
        "IHE_PDI/SE000002.HTM",
        "IHE_PDI/SMALL/INDEX.HTM",
        "IHE_PDI/SMALL/SE000001.HTM",
        "IHE_PDI/SMALL/SE000002.HTM",
        "IHE_PDI/SMALL/ST000001.HTM",
        "IHE_PDI/ST000001.HTM",
        "INDEX.HTM",
        "README.TXT",
    ]
    assert (medium.patients, medium.studies, medium.series, medium.instances) == (1, 1, 2, 3)


def test_every_kind_of_instance_goes_onto_a_medium(tmp_path: Path) -> None:
    """Each record type of the tables can be written and proved."""
    medium = a_medium(tmp_path, *one_of_each_kind())
    assert medium.instances == len(SOP_CLASSES)
    assert (medium.rewritten, medium.numbered) == (0, 0)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor the order nor the names of the files leave a trace on the medium."""
    instances = [an_instance(patient=p, series=s, number=n) for p in (2, 1) for s in (2, 1) for n in (2, 1)]
    first = a_medium(tmp_path / "a", *instances)
    second = a_medium(tmp_path / "b", *reversed(instances))
    assert bytes_of(first.path) == bytes_of(second.path)


def test_instances_are_copied_byte_for_byte_but_for_the_preamble(tmp_path: Path) -> None:
    """What the profile allows is not touched, and what a preamble may hide is gone."""
    source = written(an_instance(), tmp_path / "in")
    dirty = b"a secret in the preamble".ljust(128, b"x") + source.read_bytes()[128:]
    source.write_bytes(dirty)
    medium = write_medium([source], tmp_path / "medium", label=LABEL)
    placed = medium.path / "DICOM/PA000001/ST000001/SE000001/IM000001"
    assert placed.read_bytes() == bytes(128) + dirty[128:]


def test_every_missing_key_is_named_at_once(tmp_path: Path) -> None:
    """All keys that all instances lack are named with record and attribute, before anything is written."""
    faults = faults_of(
        tmp_path,
        an_instance(StudyDate="", StudyTime=None),
        an_instance("SR DOCUMENT", patient=2, ConceptNameCodeSequence=None, CompletionFlag=""),
        an_instance("RT PLAN", patient=3, RTPlanLabel=""),
        an_instance(patient=4, PatientID=""),
    )
    assert sorted((record, attribute) for record, attribute, _ in faults) == [
        ("PATIENT", "PatientID (0010,0020)"),
        ("RT PLAN", "RTPlanLabel (300A,0002)"),
        ("SR DOCUMENT", "CompletionFlag (0040,A491)"),
        ("SR DOCUMENT", "ConceptNameCodeSequence (0040,A043)"),
        ("STUDY", "StudyDate (0008,0020)"),
        ("STUDY", "StudyTime (0008,0030)"),
    ]


def test_a_refusal_tells_no_value_and_no_file_name(tmp_path: Path) -> None:
    """What is said about unfit instances identifies nobody."""
    ds = an_instance(PatientName="Muster^Erika", PatientID="12345", StudyDate="")
    path = written(ds, tmp_path / "Muster")
    with pytest.raises(InstancesUnfit) as refusal:
        write_medium([path], tmp_path / "medium", label=LABEL)
    said = f"{refusal.value} {refusal.value.next_step} {refusal.value.faults!r}"
    assert "StudyDate (0008,0020) of the STUDY record is missing or empty (1 instance)" in said
    assert not [secret for secret in ("Muster", "Erika", "12345", str(ds.SOPInstanceUID)) if secret in said]


def test_a_key_that_one_instance_has_serves_the_whole_study(tmp_path: Path) -> None:
    """The record of a study is taken from an instance that has all of its keys."""
    medium = a_medium(tmp_path, an_instance(StudyDate=""), an_instance(number=2))
    study = dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence[1]
    assert study.StudyDate == "20210304"


def test_missing_numbers_are_assigned_in_the_records_alone(tmp_path: Path) -> None:
    """Study ID, Series Number and Instance Number are counted where instances have none; the instances stay."""
    instances = [an_instance(number=n, StudyID="", SeriesNumber="", InstanceNumber=None) for n in (1, 2)]
    medium = a_medium(tmp_path, *instances)
    records = dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence
    assert [str(r.get(k)) for r, k in zip(records[1:3], ("StudyID", "SeriesNumber"), strict=True)] == [
        "1",
        "1",
    ]
    assert [int(r.InstanceNumber) for r in records[3:]] == [1, 2]
    assert medium.numbered == 4
    assert "InstanceNumber" not in dcmread(medium.path / "DICOM/PA000001/ST000001/SE000001/IM000001")


def test_a_date_handed_in_stands_for_missing_dates(tmp_path: Path) -> None:
    """Where the policy has emptied dates, the medium's directory has the date that was handed in, and midnight."""
    source = written(an_instance(StudyDate="", StudyTime=""), tmp_path / "in")
    medium = write_medium([source], tmp_path / "medium", label=LABEL, date_if_missing="19000101")
    study = dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence[1]
    assert (study.StudyDate, study.StudyTime) == ("19000101", "000000")
    with pytest.raises(LabelFault):
        write_medium([source], tmp_path / "other", label=LABEL, date_if_missing="1900")


def test_what_says_it_is_identified_stays_off_the_medium(tmp_path: Path) -> None:
    """An instance whose Patient Identity Removed is not YES is refused."""
    for value in (None, "NO"):
        (fault,) = faults_of(tmp_path / str(value), an_instance(PatientIdentityRemoved=value))
        assert fault[2] == "Patient Identity Removed (0012,0062) is not YES"


def test_two_patients_stay_two(tmp_path: Path) -> None:
    """One Patient ID with two names is refused, as is one study of two patients and one series of two studies."""
    named = an_instance(), an_instance(number=2, PatientName="PSN0099^Other")
    (fault,) = faults_of(tmp_path / "names", *named)
    assert "two patients stay two" in fault[2]
    torn = an_instance(), an_instance(patient=2, StudyInstanceUID=an_instance().StudyInstanceUID)
    (fault,) = faults_of(tmp_path / "study", *torn)
    assert "one STUDY belongs to two" in fault[2]
    torn = an_instance(), an_instance(study=2, SeriesInstanceUID=an_instance().SeriesInstanceUID)
    (fault,) = faults_of(tmp_path / "series", *torn)
    assert "one SERIES belongs to two" in fault[2]


def test_the_same_name_written_otherwise_is_the_same_name(tmp_path: Path) -> None:
    """Trailing carets and the case of letters make no second patient, nor does an empty name."""
    spelled = ("PSN0001^Case", "psn0001^CASE^^^", "")
    medium = a_medium(
        tmp_path, *[an_instance(number=n, PatientName=name) for n, name in enumerate(spelled, 1)]
    )
    assert medium.patients == 1


def test_a_double_counts_once_and_a_rival_is_refused(tmp_path: Path) -> None:
    """The same bytes twice are one instance; other content under the same UID cannot be decided here."""
    assert a_medium(tmp_path / "double", an_instance(), an_instance()).instances == 1
    (fault,) = faults_of(tmp_path / "rival", an_instance(), an_instance(StudyDescription="Abdomen"))
    assert "same SOP Instance UID but other content" in fault[2]


def test_unknown_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    """A private SOP Class, text in place of DICOM and an image cut short are named, all of them."""
    private = written(an_instance(SOPClassUID="1.2.3.4"), tmp_path / "in")
    whole = written(an_instance(), tmp_path / "in")
    cut = whole.with_name("cut")
    cut.write_bytes(whole.read_bytes()[:-1])
    text = whole.with_name("text")
    text.write_text("no DICOM")
    with pytest.raises(InstancesUnfit) as refusal:
        write_medium([private, cut, text], tmp_path / "medium", label=LABEL)
    assert sorted(fault.what for fault in refusal.value.faults) == [
        "a file is not DICOM Part 10",
        "an instance ends within its pixel data",
        "the SOP Class has no directory record in this edition of the standard",
    ]


def test_contradicting_meta_information_is_refused(tmp_path: Path) -> None:
    """A file whose meta information names another instance may carry an original UID there."""
    ds = an_instance()
    path = written(ds, tmp_path / "in")
    uid = str(ds.SOPInstanceUID).encode()
    path.write_bytes(path.read_bytes().replace(uid, b"2.25.9" + uid[6:], 1))
    with pytest.raises(InstancesUnfit, match="File Meta Information names another"):
        write_medium([path], tmp_path / "medium", label=LABEL)


def test_nothing_to_write_is_refused(tmp_path: Path) -> None:
    """A medium without any patient's instance is none."""
    with pytest.raises(OutputRefused):
        write_medium([], tmp_path / "medium", label=LABEL)
    assert list(tmp_path.iterdir()) == []
    palette = written(an_instance("PALETTE"), tmp_path / "in")
    with pytest.raises(OutputRefused, match="any patient"):
        write_medium([palette], tmp_path / "medium", label=LABEL)


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    """An output folder that is not empty stays as it is; an empty one is used."""
    out = tmp_path / "medium"
    out.mkdir()
    (out / "note").write_text("mine")
    source = written(an_instance(), tmp_path / "in")
    with pytest.raises(OutputRefused):
        write_medium([source], out, label=LABEL)
    assert bytes_of(out) == {"note": b"mine"}
    (out / "note").unlink()
    assert write_medium([source], out, label=LABEL).instances == 1


def test_a_full_disk_leaves_no_medium(tmp_path: Path) -> None:
    """When the disk takes no more bytes, one sentence says so and nothing is left."""
    source = written(an_instance(PixelData=bytes(200_000), Rows=1000, Columns=100), tmp_path / "in")
    script = f"""
        import resource, signal, sys
        from pathlib import Path
        from media.errors import OutputRefused
        from media.pdi import write_medium
        from tests.media.builders import LABEL
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_medium([Path({str(source)!r})], Path({str(tmp_path / "medium")!r}), label=LABEL)
        except OutputRefused as refusal:
            sys.exit(refusal.what)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    result = subprocess.run(
        command, check=False, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert result.stderr == "the medium cannot be written: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("victim", ["write_pages", "write_dicomdir", "_prove"])
def test_a_killed_writer_leaves_no_medium(tmp_path: Path, victim: str) -> None:
    """A process killed at any step leaves nothing under the medium's name, and the next run writes it whole."""
    source = written(an_instance(), tmp_path / "in")
    script = f"""
        import os, sys
        from pathlib import Path
        from media import pdi
        from tests.media.builders import LABEL
        pdi.{victim} = lambda *args, **kwargs: os._exit(9)
        pdi.write_medium([Path(sys.argv[1])], Path(sys.argv[2]), label=LABEL)
    """
    out = tmp_path / "medium"
    command = [sys.executable, "-c", textwrap.dedent(script), str(source), str(out)]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode == 9
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == [".medium.partial"]
    write_medium([source], out, label=LABEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "medium"]


def test_two_writers_of_one_medium_do_not_meet(tmp_path: Path) -> None:
    """While one process writes a medium, another is turned away and disturbs nothing."""
    source = written(an_instance(), tmp_path / "in")
    out = tmp_path / "medium"

    def paths() -> Any:
        with pytest.raises(OutputRefused, match="another process"):
            write_medium([source], out, label=LABEL)
        yield source

    assert write_medium(paths(), out, label=LABEL).instances == 1


def test_a_medium_that_does_not_read_back_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a disk returns other bytes than were written, the writer says so and nothing is left."""
    from media import pdi

    write = pdi.write_dicomdir

    def write_and_spoil(out: Path, *args: Any, **kwargs: Any) -> None:
        write(out, *args, **kwargs)
        image = next(out.parent.rglob("IM000001"))
        os.truncate(image, image.stat().st_size - 2)

    monkeypatch.setattr(pdi, "write_dicomdir", write_and_spoil)
    with pytest.raises(MediumUnproven, match="ends within its pixel data"):
        a_medium(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_compressed_instances_are_kept_where_the_profile_allows_them(tmp_path: Path) -> None:
    """A JPEG 2000 image is decompressed for a CD; its data set is copied as it is onto a medium for JPEG 2000."""
    ds = dcmread(get_testdata_file("JPEG2000.dcm"))
    ds.PatientIdentityRemoved = "YES"
    source = tmp_path / "j2k"
    ds.save_as(source)
    medium = write_medium([source], tmp_path / "cd", label=LABEL)
    assert medium.rewritten == 1
    placed = dcmread(next((medium.path / "DICOM").rglob("IM000001")))
    assert placed.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    medium = write_medium([source], tmp_path / "usb", label=LABEL, profile=Profile.STD_GEN_USB_J2K)
    placed = next((medium.path / "DICOM").rglob("IM000001"))
    assert data_set_digest(placed) == data_set_digest(source)


def test_who_sent_a_file_does_not_come_onto_the_medium(tmp_path: Path) -> None:
    """AE titles and private information of the source's File Meta Information are left behind, and no byte else."""
    ds = an_instance()
    ds.file_meta.SourceApplicationEntityTitle = "CT_WARD_7"
    source = written(ds, tmp_path / "in")
    medium = write_medium([source], tmp_path / "medium", label=LABEL)
    placed = next((medium.path / "DICOM").rglob("IM000001"))
    assert data_set_digest(placed) == data_set_digest(source)
    assert b"CT_WARD_7" in source.read_bytes() and b"CT_WARD_7" not in placed.read_bytes()


def test_video_is_refused_by_name(tmp_path: Path) -> None:
    """A video is refused with the name of its transfer syntax, before a byte is written."""
    ds = an_instance()
    ds.PixelData = encapsulate([b"\0\0\0\1 no frame of any video"])
    ds["PixelData"].is_undefined_length = True
    source = written(ds, tmp_path / "in", transfer_syntax="1.2.840.10008.1.2.4.102")
    with pytest.raises(InstancesUnfit, match=r"MPEG-4 AVC/H\.264 .* is video"):
        write_medium([source], tmp_path / "medium", label=LABEL)
    assert not (tmp_path / "medium").exists()


def test_the_readme_is_ascii_with_cr_lf(tmp_path: Path) -> None:
    """README.TXT says who made the medium in ASCII, whatever letters the institution's name has."""
    label = MediumLabel("CASE_7", "Universitätsklinikum Süßen", "Gødel", "TCE", "0.1.0")
    medium = write_medium([written(an_instance(), tmp_path / "in")], tmp_path / "m", label=label)
    text = (medium.path / "README.TXT").read_bytes()
    assert (
        b"Universitatsklinikum Sussen\r\n" in text and b"Contact: Godel\r\n" in text and b"TCE 0.1.0" in text
    )
    assert text.isascii() and text.count(b"\n") == text.count(b"\r\n")


def test_pages_are_xhtml_whatever_a_description_holds(tmp_path: Path) -> None:
    """Text of an instance cannot become markup, and comes out as it was meant."""
    hostile = '<script>alert("x")</script> & Lunge'
    medium = a_medium(
        tmp_path, an_instance(SpecificCharacterSet="ISO_IR 192", StudyDescription=hostile + " ö")
    )
    page = XmlTree.parse(medium.path / "IHE_PDI" / "ST000001.HTM")
    heading = page.find(".//{http://www.w3.org/1999/xhtml}h1")
    assert heading is not None and heading.text == hostile + " ö"
    assert page.find(".//{http://www.w3.org/1999/xhtml}script") is None


@pytest.mark.parametrize("field", ["institution", "contact", "application", "version"])
def test_a_label_without_a_text_is_refused(field: str) -> None:
    """A medium must say who made it and what with."""
    texts = {"institution": "I", "contact": "C", "application": "A", "version": "1"} | {field: " "}
    with pytest.raises(LabelFault, match=field):
        MediumLabel("CASE_7", **texts)


def test_the_output_needs_no_source_afterwards(tmp_path: Path) -> None:
    """A medium holds its instances, not links to where they came from."""
    medium = a_medium(tmp_path)
    shutil.rmtree(tmp_path / "in")
    assert not [path for path in medium.path.rglob("*") if path.is_symlink()]
    assert dcmread(next((medium.path / "DICOM").rglob("IM000001"))).PatientID == "PSN0001"
