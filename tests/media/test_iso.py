"""An image holds what the folder of the medium holds, under names that every system reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from media.checker import check_medium
from media.errors import LabelFault, MediumUnproven, OutputRefused
from media.iso import octets_on_medium, prove_iso, write_iso
from media.opening import open_medium
from media.pdi import Medium, Profile, write_media
from tests.media.builders import LABEL, an_instance, bytes_of, written
from tests.media.test_peers import run, some_patients


def an_image(folder: Path, **options: object) -> Medium:
    """A medium of two patients with its image."""
    files = [written(ds, folder / "in") for ds in some_patients()]
    (medium,) = write_media(
        files, folder / "medium", label=LABEL, capacity=None, iso=folder / "medium.iso", **options
    )
    return medium


def test_an_image_holds_the_medium_and_nothing_else(tmp_path: Path) -> None:
    """Opened as a disc, the image has the files of the folder, byte for byte, and passes every check."""
    medium = an_image(tmp_path)
    assert medium.iso is not None
    with open_medium(medium.iso) as opened:
        assert opened.volume is not None
        assert (opened.volume.volume_id, opened.volume.faults) == ("CASE_7", {})
        assert bytes_of(opened.root) == bytes_of(medium.path)
        assert check_medium(opened.root).passed


def test_the_same_medium_gives_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock leaves a trace in an image."""
    import pycdlib.pycdlib

    first = an_image(tmp_path / "a")
    monkeypatch.setattr(pycdlib.pycdlib.time, "time", lambda: 1.0e9)
    second = an_image(tmp_path / "b")
    assert first.iso is not None and second.iso is not None
    assert first.iso.read_bytes() == second.iso.read_bytes()


@pytest.mark.peer
def test_isoinfo_reads_level_1_and_the_file_set_id(tmp_path: Path) -> None:
    """isoinfo finds the File-set ID as volume id, neither Joliet nor Rock Ridge, and names of level 1 alone."""
    an_image(tmp_path)
    described = run("isoinfo", "-d", "-i", "medium.iso", cwd=tmp_path).stdout
    assert re.search("^Volume id: CASE_7$", described, re.MULTILINE)
    assert "NO Joliet present" in described and "NO Rock Ridge present" in described
    listed = run("isoinfo", "-f", "-i", "medium.iso", cwd=tmp_path).stdout.split()
    names = [part for line in listed for part in line.split("/")[1:]]
    assert [one for one in names if not re.fullmatch(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{0,3};1)?", one)] == []
    assert "/DICOMDIR.;1" in listed and "/DICOM/PA000001/ST000001/SE000001/IM000001.;1" in listed


@pytest.mark.peer
def test_xorriso_extracts_the_same_bytes(tmp_path: Path) -> None:
    """xorriso gives back the folder of the medium."""
    medium = an_image(tmp_path)
    arguments = ("-osirrox", "on", "-indev", "medium.iso", "-extract", "/", "out")
    assert run("xorriso", *arguments, cwd=tmp_path).returncode == 0
    extracted = bytes_of(tmp_path / "out")
    assert extracted == bytes_of(medium.path)


def test_the_root_lies_before_the_pages_and_the_pages_before_the_instances(tmp_path: Path) -> None:
    """What is read first lies first on the disc."""
    medium = an_image(tmp_path)
    assert medium.iso is not None
    image = medium.iso.read_bytes()
    order = ["DICOMDIR", "IHE_PDI/INDEX.HTM", "DICOM/PA000001/ST000001/SE000001/IM000001"]
    places = [image.index((medium.path / name).read_bytes()) for name in order]
    assert places == sorted(places)


def test_an_image_is_as_large_as_was_reckoned(tmp_path: Path) -> None:
    """What is reckoned for a folder is never less than its image takes."""
    medium = an_image(tmp_path)
    assert medium.iso is not None
    size = medium.iso.stat().st_size
    assert size <= octets_on_medium(medium.path) <= size + (64 << 10)


def test_an_image_that_differs_is_found(tmp_path: Path) -> None:
    """One changed octet, one file more and another volume id are all found when the image is read again."""
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    (folder / "A").write_bytes(b"what stands in a file")
    write_iso(folder, image, volume_id="X")
    prove_iso(folder, image, volume_id="X")
    with pytest.raises(MediumUnproven):
        prove_iso(folder, image, volume_id="Y")
    (folder / "B").write_bytes(b"more")
    with pytest.raises(MediumUnproven):
        prove_iso(folder, image, volume_id="X")
    (folder / "B").unlink()
    image.write_bytes(image.read_bytes().replace(b"what stands", b"what stood "))
    with pytest.raises(MediumUnproven):
        prove_iso(folder, image, volume_id="X")


def test_an_image_that_exists_is_not_touched(tmp_path: Path) -> None:
    """What has the image's name stays, and no medium is written."""
    (tmp_path / "medium.iso").write_text("mine")
    with pytest.raises(OutputRefused, match="image is there already"):
        an_image(tmp_path)
    assert (tmp_path / "medium.iso").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "medium.iso"]


def test_only_discs_are_written_from_images(tmp_path: Path) -> None:
    """A USB stick gets its files; an image of ISO 9660 would make a disc of it."""
    files = [written(an_instance(), tmp_path / "in")]
    with pytest.raises(LabelFault, match="USB stick is not written from an image"):
        write_media(
            files,
            tmp_path / "medium",
            label=LABEL,
            profile=Profile.STD_GEN_USB_JPEG,
            capacity=None,
            iso=tmp_path / "x.iso",
        )
