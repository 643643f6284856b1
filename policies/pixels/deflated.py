"""Deflated Image Frame Compression: what stands behind the deflated stream of a frame (PS3.5 A.4.12)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from policies.pixels.image import Image
from policies.pixels.overwritten import Blank
from policies.pixels.streams import Stream, unreadable

_BLOCK: Final = 1 << 18


def to_blank(stream: Stream, image: Image) -> Iterator[Blank]:
    """Yield what stands behind the stream.

    Raises:
        Held: the frame is no deflated stream, or not of the image's size.
    """
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    pos = inflated = 0
    try:
        while not inflating.eof:
            buf, at = stream.window(pos, 1, _BLOCK)
            content = buf[at:]
            if not content:
                raise unreadable("a frame has no end")
            pos += len(content)
            while content and not inflating.eof:
                inflated += len(inflating.decompress(content, _BLOCK))
                content = inflating.unconsumed_tail
                if inflated > image.frame_size + 1:
                    raise unreadable("a frame is larger than the image says")
    except zlib.error:
        raise unreadable("a frame does not begin as its transfer syntax says") from None
    if inflated < image.frame_size:
        raise unreadable("a frame is smaller than the image says")
    yield from stream.rest(pos - len(inflating.unused_data))
