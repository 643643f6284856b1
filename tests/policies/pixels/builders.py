"""Compressed frames built by hand, with something planted in each place where a stream can carry text."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian

from policies.engine import Engine
from policies.model import Policy
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

PLANTED = b"Planted^Words"

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"

SIDE = 8
"""Rows and columns of the built images."""


def segment(code: int, content: bytes) -> bytes:
    """A marker segment: marker, length, content."""
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


# Entropy-coded data with a stuffed zero and a restart marker in it.
_SCAN = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\x12\xff\x00\x34\xff\xd3\x56\xff\x00"
_JPEG_HEAD = (
    segment(0xDB, bytes(65)) + segment(0xC0, b"\x08\0\x08\0\x08\1\1\x11\0") + segment(0xC4, bytes(29))
)


def a_jpeg(
    *, head: bytes = b"", between: bytes = b"", behind: bytes = b"", scan: bytes = _SCAN, fill: bytes = b""
) -> bytes:
    """A JPEG frame of two scans; ``head``, ``between`` (the scans) and ``behind`` (its end) are put into it."""
    return b"\xff\xd8" + head + _JPEG_HEAD + scan + between + scan + fill + b"\xff\xd9" + behind


def a_jpeg_ls(*, head: bytes = b"", behind: bytes = b"") -> bytes:
    """A JPEG-LS frame; its data have FF before bytes below 80, as its bit stuffing makes them."""
    frame = segment(0xF7, b"\x08\0\x08\0\x08\1\1\x11\0") + segment(0xF8, b"\1" + bytes(10))
    scan = segment(0xDA, b"\1\1\0\0\0\0") + b"\x12\xff\x7e\x34\xff\x00\x56"
    return b"\xff\xd8" + head + frame + scan + b"\xff\xd9" + behind


def a_jpeg_2000(
    *,
    main: bytes = b"",
    tile: bytes = b"",
    behind: bytes = b"",
    open_end: bool = False,
    end: bytes = b"\xff\xd9",
) -> bytes:
    """A JPEG 2000 codestream of two tile-parts; ``open_end`` leaves out the length of the last one."""
    siz = segment(0x51, struct.pack(">HIIIIIIIIH", 0, SIDE, SIDE, 0, 0, SIDE, SIDE, 0, 0, 1) + b"\7\1\1")
    stream = b"\xff\x4f" + siz + segment(0x52, bytes(10)) + segment(0x5C, bytes(4)) + main
    packets = b"\xff\x93" + b"\x12\xff\x7f\x34\xff\x8f\x56"
    for part in (0, 1):
        length = 0 if open_end and part else 12 + len(tile) + len(packets)
        stream += segment(0x90, struct.pack(">HIBB", 0, length, part, 2)) + tile + packets
    return stream + end + behind


def box(kind: bytes, content: bytes) -> bytes:
    """A box of a JP2 file."""
    return struct.pack(">I", len(content) + 8) + kind + content


def a_jp2(*, boxes: bytes = b"", header: bytes = b"") -> bytes:
    """A JP2 file, which DICOM does not allow and files have nevertheless."""
    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", SIDE, SIDE, 1, 7, 7, 0, 0))
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", ihdr + header)
        + boxes
        + box(b"jp2c", a_jpeg_2000())
    )


def an_rle(
    segments: Sequence[bytes] = (bytes((0xC1, 7)),), *, between: bytes = b"", offsets: bytes = b""
) -> bytes:
    """An RLE frame: 64 octets of 7 in one segment, unless others are given; ``between`` follows each segment."""
    parts = [part + between for part in segments]
    starts = [64 + sum(map(len, parts[:number])) for number in range(len(parts))]
    header = struct.pack(f"<{1 + len(parts)}I", len(parts), *starts)
    return header + offsets + bytes(64 - len(header) - len(offsets)) + b"".join(parts)


def packed(plane: bytes) -> bytes:
    """A segment of RLE in literal runs."""
    runs = (plane[at : at + 100] for at in range(0, len(plane), 100))
    return b"".join(bytes((len(run) - 1,)) + run for run in runs)


def in_fragments(frame: bytes, size: int) -> list[bytes]:
    """A frame cut into fragments of ``size`` bytes."""
    return [frame[at : at + size] for at in range(0, len(frame), size)]


def encapsulated(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    """Fragments as Pixel Data, the Basic Offset Table first."""
    items = (table, *(fragment + b"\0" * (len(fragment) % 2) for fragment in fragments))
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)


def an_image(
    content: bytes | np.ndarray[Any, Any] | None = None,
    *,
    syntax: str = ExplicitVRLittleEndian,
    **attributes: object,
) -> Dataset:
    """A CT image of 8 rows and 8 columns of octets with this Pixel Data; ``attributes`` are set or, None, removed."""
    ds = a_ct_image()
    ds.Rows = ds.Columns = SIDE
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    for keyword, value in attributes.items():
        if keyword in ds:
            del ds[keyword]
        if value is not None:
            setattr(ds, keyword, value)
            if ds[keyword].VR == "US or SS":
                ds[keyword].VR = "US"
    if content is None:
        content = bytes(range(SIDE * SIDE))
    ds.PixelData = content if isinstance(content, bytes) else content.tobytes()
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 or syntax != ExplicitVRLittleEndian else "OW"
    ds["PixelData"].is_undefined_length = syntax not in (ExplicitVRLittleEndian, "1.2.840.10008.1.2.1.99")
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def compressed(
    fragments: Sequence[bytes], syntax: str, *, table: bytes = b"", **attributes: object
) -> Dataset:
    """An image whose Pixel Data are these fragments."""
    return an_image(encapsulated(fragments, table), syntax=syntax, **attributes)


def saved(ds: Dataset, path: Path) -> Path:
    """The data set as a file."""
    # pydicom does not know every transfer syntax, but all that are built here are in Explicit VR Little Endian.
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(file, ds.file_meta)
        written = DicomBytesIO()
        written.is_little_endian, written.is_implicit_VR = True, False
        write_dataset(written, ds)
        file.write(written.getvalue())
    return path


def carried(source: Path, policy: Policy, out: Path) -> pydicom.FileDataset:
    """The instance after it went through the policy."""
    engine = Engine(policy)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return pydicom.dcmread(out)


def a_policy(**changes: object) -> Policy:
    """A policy of stage 2 that does nothing but what is given."""
    plain: Mapping[str, object] = {
        "name": "pixels",
        "version": "1",
        "stage": "anonymize",
        "title": "Pixels",
        "description": "For tests.",
    }
    return Policy.model_validate({**plain, **changes})
