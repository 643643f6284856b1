"""One frame of an image, read thinned out from its file: what a small picture needs, and no more (PS3.3 C.7.6.3).

Of uncompressed frames only the lines and columns that are wanted are kept, so that neither a long cine run nor one
very large image fills the memory. Compressed frames are decoded one at a time, up to a size.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.pixels import pixel_array

from media.instances import EXPLICIT_VR_LITTLE_ENDIAN

Values = NDArray[Any]
Bools = NDArray[np.bool_]

_WANTED = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "ImageType",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_TAGS = [int(tag_for_keyword(keyword)) for keyword in _WANTED]
_PIXEL_DATA, _FLOAT, _DOUBLE = b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00"
_FLOATS = {_FLOAT: "<f4", _DOUBLE: "<f8"}
_MOST_DECODED = 1 << 28
"""The most bytes that a compressed frame may have when it is decoded."""


class NoFrame(Exception):
    """The file holds no frame that can be read. The text holds no value."""


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """Stored values of one frame, every ``step`` lines and columns, and the header that tells what they mean.

    ``values`` has two dimensions, or three for colour; ``decoded`` says that colours are RGB whatever the header
    says.
    """

    header: Any
    number: int
    values: Values
    decoded: bool


def read_header(path: Path) -> tuple[Any, int]:
    """Return what a picture needs to know of an instance, and where in the file its pixel data begin.

    Raises whatever a broken file does to the parser.
    """
    with path.open("rb") as file:
        return dcmread(file, stop_before_pixels=True, specific_tags=_TAGS), file.tell()


def middle_frame(header: Any) -> int:
    """Return the index of the frame in the middle."""
    return _frames(header) // 2


def read_frame(path: Path, header: Any, place: int, number: int, *, at_least: int) -> Frame:
    """Read frame ``number`` (from 0) in steps that leave its longer side ``at_least`` pixels, if it has so many.

    Raises :class:`NoFrame`, and whatever a broken file does to the parser or a decoder.
    """
    if not 0 <= number < _frames(header):
        raise NoFrame("there is no such frame")
    rows, columns = int(header.Rows), int(header.Columns)
    step = max(1, max(rows, columns) // at_least)
    with path.open("rb") as file:
        file.seek(place)
        head = file.read(12)
        dtype = _dtype(header, head[:4])
        if dtype and header.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN:
            length = int.from_bytes(head[8:12], "little")
            return Frame(header, number, _lines(file, header, dtype, length, number, step), decoded=False)
    return Frame(header, number, _decoded(path, header, number)[::step, ::step], decoded=True)


def _frames(header: Any) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _dtype(header: Any, tag: bytes) -> str:
    """Return the type of uncompressed samples that lie in whole bytes, one after the other; else nothing."""
    if tag in _FLOATS:
        return _FLOATS[tag]
    allocated = int(header.BitsAllocated)
    subsampled = str(header.PhotometricInterpretation) in ("YBR_FULL_422", "YBR_PARTIAL_422")
    if tag != _PIXEL_DATA or allocated not in (8, 16, 32) or subsampled:
        return ""
    signed = int(header.get("PixelRepresentation") or 0)
    return f"<{'i' if signed else 'u'}{allocated // 8}"


def _lines(file: BinaryIO, header: Any, dtype: str, length: int, number: int, step: int) -> Values:
    rows, columns, samples = int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel") or 1)
    planes = samples if samples > 1 and int(header.get("PlanarConfiguration") or 0) else 1
    interleaved = samples // planes
    line = columns * interleaved * np.dtype(dtype).itemsize
    frame = rows * line * planes
    if (number + 1) * frame > length or not frame:
        raise NoFrame("there is less pixel data than the header says")
    start = file.tell() + number * frame
    kept = range(0, rows, step)
    values = np.empty((planes, len(kept), len(range(0, columns, step)), interleaved), dtype)
    for plane in range(planes):
        for index, row in enumerate(kept):
            data = os.pread(file.fileno(), line, start + (plane * rows + row) * line)
            values[plane, index] = np.frombuffer(data, dtype).reshape(columns, interleaved)[::step]
    if planes > 1:
        return np.moveaxis(values[..., 0], 0, -1)
    return values[0] if samples > 1 else values[0, ..., 0]


def _decoded(path: Path, header: Any, number: int) -> Values:
    size = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel") or 1)
    if size * max(1, int(header.BitsAllocated) // 8) > _MOST_DECODED:
        raise NoFrame("the frame is too large to be decoded for a picture")
    with warnings.catch_warnings():
        # A stream may say that it is larger than the header says.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        values: Values = pixel_array(path, index=number)
    return values
