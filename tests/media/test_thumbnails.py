"""Which images are shown on the pages of a medium."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from media.thumbnails import NotShown, chosen, thumbnail_of
from tests.media.builders import an_instance, written

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_TRUE_COLOR_CAPTURE = SECONDARY_CAPTURE + ".4"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"BurnedInAnnotation": "YES"}, NotShown.ANNOTATED),
        ({"RecognizableVisualFeatures": "YES", "BurnedInAnnotation": "NO"}, NotShown.PERSON),
        ({"SOPClassUID": SECONDARY_CAPTURE}, NotShown.UNSAID),
        ({"SOPClassUID": MULTI_FRAME_TRUE_COLOR_CAPTURE}, NotShown.UNSAID),
        ({"SOPClassUID": ULTRASOUND}, NotShown.UNSAID),
        ({"SOPClassUID": PHOTOGRAPH}, NotShown.UNSAID),
        ({"SOPClassUID": ULTRASOUND, "BurnedInAnnotation": "NO"}, None),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, NotShown.UNSAID),
        ({"Rows": 100}, NotShown.UNREADABLE),
        ({"Rows": None}, NotShown.UNREADABLE),
        ({"PixelData": None}, NotShown.UNREADABLE),
        ({"NumberOfFrames": "7"}, NotShown.UNREADABLE),
        ({"HighBit": 40}, NotShown.UNREADABLE),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, NotShown.UNREADABLE),
    ],
)
def test_an_image_is_shown_unless_something_speaks_against_it(
    tmp_path: Path, attributes: dict[str, Any], reason: NotShown | None
) -> None:
    """Text or a person in the picture, or doubt where that is usual, or a broken image: a word and no picture."""
    found = thumbnail_of(written(an_instance(**attributes), tmp_path / "in"))
    assert found.reason is reason
    assert bool(found.jpeg) == (reason is None)


def test_a_file_that_breaks_the_parser_is_a_word(tmp_path: Path) -> None:
    """Whatever bytes a file holds, the pages go on."""
    path = tmp_path / "x"
    path.write_bytes(bytes(128) + b"DICM" + bytes(range(256)) * 4)
    assert thumbnail_of(path).reason is NotShown.UNREADABLE


@pytest.mark.parametrize(
    ("count", "most", "indexes"),
    [
        (0, 8, []),
        (1, 8, [0]),
        (8, 8, [*range(8)]),
        (1000, 4, [125, 375, 625, 875]),
        (5, 1, [2]),
        (9, 8, [0, 1, 2, 3, 5, 6, 7, 8]),
    ],
)
def test_images_are_chosen_evenly(count: int, most: int, indexes: list[int]) -> None:
    """A few of many stand for all of them: each for a part of the same length."""
    assert chosen(count, most) == indexes


def test_a_long_cine_run_costs_one_frame(tmp_path: Path) -> None:
    """Of an instance of a gigabyte the middle frame is read, and not the rest."""
    frames, size = 500, 1024
    image = an_instance(Rows=size, Columns=size, NumberOfFrames=str(frames), PixelData=b"\0\0")
    path = written(image, tmp_path / "in")
    data, length = path.read_bytes(), 2 * size * size * frames
    head = data[: data.rindex(b"\xe0\x7f\x10\x00") + 8] + length.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + length)  # zeros that take no room on the disk
    tracemalloc.start()
    found = thumbnail_of(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.width, found.height) == (128, 128) and path.stat().st_size > 1_000_000_000
    assert peak < 8_000_000
