"""JPEG and JPEG-LS: every comment and application segment of a frame, wherever it stands (ISO 10918-1 B, 14495-1 C).

    SOI │ segments │ SOS, entropy-coded data │ segments │ SOS, … │ EOI │ whatever somebody put behind it

Entropy-coded data never holds a marker by chance: JPEG stuffs a zero byte behind FF, JPEG-LS a zero bit. So the next
marker is found by searching, and nothing has to be decoded. Of application segments stays what decoding needs: a JFIF
header without its thumbnail, Adobe's and HP's colour transform, a SPIFF header without its directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.pixels.overwritten import Blank
from policies.pixels.streams import Stream, unreadable

STARTS: Final = (b"\xff\xd8\xff",)

_BLOCK: Final = 1 << 16
_OCTETS: Final = np.arange(256)
# FF before FF is filling, and restarts belong to the data; what stuffing leaves behind FF is below the first marker.
_IN_JPEG: Final = (_OCTETS > 0x00) & (_OCTETS < 0xFF) & (_OCTETS & 0xF8 != 0xD0)
_IN_JPEG_LS: Final = _IN_JPEG & (_OCTETS >= 0x80)

_EOI: Final = 0xD9
_SOS: Final = 0xDA
_COM: Final = 0xFE
_APP: Final = range(0xE0, 0xF0)
_SOF_LS: Final = 0xF7
_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF})
"""DHT, DAC, DQT, DNL, DRI, DHP, EXP."""
_SEGMENTS_JPEG: Final = _FRAME | _TABLES
_SEGMENTS_LS: Final = frozenset({_SOF_LS, 0xF8, 0xDB, 0xDC, 0xDD})
"""SOF55, LSE and the tables that a JPEG-LS stream may have."""

_SPIFF_END: Final = b"\0\0\0\1"


def to_blank(stream: Stream, *, lossless_ls: bool) -> Iterator[Blank]:
    """Yield what of a frame has to be blanked; ``lossless_ls`` says that it is JPEG-LS.

    Raises:
        Held: the frame is no stream of its kind, or is not complete.
    """
    segments = _SEGMENTS_LS if lossless_ls else _SEGMENTS_JPEG
    if stream.read(0, 2) != b"\xff\xd8":
        raise unreadable("a frame does not begin as its transfer syntax says")
    pos, framed, scanned = 2, False, False
    while True:
        code, pos = _marker(stream, pos)
        if code == _EOI:
            break
        length = int.from_bytes(stream.read(pos, 2), "big")
        if length < 2 or pos + length > stream.size:
            raise unreadable("a segment is longer than its frame")
        if code == _COM:
            yield from stream.ranges(pos + 2, length - 2)
        elif code in _APP:
            yield from _application(stream, code, pos + 2, length - 2)
        elif code == _SOS and framed:
            scanned = True
            pos = _behind_scan(stream, pos + length, _IN_JPEG_LS if lossless_ls else _IN_JPEG)
            continue
        elif code not in segments:
            raise unreadable("it holds a segment that its transfer syntax does not have")
        else:
            framed = framed or code not in _TABLES
        pos += length
    if not scanned:
        raise unreadable("a frame holds no image")
    yield from stream.rest(pos)


def _marker(stream: Stream, pos: int) -> tuple[int, int]:
    """Return the marker at ``pos`` and where it ends; any number of FF may stand before it."""
    if stream.read(pos, 1) != b"\xff":
        raise unreadable("something stands between its segments")
    while (code := stream.read(pos, 1)) == b"\xff":
        buf, at = stream.window(pos, 1)
        filling = buf[at : at + _BLOCK]
        pos += len(filling) - len(filling.lstrip(b"\xff"))
    return code[0], pos + 1


def _behind_scan(stream: Stream, pos: int, markers: npt.NDArray[np.bool_]) -> int:
    """Return where the entropy-coded data that begins at ``pos`` ends: at the next marker but a restart."""
    while stream.size - pos > 1:
        buf, at = stream.window(pos, 2)
        if len(buf) - at < 2:
            break
        octets = np.frombuffer(buf, np.uint8, min(len(buf) - at, _BLOCK + 1), at)
        escapes = np.flatnonzero(octets[:-1] == 0xFF)
        found = np.flatnonzero(markers[octets[escapes + 1]])
        if len(found):
            return pos + int(escapes[found[0]])
        # The last octet may be the first of a marker.
        pos += len(octets) - 1
    raise unreadable("a frame has no end")


def _application(stream: Stream, code: int, pos: int, length: int) -> Iterator[Blank]:
    """Yield what of an application segment's content is not needed to decode the frame."""
    head = stream.read(pos, min(length, 12))
    kept = 0
    if code == 0xE0 and head.startswith(b"JFIF\0") and length >= 14:
        # Version, units and densities stay; the size of the thumbnail becomes zero with the thumbnail.
        kept = 12
    elif code == 0xEE and head.startswith(b"Adobe") and length >= 12:
        kept = 12
    elif code == 0xE8:
        kept = _colour_header(head, length)
    yield from stream.ranges(pos + kept, length - kept)


def _colour_header(head: bytes, length: int) -> int:
    """Return how much of an APP8 segment stays: SPIFF's header and end, and the transform of HP's JPEG-LS."""
    if head.startswith(b"mrfx") and length == 5:
        return length
    if head.startswith(b"SPIFF\0") and length == 30:
        return length
    return 6 if head == _SPIFF_END + b"\xff\xd8" else 0
