"""Channels inside pixel data: segments of compressed frames, bits above the stored ones, bytes behind the last
cell.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from policies.selftest.canary import Canary, Kind, Mint, Until
from tests.canaries.streams import Stream, written

_SIDE = 16
_MARKERS = {"COM": 0xFFFE, "APP0": 0xFFE0, "APP1": 0xFFE1, "APP8": 0xFFE8, "APP13": 0xFFED, "APP15": 0xFFEF}


def _segment(marker: int, text: bytes) -> bytes:
    return struct.pack(">HH", marker, len(text) + 2) + text


@cache
def _frame(name: str) -> tuple[str, bytes, tuple[tuple[str, object], ...]]:
    """(transfer syntax, first frame, what describes its pixels) of a file of pydicom's own."""
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str), name
    ds = pydicom.dcmread(found)
    frame = next(iter(generate_frames(ds.PixelData, number_of_frames=1)))
    keywords = (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
    )
    described = tuple((word, ds[word].value) for word in (*keywords, "HighBit", "PixelRepresentation"))
    return str(ds.file_meta.TransferSyntaxUID), frame, described


def _compressed(ds: Dataset, name: str, frames: list[bytes], *, fragments: int = 1) -> bytes:
    syntax, _, described = _frame(name)
    for keyword, value in described:
        setattr(ds, keyword, value)
    ds.NumberOfFrames = len(frames)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate(frames, fragments_per_frame=fragments)
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    return written(ds)


def _of_jpeg(name: str, channel: str, *, fragments: int = 1) -> Stream:
    """Comments and application segments at the head of a JPEG or JPEG-LS stream, and bytes behind its end."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        _, frame, _ = _frame(name)
        planted = [Canary(channel, mint.word(), Kind.WORD, Until.STAGE_1, what) for what in _MARKERS]
        segments = [_segment(_MARKERS[canary.where], str(canary.value).encode()) for canary in planted]
        late = Canary(channel, mint.word(), Kind.WORD, Until.STAGE_1, "COM of the second frame")
        behind = Canary(channel, mint.word(), Kind.WORD, Until.STAGE_1, "behind the end of the image")
        first = frame[:2] + b"".join(segments) + frame[2:]
        second = frame[:2] + _segment(0xFFFE, str(late.value).encode()) + frame[2:]
        third = frame.rstrip(b"\0") + str(behind.value).encode()
        return _compressed(ds, name, [first, second, third], fragments=fragments), [*planted, late, behind]

    return plant


def _of_jpeg_2000(name: str, channel: str) -> Stream:
    """Comments in the main header and in a tile-part header of a JPEG 2000 codestream, and bytes behind its end."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        _, frame, _ = _frame(name)
        what = ("COM of the main header", "COM of a tile-part", "behind the end of the codestream")
        planted = [Canary(channel, mint.word(), Kind.WORD, Until.STAGE_1, where) for where in what]
        main, part, behind = (str(canary.value).encode() for canary in planted)
        comment = _segment(0xFF64, b"\0\1" + main)
        tile = frame.index(b"\xff\x90")
        first = frame[:tile] + comment + frame[tile:]
        inner = _segment(0xFF64, b"\0\1" + part)
        length = struct.unpack(">I", frame[tile + 6 : tile + 10])[0]
        told = struct.pack(">I", length + len(inner) if length else 0)
        second = frame[: tile + 6] + told + frame[tile + 10 : tile + 12] + inner + frame[tile + 12 :]
        return _compressed(ds, name, [first, second, frame.rstrip(b"\0") + behind]), planted

    return plant


def run_length(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Bytes behind the segments of an RLE frame."""
    name = "MR_small_RLE.dcm"
    behind = Canary("RLE frames", mint.word(), Kind.WORD, Until.STAGE_1, "behind the segments")
    return _compressed(ds, name, [_frame(name)[1] + str(behind.value).encode()]), [behind]


def embedded_overlay(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """An overlay in a bit of the pixel cells, which the stored bits do not use."""
    word = mint.word()
    bits = np.unpackbits(
        np.frombuffer(word.lower().encode().ljust(_SIDE * _SIDE // 8, b"\0"), dtype=np.uint8)
    )
    cells = (bits.astype("<u2") << 12) | np.arange(_SIDE * _SIDE, dtype="<u2")
    ds.Rows = ds.Columns = _SIDE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = cells.tobytes()
    ds.add_new(0x60000010, "US", _SIDE)
    ds.add_new(0x60000011, "US", _SIDE)
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    return written(ds), [Canary("embedded overlays", word, Kind.BITS, Until.STAGE_1, "bit 12 of the cells")]


def behind_the_last_cell(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Pixel Data that is longer than its image."""
    behind = Canary("bytes behind the last cell", mint.word(), Kind.WORD, Until.STAGE_2, "PixelData")
    ds.PixelData = ds.PixelData + str(behind.value).encode() + b"\0" * 4
    return written(ds), [behind]


FRAMES: tuple[Stream, ...] = (
    _of_jpeg("SC_rgb_jpeg_dcmtk.dcm", "JPEG segments"),
    _of_jpeg("SC_rgb_jpeg_dcmtk.dcm", "JPEG segments", fragments=2),
    _of_jpeg("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS segments"),
    _of_jpeg_2000("MR_small_jp2klossless.dcm", "JPEG 2000 segments"),
    run_length,
    embedded_overlay,
    behind_the_last_cell,
)
