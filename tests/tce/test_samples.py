"""The sample studies are identified, rich, deterministic and legal DICOM."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from tce.samples import write_two_studies


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_two_studies(tmp_path_factory.mktemp("modality"))


def references(ds: Dataset) -> Iterator[str]:
    for element in ds.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)


def test_two_studies_of_two_patients(files: list[Path]) -> None:
    """Two patients of different age bands: CT and MR series, a report and presentation states."""
    instances = [pydicom.dcmread(path) for path in files]
    assert {(ds.PatientID, ds.PatientAge) for ds in instances} == {
        ("SUE-4471902", "038Y"),
        ("0090817734", "091Y"),
    }
    assert len({ds.StudyInstanceUID for ds in instances}) == 2
    counts = {
        modality: sum(ds.Modality == modality for ds in instances) for modality in ("CT", "MR", "SR", "PR")
    }
    assert counts == {"CT": 12, "MR": 10, "SR": 1, "PR": 2}
    assert len({ds.SOPInstanceUID for ds in instances}) == len(files)


def test_headers_are_rich(files: list[Path]) -> None:
    """Images have as many elements, nested items and private blocks as a hospital's."""
    ct, mr = pydicom.dcmread(files[0]), pydicom.dcmread(files[-2])
    assert sum(1 for _ in ct.iterall()) > 250
    assert sum(1 for _ in mr.iterall()) > 150
    assert sum(element.tag.is_private_creator for element in ct) > 8


def test_references_resolve(files: list[Path]) -> None:
    """What report and presentation states reference is among the written instances of the same study."""
    instances = [pydicom.dcmread(path) for path in files]
    for document in (ds for ds in instances if ds.Modality in ("SR", "PR")):
        images = {
            ds.SOPInstanceUID
            for ds in instances
            if ds.StudyInstanceUID == document.StudyInstanceUID and "PixelData" in ds
        }
        assert images & set(references(document)) == images


def test_paths_name_the_patient(files: list[Path]) -> None:
    """Source names carry a name and a birth date, so that keeping them would show."""
    assert "Lindqvist" in files[0].name
    assert "19860315" in files[0].parent.parent.name


def test_same_bytes_at_every_call(files: list[Path], tmp_path: Path) -> None:
    """Building the studies again gives the same files."""
    again = write_two_studies(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_instances_are_legal(files: list[Path]) -> None:
    """An independent validator finds no error in any instance, nor between them."""
    for path in files:
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False).stderr
        assert b"Error" not in said, said.decode(errors="replace")
    between = subprocess.run(["dcentvfy", *files], capture_output=True, check=False)
    assert b"Error" not in between.stdout + between.stderr
