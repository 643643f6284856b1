"""Media that other people's software made are read, and ours are what other people's software takes them for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.fileset import FileSet

from media.checker import check_medium, examine
from media.opening import open_medium
from media.reader import MediumContents, read_medium
from tests.media.builders import a_medium, an_instance, bytes_of, written
from tests.media.images import an_image
from tests.media.test_peers import run, some_patients
from tests.tce.pacs import an_orthanc, needs_orthanc

pytestmark = pytest.mark.peer


def files_of(folder: Path, instances: list[Any]) -> Path:
    """Instances under legal names, as somebody prepares a disc by hand."""
    (folder / "IMAGES").mkdir(parents=True)
    for number, ds in enumerate(instances):
        written(ds, folder / "in").rename(folder / "IMAGES" / f"IM{number:04d}")
    (folder / "in").rmdir()
    return folder


def uids(contents: MediumContents) -> list[str]:
    return sorted(one.sop_instance_uid for one in contents.instances)


@pytest.mark.parametrize("options", [(), ("-r", "-J"), ("-r",), ("-J", "-l")])
def test_an_image_of_genisoimage_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Plain, Rock Ridge and Joliet: the same instances, and what stands beside the primary volume is told."""
    medium = a_medium(tmp_path, *some_patients()).path
    image = tmp_path / "medium.iso"
    made = run("genisoimage", "-quiet", "-V", "CASE_7", *options, "-o", str(image), ".", cwd=medium)
    assert made.returncode == 0, made.stderr
    with open_medium(image) as opened:
        assert bytes_of(opened.root) == bytes_of(medium)
        assert read_medium(opened.root).deviations == []
        assert examine(opened.root, volume=opened.volume).report.passed is (options == ())


def test_an_image_of_xorriso_is_read(tmp_path: Path) -> None:
    """xorriso's image with its own volume name gives every file, and another name than the File-set's is told."""
    medium = a_medium(tmp_path, *some_patients()).path
    image = tmp_path / "medium.iso"
    made = run("xorriso", "-as", "mkisofs", "-quiet", "-V", "OTHER", "-o", str(image), ".", cwd=medium)
    assert made.returncode == 0, made.stderr
    with open_medium(image) as opened:
        assert bytes_of(opened.root) == bytes_of(medium)
        (volume,) = [
            one for one in examine(opened.root, volume=opened.volume).report.checks if one.name == "volume"
        ]
        assert "the volume identifier is not the File-set ID" in volume.what


def test_isoinfo_sees_the_files_that_we_see(tmp_path: Path) -> None:
    """The names that isoinfo lists in an image are those that we read in it."""
    image = an_image(a_medium(tmp_path, *some_patients()).path, tmp_path / "medium.iso")
    said = run("isoinfo", "-f", "-i", str(image), cwd=tmp_path)
    listed = {line.lstrip("/").partition(";")[0].rstrip(".") for line in said.stdout.splitlines()}
    with open_medium(image) as opened:
        assert opened.volume is not None
        seen = {"/".join(file.name) for file in opened.volume.files}
        assert seen | {"/".join(folder) for folder in opened.volume.folders} == listed


def test_a_dicomdir_of_dcmmkdir_is_read(tmp_path: Path) -> None:
    """DCMTK's DICOMDIR leads to every file, without a deviation; what it has beyond ours agrees with the files."""
    folder = files_of(tmp_path / "disc", some_patients())
    made = run("dcmmkdir", "+r", "-Pgp", "+id", ".", "IMAGES", cwd=folder)
    assert made.returncode == 0, made.stderr
    contents = read_medium(folder)
    assert contents.deviations == [] and len(contents.instances) == 24
    assert all(one.recorded for one in contents.instances)
    failed = [one for one in check_medium(folder).checks if not one.passed]
    assert {one.name for one in failed} <= {"layout", "dicomdir"}, failed  # no README; a name of its own


def test_a_dicomdir_of_dcmmkdir_that_was_made_before_is_told(tmp_path: Path) -> None:
    """De-identified files below the DICOMDIR of the originals: read, and the DICOMDIR is told to name somebody else."""
    folder = files_of(tmp_path / "disc", [an_instance(PatientName="Muster^Erika", PatientID="4711")])
    assert run("dcmmkdir", "+r", "-Pgp", "+id", ".", "IMAGES", cwd=folder).returncode == 0
    written(an_instance(), tmp_path / "new").replace(folder / "IMAGES" / "IM0000")
    contents = read_medium(folder)
    assert (
        "1 PATIENT records have a PatientName (0010,0010) that no file below them has" in contents.deviations
    )
    assert "Muster" not in repr(contents) + repr(check_medium(folder))
    assert "agreement" in [one.name for one in check_medium(folder).checks if not one.passed]


def test_a_dicomdir_of_dcmgpdir_is_read(tmp_path: Path) -> None:
    """The directory of DCMTK's older tool leads to every file, without a deviation."""
    folder = files_of(tmp_path / "disc", [an_instance(series=s, number=n) for s in (1, 2) for n in (1, 2)])
    names = [f"IMAGES/IM{number:04d}" for number in range(4)]
    made = run("dcmgpdir", "+id", ".", "+D", "DICOMDIR", *names, cwd=folder)
    contents = read_medium(folder)
    assert len(contents.instances) == 4, made.stderr
    assert all(one.recorded for one in contents.instances) and contents.deviations == []


@needs_orthanc
def test_orthanc_takes_what_our_dicomdir_names(tmp_path: Path) -> None:
    """DCMTK reads our DICOMDIR and sends what it names; Orthanc takes every instance."""
    medium = a_medium(tmp_path, *some_patients()).path
    with an_orthanc(tmp_path / "orthanc") as orthanc:
        report = tmp_path / "report"
        to = ("-aec", orthanc.ae_title, orthanc.host, str(orthanc.port))
        sent = run(
            "dcmsend",
            "--read-from-dicomdir",
            "--create-report-file",
            str(report),
            *to,
            "DICOMDIR",
            cwd=medium,
        )
    assert sent.returncode == 0, sent.stderr
    told = dict(line.split(":", 1) for line in report.read_text().splitlines() if line.count(":") == 1)
    counted = {name.strip(" -*"): count.strip() for name, count in told.items()}
    assert counted["Number of SOP instances"] == "24"
    assert counted["with status SUCCESS"] == "24"


def test_pydicom_s_file_set_is_read(tmp_path: Path) -> None:
    """A File-set that pydicom wrote gives its instances under the names that pydicom gave them."""
    fileset = FileSet()
    for number, ds in enumerate(some_patients()):
        fileset.add(written(ds, tmp_path / f"in{number}"))
    fileset.ID = "THEIRS"
    fileset.write(tmp_path / "disc")
    contents = read_medium(tmp_path / "disc")
    assert contents.deviations == [] and len(contents.instances) == 24
    assert uids(contents) == sorted(str(one.SOPInstanceUID) for one in fileset)
