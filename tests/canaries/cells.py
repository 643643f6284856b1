"""Whether two instances show the same image: stored bits of cells, and compressed frames without what is no image
in them.

Comments, application segments (but the one that tells the colour transform) and bytes behind the end of a frame
may go. So may bits above the stored ones, bytes behind the last cell, and the order of bytes that a transfer
syntax prescribes.
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
_JP2_FILE = b"\0\0\0\x0cjP  "
_COLOUR_TRANSFORM, _WHOLE_TRANSFORM = 0xFFEE, 14


def same_image(source: Dataset, result: Dataset) -> bool:
    """Say whether the Pixel Data of two instances hold the same image."""
    if _compressed(source) != _compressed(result):
        return False
    if _compressed(source):
        return [_bare(frame) for frame in _frames(source)] == [_bare(frame) for frame in _frames(result)]
    return np.array_equal(_cells(source), _cells(result))


def same_words(source: Dataset, one: object, other: object) -> bool:
    """Say whether two values of VR OW are the same, when the source's words have their bytes in the other order."""
    if _is_little(source) or not (isinstance(one, bytes) and isinstance(other, bytes)):
        return False
    return np.array_equal(np.frombuffer(one, dtype=">u2"), np.frombuffer(other, dtype="<u2"))


def _is_little(ds: Dataset) -> bool:
    """Whether a data set was read from a little-endian encoding."""
    return ds.original_encoding[1] is not False


def _compressed(ds: Dataset) -> bool:
    uid = ds.file_meta.get("TransferSyntaxUID") if hasattr(ds, "file_meta") else None
    return UID(uid).is_compressed and not UID(uid).is_deflated if uid else False


def _frames(ds: Dataset) -> list[bytes]:
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", None) or 1)))


def _bare(frame: bytes) -> bytes:
    """A frame without comments, application segments and what lies behind its end."""
    if frame.startswith(_JP2_FILE):
        # The boxes around a codestream are no part of a DICOM frame; decoders go by the codestream.
        frame = frame[frame.index(_CODESTREAM + b"\xff\x51") :]
    if frame.startswith(_JPEG_FAMILY):
        return _without(
            frame, lambda marker, length: marker == 0xFFFE or _is_application(marker, length), 0xFFDA
        )
    if frame.startswith(_CODESTREAM):
        return _without(frame, lambda marker, length: marker == 0xFF64, 0xFF90)
    return frame.rstrip(b"\0")


def _is_application(marker: int, length: int) -> bool:
    """Whether a segment says nothing of the image; the one of the colour transform is read from 14 bytes on."""
    return 0xFFE0 <= marker <= 0xFFEF and not (marker == _COLOUR_TRANSFORM and length >= _WHOLE_TRANSFORM)


def _without(frame: bytes, drops: Callable[[int, int], bool], last: int) -> bytes:
    """The frame up to its end, without the segments of its head that may go; ``last`` begins what is no head."""
    kept, at = [frame[:2]], 2
    while at + 4 <= len(frame):
        marker, length = struct.unpack(">HH", frame[at : at + 4])
        if marker == last:
            break
        if not drops(marker, length):
            kept.append(frame[at : at + 2 + length])
        at += 2 + length
    rest = frame[at:]
    return b"".join(kept) + rest[: rest.rfind(b"\xff\xd9") + 2]


def _cells(ds: Dataset) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]:
    """The stored bits of all cells that the image has, in the machine's order of bytes."""
    allocated, stored, high = (
        int(ds.get(word, None) or 8) for word in ("BitsAllocated", "BitsStored", "HighBit")
    )
    count = (
        int(ds.get("Rows", None) or 0)
        * int(ds.get("Columns", None) or 0)
        * int(ds.get("SamplesPerPixel", None) or 1)
    )
    count *= int(ds.get("NumberOfFrames", None) or 1)
    octets = np.frombuffer(ds.PixelData + b"\0" * (len(ds.PixelData) % 2), dtype="<u2")
    if not _is_little(ds):
        octets = octets.byteswap()
    if allocated != 16:
        return octets.view(np.uint8)[: count * allocated // 8]
    mask = ((1 << stored) - 1) << max(0, high + 1 - stored)
    return octets[:count] & np.uint16(mask)
