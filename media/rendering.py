"""A small picture of one frame, as its own header says that it is to be looked at (PS3.3 C.11.1, C.11.2, C.7.6.3).

::

    stored values ── modality LUT, rescale ── VOI LUT, window ── MONOCHROME1 turned round ── 8 bits
    palette, YBR, RGB ─────────────────────────────────────────────────────────────────────── 8 bits, RGB

Without a window the picture spans what its values span. It is for finding an image, never for diagnosis.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from pydicom.pixels import apply_color_lut

from media.frames import Bools, Frame, NoFrame, Values

_QUALITY = 80
_MOST_UNEQUAL = 8.0
_TAILS = (0.5, 99.5)  # percentiles; a few outliers do not make the rest dark


def picture(frame: Frame, *, side: int) -> bytes:
    """Return a frame as JPEG, no side longer than ``side`` pixels, with square pixels; smaller frames stay so.

    The file holds the picture and nothing that says where it is from: no EXIF, no comment, no colour profile.
    Raises :class:`NoFrame`, and whatever values that contradict each other do.
    """
    values = frame.values
    if values.ndim == 3:
        image = _coloured(frame)
    elif str(frame.header.PhotometricInterpretation) == "PALETTE COLOR":
        image = Image.fromarray(_eight_bits(apply_color_lut(values, frame.header), palette=True), "RGB")
    elif values.ndim == 2:
        image = Image.fromarray(_gray(frame))
    else:
        raise NoFrame("the pixels are neither gray nor coloured")
    data = io.BytesIO()
    image.resize(_size(image, frame, side), Image.Resampling.BOX).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Return width and height of a picture that :func:`picture` made."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size


def _size(image: Image.Image, frame: Frame, side: int) -> tuple[int, int]:
    """Return width and height within ``side``; the shape is that of the whole frame, of which lines were left out."""
    width, height = float(frame.header.Columns), float(frame.header.Rows) * _pixel_height(frame)
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pixel_height(frame: Frame) -> float:
    """Return how high a pixel is if its width is 1 (PS3.3 C.7.6.3.1.7; spacing is row, column)."""
    measures = next(_macros(frame, "PixelMeasuresSequence"), None)
    pairs = [None if measures is None else measures.get("PixelSpacing")]
    pairs += [frame.header.get(word) for word in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")]
    for pair in pairs:
        if pair and len(pair) == 2 and float(pair[0]) > 0 and float(pair[1]) > 0:
            return min(max(float(pair[0]) / float(pair[1]), 1 / _MOST_UNEQUAL), _MOST_UNEQUAL)
    return 1.0


def _coloured(frame: Frame) -> Image.Image:
    values = _eight_bits(frame.values, bits=int(frame.header.BitsStored))
    kind = str(frame.header.PhotometricInterpretation)
    if kind.startswith("YBR") and not frame.decoded:
        if kind != "YBR_FULL":
            raise NoFrame("the colours are of a kind that is not shown")
        return Image.fromarray(values, "YCbCr").convert("RGB")
    return Image.fromarray(values, "RGB")


def _eight_bits(values: Values, *, bits: int = 0, palette: bool = False) -> Values:
    depth = values.dtype.itemsize * 8 if palette else bits
    return np.ascontiguousarray((values >> (depth - 8) if depth > 8 else values).astype(np.uint8))


def _gray(frame: Frame) -> Values:
    stored = _stored(frame)
    padding = _padding(frame, stored)
    shown = _windowed(frame, _of_modality(frame, stored), padding)
    if str(frame.header.PhotometricInterpretation) == "MONOCHROME1":
        shown = 1.0 - shown
    shown[padding] = 0.0
    return (shown * 255.0 + 0.5).astype(np.uint8)


def _stored(frame: Frame) -> Values:
    """Leave out the bits beside those that are stored: in old images an overlay lies there."""
    values = frame.values
    if values.dtype.kind == "f" or frame.decoded:
        return values
    allocated, stored = values.dtype.itemsize * 8, int(frame.header.BitsStored)
    above = allocated - 1 - int(frame.header.HighBit)
    if above < 0 or not 0 < stored <= allocated - above:
        raise NoFrame("the bits of a pixel do not fit")
    return (values << above) >> (allocated - stored)


def _padding(frame: Frame, stored: Values) -> Bools:
    first = frame.header.get("PixelPaddingValue")
    if first is None or stored.dtype.kind == "f":
        return np.zeros(stored.shape, bool)
    last = frame.header.get("PixelPaddingRangeLimit")
    ends = [_number(first), _number(first if last is None else last)]
    return (stored >= min(ends)) & (stored <= max(ends))


def _of_modality(frame: Frame, stored: Values) -> Values:
    luts = frame.header.get("ModalityLUTSequence")
    if luts:
        return _looked_up(luts[0], stored)[0]
    for macro in (*_macros(frame, "PixelValueTransformationSequence"), frame.header):
        if macro.get("RescaleSlope") is not None:
            slope, intercept = float(macro.RescaleSlope), float(macro.get("RescaleIntercept") or 0)
            rescaled: Values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
            return rescaled
    return stored


def _windowed(frame: Frame, values: Values, padding: Bools) -> Values:
    """Bring values into the range 0 to 1."""
    for macro in (*_macros(frame, "FrameVOILUTSequence"), frame.header):
        luts = macro.get("VOILUTSequence")
        if luts:
            output, depth = _looked_up(luts[0], np.rint(values).astype(np.int64))
            return _unit(output.astype(np.float32) / (2**depth - 1))
        center, width = _first(macro.get("WindowCenter")), _first(macro.get("WindowWidth"))
        function = str(macro.get("VOILUTFunction") or "LINEAR")
        if center is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-9):
            return _window(values.astype(np.float32), center, width, function)
    if int(frame.header.get("BitsStored") or 0) == 1:
        return values.astype(np.float32)  # a mask, of which one that is all set is white
    seen = values[~padding & np.isfinite(values)]
    if not seen.size:
        return np.zeros(values.shape, np.float32)
    low, high = (float(end) for end in np.percentile(seen, _TAILS))
    if high <= low:
        low, high = float(seen.min()), float(seen.max())
    return _unit((np.nan_to_num(values.astype(np.float32)) - low) / max(high - low, 1e-9))


def _unit(values: Values) -> Values:
    limited: Values = np.clip(values, 0.0, 1.0)
    return limited


def _window(values: Values, center: float, width: float, function: str) -> Values:
    """Apply a window by its function (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    if function == "SIGMOID":
        bent: Values = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -60.0, 60.0)))
        return bent
    if function == "LINEAR_EXACT":
        return _unit((values - center) / width + 0.5)
    return _unit((values - (center - 0.5)) / max(width - 1.0, 1e-6) + 0.5)


def _looked_up(lut: Any, values: Values) -> tuple[Values, int]:
    """Return what a lookup table makes of values, and the bits of its entries (PS3.3 C.11.1.1.1, C.11.2.1.1)."""
    entries, first, depth = (int(number) for number in lut.LUTDescriptor)
    data = lut.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    entries = min(entries or 1 << 16, table.size)
    if not entries or not 8 <= depth <= 16:
        raise NoFrame("a lookup table is not legal")
    if first > 0x7FFF and values.dtype.kind == "i" and values.min(initial=0) < 0:
        first -= 0x10000  # a descriptor that was written as unsigned beside signed pixels
    found: Values = table[np.clip(values.astype(np.int64) - first, 0, entries - 1)]
    return found, depth


def _macros(frame: Frame, keyword: str) -> Iterator[Any]:
    """Yield the item of a functional group, the one for all frames first (PS3.3 C.7.6.16)."""
    shared = frame.header.get("SharedFunctionalGroupsSequence")
    if shared and shared[0].get(keyword):
        yield shared[0][keyword].value[0]
    elif shared is not None:
        each = frame.header.get("PerFrameFunctionalGroupsSequence")
        if each and frame.number < len(each) and each[frame.number].get(keyword):
            yield each[frame.number][keyword].value[0]


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, (str, int, float)):
        return float(value)
    try:
        return float(value[0]) if len(value) else None
    except TypeError:
        return float(value)


def _number(value: Any) -> int:
    return int.from_bytes(value, "little", signed=True) if isinstance(value, bytes) else int(value)
