"""Bringing an instance onto a medium: copied as it is, or rewritten as Explicit VR Little Endian (PS3.10 section 7).

Rewriting changes the encoding and nothing that the instance says, with one exception: an image whose compression lost
something says so afterwards, whatever it said before (PS3.3 C.7.6.1.1.5). Pixel data goes from file to file, frame by
frame where it is compressed, so that an image of any size takes little memory.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.filewriter import write_dataset, write_file_meta_info

from media.bare import copy_data_set, needed_meta, tells_more_than_needed
from media.decompression import Encoded, Shape
from media.dicomdir import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from media.errors import UnreadableInstance
from media.instances import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, META_VERSION
from media.profiles import COMPRESSED, DEFLATED, Handling

_COPY_AT_ONCE = 1 << 30
_CHUNK = 1 << 20
_LARGEST_VALUE = 0xFFFFFFFE
_UNDEFINED_LENGTH = 0xFFFFFFFF
_WORD_SIZES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_PIXEL_DATA, _PIXEL_TAG = 0x7FE00010, b"\xe0\x7f\x10\x00"
_PIXELS = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}
_OF_ENCAPSULATION = (
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "EncapsulatedPixelDataValueTotalLength",
)


def place(source: Path, out: Path, handling: Handling) -> None:
    """Write an instance to a new file with a preamble of zeros.

    Raises :class:`UnreadableInstance` when it is broken, or would be larger than an element may be.
    """
    if handling is Handling.COPY:
        _copy(source, out)
        return
    try:
        with warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            _rewrite(source, out)
    except (OSError, UnreadableInstance):
        raise
    except (
        Exception
    ) as fault:  # a broken file may break a parser or codec anywhere; its text may quote values
        raise UnreadableInstance(
            "malformed",
            f"an instance cannot be rewritten as Explicit VR Little Endian ({type(fault).__name__})",
        ) from None


def _copy(source: Path, out: Path) -> None:
    with source.open("rb") as reading, out.open("xb") as writing:
        if tells_more_than_needed(reading):  # who sent the file, and private information
            copy_data_set(reading, writing, needed_meta(read_file_meta_info(source)))
            return
        reading.seek(0)
        left = os.fstat(reading.fileno()).st_size
        while left:
            done = os.copy_file_range(reading.fileno(), writing.fileno(), min(left, _COPY_AT_ONCE))
            if not done:
                raise UnreadableInstance("truncated", "a file became shorter while it was copied")
            left -= done
        # A preamble may hold anything, a TIFF header with a description as well.
        os.pwrite(writing.fileno(), bytes(128), 0)


def _rewrite(source: Path, out: Path) -> None:
    with source.open("rb") as reading, out.open("xb") as writing:
        meta = dcmread(reading, specific_tags=[], stop_before_pixels=True, force=False).file_meta
        syntax = str(meta.TransferSyntaxUID)
        _write_meta(writing, meta)
        reading.seek(_end_of_meta(reading))
        if syntax == DEFLATED:
            _inflate(reading, writing)
        elif syntax == EXPLICIT_VR_LITTLE_ENDIAN:  # only its File Meta Information was not as it should be
            while chunk := reading.read(_CHUNK):
                writing.write(chunk)
        else:
            _rewrite_data_set(reading, writing, syntax)


def _end_of_meta(file: BinaryIO) -> int:
    """Return where the data set begins: after the last element of group 0002."""
    file.seek(132)
    while True:
        place = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            return place
        if head[4:6] in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
            length = struct.unpack("<I", file.read(4))[0]
        else:
            length = struct.unpack_from("<H", head, 6)[0]
        file.seek(length, os.SEEK_CUR)


def _write_meta(writing: IO[bytes], source: Any) -> None:
    meta = needed_meta(source)
    meta.FileMetaInformationVersion = META_VERSION
    meta.TransferSyntaxUID = EXPLICIT_VR_LITTLE_ENDIAN
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    writing.write(bytes(128) + b"DICM")
    write_file_meta_info(_to(writing, explicit=True), meta, enforce_standard=True)


def _inflate(reading: BinaryIO, writing: IO[bytes]) -> None:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    written = 0
    while not inflating.eof:
        chunk = inflating.unconsumed_tail or reading.read(_CHUNK)
        if not chunk:
            raise UnreadableInstance("truncated", "a deflated instance ends too early")
        data = inflating.decompress(chunk, _CHUNK)
        written += len(data)
        if written > _LARGEST_VALUE:
            raise UnreadableInstance("too-large", "an instance would be larger than 4 GB when it is inflated")
        writing.write(data)


def _rewrite_data_set(reading: BinaryIO, writing: IO[bytes], syntax: str) -> None:
    little, implicit = syntax != EXPLICIT_VR_BIG_ENDIAN, syntax == "1.2.840.10008.1.2"
    header = read_dataset(reading, implicit, little, stop_when=lambda tag, vr, length: tag in _PIXELS)
    target = _to(writing, explicit=True)
    place = reading.tell()
    if not (head := reading.read(4)):
        _finish(header, target, swapped=not little, syntax=syntax)
        return
    reading.seek(place)
    order = "<" if little else ">"
    group, number = struct.unpack(order + "HH", head)
    tag, vr, length = _element_head(reading, group << 16 | number, order, implicit=implicit)
    start = reading.tell()
    if length == _UNDEFINED_LENGTH:
        end = _decompress(
            header, Encoded(reading, start, syntax, Shape.of(header), _offsets(header)), target, writing
        )
    else:
        _finish(header, target, swapped=not little, syntax=syntax)
        end = start + length
        _stream_native(reading, writing, tag, vr, length, swapped=not little)
    reading.seek(end)
    rest = read_dataset(reading, implicit, little)
    _finish(rest, target, swapped=not little, syntax=syntax)


def _element_head(file: BinaryIO, tag: int, order: str, *, implicit: bool) -> tuple[int, str, int]:
    file.seek(4, os.SEEK_CUR)
    if implicit:
        return tag, _PIXELS[tag], struct.unpack("<I", file.read(4))[0]
    vr = file.read(4)[:2].decode("ascii")
    return (
        tag,
        vr if vr in ("OB", *_WORD_SIZES) else _PIXELS[tag],
        struct.unpack(order + "I", file.read(4))[0],
    )


def _stream_native(
    reading: BinaryIO, writing: IO[bytes], tag: int, vr: str, length: int, *, swapped: bool
) -> None:
    writing.write(struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode("ascii"), 0, length + length % 2))
    left = length
    while left:
        data = reading.read(min(left, _CHUNK))
        if not data:
            raise UnreadableInstance("truncated", "an instance ends within its pixel data")
        left -= len(data)
        writing.write(_turned(data, vr) if swapped else data)
    writing.write(bytes(length % 2))


def _decompress(header: Any, encoded: Encoded, target: DicomFileLike, writing: IO[bytes]) -> int:
    """Write header and pixel data without the compression; return where the encapsulated value ends."""
    if encoded.transfer_syntax_uid not in COMPRESSED:
        raise UnreadableInstance("malformed", "an uncompressed instance holds compressed pixel data")
    end, octets = _encapsulated(encoded.file, encoded.start)
    length = encoded.shape.octets * encoded.shape.frames
    if length > _LARGEST_VALUE:
        raise UnreadableInstance("too-large", "an image would be larger than 4 GB when it is decompressed")
    _tell(header, encoded, ratio=length / max(octets, 1))
    for keyword in _OF_ENCAPSULATION:
        if keyword in header:
            delattr(header, keyword)
    _finish(header, target, swapped=False, syntax=encoded.transfer_syntax_uid)
    vr = b"OB" if encoded.shape.bits_allocated <= 8 else b"OW"
    writing.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, length + length % 2))
    for frame in encoded.frames():
        writing.write(frame)
    writing.write(bytes(length % 2))
    return end


def _tell(ds: Any, encoded: Encoded, *, ratio: float) -> None:
    """Let a header say what its pixels are once they are decompressed."""
    told = encoded.told()
    ds.PhotometricInterpretation = told.photometric
    if told.bits_stored > encoded.shape.bits_stored:
        ds.BitsStored, ds.HighBit = told.bits_stored, told.bits_stored - 1
    if encoded.shape.samples > 1:
        ds.PlanarConfiguration = 0
    if told.lossy_method and ds.get("LossyImageCompression") != "01":
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionMethod = told.lossy_method
        ds.LossyImageCompressionRatio = f"{ratio:.2f}"


def _encapsulated(file: BinaryIO, start: int) -> tuple[int, int]:
    """Return where an encapsulated value ends, and how many octets its fragments have."""
    file.seek(start)
    octets = -1  # until the offset table was passed
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise UnreadableInstance("truncated", "an instance ends within its pixel data")
        group, number, length = struct.unpack("<HHI", head)
        if (group, number) == (0xFFFE, 0xE0DD):
            return file.tell(), max(octets, 0)
        if (group, number) != (0xFFFE, 0xE000):
            raise UnreadableInstance("malformed", "the fragments of an image are broken")
        octets = 0 if octets < 0 else octets + length
        file.seek(length, os.SEEK_CUR)


def _offsets(ds: Any) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in ds and "ExtendedOffsetTableLengths" in ds:
        return ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths
    return None


def _to(writing: IO[bytes], *, explicit: bool) -> DicomFileLike:
    target = DicomFileLike(writing)
    target.is_little_endian, target.is_implicit_VR = True, not explicit
    return target


def _finish(ds: Any, target: DicomFileLike, *, swapped: bool, syntax: str) -> None:
    """Write a data set after its bulk data was turned round and its icons decompressed."""
    _convert(ds, swapped=swapped, syntax=syntax)
    write_dataset(target, ds)


def _convert(ds: Any, *, swapped: bool, syntax: str) -> None:
    """Turn the words of bulk data round and decompress icons, at every depth; what needs neither stays undecoded."""
    for tag in list(ds.keys()):
        raw = ds.get_item(tag)
        if (
            not swapped
            and isinstance(raw.value, bytes)
            and _PIXEL_TAG not in raw.value
            and tag != _PIXEL_DATA
        ):
            continue
        element = ds[tag]
        if element.VR == "SQ":
            for item in element.value:
                _convert(item, swapped=swapped, syntax=syntax)
        elif tag == _PIXEL_DATA and element.is_undefined_length:
            _decompress_icon(ds, element, syntax)
        elif swapped and isinstance(element.value, bytes):
            # pydicom turns all other values round and leaves these.
            element.value = _turned(element.value, element.VR)


def _decompress_icon(ds: Any, element: Any, syntax: str) -> None:
    encoded = Encoded(BytesIO(element.value), 0, syntax, Shape.of(ds))
    _tell(ds, encoded, ratio=encoded.shape.octets / max(len(element.value), 1))
    pixels = b"".join(encoded.frames())
    element.value = pixels + bytes(len(pixels) % 2)
    element.VR = "OB" if encoded.shape.bits_allocated <= 8 else "OW"
    element.is_undefined_length = False


def _turned(data: bytes, vr: str) -> bytes:
    size = _WORD_SIZES.get(vr)
    if size is None:
        return data
    return np.frombuffer(data, dtype=f">u{size}").astype(f"<u{size}").tobytes()
