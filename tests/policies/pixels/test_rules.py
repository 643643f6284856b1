"""Pixel rules black out what they say, in every frame and plane, and only an instance that was cleaned claims it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.errors import Held
from policies.model import Policy
from policies.verify import check_instance
from tests.policies.pixels.builders import (
    JPEG,
    RLE,
    SIDE,
    UNCOMPRESSED,
    a_jpeg,
    a_policy,
    an_image,
    an_rle,
    carried,
    compressed,
    packed,
    saved,
)
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

REGION = {"x": 2, "y": 1, "width": 3, "height": 4}
BOX = np.s_[..., 1:5, 2:5]
Pixels = np.ndarray[Any, Any]


def cleaning(*regions: dict[str, int], **conditions: object) -> Policy:
    """A policy with one pixel rule."""
    rule = {"regions": list(regions) or [REGION], "reason": "text", **(conditions or {"modality": "CT"})}
    return a_policy(options=["clean-pixel-data"], pixels=[rule])


def noise(*shape: int, top: int = 256, dtype: type[np.generic] = np.uint8) -> Pixels:
    """Cells that are hardly ever black."""
    return np.random.default_rng(7).integers(1, top - 1, shape).astype(dtype)


def through(ds: Dataset, folder: Path, policy: Policy) -> pydicom.FileDataset:
    """The instance after the policy."""
    return carried(saved(ds, folder / "in.dcm"), policy, folder / "out.dcm")


def claims(ds: Dataset) -> list[str]:
    """The codes that an instance claims."""
    return [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


def blackened(pixels: Pixels, black: object, *, last: bool = False) -> Pixels:
    """Planes (or, with ``last``, pixels of several cells) with the region black."""
    done = pixels.copy()
    if last:
        done[..., 1:5, 2:5, :] = black
    else:
        done[BOX] = black
    return done


@pytest.mark.parametrize(
    ("photometric", "attributes", "top", "dtype", "black"),
    [
        ("MONOCHROME2", {}, 256, np.uint8, 0),
        ("MONOCHROME1", {}, 256, np.uint8, 255),
        ("MONOCHROME2", {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}, 4096, np.uint16, 0),
        ("MONOCHROME1", {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}, 4096, np.uint16, 4095),
        (
            "MONOCHROME2",
            {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1},
            9,
            np.int16,
            -32768,
        ),
        (
            "MONOCHROME2",
            {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1},
            9,
            np.int16,
            -2048,
        ),
        (
            "MONOCHROME1",
            {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1},
            9,
            np.int16,
            2047,
        ),
    ],
)
def test_a_region_gets_what_is_black(
    tmp_path: Path,
    photometric: str,
    attributes: dict[str, int],
    top: int,
    dtype: type[np.generic],
    black: int,
) -> None:
    """Black is the value that the photometric interpretation shows so; all other cells are those of the input."""
    pixels = noise(SIDE, SIDE, top=top, dtype=dtype)
    ds = an_image(pixels, PhotometricInterpretation=photometric, **attributes)
    assert through(ds, tmp_path, cleaning()).PixelData == blackened(pixels, black).tobytes()


@pytest.mark.parametrize(("photometric", "black"), [("RGB", [0, 0, 0]), ("YBR_FULL", [0, 128, 128])])
@pytest.mark.parametrize("planar", [0, 1])
def test_colours_are_blacked_out_in_every_plane(
    tmp_path: Path, photometric: str, black: list[int], planar: int
) -> None:
    """Three frames of colour lose the region in each of their planes, whichever way these are stored."""
    pixels = noise(3, SIDE, SIDE, 3)
    expected = blackened(pixels, black, last=True)
    if planar:
        pixels, expected = pixels.transpose(0, 3, 1, 2), expected.transpose(0, 3, 1, 2)
    attributes = {"SamplesPerPixel": 3, "PlanarConfiguration": planar, "NumberOfFrames": 3}
    ds = an_image(pixels.copy(), PhotometricInterpretation=photometric, **attributes)
    assert through(ds, tmp_path, cleaning()).PixelData == expected.tobytes()


def test_pixels_that_share_chrominance_go_together(tmp_path: Path) -> None:
    """In YBR_FULL_422 a region is widened to whole pairs of pixels."""
    pixels = noise(SIDE, SIDE // 2, 4)
    expected = pixels.copy()
    expected[1:5, 1:3] = [0, 0, 128, 128]
    ds = an_image(pixels, PhotometricInterpretation="YBR_FULL_422", SamplesPerPixel=3, PlanarConfiguration=0)
    assert through(ds, tmp_path, cleaning()).PixelData == expected.tobytes()


def test_a_palette_has_its_own_black(tmp_path: Path) -> None:
    """The darkest entry of the palette is written, wherever it stands in it."""
    light = np.arange(256, dtype=np.uint16)[::-1] * 257
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = light.tobytes()
    pixels = noise(SIDE, SIDE)
    ds = an_image(pixels, PhotometricInterpretation="PALETTE COLOR", **tables)
    assert through(ds, tmp_path, cleaning()).PixelData == blackened(pixels, 255).tobytes()


def test_regions_reach_to_the_edges(tmp_path: Path) -> None:
    """Without width and height a region ends at the edge; several regions are blacked out, overlapping or not."""
    pixels = noise(2, SIDE, SIDE)
    expected = pixels.copy()
    expected[:, :2] = 0
    expected[:, 1:, 6:] = 0
    policy = cleaning({"height": 2}, {"x": 6, "y": 1})
    assert through(an_image(pixels, NumberOfFrames=2), tmp_path, policy).PixelData == expected.tobytes()


def test_every_rule_that_matches_counts(tmp_path: Path) -> None:
    """Two rules for the same image black out the regions of both."""
    rules = [
        {"modality": "CT", "regions": [{"height": 1}], "reason": "text"},
        {"rows": SIDE, "columns": SIDE, "regions": [{"y": 7}], "reason": "text"},
        {"rows": SIDE + 1, "regions": [{"y": 3}], "reason": "text"},
    ]
    pixels = noise(SIDE, SIDE)
    out = through(an_image(pixels), tmp_path, a_policy(options=["clean-pixel-data"], pixels=rules))
    expected = pixels.copy()
    expected[[0, 7]] = 0
    assert out.PixelData == expected.tobytes()


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({"manufacturer": "example MEDICAL"}, True),
        ({"manufacturer": "Example"}, False),
        ({"model": "Sono 5", "rows": SIDE}, True),
        ({"model": "Sono 5", "rows": SIDE + 1}, False),
        ({"modality": "CT", "model": "Sono 6"}, False),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.2"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, False),
        ({"risk": "burned-in-annotation"}, False),
    ],
)
def test_all_conditions_of_a_rule_have_to_hold(
    tmp_path: Path, conditions: dict[str, object], matches: bool
) -> None:
    """A rule is for images that fit in all that it says; text is compared whole, capitals or not."""
    pixels = noise(SIDE, SIDE)
    ds = an_image(pixels, Manufacturer="Example Medical ", ManufacturerModelName="Sono 5")
    out = through(ds, tmp_path, cleaning(**conditions))
    assert (out.PixelData != pixels.tobytes()) == matches
    assert ("113101" in claims(out)) == matches
    assert out.get("BurnedInAnnotation") == ("NO" if matches else None)


@pytest.mark.parametrize(
    ("attributes", "risk"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned-in-annotation"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary-capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary-capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "ultrasound"),
        ({"ConversionType": "DF"}, "film-scan"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, "visible-light"),
    ],
)
def test_what_is_at_risk_passes_only_cleaned(
    tmp_path: Path, attributes: dict[str, object], risk: str
) -> None:
    """An instance at risk is held until a rule that names its risk has blacked it out; then it says so."""
    pixels = noise(SIDE, SIDE)
    ds = an_image(pixels, **attributes)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    for policy in (
        a_policy(options=["clean-pixel-data"]),
        cleaning(modality="US"),
        cleaning(risk="ultrasound"),
    ):
        if risk != "ultrasound" or not policy.pixels or policy.pixels[0].risk is None:
            with pytest.raises(Held) as held:
                through(ds, tmp_path, policy)
            assert held.value.reason == f"at-risk-{risk}"
    out = through(ds, tmp_path, cleaning(risk=risk))
    assert out.PixelData == blackened(pixels, 0).tobytes()
    assert out.BurnedInAnnotation == "NO"
    assert claims(out) == ["113100", "113101"]


def test_a_photograph_needs_a_rule_that_names_its_risk(tmp_path: Path) -> None:
    """A rule for a model is about text; what else a photograph shows is settled only by a rule that says so."""
    ds = an_image(ManufacturerModelName="Camera", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.4")
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    with pytest.raises(Held) as held:
        through(ds, tmp_path, cleaning(model="Camera"))
    assert held.value.reason == "at-risk-visible-light"


@pytest.mark.parametrize("planar", [0, 1])
def test_an_rle_image_is_written_uncompressed(tmp_path: Path, planar: int) -> None:
    """RLE frames are decoded, blacked out, and written as native pixel data; tables of their places go."""
    frames = noise(2, 3, SIDE, SIDE)
    expected = blackened(frames, 0)
    streams = [an_rle([packed(plane.tobytes()) for plane in frame]) for frame in frames]
    attributes = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": planar,
        "NumberOfFrames": 2,
        "PhotometricInterpretation": "RGB",
        "ExtendedOffsetTable": struct.pack("<2Q", 0, len(streams[0]) + len(streams[0]) % 2 + 8),
        "ExtendedOffsetTableLengths": struct.pack("<2Q", *map(len, streams)),
    }
    out = through(compressed(streams, RLE, **attributes), tmp_path, cleaning())
    assert out.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert out.PixelData == (expected if planar else expected.transpose(0, 2, 3, 1)).tobytes()
    assert "ExtendedOffsetTable" not in out
    assert claims(out)[-1] == "113101"


def test_extremes_are_told_of_the_pixels_that_are_there(tmp_path: Path) -> None:
    """Smallest and Largest Image Pixel Value go where cells were blacked out, and stay where none was."""
    ds = an_image(noise(SIDE, SIDE), SmallestImagePixelValue=7, LargestImagePixelValue=200)
    out = through(ds, tmp_path, cleaning())
    assert "SmallestImagePixelValue" not in out
    assert "LargestImagePixelValue" not in out
    assert check_instance(tmp_path / "out.dcm", cleaning(), source=tmp_path / "in.dcm") == []
    out.add_new(0x00280106, "US", 7)
    out.save_as(tmp_path / "told.dcm")
    found = check_instance(tmp_path / "told.dcm", cleaning(), source=tmp_path / "in.dcm")
    assert [(finding.code, finding.where) for finding in found] == [("pixels", "(0028,0106)")]
    (tmp_path / "out.dcm").unlink()
    out = through(ds, tmp_path, cleaning(modality="MR"))
    assert (out.SmallestImagePixelValue, out.LargestImagePixelValue) == (7, 200)


def test_an_rle_frame_that_is_too_large_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few runs may claim any number of pixels; no more of them are decoded than memory is meant for."""
    monkeypatch.setattr("policies.pixels.treatment._LARGEST_FRAME", SIDE * SIDE - 1)
    with pytest.raises(Held) as held:
        through(compressed([an_rle()], RLE), tmp_path, cleaning())
    assert held.value.reason == "pixels-not-cleaned"


def test_rle_of_sixteen_bits_keeps_its_octets_in_order(tmp_path: Path) -> None:
    """The segments of RLE begin with the most significant octets, native cells with the least."""
    pixels = noise(SIDE, SIDE, top=4096, dtype=np.uint16)
    segments = [packed((pixels >> 8).astype(np.uint8).tobytes()), packed(pixels.astype(np.uint8).tobytes())]
    ds = compressed([an_rle(segments)], RLE, BitsAllocated=16, BitsStored=12, HighBit=11)
    assert through(ds, tmp_path, cleaning()).PixelData == blackened(pixels, 0).tobytes()


def test_uncompressed_fragments_are_blacked_out_where_they_lie(tmp_path: Path) -> None:
    """Frames that are encapsulated without being compressed stay encapsulated."""
    frames = noise(2, SIDE, SIDE)
    ds = compressed([frame.tobytes() for frame in frames], UNCOMPRESSED, NumberOfFrames=2)
    out = through(ds, tmp_path, cleaning())
    expected = compressed([frame.tobytes() for frame in blackened(frames, 0)], UNCOMPRESSED)
    assert out.PixelData == expected.PixelData
    assert out.file_meta.TransferSyntaxUID == UNCOMPRESSED


@pytest.mark.parametrize(
    ("ds", "reason"),
    [
        (compressed([a_jpeg()], JPEG), "pixels-not-cleaned"),
        (compressed([b"\0\0\1\xb3"], "1.2.840.10008.1.2.4.100"), "pixels-not-cleaned"),
        (an_image(PhotometricInterpretation="HSV"), "pixels-not-cleaned"),
        (an_image(PhotometricInterpretation="PALETTE COLOR"), "pixels-not-cleaned"),
        (an_image(bytes(256), BitsAllocated=32, BitsStored=32, HighBit=31), "pixels-not-cleaned"),
        (an_image(bytes(8), BitsAllocated=1, BitsStored=1, HighBit=0), "pixels-not-cleaned"),
        (an_image(bytes(40)), "pixels-not-cleaned"),
        (an_image(bytes(16), Rows=4, Columns=4), "region-beyond-image"),
        (an_image(bytes(32), Columns=4), "region-beyond-image"),
    ],
)
def test_what_a_rule_matches_and_cannot_clean_is_held(tmp_path: Path, ds: Dataset, reason: str) -> None:
    """An image that a rule is for never passes with its text, and its next step is told."""
    accept = [{"risk": "opaque-stream", "reason": "looked at"}]
    policy = a_policy(
        options=["clean-pixel-data"],
        accept=accept,
        pixels=[{"modality": "CT", "regions": [REGION], "reason": "text"}],
    )
    with pytest.raises(Held) as held:
        through(ds, tmp_path, policy)
    assert held.value.reason == reason
    assert held.value.next_step


def test_no_option_no_claim(tmp_path: Path) -> None:
    """An instance at risk that a policy accepts is passed as it is and claims nothing of its pixels."""
    accept = [{"risk": "burned-in-annotation", "reason": "looked at"}]
    ds = an_image(BurnedInAnnotation="YES")
    out = through(ds, tmp_path, a_policy(options=["clean-pixel-data"], accept=accept))
    assert out.BurnedInAnnotation == "YES"
    assert claims(out) == ["113100"]


def test_large_images_are_blacked_out_band_by_band(tmp_path: Path) -> None:
    """Cleaning needs memory for a few rows, not for a frame, and touches every row of every frame."""
    import tracemalloc

    pixels = noise(3, 2048, 4096)
    ds = an_image(pixels, Rows=2048, Columns=4096, NumberOfFrames=3)
    path, engine = saved(ds, tmp_path / "in.dcm"), Engine(cleaning({"height": 1500}, {"x": 4000}))
    with engine.read(path) as draft:
        answers = CountedPseudonyms().resolve([draft.subject])
        tracemalloc.start()
        engine.write(draft, answers, tmp_path / "out.dcm")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    pixels[:, :1500] = 0
    pixels[:, :, 4000:] = 0
    assert pydicom.dcmread(tmp_path / "out.dcm").PixelData == pixels.tobytes()
    assert peak < 6 << 20


def test_an_icon_of_a_cleaned_image_goes(tmp_path: Path) -> None:
    """A small copy of the image as it was does not stay beside it."""
    ds = an_image()
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated = 8
    icon.PixelData = b"icon"
    ds.IconImageSequence = [icon]
    assert "IconImageSequence" not in through(ds, tmp_path, cleaning())


def test_a_name_in_place_of_the_answer_is_not_carried_on(tmp_path: Path) -> None:
    """A mark carries on what the search for names leaves of a value, whatever the engine met before."""
    accept = [{"risk": "burned-in-annotation", "reason": "looked at"}]
    rule = {"regions": [REGION], "reason": "text", "modality": "US"}
    policy = a_policy(options=["clean-pixel-data"], accept=accept, pixels=[rule])
    source = saved(an_image(PatientName="Doe^Jane", BurnedInAnnotation="DOE"), tmp_path / "in.dcm")
    engine = Engine(policy)
    results = []
    for number in range(3):
        out = tmp_path / f"{number}.dcm"
        with engine.read(source) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        results.append(out.read_bytes())
    assert b"DOE" not in results[0]
    assert results[0] == results[1] == results[2]
