"""RLE Lossless: what stands behind the segments of a frame, and the frame itself (PS3.5 annex G).

    header: number of segments, their offsets (64 bytes) │ segment │ segment │ … │ whatever stands behind the last

A segment is as long as its rows need, which only its runs tell; they are walked over, not decoded, unless somebody
asks for the pixels.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from policies.pixels.image import Image
from policies.pixels.overwritten import Blank
from policies.pixels.streams import Stream, unreadable

_HEADER: Final = 64
_MOST: Final = 15

# G.3.1: up to 127 is a literal run, from 129 on a repeated byte, 128 is nothing.
_STEP: Final = tuple(octet + 2 if octet < 128 else 1 if octet == 128 else 2 for octet in range(256))
_RUN: Final = tuple(octet + 1 if octet < 128 else 0 if octet == 128 else 257 - octet for octet in range(256))


def to_blank(stream: Stream, image: Image) -> Iterator[Blank]:
    """Yield what of a frame is neither header nor segment.

    Raises:
        Held: the frame is not what RLE makes of this image.
    """
    places = _segments(stream, image)
    unused = 4 + 4 * len(places)
    yield from stream.ranges(unused, _HEADER - unused)
    behind = _HEADER
    for start, stop in places:
        yield from stream.ranges(behind, start - behind)
        behind = _walked(stream, start, stop, _segment_size(image))
        if stop - behind > 1:
            yield from stream.ranges(behind, stop - behind)
        behind = stop


def decoded(stream: Stream, image: Image) -> bytes:
    """Return a frame as native pixel data, in the planar configuration that the header says.

    Raises:
        Held: the frame is not what RLE makes of this image.
    """
    size = _segment_size(image)
    width = image.allocated // 8
    pixels = np.empty((image.samples, size, width), np.uint8)
    for number, (start, stop) in enumerate(_segments(stream, image)):
        sample, octet = divmod(number, width)
        # The most significant byte comes first (G.2).
        pixels[sample, :, width - 1 - octet] = _unpacked(stream.read(start, stop - start), size)
    return (pixels if image.planar else pixels.transpose(1, 0, 2)).tobytes()


def _segment_size(image: Image) -> int:
    cells = image.rows * image.columns
    return (cells + 7) // 8 if image.allocated == 1 else cells


def _segments(stream: Stream, image: Image) -> list[tuple[int, int]]:
    header = struct.unpack("<16I", stream.read(0, _HEADER))
    count = header[0]
    if count != image.samples * max(1, image.allocated // 8) or count > _MOST:
        raise unreadable("a frame has not the segments that the image needs")
    starts = [*header[1 : count + 1], stream.size]
    if starts[0] < _HEADER or any(before > after for before, after in itertools.pairwise(starts)):
        raise unreadable("its segments do not follow each other")
    return list(itertools.pairwise(starts))


def _walked(stream: Stream, start: int, stop: int, size: int) -> int:
    """Return where the runs of a segment end that are ``size`` bytes when unpacked."""
    missing, step, run = size, _STEP, _RUN
    while missing > 0:
        buf, at = stream.window(start, 1)
        begin, end = at, min(len(buf), at + stop - start)
        if begin >= end:
            raise unreadable("a segment is shorter than the image needs")
        while missing > 0 and at < end:
            control = buf[at]
            missing -= run[control]
            at += step[control]
        start += at - begin
    if start > stop:
        raise unreadable("a segment is shorter than the image needs")
    return start


def _unpacked(packed: bytes, size: int) -> npt.NDArray[np.uint8]:
    runs = []
    missing, at = size, 0
    while missing > 0:
        if at + 1 >= len(packed):
            raise unreadable("a segment is shorter than the image needs")
        control = packed[at]
        if control < 128:
            run = packed[at + 1 : at + 2 + control]
            at += control + 2
        else:
            run = packed[at + 1 : at + 2] * (257 - control if control > 128 else 0)
            at += 2 if control > 128 else 1
        runs.append(run)
        missing -= len(run)
    return np.frombuffer(b"".join(runs), np.uint8, size)
