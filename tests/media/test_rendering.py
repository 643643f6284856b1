"""Small pictures show what the header says: values, windows, colours, shape and frame."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from media.frames import NoFrame, middle_frame, read_frame, read_header
from media.rendering import picture
from tests.media.builders import an_instance, written

RAMP = np.linspace(0, 4095, 64 * 64, dtype=np.uint16).reshape(64, 64)
MIDDLE = 32, 32


def an_image(values: np.ndarray[Any, Any], **others: Any) -> Dataset:
    """An image whose pixels are these; three dimensions are frames, lines and columns unless it is coloured."""
    allocated = values.dtype.itemsize * 8
    attributes = {
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "BitsAllocated": allocated,
        "BitsStored": allocated,
        "HighBit": allocated - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": values.tobytes() + b"\0" * (values.nbytes % 2),
    }
    ds = an_instance(**attributes | others)
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return ds


def drawn(ds: Dataset, folder: Path, *, side: int = 128, frame: int | None = None) -> np.ndarray[Any, Any]:
    """The picture of an instance, as values that are 0 to 255."""
    with Image.open(io.BytesIO(jpeg_of(ds, folder, side=side, frame=frame))) as image:
        return np.asarray(image).astype(int)


def jpeg_of(ds: Dataset, folder: Path, *, side: int = 128, frame: int | None = None) -> bytes:
    """The bytes of the picture of an instance."""
    path = written(ds, folder / "in")
    header, place = read_header(path)
    number = middle_frame(header) if frame is None else frame
    return picture(read_frame(path, header, place, number, at_least=2 * side), side=side)


def test_a_window_decides_what_is_black_and_white(tmp_path: Path) -> None:
    """Values below the window are black, above it white, and its center is middle gray."""
    shown = drawn(an_image(RAMP, WindowCenter="2048", WindowWidth="1024"), tmp_path)
    assert shown[0, 0] <= 2 and shown[-1, -1] >= 253
    assert shown[MIDDLE] == pytest.approx(128, abs=8)
    assert shown[:20].max() < 10 and shown[44:].min() > 245


@pytest.mark.parametrize(
    ("function", "at_quarter"), [("LINEAR", 64), ("LINEAR_EXACT", 64), ("SIGMOID", 68), (None, 64)]
)
def test_the_function_of_a_window_counts(tmp_path: Path, function: str | None, at_quarter: int) -> None:
    """A quarter into the window stands what its VOI LUT Function gives there; without one it is linear."""
    level = 2048 - 1024 // 4 if function != "SIGMOID" else round(2048 - 1024 * 0.253)
    flat = np.full((16, 16), level, np.uint16)
    ds = an_image(flat, WindowCenter="2048", WindowWidth="1024", VOILUTFunction=function)
    assert drawn(ds, tmp_path)[8, 8] == pytest.approx(at_quarter, abs=3)


def test_a_window_is_about_rescaled_values(tmp_path: Path) -> None:
    """Rescale comes before the window."""
    ds = an_image(RAMP, RescaleSlope="2", RescaleIntercept="-4096", WindowCenter="0", WindowWidth="100")
    shown = drawn(ds, tmp_path)
    assert shown[:30].max() < 10 and shown[34:].min() > 245


def test_signed_values_are_signed(tmp_path: Path) -> None:
    """In a signed image -1000 is darker than 1000, also where fewer bits are stored than allocated."""
    values = np.array([[-1000, 1000]] * 2, np.int16).repeat(16, 0).repeat(16, 1)
    ds = an_image(values & np.int16(0x0FFF), BitsStored=12, HighBit=11, WindowCenter="0", WindowWidth="2000")
    shown = drawn(ds, tmp_path)
    assert shown[8, 4] < 5 and shown[8, 28] > 250


def test_bits_beside_the_stored_ones_are_no_part_of_the_picture(tmp_path: Path) -> None:
    """An overlay in the high bits, as in old images, does not show."""
    values = np.full((16, 16), 100, np.uint16)
    values[:, 8:] |= 0xF000
    ds = an_image(values, BitsStored=12, HighBit=11, WindowCenter="100", WindowWidth="100")
    shown = drawn(ds, tmp_path)
    assert abs(shown[8, 2] - shown[8, 13]) <= 1


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    """In MONOCHROME1 the least value is white; padding is black there as well."""
    values = RAMP.copy()
    values[:8] = 4095
    values[8:16] = 0
    ds = an_image(
        values,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter="2048",
        WindowWidth="4096",
        PixelPaddingValue=4095,
    )
    shown = drawn(ds, tmp_path)
    assert shown[12, 32] > 250 and shown[60, 32] < 20 and shown[2, 32] < 5


def test_an_image_without_a_window_uses_its_own_range(tmp_path: Path) -> None:
    """Without window and LUT the picture goes from black to white, whatever a few outliers and padding are."""
    values = (RAMP // 16 + 1000).astype(np.uint16)
    values[0, 0] = 65535
    shown = drawn(an_image(values), tmp_path)
    assert shown[4:8].max() < 40 and shown[-4:].min() > 215


def a_lut(values: list[int], *, first: int, bits: int) -> Dataset:
    """One item of a lookup table sequence."""
    item = Dataset()
    item.add_new(0x00283002, "US", [len(values), first, bits])
    item.add_new(0x00283006, "OW", np.array(values, "<u2").tobytes())
    return item


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_a_voi_lut_is_looked_up(tmp_path: Path, bits: int) -> None:
    """The VOI LUT comes before the window; what is outside the table gets its first and last entry."""
    most = 2**bits - 1
    table = a_lut([most, *[0] * 998, most // 2], first=1000, bits=bits)
    values = np.repeat(np.array([[0, 1500, 4000]], np.uint16), 16, 1).repeat(16, 0)
    ds = an_image(values, VOILUTSequence=Sequence([table]), WindowCenter="1", WindowWidth="2")
    shown = drawn(ds, tmp_path)
    assert shown[8, 8] > 250 and shown[8, 24] < 5 and shown[8, 40] == pytest.approx(127, abs=4)


def test_a_modality_lut_is_looked_up(tmp_path: Path) -> None:
    """A Modality LUT takes the place of rescale."""
    table = a_lut([*range(4095, -1, -1)], first=0, bits=16)
    ds = an_image(
        RAMP,
        ModalityLUTSequence=Sequence([table]),
        WindowCenter="2048",
        WindowWidth="4096",
        RescaleSlope=None,
    )
    shown = drawn(ds, tmp_path)
    assert shown[1, 32] > 240 and shown[62, 32] < 15


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("allocated", [8, 16])
def test_colours_are_right_in_both_orders(tmp_path: Path, planar: int, allocated: int) -> None:
    """RGB comes out as RGB, by pixel and by plane, with 8 and with 16 bits."""
    pixels = np.zeros((32, 32, 3), f"u{allocated // 8}")
    pixels[..., 0] = 200 << (allocated - 8)
    pixels[16:, :, 2] = 100 << (allocated - 8)
    data = np.moveaxis(pixels, -1, 0).copy() if planar else pixels
    ds = an_image(
        data,
        Rows=32,
        Columns=32,
        SamplesPerPixel=3,
        PlanarConfiguration=planar,
        PhotometricInterpretation="RGB",
    )
    shown = drawn(ds, tmp_path)
    assert shown[4, 16] == pytest.approx([200, 0, 0], abs=8)
    assert shown[28, 16] == pytest.approx([200, 0, 100], abs=8)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    """YBR_FULL is turned into the colour that it means."""
    pixels = np.empty((16, 16, 3), np.uint8)
    pixels[:] = 76, 85, 255  # red
    ds = an_image(
        pixels,
        Rows=16,
        Columns=16,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL",
    )
    assert drawn(ds, tmp_path)[8, 8] == pytest.approx([254, 0, 0], abs=8)


def test_ybr_422_becomes_rgb(tmp_path: Path) -> None:
    """YBR_FULL_422, in which two pixels share their colour, is turned into the colour that it means."""
    data = bytes([76, 76, 85, 255]) * 128
    ds = an_image(
        np.zeros((16, 16), np.uint8),
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=data,
    )
    assert drawn(ds, tmp_path)[8, 8] == pytest.approx([254, 0, 0], abs=8)


def test_a_mask_that_is_all_set_is_white(tmp_path: Path) -> None:
    """A segmentation of one bit a pixel is black and white, also where all of it is one or the other."""
    for value, level in ((0, 0), (0xFF, 255)):
        ds = an_image(np.zeros((16, 16), np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0)
        ds.PixelData = bytes([value]) * 32
        assert drawn(ds, tmp_path)[8, 8] == level


WINDOW = {"WindowCenter": "1500", "WindowWidth": "2000"}
SIGNED = (RAMP.astype(np.int16) - 2048).astype(np.int16)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    ("values", "attributes", "option"),
    [
        (RAMP, WINDOW, "+Wi"),
        (RAMP, WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}, "+Wi"),
        (RAMP, WINDOW | {"RescaleSlope": "2", "RescaleIntercept": "-1024"}, "+Wi"),
        (SIGNED, {"WindowCenter": "0", "WindowWidth": "3000"}, "+Wi"),
        (RAMP, WINDOW | {"VOILUTFunction": "SIGMOID"}, "+Wi"),
        (RAMP, {"VOILUTSequence": [(list(range(0, 65536, 32)), 1000, 16)]}, "+Wl"),
    ],
    ids=["window", "monochrome1", "rescale", "signed", "sigmoid", "voi lut"],
)
def test_dcmtk_draws_the_same(
    tmp_path: Path, values: np.ndarray[Any, Any], attributes: dict[str, Any], option: str
) -> None:
    """Another implementation of the grayscale pipeline comes to the same levels of gray."""
    luts = attributes.get("VOILUTSequence", [])
    tables = [a_lut(entries, first=first, bits=bits) for entries, first, bits in luts]
    ds = an_image(values, **attributes | ({"VOILUTSequence": Sequence(tables)} if tables else {}))
    source, out = written(ds, tmp_path / "peer"), tmp_path / "peer.png"
    subprocess.run(["dcmj2pnm", option, "1", "+on", source, out], check=True, capture_output=True)
    with Image.open(out) as image:
        theirs = np.asarray(image.convert("L")).astype(int)
    assert np.abs(theirs - drawn(ds, tmp_path)).mean() < 2


def test_a_palette_gives_the_colours(tmp_path: Path) -> None:
    """PALETTE COLOR is looked up in its three tables."""
    ds = an_image(np.repeat(np.array([[0, 1]], np.uint8), 16, 1).repeat(16, 0))
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for colour, entries in {"Red": [0, 0xFFFF], "Green": [0x8000, 0], "Blue": [0, 0]}.items():
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", np.array(entries, "<u2").tobytes())
    shown = drawn(ds, tmp_path)
    assert shown[8, 4] == pytest.approx([0, 128, 0], abs=8)
    assert shown[8, 28] == pytest.approx([255, 0, 0], abs=8)


def test_of_many_frames_the_middle_one_is_shown(tmp_path: Path) -> None:
    """The frame in the middle stands for all, another one if it is asked for, and one that is not there is refused."""
    frames = np.stack([np.full((8, 8), level, np.uint8) for level in (0, 50, 200, 100)])
    ds = an_image(frames, NumberOfFrames="4", WindowCenter="128", WindowWidth="256")
    assert drawn(ds, tmp_path)[4, 4] == pytest.approx(200, abs=4)
    assert drawn(ds, tmp_path, frame=1)[4, 4] == pytest.approx(50, abs=4)
    with pytest.raises(NoFrame):
        drawn(ds, tmp_path, frame=4)


def test_functional_groups_hold_windows_of_enhanced_images(tmp_path: Path) -> None:
    """A window and a rescale of all frames, or of the one frame, are found where enhanced images have them."""

    def groups(center: str) -> Dataset:
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, "10"
        group.FrameVOILUTSequence = Sequence([window])
        return group

    transformed, shared = Dataset(), Dataset()
    transformed.RescaleSlope, transformed.RescaleIntercept = "10", "0"
    shared.PixelValueTransformationSequence = Sequence([transformed])
    frames = np.full((3, 8, 8), 100, np.uint16)
    ds = an_image(frames, NumberOfFrames="3", SharedFunctionalGroupsSequence=Sequence([shared]))
    ds.PerFrameFunctionalGroupsSequence = Sequence([groups("1010"), groups("990"), groups("1000")])
    levels = [drawn(ds, tmp_path, frame=number)[4, 4] for number in range(3)]
    assert levels == pytest.approx([0, 255, 141], abs=4)


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, (128, 64)),
        ({"PixelSpacing": ["2", "1"]}, (128, 128)),
        ({"PixelAspectRatio": ["1", "2"]}, (128, 32)),
        ({"PixelSpacing": ["0", "1"]}, (128, 64)),
        ({"ImagerPixelSpacing": ["1000000", "1"]}, (32, 128)),
    ],
)
def test_pixels_become_square(tmp_path: Path, attributes: dict[str, Any], size: tuple[int, int]) -> None:
    """The picture has the shape of the body, not that of the grid; what cannot be is not believed."""
    shown = drawn(an_image(np.zeros((256, 512), np.uint8), **attributes), tmp_path)
    assert (shown.shape[1], shown.shape[0]) == size


def test_a_large_image_is_read_thinned_out(tmp_path: Path) -> None:
    """Of a large image only what the picture needs is kept in memory, and it looks like the whole."""
    values = np.linspace(0, 255, 4096, dtype=np.uint8)[None, :].repeat(4096, 0)
    path = written(an_image(values, WindowCenter="128", WindowWidth="256"), tmp_path / "in")
    header, place = read_header(path)
    frame = read_frame(path, header, place, 0, at_least=256)
    assert frame.values.nbytes <= 512 * 512
    with Image.open(io.BytesIO(picture(frame, side=128))) as image:
        shown = np.asarray(image).astype(int)
    assert shown[64, 64] == pytest.approx(128, abs=4) and shown.shape == (128, 128)


def test_a_file_shorter_than_its_header_says_has_no_frame(tmp_path: Path) -> None:
    """Fewer bytes than lines and columns ask for are refused, not made up."""
    ds = an_image(np.zeros((8, 8), np.uint16), Rows=80)
    with pytest.raises(NoFrame):
        drawn(ds, tmp_path)


def test_a_picture_holds_nothing_but_the_picture(tmp_path: Path) -> None:
    """No EXIF, comment or profile is in the file, and the same image gives the same bytes."""
    ds = an_image(RAMP)
    jpeg = jpeg_of(ds, tmp_path)
    markers, place = [], 2
    while jpeg[place] == 0xFF and jpeg[place + 1] != 0xDA:
        markers.append(jpeg[place + 1])
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    assert jpeg.startswith(b"\xff\xd8") and set(markers) <= {0xE0, 0xDB, 0xC0, 0xC4}
    assert jpeg == jpeg_of(ds, tmp_path)


def test_floating_point_pixels_are_shown(tmp_path: Path) -> None:
    """A parametric map of floats is shown by its own range; what is no number is left out."""
    values = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    values[0, 0] = np.nan
    ds = an_image(values)
    del ds.PixelData
    ds.FloatPixelData = values.tobytes()
    shown = drawn(ds, tmp_path)
    assert shown[1, 1] < 40 and shown[14, 14] > 215
