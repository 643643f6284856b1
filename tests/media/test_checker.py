"""The checker passes what the writer wrote, and each way of being wrong fails the check that is meant for it."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from media.checker import CHECKS, CheckReport, check_medium, examine
from media.digests import digest_of_all, digests_of
from media.errors import UnreadableMedium
from media.files import walk_medium
from media.opening import open_medium
from media.pdi import write_medium
from media.sets import check_set
from tests.media.builders import LABEL, a_medium, an_instance, one_of_each_kind, written
from tests.media.images import an_image

IMAGE = "DICOM/PA000001/ST000001/SE000001/IM000001"


def in_directory(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Replace bytes of the DICOMDIR by as many others."""

    def spoil(medium: Path) -> None:
        path = medium / "DICOMDIR"
        assert len(old) == len(new) and old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return spoil


def in_image(**values: object) -> Callable[[Path], None]:
    """Change attributes of the first image."""

    def spoil(medium: Path) -> None:
        ds = dcmread(medium / IMAGE)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(medium / IMAGE)

    return spoil


def with_file(name: str, content: bytes) -> Callable[[Path], None]:
    """Put a file onto the medium."""
    return lambda medium: (medium / name).write_bytes(content) and None


def in_page(content: bytes) -> Callable[[Path], None]:
    """Put something at the end of the first page."""

    def spoil(medium: Path) -> None:
        page = (medium / "INDEX.HTM").read_bytes()
        (medium / "INDEX.HTM").write_bytes(page.replace(b"</body>", content + b"</body>"))

    return spoil


def in_picture(segment: bytes) -> Callable[[Path], None]:
    """Put a segment at the beginning of a picture."""

    def spoil(medium: Path) -> None:
        picture = (medium / "IHE_PDI" / "JP000001.JPG").read_bytes()
        (medium / "IHE_PDI" / "JP000001.JPG").write_bytes(picture[:2] + segment + picture[2:])

    return spoil


def without(name: str) -> Callable[[Path], None]:
    """Take a file off the medium."""
    return lambda medium: (medium / name).unlink()


def implicit(medium: Path) -> None:
    """Write the first image as Implicit VR Little Endian."""
    ds = dcmread(medium / IMAGE)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(medium / IMAGE, implicit_vr=True)


def cut(medium: Path) -> None:
    """Take the last byte off the first image."""
    (medium / IMAGE).write_bytes((medium / IMAGE).read_bytes()[:-1])


def private_record_element(medium: Path) -> None:
    """Turn Image Type of the first IMAGE record into a private element of the same length."""
    path = medium / "DICOMDIR"
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<HH", 0x0008, 0x0008), struct.pack("<HH", 0x0009, 0x0008), 1))


def second_patient(medium: Path) -> None:
    """Give both PATIENT records one Patient ID."""
    path = medium / "DICOMDIR"
    path.write_bytes(path.read_bytes().replace(b"PSN0002 ", b"PSN0001 "))


def birth_date_in_the_directory(medium: Path) -> None:
    """Turn the name of the first PATIENT record into a date of birth, which no key is."""
    path = medium / "DICOMDIR"
    old = b"\x10\0\x10\0PN\x0c\0PSN0001^Case"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, b"\x10\0\x30\0DA\x0c\x0019500102    ", 1))


def sent_by(medium: Path) -> None:
    """Give the first image File Meta Information that names its sender."""
    ds = dcmread(medium / IMAGE)
    ds.file_meta.SourceApplicationEntityTitle = "CT_WARD_7"
    ds.save_as(medium / IMAGE)


FILE_ID = rb"DICOM\PA000001\ST000001\SE000001\IM000001"
WAYS = {
    "no DICOMDIR": ("dicomdir", without("DICOMDIR")),
    "DICOMDIR of another SOP Class": (
        "dicomdir",
        in_directory(b"1.2.840.10008.1.3.10", b"1.2.840.10008.1.3.11"),
    ),
    "illegal File-set ID": ("dicomdir", in_directory(b"CASE_7", b"case_7")),
    "meta version of the DICOMDIR": ("dicomdir", in_directory(b"OB\0\0\2\0\0\0\0\1", b"OB\0\0\2\0\0\0\0\2")),
    "retired record type": ("records", in_directory(b"IMAGE ", b"VISIT ")),
    "record not in use": ("records", in_directory(b"US\2\0\xff\xff", b"US\2\0\0\0")),
    "Patient ID twice": ("records", second_patient),
    "key missing": ("keys", in_directory(b"SH\4\0S11 ", b"SH\4\0    ")),
    "private element in a record": ("keys", private_record_element),
    "file gone": ("files", without(IMAGE)),
    "file without record": ("files", with_file("DICOM/EXTRA", bytes(128) + b"DICM")),
    "File ID out of the medium": ("files", in_directory(FILE_ID, rb"..\OUT".ljust(len(FILE_ID)))),
    "file cut short": ("instances", cut),
    "implicit on CD": ("instances", implicit),
    "preamble not empty": (
        "instances",
        lambda m: (m / IMAGE).write_bytes(b"TIFF" + (m / IMAGE).read_bytes()[4:]),
    ),
    "meta information of another instance": ("instances", in_image(SOPInstanceUID="2.25.4")),
    "record of another instance": ("agreement", in_image(SOPInstanceUID="2.25.4")),
    "number differs": ("agreement", in_image(InstanceNumber="77")),
    "patient differs": ("agreement", in_image(PatientID="OTHER")),
    "name of the patient in the directory alone": (
        "agreement",
        in_directory(b"PSN0001^Case", b"MUSTER^ERIKA"),
    ),
    "study's description in the directory alone": ("agreement", in_directory(b"Thorax", b"MUSTER")),
    "date of birth in the directory alone": ("agreement", birth_date_in_the_directory),
    "File-set Consistency Flag": (
        "dicomdir",
        in_directory(b"\x04\0\x12\x12US\2\0\0\0", b"\x04\0\x12\x12US\2\0\xff\xff"),
    ),
    "more before the records": ("dicomdir", in_directory(b"\x04\0\x12\x12US", b"\x04\0\x14\x12US")),
    "preamble of the DICOMDIR": (
        "dicomdir",
        lambda m: (m / "DICOMDIR").write_bytes(b"MUSTER" + (m / "DICOMDIR").read_bytes()[6:]),
    ),
    "bytes behind the records": (
        "dicomdir",
        lambda m: (m / "DICOMDIR").write_bytes((m / "DICOMDIR").read_bytes() + b"MUSTER"),
    ),
    "an element behind the records": (
        "dicomdir",
        lambda m: (m / "DICOMDIR").write_bytes((m / "DICOMDIR").read_bytes() + b"\x10\0\x10\0PN\x06\0MUSTER"),
    ),
    "name in one file alone": ("agreement", in_image(PatientName="MUSTER^ERIKA")),
    "file without preamble": ("files", with_file("DICOM/BARE", b"\x08\0\x05\0CS\x0a\0ISO_IR 100")),
    "script in a page": ("layout", in_page(b"<script>1</script>")),
    "frame in a page": ("layout", in_page(b'<iframe src="INDEX.HTM"></iframe>')),
    "page that acts when it is opened": ("layout", in_page(b'<p onclick="1">x</p>')),
    "comment in a picture": ("layout", in_picture(b"\xff\xfe\0\x08MUSTER")),
    "application's data in a picture": ("layout", in_picture(b"\xff\xe1\0\x08MUSTER")),
    "sender of a file": ("instances", sent_by),
    "identity not removed": ("identity", in_image(PatientIdentityRemoved="NO")),
    "autorun": ("layout", with_file("AUTORUN.INF", b"[autorun]")),
    "name in lower case": ("layout", with_file("viewer.exe", b"MZ")),
    "reserved name": ("layout", with_file("IHEWHAT.TXT", b"x")),
    "instance in the root": ("layout", with_file("IM1", bytes(128) + b"DICM")),
    "instance among the pages": ("layout", with_file("IHE_PDI/IM1", bytes(128) + b"DICM")),
    "no README": ("layout", without("README.TXT")),
    "README with bare line feeds": ("layout", with_file("README.TXT", b"a\nb\n")),
    "README not ASCII": ("layout", with_file("README.TXT", "ä\r\n".encode())),
    "page not well-formed": ("layout", with_file("INDEX.HTM", b"<html><p></html>")),
    "picture that is none": ("layout", with_file("IHE_PDI/JP000001.JPG", b"notes about a patient")),
    "page gone that another leads to": ("layout", without("IHE_PDI/ST000001.HTM")),
    "link on the medium": ("layout", lambda m: (m / "LINK").symlink_to(m / "DICOMDIR")),
}


def test_what_the_writer_wrote_passes(tmp_path: Path) -> None:
    """A medium with every kind of instance passes every check."""
    medium = a_medium(tmp_path, *one_of_each_kind())
    report = check_medium(medium.path)
    assert report.passed and report.instances == medium.instances
    assert [check.name for check in report.checks] == list(CHECKS)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_being_wrong_fails_its_check(tmp_path: Path, way: str) -> None:
    """A medium spoiled in one way fails, and the check that is meant for it says so."""
    check, spoil = WAYS[way]
    medium = a_medium(tmp_path, an_instance(), an_instance(patient=2))
    spoil(medium.path)
    report = check_medium(medium.path)
    assert not report.passed
    assert check in [one.name for one in report.checks if not one.passed], report


def not_made(report: CheckReport) -> dict[str, str]:
    """The checks that say that they were not made; none of them passes."""
    found = {one.name: one.what for one in report.checks if one.what.startswith("not made: ")}
    assert not [one for one in report.checks if one.name in found and one.passed]
    return found


BY_THE_DIRECTORY = {"records", "keys", "files", "instances", "agreement", "identity"}


def test_without_a_directory_nothing_is_passed_that_goes_by_it(tmp_path: Path) -> None:
    """An empty folder passes no check that compares records with files."""
    report = check_medium(tmp_path)
    assert set(not_made(report)) == BY_THE_DIRECTORY
    assert not report.passed


def test_a_directory_that_breaks_off_passes_nothing(tmp_path: Path) -> None:
    """Where the DICOMDIR cannot be read to its end, what was not looked at is not passed."""
    medium = a_medium(tmp_path, an_instance()).path
    path = medium / "DICOMDIR"
    path.write_bytes(path.read_bytes()[:-40])
    report = check_medium(medium)
    assert not {one.name for one in report.checks if one.passed} & BY_THE_DIRECTORY


@pytest.mark.parametrize("spoil", [without(IMAGE), with_file(IMAGE, b"x" * 200)], ids=["gone", "no DICOM"])
def test_a_file_that_cannot_be_read_is_not_said_to_be_in_order(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """That identity was removed is not said of a file that nobody could look into."""
    medium = a_medium(tmp_path, an_instance(), an_instance(patient=2)).path
    spoil(medium)
    found = not_made(check_medium(medium))
    assert found["identity"] == found["agreement"] == "not made: 1 file that a record names could not be read"


def test_findings_hold_no_value(tmp_path: Path) -> None:
    """What is found wrong on an identified medium does not say whose it is."""
    medium = a_medium(tmp_path)
    in_image(PatientID="MUSTER4711", PatientName="Muster^Erika", InstanceNumber="4712")(medium.path)
    report = check_medium(medium.path)
    assert not report.passed
    assert not [secret for secret in ("MUSTER", "Muster", "4711", "4712") if secret in repr(report)]


def test_an_image_is_checked_as_a_volume_too(tmp_path: Path) -> None:
    """An image that is named as its File-set passes; another name and names beside the primary volume do not."""
    medium = a_medium(tmp_path).path
    for number, (further, passes) in enumerate(
        (({}, True), ({"volume_id": "OTHER"}, False), ({"joliet": True}, False))
    ):
        with open_medium(an_image(medium, tmp_path / f"{number}.iso", **further)) as opened:  # type: ignore[arg-type]
            report = examine(opened.root, volume=opened.volume).report
        assert report.passed is passes, report
        assert [one.name for one in report.checks if not one.passed] == [] if passes else ["volume"]


def test_a_set_is_checked_as_a_whole(tmp_path: Path) -> None:
    """Two whole File-sets of different studies pass; a study on both, an instance on both, one name do not."""
    first = a_medium(tmp_path / "1", an_instance(study=1), an_instance(study=2)).path
    torn = a_medium(tmp_path / "2", an_instance(study=1, number=2)).path
    other = write_medium(
        [written(an_instance(study=3), tmp_path / "3")],
        tmp_path / "other",
        label=replace(LABEL, fileset_id="CASE_8"),
    ).path
    assert check_set([examine(first), examine(other)]).passed
    assert check_set([examine(first), examine(torn)]).what == (
        "two media have one File-set ID; 1 studies are on more than one medium"
    )
    assert "1 instances are on more than one" in check_set([examine(torn), examine(torn)]).what


def test_the_digest_of_all_files_can_be_repeated(tmp_path: Path) -> None:
    """What sha256sum says of the files, in the order of their names, has the digest that is told."""
    medium = a_medium(tmp_path).path
    found = digests_of(walk_medium(medium))
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=medium, capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == digest_of_all(found)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    """There is nothing to check where there is no folder."""
    with pytest.raises(UnreadableMedium):
        check_medium(tmp_path / "nothing")
