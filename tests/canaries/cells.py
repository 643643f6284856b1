"""Whether two instances show the same image: stored bits of cells, and compressed frames without what is no image in them.

Comments, application segments (but the one that tells the colour transform) and bytes behind the end of a frame may go. So may bits
above the stored ones, bytes behind the last cell, and the order of bytes that a transfer syntax prescribes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID

_JPEG_FAMILY = b"\xff\xd8"
_CODESTREAM = b"\xff\x4f"
_COLOUR_TRANSFORM = 0xFFEE


def same_image(source: Dataset, result: Dataset) -> bool:
    """Say whether the Pixel Data of two instances hold the same image."""
    if _compressed(source) != _compressed(result):
        return False
    if _compressed(source):
        return [_bare(frame) for frame in _frames(source)] == [_bare(frame) for frame in _frames(result)]
    return np.array_equal(_cells(source), _cells(result))


def _compressed(ds: Dataset) -> bool:
    uid = ds.file_meta.get("TransferSyntaxUID") if hasattr(ds, "file_meta") else None
    return UID(uid).is_compressed and not UID(uid).is_deflated if uid else False


def _frames(ds: Dataset) -> list[bytes]:
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", None) or 1)))


def _bare(frame: bytes) -> bytes:
    """A frame without comments, application segments and what lies behind its end."""
    if frame.startswith(_JPEG_FAMILY):
        return _without(frame, lambda marker: marker == 0xFFFE or _is_application(marker), 0xFFDA, b"\xff\xd9")
    if frame.startswith(_CODESTREAM):
        return _without(frame, lambda marker: marker == 0xFF64, 0xFF90, b"\xff\xd9")
    return frame.rstrip(b"\0")


def _is_application(marker: int) -> bool:
    return 0xFFE0 <= marker <= 0xFFEF and marker != _COLOUR_TRANSFORM


def _without(frame: bytes, drops: Callable[[int], bool], last: int, end: bytes) -> bytes:
    """The frame up to its end, without the segments of its head that may go; ``last`` begins what is no head."""
    kept, at = [frame[:2]], 2
    while at + 4 <= len(frame):
        marker, length = struct.unpack(">HH", frame[at : at + 4])
        if marker == last:
            break
        if not drops(marker):
            kept.append(frame[at : at + 2 + length])
        at += 2 + length
    rest = frame[at:]
    return b"".join(kept) + rest[: rest.rfind(end) + 2]


def _cells(ds: Dataset) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]:
    """The stored bits of all cells that the image has, in the machine's order of bytes."""
    allocated, stored, high = (int(ds.get(word, None) or 8) for word in ("BitsAllocated", "BitsStored", "HighBit"))
    count = int(ds.get("Rows", None) or 0) * int(ds.get("Columns", None) or 0) * int(ds.get("SamplesPerPixel", None) or 1)
    count *= int(ds.get("NumberOfFrames", None) or 1)
    octets = np.frombuffer(ds.PixelData[: len(ds.PixelData) // 2 * 2], dtype="<u2")
    if not ds.original_encoding[1]:
        octets = octets.byteswap()
    if allocated != 16:
        return octets.view(np.uint8)[: -(-count * allocated // 8)]
    mask = ((1 << stored) - 1) << max(0, high + 1 - stored)
    return octets[:count] & np.uint16(mask)
