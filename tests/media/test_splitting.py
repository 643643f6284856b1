"""What one medium does not hold is divided, and every part is a medium by itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from media.checker import check_medium
from media.errors import OutputRefused
from media.pdi import Medium, write_media
from media.splitting import in_words, numbered_id
from tests.media.builders import LABEL, an_instance, bytes_of, written
from tests.media.test_peers import run

_ROOM = 3 << 20
"""Octets of a medium that takes three studies of half a megabyte with the room for pages, not four."""


def a_study(*, patient: int, study: int, octets: int = 500_000, number: int = 1) -> Any:
    """One image that makes a study of so many octets."""
    return an_instance(
        patient=patient, study=study, number=number, PixelData=bytes(octets), Rows=500, Columns=500
    )


def some_media(folder: Path, *, studies: int = 7, iso: bool = False) -> tuple[Medium, ...]:
    """As many media as the studies of three patients need."""
    files = [
        written(a_study(patient=number % 3 + 1, study=number + 1), folder / "in") for number in range(studies)
    ]
    image = folder / "set.iso" if iso else None
    return write_media(files, folder / "out", label=LABEL, capacity=_ROOM, iso=image)


def studies_on(medium: Medium) -> set[str]:
    """The Study Instance UIDs in the DICOMDIR of a medium."""
    records = dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence
    return {record.StudyInstanceUID for record in records if record.DirectoryRecordType == "STUDY"}


def test_every_part_is_a_whole_medium(tmp_path: Path) -> None:
    """Each has a DICOMDIR, pages and a File-set ID of its own, passes every check, and is not larger than it may be."""
    media = some_media(tmp_path)
    assert len(media) > 2
    assert [medium.path for medium in media] == [tmp_path / "out" / str(n) for n in range(1, len(media) + 1)]
    for number, medium in enumerate(media, 1):
        assert check_medium(medium.path).passed
        assert medium.octets <= _ROOM
        assert medium.fileset_id == dcmread(medium.path / "DICOMDIR").FileSetID == f"CASE_7_{number}"


def test_no_study_is_on_two_media_and_none_is_lost(tmp_path: Path) -> None:
    """Every study is on exactly one medium."""
    media = some_media(tmp_path)
    found = [uid for medium in media for uid in studies_on(medium)]
    assert len(found) == len(set(found)) == 7
    assert sum(medium.instances for medium in media) == 7


def test_what_fits_lies_in_the_folder_itself(tmp_path: Path) -> None:
    """One medium is not numbered."""
    (medium,) = some_media(tmp_path, studies=1)
    assert (medium.path, medium.fileset_id) == (tmp_path / "out", "CASE_7")


def test_the_same_instances_are_divided_in_the_same_way(tmp_path: Path) -> None:
    """Two runs, the files in another order, give the same media and the same images."""
    first = some_media(tmp_path / "a", iso=True)
    files = sorted((tmp_path / "a" / "in").iterdir(), reverse=True)
    (tmp_path / "b").mkdir()
    write_media(files, tmp_path / "b" / "out", label=LABEL, capacity=_ROOM, iso=tmp_path / "b" / "set.iso")
    assert bytes_of(tmp_path / "a" / "out") == bytes_of(tmp_path / "b" / "out")
    names = [f"set_{number}.iso" for number in range(1, len(first) + 1)]
    assert [medium.iso for medium in first] == [tmp_path / "a" / name for name in names]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_study_larger_than_a_medium_is_refused(tmp_path: Path) -> None:
    """It is named by its place and its size, and nothing is written."""
    images = [a_study(patient=1, study=2, number=n, octets=900_000) for n in (1, 2, 3)]
    files = [written(ds, tmp_path / "in") for ds in (a_study(patient=1, study=1), *images)]
    with pytest.raises(
        OutputRefused, match=r"study 2 .* \(3 instances\) needs 4 MB .*, and one CD-R takes 3 MB"
    ):
        write_media(files, tmp_path / "out", label=LABEL, capacity=_ROOM)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_pages_that_need_more_than_was_kept_for_them_lead_to_another_division(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the pages are, no medium is larger than it may be."""
    from media import pdi

    plain = pdi.write_pages

    def large(folder: Path, *args: Any, **options: Any) -> None:
        plain(folder, *args, **options)
        studies = len(list((folder / "DICOM").glob("*/*")))
        scan = b"\xff\xd8\xff\xda\x00\x02" + bytes(700_000 * studies) + b"\xff\xd9"
        (folder / "IHE_PDI" / "PICTURE.JPG").write_bytes(scan)

    before = len(some_media(tmp_path / "plain"))
    monkeypatch.setattr(pdi, "write_pages", large)
    media = some_media(tmp_path / "large")
    assert len(media) > before
    assert max(medium.octets for medium in media) <= _ROOM


def test_what_belongs_to_nobody_lies_on_the_first(tmp_path: Path) -> None:
    """A palette is written once."""
    files = [written(a_study(patient=1, study=n), tmp_path / "in") for n in (1, 2, 3, 4)]
    files.append(written(an_instance("PALETTE"), tmp_path / "in"))
    media = write_media(files, tmp_path / "out", label=LABEL, capacity=_ROOM)
    records = [dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence for medium in media]
    palettes = [[one for one in each if one.DirectoryRecordType == "PALETTE"] for each in records]
    assert [len(each) for each in palettes] == [1, 0]


@pytest.mark.peer
def test_peers_agree_with_every_part(tmp_path: Path) -> None:
    """dcmdump, dciodvfy and isoinfo find nothing wrong with any part."""
    for medium in some_media(tmp_path, iso=True):
        dumped = run("dcmdump", "DICOMDIR", cwd=medium.path)
        assert (dumped.returncode, dumped.stderr) == (0, "")
        validated = run("dciodvfy", "DICOMDIR", cwd=medium.path)
        assert [line for line in validated.stderr.splitlines() if line.startswith("Error")] == []
        assert (
            f"Volume id: {medium.fileset_id}"
            in run("isoinfo", "-d", "-i", str(medium.iso), cwd=tmp_path).stdout
        )


@pytest.mark.parametrize("victim", ["write_iso", "prove_iso", "give_names"])
def test_a_killed_writer_of_a_set_leaves_no_medium(tmp_path: Path, victim: str) -> None:
    """Killed at any step, neither folder nor image has its name; the next run writes all of it."""
    files = [written(a_study(patient=1, study=n), tmp_path / "in") for n in (1, 2, 3, 4)]
    script = f"""
        import os, sys
        from pathlib import Path
        from media import pdi
        from tests.media.builders import LABEL
        pdi.{victim} = lambda *args, **kwargs: os._exit(9)
        folder = Path(sys.argv[1])
        files = sorted((folder / "in").iterdir())
        pdi.write_media(files, folder / "out", label=LABEL, capacity={_ROOM}, iso=folder / "set.iso")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode == 9
    left = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in left if not name.startswith(".")] == ["in"]
    media = write_media(files, tmp_path / "out", label=LABEL, capacity=_ROOM, iso=tmp_path / "set.iso")
    expected = ["in", "out", *(f"set_{number}.iso" for number in range(1, len(media) + 1))]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected


def test_a_disk_that_is_full_for_the_image_leaves_nothing(tmp_path: Path) -> None:
    """When the image does not fit, one sentence says so, and there is neither medium nor image."""
    written(a_study(patient=1, study=1, octets=200_000), tmp_path / "in")
    script = """
        import resource, signal, sys
        from pathlib import Path
        from media.errors import OutputRefused
        from media.pdi import write_media
        from tests.media.builders import LABEL
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (220_000, 220_000))
        folder = Path(sys.argv[1])
        files = sorted((folder / "in").iterdir())
        try:
            write_media(files, folder / "out", label=LABEL, capacity=None, iso=folder / "set.iso")
        except OutputRefused as refusal:
            sys.exit(refusal.what)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    folder = Path(__file__).parents[2]
    result = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert result.stderr == "the medium cannot be written: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_numbers_fit_into_a_file_set_id() -> None:
    """The number is always there, whatever the length of the name."""
    assert numbered_id("LUNG", 1, 1) == "LUNG"
    assert numbered_id("LUNG", 12, 20) == "LUNG_12"
    assert numbered_id("A_VERY_LONG_NAME", 3, 20) == "A_VERY_LONG_NA_3"


def test_sizes_are_told_as_on_packages() -> None:
    """Megabytes below a gigabyte."""
    assert (in_words(734_003_200), in_words(4_700_000_000)) == ("734 MB", "4.7 GB")
