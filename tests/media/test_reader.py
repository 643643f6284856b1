"""Any medium is read, nothing on it is believed, and every deviation is told."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from media.checker import check_medium
from media.errors import MediaError, UnreadableMedium
from media.reader import read_medium
from tests.media.builders import LABEL, SOP_CLASSES, a_medium, an_instance, one_of_each_kind, written

IMAGE = "DICOM/PA000001/ST000001/SE000001/IM000001"
FILE_ID = rb"DICOM\PA000001\ST000001\SE000001\IM000001"


def spoil(medium: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of the DICOMDIR by as many others."""
    path = medium / "DICOMDIR"
    assert len(old) == len(new) and old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def test_a_medium_of_ours_reads_back_without_deviation(tmp_path: Path) -> None:
    """Every instance comes back in order with its UIDs, recorded and without identity."""
    medium = a_medium(tmp_path, *one_of_each_kind())
    contents = read_medium(medium.path)
    assert contents.deviations == []
    assert sorted(one.sop_class_uid for one in contents.instances) == sorted(SOP_CLASSES.values())
    assert all(one.recorded and one.identity_removed for one in contents.instances)
    assert {one.patient_id for one in contents.instances} == {"PSN0001", ""}
    assert LABEL.fileset_id not in repr(contents) and "PSN0001" not in repr(contents)


def test_without_dicomdir_every_file_is_searched(tmp_path: Path) -> None:
    """A medium that lost its DICOMDIR still gives its instances, and says what is missing."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2))
    (medium.path / "DICOMDIR").unlink()
    contents = read_medium(medium.path)
    assert [one.recorded for one in contents.instances] == [False, False]
    assert contents.deviations == ["there is no DICOMDIR; all files were searched"]


@pytest.mark.parametrize("rest", [0, 100, 200, 500, 900])
def test_a_broken_dicomdir_does_not_hide_the_instances(tmp_path: Path, rest: int) -> None:
    """A DICOMDIR cut anywhere is told, and what it would have named is found."""
    medium = a_medium(tmp_path)
    os.truncate(medium.path / "DICOMDIR", rest)
    contents = read_medium(medium.path)
    assert len(contents.instances) == 1
    assert contents.deviations


@pytest.mark.parametrize(
    "file_id",
    [
        rb"..\..\..\outside",
        rb"..\outside",
        rb"\outside",
        b"/outside",
        rb"DICOM\..\..\outside",
        b"link",
        rb"folder\outside",
        b"C:\\outside",
    ],
)
def test_no_file_id_leads_out_of_the_medium(tmp_path: Path, file_id: bytes) -> None:
    """Dots, absolute names and links that lead to a real instance beside the medium give nothing."""
    medium = a_medium(tmp_path)
    outside = written(an_instance(patient=2), tmp_path / "away").rename(tmp_path / "outside")
    (medium.path / "link").symlink_to(outside)
    (medium.path / "folder").symlink_to(tmp_path)
    spoil(medium.path, FILE_ID, file_id.ljust(len(FILE_ID)))
    contents = read_medium(medium.path)
    assert [one.path for one in contents.instances] == [medium.path / IMAGE]
    assert "1 records name a file that is not on the medium" in contents.deviations
    assert "2 entries are links or devices and were left alone" in contents.deviations


def test_an_absolute_path_gives_nothing(tmp_path: Path) -> None:
    """A record that names a real file by its whole path does not get it."""
    medium = a_medium(tmp_path)
    outside = written(an_instance(patient=2), tmp_path / "away")
    from media.files import walk_medium

    files = walk_medium(medium.path)
    assert files.find((str(outside),)) is None
    assert files.find(outside.parts) is None
    assert files.find(("DICOM", "..", "..", "away", outside.name)) is None


def test_a_pipe_does_not_stop_the_reader(tmp_path: Path) -> None:
    """A named pipe among the files is left alone; reading it would wait for ever."""
    medium = a_medium(tmp_path)
    os.mkfifo(medium.path / "DICOM" / "PIPE")
    assert read_medium(medium.path).deviations == ["1 entries are links or devices and were left alone"]


def test_names_in_lower_case_with_versions_are_found(tmp_path: Path) -> None:
    """A disc mounted with other names than it was written with reads like any other."""
    medium = a_medium(tmp_path)
    shutil.move(medium.path / "DICOM", medium.path / "dicom")
    shutil.move(medium.path / "DICOMDIR", medium.path / "dicomdir;1")
    image = medium.path / IMAGE.replace("DICOM", "dicom", 1)
    image.rename(image.with_name("im000001.;1"))
    contents = read_medium(medium.path)
    assert contents.deviations == [
        "1 records write a file's name otherwise: its case, version number or ending"
    ]
    assert contents.instances[0].recorded


def test_records_and_files_that_differ_are_told(tmp_path: Path) -> None:
    """A record of another instance, a file without a record and one that is gone are three deviations."""
    medium = a_medium(tmp_path, *[an_instance(number=n) for n in (1, 2)])
    image = medium.path / IMAGE
    written(an_instance(number=3), tmp_path / "more").rename(image)
    written(an_instance(number=4), tmp_path / "more").rename(image.with_name("X"))
    image.with_name("IM000002").unlink()
    contents = read_medium(medium.path)
    assert [one.recorded for one in contents.instances] == [True, False]
    assert contents.deviations == [
        "1 records name another SOP Class or SOP Instance than their files",
        "1 records name a file that is not on the medium",
        "1 DICOM files are named by no record",
    ]


def test_identified_records_beside_pseudonymized_files_are_told(tmp_path: Path) -> None:
    """A PATIENT record with another Patient ID than the files below it is a deviation, and not repeated."""
    medium = a_medium(tmp_path)
    path = medium.path / "DICOMDIR"
    path.write_bytes(path.read_bytes().replace(b"PSN0001 ", b"OLD4711 "))
    contents = read_medium(medium.path)
    assert contents.deviations == [
        "1 records stand below another Patient ID than their files hold",
        "1 PATIENT records have a PatientID (0010,0020) that no file below them has",
    ]


def test_instances_that_say_they_are_identified_are_marked(tmp_path: Path) -> None:
    """Patient Identity Removed other than YES is marked on the instance and told."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2))
    ds = dcmread(medium.path / IMAGE)
    ds.PatientIdentityRemoved = "NO"
    ds.save_as(medium.path / IMAGE)
    contents = read_medium(medium.path)
    assert [one.identity_removed for one in contents.instances] == [False, True]
    assert contents.deviations == ["1 instances do not say that the patient's identity was removed"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A DICOMDIR whose last record leads back to the first is read once and told."""
    medium = a_medium(tmp_path)
    path = medium.path / "DICOMDIR"
    data = bytearray(path.read_bytes())
    last = data.rindex(b"\xfe\xff\x00\xe0") + 16
    first = data.index(b"\x04\x00\x00\x12UL\x04\x00") + 8
    data[last : last + 4] = data[first : first + 4]
    path.write_bytes(data)
    contents = read_medium(medium.path)
    assert len(contents.instances) == 1
    assert contents.deviations == ["1 links between records lead nowhere or in a circle"]


@settings(derandomize=True, deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_anywhere_is_survived(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever bytes a scratch leaves in a directory or a file, reading and checking end with an answer."""
    medium = a_medium(
        tmp_path_factory.mktemp("scratched"), an_instance(), an_instance("SR DOCUMENT", series=2)
    ).path
    name = data.draw(
        st.sampled_from(["DICOMDIR", "DICOMDIR", IMAGE, IMAGE.replace("SE000001/IM", "SE000002/SR")])
    )
    content = bytearray((medium / name).read_bytes())
    for place in data.draw(st.lists(st.integers(128, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.sampled_from([0, 1, 0x20, 0x53, 0x7F, 0xFF]))
    (medium / name).write_bytes(content)
    for look in (read_medium, check_medium):
        with contextlib.suppress(MediaError):
            look(medium)


def test_a_folder_without_instances_is_no_medium(tmp_path: Path) -> None:
    """Nothing, a file and an empty folder are refused with a way out."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "file", "empty"):
        with pytest.raises(UnreadableMedium) as refusal:
            read_medium(tmp_path / name)
        assert refusal.value.next_step
