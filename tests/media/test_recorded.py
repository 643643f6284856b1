"""Of a medium that is taken which its DICOMDIR names, and what it names in vain is told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from media.errors import UnreadableMedium
from media.recorded import is_medium, recorded_files
from tests.media.builders import a_medium, an_instance

IMAGE = "DICOM/PA000001/ST000001/SE000001/IM000001"
FILE_ID = rb"DICOM\PA000001\ST000001\SE000001\IM000001"


def test_what_is_recorded_is_found_in_order(tmp_path: Path) -> None:
    """Pages, texts and what somebody copied beside them are not of the File-set."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2)).path
    shutil.copy(medium / IMAGE, medium / "DICOM" / "BESIDE")
    found = recorded_files(medium)
    assert [path.relative_to(medium).as_posix() for path in found.files] == [IMAGE, IMAGE[:-1] + "2"]
    assert found.missing == ()
    assert is_medium(medium) and not is_medium(medium / "DICOM") and not is_medium(medium / "NOWHERE")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A disc that cannot be read in one place does not look like a smaller one."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2)).path
    (medium / IMAGE).unlink()
    found = recorded_files(medium)
    assert found.missing == (medium / IMAGE,)
    assert len(found.files) == 1


def test_names_as_a_system_mounts_them_are_found(tmp_path: Path) -> None:
    """Lower case names, as some systems show those of ISO 9660, are the same names."""
    medium = a_medium(tmp_path).path
    (medium / "DICOMDIR").rename(medium / "dicomdir")
    (medium / "DICOM").rename(medium / "dicom")
    assert is_medium(medium)
    assert recorded_files(medium).missing == ()


def test_a_file_id_that_leads_out_is_missing(tmp_path: Path) -> None:
    """Nothing beside the medium is taken, and what is shown of the name leads nowhere and rings no bell."""
    medium = a_medium(tmp_path).path
    directory = medium / "DICOMDIR"
    bad = b"..\\..\\out\x1b[2J".ljust(len(FILE_ID))
    directory.write_bytes(directory.read_bytes().replace(FILE_ID, bad))
    found = recorded_files(medium)
    assert found.files == ()
    assert "\x1b" not in str(found.missing)


@pytest.mark.parametrize("rest", [0, 100, 500])
def test_a_broken_directory_is_refused(tmp_path: Path, rest: int) -> None:
    """Half a DICOMDIR does not stand for a smaller File-set."""
    medium = a_medium(tmp_path).path
    os.truncate(medium / "DICOMDIR", rest)
    with pytest.raises(UnreadableMedium):
        recorded_files(medium)


def test_a_folder_is_no_medium(tmp_path: Path) -> None:
    """Without a DICOMDIR nothing is named."""
    with pytest.raises(UnreadableMedium, match="no DICOMDIR"):
        recorded_files(tmp_path)
