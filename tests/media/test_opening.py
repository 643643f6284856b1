"""A folder and an image open alike, and nothing that an image says makes its reader leave it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.errors import MediaError, UnreadableMedium
from media.opening import open_medium
from tests.media.builders import a_medium, an_instance, bytes_of
from tests.media.images import an_image, both_orders, place_of, poke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_medium(tmp_path, an_instance(), an_instance(number=2)).path


@pytest.fixture
def image(folder: Path, tmp_path: Path) -> Path:
    return an_image(folder, tmp_path / "medium.iso")


def test_a_folder_opens_as_it_is(folder: Path) -> None:
    """Nothing is copied where there is a folder already."""
    with open_medium(folder) as opened:
        assert (opened.root, opened.volume) == (folder, None)


def test_an_image_opens_with_the_names_and_bytes_of_its_files(
    folder: Path, image: Path, tmp_path: Path
) -> None:
    """What is read from an image is what was put into it, and nothing of it stays behind."""
    with open_medium(image, scratch=tmp_path) as opened:
        assert bytes_of(opened.root) == bytes_of(folder)
        assert opened.volume is not None
        assert (opened.volume.volume_id, opened.volume.faults, opened.volume.further) == ("CASE_7", {}, ())
        assert (opened.root.parent.stat().st_mode & 0o777) == 0o700
        assert "CASE_7" not in repr(opened) and "medium" not in repr(opened).replace("OpenMedium", "")
    assert not list(tmp_path.glob("tce-medium-*"))


def test_what_a_process_that_died_left_is_removed(image: Path, tmp_path: Path) -> None:
    """A private folder without a process is removed by the next one; one that is in use stays."""
    left = tmp_path / "tce-medium-left"
    left.mkdir()
    (left / "FILE").write_text("identified")
    os.utime(left, (time.time() - 3600,) * 2)
    with open_medium(image, scratch=tmp_path) as first, open_medium(image, scratch=tmp_path) as second:
        assert not left.exists()
        assert first.root.is_dir() and second.root.is_dir() and first.root != second.root


def test_names_beside_the_primary_volume_are_told(folder: Path, tmp_path: Path) -> None:
    """Joliet names are noted and not followed."""
    with open_medium(an_image(folder, tmp_path / "j.iso", joliet=True)) as opened:
        assert opened.volume is not None and opened.volume.further == ("Joliet names",)
        assert bytes_of(opened.root) == bytes_of(folder)


@pytest.mark.parametrize(
    "name", [b"..\x2f..\x2fX.;1", b"/ETC/X00.;1", b"........;1", b"\0\0\0\0\0\0\0\0.;1", b"im0001.;"]
)
def test_no_name_leads_out_of_the_private_folder(image: Path, tmp_path: Path, name: bytes) -> None:
    """Dots, slashes, zero bytes in a name become a name like any other, and are told."""
    at = place_of(image, b"IM000001.;1")
    poke(image, at + 33, name.ljust(11, b"\x01")[:11])
    outside = set(tmp_path.iterdir())
    with open_medium(image, scratch=tmp_path) as opened:
        found = [path for path in tmp_path.iterdir() if path not in outside]
        assert found == [opened.root.parent]
        assert len([path for path in opened.root.rglob("*") if path.is_file()]) == len(opened.volume.files)  # type: ignore[union-attr]
        assert (
            opened.volume is not None and opened.volume.faults["names are not legal in ISO 9660 level 1"] == 1
        )


def test_directories_in_a_circle_end(image: Path) -> None:
    """A directory that is its own sub-directory is read once, and told."""
    root = place_of(image, b"DICOM")
    series = place_of(image, b"SE000001")
    data = image.read_bytes()
    poke(image, series + 2, data[root + 2 : root + 10])
    with open_medium(image) as opened:
        assert opened.volume is not None
        assert opened.volume.faults["directories lead to one that was read already"] == 1


def test_an_extent_beyond_the_image_is_left_alone(image: Path) -> None:
    """A file that claims bytes behind the end of the image does not come, and is told; the others do."""
    poke(image, place_of(image, b"IM000001.;1") + 10, both_orders(0xFFFFFFFF))
    with open_medium(image) as opened:
        assert opened.volume is not None
        assert opened.volume.faults == {"files reach beyond the end of the image and were left alone": 1}
        assert not list(opened.root.rglob("IM000001")) and list(opened.root.rglob("IM000002"))


def test_files_that_overlap_do_not_fill_the_disk(image: Path) -> None:
    """Many files that each claim the whole image are refused before more is copied than the image holds."""
    size = image.stat().st_size
    for name in (b"IM000001.;1", b"IM000002.;1"):
        at = place_of(image, name)
        start = 16 if name.endswith(b"1.;1") else 17
        poke(image, at + 2, both_orders(start) + both_orders(size - start * 2048))
    with pytest.raises(UnreadableMedium, match="hold more than it does"), open_medium(image):
        pass


@pytest.mark.parametrize("length", [0, 40_000, 36_000])
def test_what_is_no_medium_is_refused(image: Path, tmp_path: Path, length: int) -> None:
    """Nothing, an empty file and an image cut in its beginning are refused with a way out."""
    cut = tmp_path / "cut.iso"
    cut.write_bytes(image.read_bytes()[:length])
    for path in (cut, tmp_path / "nothing"):
        with contextlib.suppress(UnreadableMedium), open_medium(path) as opened:
            assert opened.volume is not None and opened.volume.faults  # cut behind its descriptors: told
    with pytest.raises(UnreadableMedium) as refusal, open_medium(tmp_path / "nothing"):
        pass
    assert refusal.value.next_step


@settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_anywhere_in_an_image_is_survived(image: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever bytes a scratch leaves in descriptors and directories, opening ends with an answer, inside the image."""
    content = bytearray(image.read_bytes())
    directories = [
        16 * 2048 + 80,
        16 * 2048 + 156,
        *(place_of(image, n) for n in (b"DICOM", b"SE000001", b"IM000001.;1")),
    ]
    for place in data.draw(st.lists(st.sampled_from(directories), min_size=1, max_size=6)):
        at = place + data.draw(st.integers(0, 44))
        content[at] = data.draw(st.integers(0, 255))
    scratched = tmp_path / "scratched.iso"
    scratched.write_bytes(content)
    before = set(tmp_path.iterdir())
    with contextlib.suppress(MediaError), open_medium(scratched, scratch=tmp_path) as opened:
        size = sum(path.stat().st_size for path in opened.root.rglob("*") if path.is_file())
        assert size <= 2 * len(content)
        assert all(path.resolve().is_relative_to(opened.root.resolve()) for path in opened.root.rglob("*"))
    assert set(tmp_path.iterdir()) == before
