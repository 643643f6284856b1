"""Native pixel data: what stands beside pixel values goes or holds the instance, and pixel values never change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from policies.errors import Held
from tests.policies.pixels.builders import (
    PLANTED,
    SIDE,
    a_policy,
    an_image,
    an_rle,
    carried,
    compressed,
    packed,
    saved,
)

_CELLS = SIDE * SIDE
_TWELVE = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}


def cells(value: int = 0x234) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """Sixteen-bit cells whose values are of twelve bits."""
    return (np.arange(_CELLS, dtype=np.uint16) * 61 + value) % 4096


def with_overlay(ds: Dataset, bit: int, *, allocated: int = 16) -> Dataset:
    """The image with an overlay group whose plane lies in ``bit`` of the pixel cells."""
    ds.add_new(0x60000010, "US", SIDE)
    ds.add_new(0x60000011, "US", SIDE)
    ds.add_new(0x60000100, "US", allocated)
    ds.add_new(0x60000102, "US", bit)
    return ds


def through(ds: Dataset, folder: Path) -> bytes:
    """Pixel Data after a policy."""
    return bytes(carried(saved(ds, folder / "in.dcm"), a_policy(), folder / "out.dcm").PixelData)


@pytest.mark.parametrize("bits", [(12,), (12, 15)])
def test_an_overlay_in_the_pixel_cells_goes(tmp_path: Path, bits: tuple[int, ...]) -> None:
    """The bits that overlay groups claim are cleared, the pixel values beside them stay."""
    drawn = cells()
    ds = an_image(drawn, **_TWELVE)
    for number, bit in enumerate(bits):
        drawn = drawn | (np.arange(_CELLS, dtype=np.uint16) % 3 == 0).astype(np.uint16) << bit
        overlay = with_overlay(Dataset(), bit)
        for element in overlay:
            element.tag = element.tag + (number << 17)
            ds.add(element)
    ds.PixelData = drawn.tobytes()
    assert through(ds, tmp_path) == cells().tobytes()


def test_an_overlay_below_the_pixel_value_goes(tmp_path: Path) -> None:
    """Overlay planes may lie in the low bits as well, where High Bit leaves room for them."""
    drawn = cells() << 4
    ds = with_overlay(an_image(drawn | 5, BitsAllocated=16, BitsStored=12, HighBit=15), 0)
    ds.add_new(0x60020100, "US", 16)
    ds.add_new(0x60020102, "US", 2)
    assert through(ds, tmp_path) == drawn.tobytes()


def test_bits_that_belong_to_nothing_hold_the_instance(tmp_path: Path) -> None:
    """Bits above High Bit that no overlay claims may be anything: the header is wrong, or something hides."""
    drawn = cells()
    drawn[7] |= 0x4000
    with pytest.raises(Held) as held:
        through(an_image(drawn, **_TWELVE), tmp_path)
    assert held.value.reason == "unused-bits"


@pytest.mark.parametrize(
    "attributes",
    [{"PixelPaddingValue": 0xF830}, {"PixelPaddingValue": 0xF800, "PixelPaddingRangeLimit": 0xF900}],
)
def test_padding_may_use_all_bits(tmp_path: Path, attributes: dict[str, int]) -> None:
    """Cells that hold the Pixel Padding Value, or lie in its range, are no hidden bits."""
    drawn = cells()
    drawn[:9] = 0xF830
    ds = an_image(drawn, **_TWELVE, **attributes)
    assert through(ds, tmp_path) == drawn.tobytes()


def test_an_extended_sign_says_nothing(tmp_path: Path) -> None:
    """Negative values whose sign fills the cell stay; a cell whose upper bits are something else is held."""
    values = np.arange(-32, 32, dtype=np.int16) * 60
    attributes = {**_TWELVE, "PixelRepresentation": 1}
    assert through(an_image(values, **attributes), tmp_path) == values.tobytes()
    (tmp_path / "out.dcm").unlink()
    values.view(np.uint16)[3] ^= 0x2000
    with pytest.raises(Held, match="no pixel value"):
        through(an_image(values, **attributes), tmp_path)


def test_words_behind_the_last_frame_are_blanked(tmp_path: Path) -> None:
    """Bytes behind Rows by Columns become zeros; one byte that makes the length even is let be."""
    pixels = bytes(range(_CELLS))
    assert through(an_image(pixels + PLANTED + b"!"), tmp_path) == pixels + bytes(len(PLANTED) + 1)
    (tmp_path / "out.dcm").unlink()
    odd = bytes(49) + b"\x20"
    assert through(an_image(odd, Rows=7, Columns=7), tmp_path) == odd


def test_more_frames_than_the_image_says_hold_it(tmp_path: Path) -> None:
    """Where a whole frame stands behind the last one, it is not for us to say which is wrong; zeros are none."""
    pixels = bytes(range(_CELLS))
    with pytest.raises(Held) as held:
        through(an_image(pixels * 2), tmp_path)
    assert held.value.reason == "pixels-beyond-frames"
    assert through(an_image(pixels + bytes(_CELLS)), tmp_path) == pixels + bytes(_CELLS)


def test_pixels_that_the_header_does_not_describe_are_held(tmp_path: Path) -> None:
    """Without Rows nobody knows what is a pixel."""
    with pytest.raises(Held) as held:
        through(an_image(Rows=None), tmp_path)
    assert held.value.reason == "unclear-pixels"


def test_float_pixels_are_those_of_the_input(tmp_path: Path) -> None:
    """Float Pixel Data stay, what stands behind them does not."""
    values = np.arange(_CELLS, dtype=np.float32).tobytes()
    ds = an_image(BitsAllocated=32, BitsStored=None, HighBit=None, PixelRepresentation=None)
    del ds.PixelData
    ds.FloatPixelData = values + PLANTED[:8]
    out = carried(saved(ds, tmp_path / "in.dcm"), a_policy(), tmp_path / "out.dcm")
    assert out.FloatPixelData == values + bytes(8)


def test_an_overlay_in_compressed_cells_is_held(tmp_path: Path) -> None:
    """Bits of compressed cells cannot be cleared in place, so an overlay there waits for a person."""
    planes = [packed((cells() >> 8).astype(np.uint8).tobytes()), packed(cells().astype(np.uint8).tobytes())]
    ds = with_overlay(compressed([an_rle(planes)], "1.2.840.10008.1.2.5", **_TWELVE), 12)
    with pytest.raises(Held) as held:
        through(ds, tmp_path)
    assert held.value.reason == "unused-bits"


def test_a_deflated_data_set_is_treated_alike(tmp_path: Path) -> None:
    """What was inflated first loses the same bits and bytes."""
    drawn = cells() | 0x1000
    ds = with_overlay(an_image(drawn, **_TWELVE), 12)
    ds.PixelData += PLANTED + b"!"
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    path = tmp_path / "in.dcm"
    ds.save_as(path, enforce_file_format=True)
    out = carried(path, a_policy(), tmp_path / "out.dcm")
    assert out.PixelData == cells().tobytes() + bytes(len(PLANTED) + 1)


def test_retired_groups_go_whole(tmp_path: Path) -> None:
    """Curves, which may hold a recorded voice, overlays and variable pixel data go, also where graphics are cleaned."""
    ds = an_image()
    ds.add_new(0x50000022, "LO", "liver")
    ds.add_new(0x50003000, "OW", PLANTED + b"!")
    ds.add_new(0x5000200C, "OB", PLANTED + b"!")
    ds.add_new(0x60000022, "LO", "liver")
    ds.add_new(0x60003000, "OW", PLANTED + b"!")
    ds.add_new(0x7F000010, "OW", PLANTED + b"!")
    out = carried(saved(ds, tmp_path / "in.dcm"), a_policy(options=["clean-graphics"]), tmp_path / "out.dcm")
    assert {element.tag.group >> 8 for element in out} & {0x50, 0x60} == set()
    assert PLANTED not in (tmp_path / "out.dcm").read_bytes()
