"""Other people's decoders see the same image after words were blanked in its frames: DCMTK and GDCM."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from policies.standard.beyond import Risk
from tests.policies.pixels.builders import PLANTED, a_policy, carried, in_fragments, saved, segment
from tests.policies.pixels.builders import encapsulated as in_items

ACCEPTING = a_policy(accept=[{"risk": risk, "reason": "test images"} for risk in Risk])


def behind_soi(frame: bytes) -> bytes:
    """A JPEG or JPEG-LS frame with words in a comment and in application segments, and behind its end."""
    said = segment(0xFE, PLANTED) + segment(0xE1, b"Exif\0\0" + PLANTED) + segment(0xED, PLANTED)
    return frame[:2] + said + frame[2:].rstrip(b"\0") + PLANTED


def in_headers(frame: bytes) -> bytes:
    """A JPEG 2000 codestream with a comment in its main header and in each tile-part's, and words behind its end."""
    comment = segment(0x64, b"\0\1" + PLANTED)
    out, at = bytearray(frame[:2]), 2
    while frame[at + 1] != 0x90:
        size = 2 + struct.unpack_from(">H", frame, at + 2)[0]
        out += frame[at : at + size]
        at += size
    out += comment
    while frame[at : at + 2] == b"\xff\x90":
        length = struct.unpack_from(">I", frame, at + 6)[0] or len(frame.rstrip(b"\0")) - 2 - at
        grown = struct.pack(">I", length + len(comment))
        out += frame[at : at + 6] + grown + frame[at + 10 : at + 12] + comment + frame[at + 12 : at + length]
        at += length
    return bytes(out) + b"\xff\xd9" + PLANTED


def behind_segments(frame: bytes) -> bytes:
    """An RLE frame with words behind its last segment."""
    return frame + PLANTED + b"!"


def an_image_of_pydicom(name: str) -> tuple[Path, pydicom.FileDataset]:
    """An image that comes with pydicom; it belongs to a study."""
    path = get_testdata_file(name, download=False)
    assert path is not None, "it comes with pydicom's wheel"
    ds = pydicom.dcmread(str(path))
    ds.remove_private_tags()
    ds.StudyInstanceUID = ds.get("StudyInstanceUID") or "2.25.1"
    ds.SeriesInstanceUID = ds.get("SeriesInstanceUID") or "2.25.2"
    return Path(str(path)), ds


def decoded(path: Path, out: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Native pixel data as the first peer makes them that can read the file."""
    for command in (["gdcmconv", "--raw"], ["dcmdjpeg"], ["dcmdjpls"], ["dcmdrle"]):
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed (Debian packages dcmtk, libgdcm-tools)")
        done = subprocess.run([*command, str(path), str(out)], capture_output=True, check=False)
        if done.returncode == 0 and out.exists():
            return np.frombuffer(pydicom.dcmread(out).PixelData, np.uint8)
    raise AssertionError(f"no peer can decode {path.name}")


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", behind_soi),
        ("SC_rgb_jpeg_gdcm.dcm", behind_soi),
        ("SC_rgb_jpeg_app14_dcmd.dcm", behind_soi),
        ("SC_rgb_small_odd_jpeg.dcm", behind_soi),
        ("JPGExtended.dcm", behind_soi),
        ("MR_small_jpeg_ls_lossless.dcm", behind_soi),
        ("JPEGLSNearLossless_16.dcm", behind_soi),
        ("SC_rgb_jls_lossy_line.dcm", behind_soi),
        ("MR_small_jp2klossless.dcm", in_headers),
        ("JPEG2000.dcm", in_headers),
        ("693_J2KI.dcm", in_headers),
        ("MR_small_RLE.dcm", behind_segments),
        ("SC_rgb_rle_2frame.dcm", behind_segments),
    ],
)
@pytest.mark.parametrize("size", [1 << 30, 1000])
def test_decoders_see_the_same_image(
    tmp_path: Path, name: str, plant: Callable[[bytes], bytes], size: int
) -> None:
    """Real frames with words planted in them, whole or in fragments, decode to the image that they were."""
    path, ds = an_image_of_pydicom(name)
    frames = int(ds.get("NumberOfFrames") or 1)
    if size == 1000 and (frames > 1 or plant is behind_segments):
        size = 1 << 30
    planted = [plant(frame) for frame in generate_frames(ds.PixelData, number_of_frames=frames)]
    planted = [frame + b"\0" * (len(frame) % 2) for frame in planted]
    ds.PixelData = in_items([piece for frame in planted for piece in in_fragments(frame, size)])
    source = saved(ds, tmp_path / "in.dcm")
    assert PLANTED[:7] in source.read_bytes()
    carried(source, ACCEPTING, tmp_path / "out.dcm")
    assert PLANTED[:7] not in (tmp_path / "out.dcm").read_bytes()
    before = decoded(path, tmp_path / "before.dcm")
    after = decoded(tmp_path / "out.dcm", tmp_path / "after.dcm")
    assert np.array_equal(before, after)


@pytest.mark.peer
@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_jpeg_dcmd.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_jpeg_no_color_transform_2.dcm",
        "examples_jpeg2k.dcm",
        "GDCMJ2K_TextGBR.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",
        "examples_ybr_color.dcm",
    ],
)
def test_real_images_decode_as_before(tmp_path: Path, name: str) -> None:
    """Images of many encoders pass, and peers decode them to the same cells."""
    path, ds = an_image_of_pydicom(name)
    carried(saved(ds, tmp_path / "in.dcm"), ACCEPTING, tmp_path / "out.dcm")
    before = decoded(path, tmp_path / "before.dcm")
    after = decoded(tmp_path / "out.dcm", tmp_path / "after.dcm")
    assert np.array_equal(before, after)
