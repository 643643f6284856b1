"""Other people's software reads our media and agrees with them: DCMTK, dicom3tools, pydicom."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from tests.media.builders import BELOW_SERIES, IN_THE_ROOT, a_medium, an_instance, one_of_each_kind

_OFFSETS = (0x00041400, 0x00041420)
# DCMTK 3.6.7 has the keys of these two exchanged, and asks each for those of the other.
_EXCHANGED_BY_DCMTK = ("IMPLANT ASSY", "IMPLANT GROUP")
# dicom3tools of Debian does not know these, and wants a Content Label in the record that has no key of its own.
_NOT_IN_DICOM3TOOLS = ("SURFACE SCAN", "TRACT", "ANNOTATION", "ASSESSMENT", "PLAN", "STEREOMETRIC")
# pydicom 3.0 cannot load a DICOMDIR that has one.
_NOT_IN_PYDICOM = ("ANNOTATION",)


def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a peer's program, or skip the test when it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian packages dcmtk, dicom3tools)")
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def tree_of(dicomdir: Path) -> dict[tuple[str, ...], dict[int, Any]]:
    """The keys of each record, by what the records on the way down to it are called."""
    ds = dcmread(dicomdir)
    by_offset = {record.seq_item_tell: record for record in ds.DirectoryRecordSequence}
    tree: dict[tuple[str, ...], dict[int, Any]] = {}

    def walk(offset: int, above: tuple[str, ...]) -> None:
        while offset:
            record = by_offset[offset]
            names = ("ReferencedSOPInstanceUIDInFile", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
            name = next(str(record[one].value) for one in names if one in record)
            here = (*above, f"{record.DirectoryRecordType} {name}")
            tree[here] = {int(e.tag): e.value for e in record if e.tag not in _OFFSETS}
            walk(record.OffsetOfReferencedLowerLevelDirectoryEntity, here)
            offset = record.OffsetOfTheNextDirectoryRecord

    walk(ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity, ())
    return tree


def some_patients() -> list[Any]:
    """Two patients with two studies of two series of three images."""
    numbers = [(p, s, e, n) for p in (1, 2) for s in (1, 2) for e in (1, 2) for n in (1, 2, 3)]
    return [an_instance(patient=p, study=s, series=e, number=n) for p, s, e, n in numbers]


@pytest.mark.peer
def test_dcmdump_reads_the_dicomdir_without_a_warning(tmp_path: Path) -> None:
    """DCMTK parses the DICOMDIR of every kind of instance and has nothing to say."""
    medium = a_medium(tmp_path, *one_of_each_kind())
    result = run("dcmdump", "DICOMDIR", cwd=medium.path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.peer
@pytest.mark.parametrize("content", ["patients", "kinds"])
def test_dcmmkdir_makes_the_same_records(tmp_path: Path, content: str) -> None:
    """DCMTK, given the same files, makes the same tree with the same keys and values."""
    instances = some_patients()
    if content == "kinds":
        kinds = [record for record in (*BELOW_SERIES, *IN_THE_ROOT) if record not in _EXCHANGED_BY_DCMTK]
        instances = [an_instance(record, series=number) for number, record in enumerate(kinds, 1)]
    medium = a_medium(tmp_path, *instances)
    theirs = tmp_path / "THEIRS"
    result = run("dcmmkdir", "+r", "-Pgp", "-a", "+D", str(theirs), "+id", ".", "DICOM", cwd=medium.path)
    assert (result.returncode, result.stderr) == (0, "")
    assert tree_of(medium.path / "DICOMDIR") == tree_of(theirs)


@pytest.mark.peer
def test_dcentvfy_finds_the_files_consistent(tmp_path: Path) -> None:
    """dicom3tools sees one set of patient, study and series attributes for each of them."""
    medium = a_medium(tmp_path, *some_patients())
    files = sorted(str(path) for path in (medium.path / "DICOM").rglob("*") if path.is_file())
    result = run("dcentvfy", *files, cwd=medium.path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_the_dicomdir(tmp_path: Path) -> None:
    """dicom3tools validates the Basic Directory IOD without an error."""
    kinds = [record for record in BELOW_SERIES if record not in _NOT_IN_DICOM3TOOLS]
    medium = a_medium(
        tmp_path, *[an_instance(record, series=number) for number, record in enumerate(kinds, 1)]
    )
    result = run("dciodvfy", "DICOMDIR", cwd=medium.path)
    assert re.search("^BasicDirectory", result.stderr, re.MULTILINE), result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == []


def test_pydicom_finds_every_instance_through_the_dicomdir(tmp_path: Path) -> None:
    """pydicom's FileSet loads the medium and reaches each file by its File ID."""
    kinds = [record for record in (*BELOW_SERIES, *IN_THE_ROOT) if record not in ("IMAGE", *_NOT_IN_PYDICOM)]
    instances = [
        *some_patients(),
        *[an_instance(record, series=number) for number, record in enumerate(kinds, 3)],
    ]
    medium = a_medium(tmp_path, *instances)
    fileset = FileSet(medium.path / "DICOMDIR")
    assert medium.fileset_id == fileset.ID
    loaded = sorted(str(one.load().SOPInstanceUID) for one in fileset)
    assert loaded == sorted(str(ds.SOPInstanceUID) for ds in instances)
