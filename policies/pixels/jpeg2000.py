"""JPEG 2000 and HTJ2K: comments of the main and tile-part headers, and boxes of a JP2 file (ISO 15444-1 A, I).

    SOC │ main header │ SOT, header, SOD, packets (Psot bytes) │ SOT … │ EOC │ whatever somebody put behind it

Packets are hopped over: each tile-part says its length.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from policies.pixels.overwritten import Blank
from policies.pixels.streams import Stream, unreadable

_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
STARTS: Final = (_CODESTREAM, _JP2)

_COM: Final = 0x64
_SOT: Final = 0x90
_SOD: Final = 0x93
_EOC: Final = 0xD9
# Part 1 (A.2), Part 2 (extended capabilities, 0x70 to 0x79) and Part 15 (CAP, PRF, CPF) of the standard.
_SEGMENTS: Final = frozenset(
    {0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x63}
) | frozenset(range(0x70, 0x7A))
_END: Final = b"\xff\xd9"
_KEPT_BOXES: Final = frozenset({b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"free"})
_LARGEST_TYPE: Final = 32
_HEADER_BOXES: Final = frozenset({b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res "})


def to_blank(stream: Stream) -> Iterator[Blank]:
    """Yield what of a frame has to be blanked.

    Raises:
        Held: the frame is no JPEG 2000 stream, or is not complete.
    """
    if stream.read(0, 12) == _JP2:
        yield from _boxes(stream, 0, stream.size, _KEPT_BOXES)
    else:
        end = yield from _codestream(stream, 0, stream.size)
        yield from stream.rest(end)


def _boxes(stream: Stream, pos: int, end: int, kept: frozenset[bytes]) -> Iterator[Blank]:
    """Yield the content of boxes that are not needed; each becomes free space (I.7)."""
    found = False
    while end - pos >= 8:
        size, kind = int.from_bytes(stream.read(pos, 4), "big"), stream.read(pos + 4, 4)
        start = pos + 8
        if size == 1:
            size, start = int.from_bytes(stream.read(pos + 8, 8), "big"), pos + 16
        stop = end if size == 0 else pos + size
        if not start <= stop <= end:
            raise unreadable("a box is longer than its frame")
        if kind == b"jp2h" and kind in kept:
            yield from _boxes(stream, start, stop, _HEADER_BOXES)
        elif kind == b"jp2c" and not found:
            found = True
            behind = yield from _codestream(stream, start, stop)
            yield from stream.ranges(behind, stop - behind)
        elif kind == b"ftyp" and stop - start > _LARGEST_TYPE:
            raise unreadable("its file type is too long")
        elif kind in (b"free", b"jp2c") or kind not in kept:
            yield from (blank._replace(pattern=b"free") for blank in _whole(stream, pos + 4))
            yield from stream.ranges(start, stop - start)
        pos = stop
    if kept is _KEPT_BOXES and not found:
        raise unreadable("a frame holds no image")
    if end - pos > 1:
        yield from stream.ranges(pos, end - pos)


def _whole(stream: Stream, pos: int) -> list[Blank]:
    ranges = list(stream.ranges(pos, 4))
    if len(ranges) != 1:
        raise unreadable("the name of a box lies in two fragments")
    return ranges


def _codestream(stream: Stream, pos: int, end: int) -> Generator[Blank, None, int]:
    """Yield the comments between ``pos`` and ``end``; return where the codestream ends."""
    if stream.read(pos, 4) != _CODESTREAM:
        raise unreadable("a frame does not begin as its transfer syntax says")
    pos += 2
    part: int | None = None
    tiles = 0
    while True:
        if part is None and tiles and end - pos < 2:
            # Some encoders leave the end marker out.
            return pos
        marker = stream.read(pos, 2)
        code = marker[1]
        if marker[0] != 0xFF:
            raise unreadable("something stands between its segments")
        if code == _EOC and part is None and tiles:
            return pos + 2
        if code == _SOD and part is not None:
            pos, part = part, None
            continue
        length = int.from_bytes(stream.read(pos + 2, 2), "big")
        if length < 2 or pos + 2 + length > end:
            raise unreadable("a segment is longer than its frame")
        if code == _SOT and part is None:
            part, tiles = _tile_part(stream, pos, end), tiles + 1
        elif code == _COM:
            # Rcom, which says whether it is text, stays.
            yield from stream.ranges(pos + 6, max(0, length - 4))
        elif code not in _SEGMENTS or (part is None and tiles):
            raise unreadable("it holds a segment that its transfer syntax does not have")
        pos += 2 + length


def _tile_part(stream: Stream, pos: int, end: int) -> int:
    """Return where the tile-part whose SOT stands at ``pos`` ends (A.4.2)."""
    length = int.from_bytes(stream.read(pos + 6, 4), "big")
    if length:
        if length < 14 or pos + length > end:
            raise unreadable("a tile is longer than its frame")
        return pos + length
    # The last tile-part may leave its length out. No packet holds a code above FF8F, so this is the end marker.
    at = pos + 12
    while at < end:
        buf, begin = stream.window(at, 2)
        found = buf.find(_END, begin)
        if found >= 0:
            return at + found - begin
        seen = len(buf) - begin
        at += max(1, seen - 1)
    raise unreadable("a frame has no end")
