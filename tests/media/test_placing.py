"""What comes onto a medium is what the instance was, pixel for pixel; only its encoding may be another."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openjpeg import encode
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence

from media.errors import UnreadableInstance
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN
from media.placing import place
from media.profiles import Handling
from tests.media.builders import an_instance, written

_JPEG = [
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
]
_JPEG_LS = [
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
]
_JPEG_2000 = [
    "693_J2KI.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "JPEG2000.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "examples_jpeg2k.dcm",
]
_RLE = ["MR_small_RLE.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_32bit.dcm", "rtdose_rle.dcm"]
_PEERS = [
    *[(name, ("dcmdjpeg", "--conv-never")) for name in _JPEG],
    *[(name, ("dcmdjpls",)) for name in _JPEG_LS],
    *[(name, ("gdcmconv", "--raw")) for name in _JPEG_2000],
    *[(name, ("dcmdrle",)) for name in _RLE],
]
_IMAGE = ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def rewritten(source: Path, folder: Path) -> Any:
    """The instance of a file after it was rewritten."""
    folder.mkdir(exist_ok=True)
    out = folder / "rewritten"
    place(source, out, Handling.REWRITE)
    ds = dcmread(out)
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    return ds


@pytest.mark.peer
@pytest.mark.parametrize(("name", "program"), _PEERS)
def test_a_decompressed_image_is_that_of_dcmtk_and_gdcm(
    tmp_path: Path, name: str, program: tuple[str, ...]
) -> None:
    """Every pixel, and what the header says of them, is what DCMTK (JPEG, JPEG-LS, RLE) or GDCM (JPEG 2000) gives."""
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed (Debian packages dcmtk, libgdcm-tools)")
    source = Path(get_testdata_file(name))
    theirs = tmp_path / "theirs"
    subprocess.run([*program, str(source), str(theirs)], check=True, capture_output=True)
    ours, peer = rewritten(source, tmp_path), dcmread(theirs)
    assert ours.PixelData == peer.PixelData
    assert {key: ours.get(key) for key in _IMAGE} == {key: peer.get(key) for key in _IMAGE}
    assert not ours.get("PlanarConfiguration")


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_jpeg_lossy_gdcm.dcm", "examples_ybr_color.dcm", "SC_rgb_rle_2frame.dcm", "examples_jpeg2k.dcm"],
)
def test_a_viewer_sees_the_same_colours(tmp_path: Path, name: str) -> None:
    """pydicom shows the same colours before and after."""
    source = Path(get_testdata_file(name))
    before = pixel_array(source).astype(int)
    rewritten(source, tmp_path)
    after = pixel_array(tmp_path / "rewritten").astype(int)
    assert before.shape == after.shape
    assert abs(before - after).max() <= 8  # codecs interpolate halved colour differently


def test_colours_are_called_what_they_are(tmp_path: Path) -> None:
    """Where a header says RGB of a JPEG stream that says YCbCr, the pixels are called YBR_FULL afterwards."""
    ds = dcmread(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm"))
    truth = rewritten(Path(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm")), tmp_path / "truth").PixelData
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    ds.PixelData = encapsulate([frame[:2] + jfif + frame[2:]])
    ds.PhotometricInterpretation = "RGB"
    source = tmp_path / "source"
    ds.save_as(source)
    after = rewritten(source, tmp_path)
    assert (after.PhotometricInterpretation, after.PixelData) == ("YBR_FULL", truth)


def test_what_lost_something_says_so(tmp_path: Path) -> None:
    """A near-lossless image whose header is silent says afterwards that it was compressed with loss, and how."""
    source = Path(get_testdata_file("JPEGLSNearLossless_08.dcm"))
    assert "LossyImageCompression" not in dcmread(source)
    ds = rewritten(source, tmp_path)
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_14495_1")
    assert float(ds.LossyImageCompressionRatio) > 1


@pytest.mark.parametrize(
    "name",
    ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"],
)
def test_what_lost_nothing_does_not_say_so(tmp_path: Path, name: str) -> None:
    """An image that was compressed without loss is not called lossy."""
    assert "LossyImageCompression" not in rewritten(Path(get_testdata_file(name)), tmp_path)


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "693_J2KI.dcm", "MR_small_RLE.dcm"])
def test_everything_else_stays(tmp_path: Path, name: str) -> None:
    """No attribute but those that describe the pixels is another one afterwards."""
    source = Path(get_testdata_file(name))
    before, after = dcmread(source), rewritten(source, tmp_path)
    changed = {"PixelData", "PhotometricInterpretation", "BitsStored", "HighBit"}
    said = [
        {int(one.tag): one.value for one in ds if one.keyword not in changed and one.tag.element != 0}
        for ds in (before, after)
    ]
    assert said[0] == said[1]


def test_an_icon_is_decompressed_too(tmp_path: Path) -> None:
    """A compressed icon inside a compressed image is no longer compressed."""
    ds = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    icon = Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.Rows, icon.Columns = 1, "MONOCHROME2", 64, 64
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 16, 16, 15, 1
    icon.PixelData = ds.PixelData
    icon["PixelData"].is_undefined_length = True
    icon["PixelData"].VR = "OB"
    ds.IconImageSequence = Sequence([icon])
    source = tmp_path / "source"
    ds.save_as(source)
    after = rewritten(source, tmp_path)
    assert after.IconImageSequence[0].PixelData == after.PixelData


def test_what_follows_the_pixel_data_stays(tmp_path: Path) -> None:
    """Trailing padding after compressed pixel data is still there."""
    ds = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    ds.DataSetTrailingPadding = bytes(10)
    source = tmp_path / "source"
    ds.save_as(source)
    assert rewritten(source, tmp_path).DataSetTrailingPadding == bytes(10)


@pytest.mark.parametrize("fault", ["frames", "size", "stream"])
def test_a_broken_image_is_refused(tmp_path: Path, fault: str) -> None:
    """Fewer frames than the header says, another size, or a stream that is none: refused, never padded."""
    ds = dcmread(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    if fault == "frames":
        ds.NumberOfFrames = 2
    elif fault == "size":
        ds.Rows = ds.Rows // 2
    else:
        ds.PixelData = encapsulate([b"\xff\xd8 nothing of the kind"])
    source = tmp_path / "source"
    ds.save_as(source)
    with pytest.raises(UnreadableInstance):
        place(source, tmp_path / "out", Handling.REWRITE)


def test_a_deflated_instance_is_what_was_deflated(tmp_path: Path) -> None:
    """An inflated data set is byte for byte the one that was deflated."""
    plain = written(an_instance(), tmp_path / "in")
    ds = dcmread(plain)
    source = written(ds, tmp_path / "in", transfer_syntax="1.2.840.10008.1.2.1.99")
    place(source, tmp_path / "out", Handling.REWRITE)
    body = plain.read_bytes()
    inflated = (tmp_path / "out").read_bytes()
    first = b"\x08\x00\x08\x00CS"
    assert inflated[inflated.index(first) :] == body[body.index(first) :]
    cut = source.read_bytes()[:-20]
    (tmp_path / "cut").write_bytes(cut)
    with pytest.raises(UnreadableInstance):
        place(tmp_path / "cut", tmp_path / "none", Handling.REWRITE)


def test_large_images_take_little_memory(tmp_path: Path) -> None:
    """An image of 100 frames of 4 MB is decompressed in less memory than ten of its frames take."""
    frame = np.tile(np.arange(2048, dtype="uint16"), (1024, 1))
    ds = dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    ds.Rows, ds.Columns, ds.NumberOfFrames = 1024, 2048, 100
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, 0
    ds.PixelData = encapsulate([bytes(encode(frame, photometric_interpretation=2))] * 100)
    source, out = tmp_path / "source", tmp_path / "out"
    ds.save_as(source)
    script = """
        import resource, sys
        from pathlib import Path
        import openjpeg
        from media.placing import place
        from media.profiles import Handling
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        place(Path(sys.argv[1]), Path(sys.argv[2]), Handling.REWRITE)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(source), str(out)]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    assert out.stat().st_size > 100 * frame.nbytes
    assert int(done.stdout) < 10 * frame.nbytes // 1024
