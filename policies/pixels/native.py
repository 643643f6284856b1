"""Native pixel data: what stands in it beside pixel values, and what is written over it.

A cell may have bits that belong to no pixel value (PS3.5 8.1.1). Once, overlay planes were kept there; an overlay
group then says which bit is its own. Everything is read and written a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.errors import Held
from policies.pixels.image import Image
from policies.pixels.overwritten import BLOCK, Blank
from policies.pixels.regions import Blackening
from policies.source import Source

Cells = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the source (offset) that holds whole frames, one behind the other."""

    offset: int
    frames: int


@dataclass(frozen=True, slots=True)
class Overwritten:
    """Native pixel data with other cells (:class:`policies.pieces.Overwriting`).

    ``cleared`` are bits that become 0 in every cell, ``trailing`` are ranges behind the pixels.
    """

    image: Image
    spans: tuple[Span, ...]
    cleared: int = 0
    blackening: Blackening | None = None
    trailing: tuple[Blank, ...] = ()

    def blocks(self, source: Source) -> Iterator[tuple[int, bytes]]:
        """Yield the rows that change."""
        image = self.image
        planes = image.samples if image.planar else 1
        row_size = image.columns * (1 if image.planar else image.per_pixel) * image.allocated // 8
        for span in self.spans if self.cleared or self.blackening else ():
            for plane in range(span.frames * planes):
                offset = span.offset + plane * image.rows * row_size
                for first, stop in self._bands(BLOCK // max(1, row_size) or 1):
                    at = offset + first * row_size
                    cells = np.array(cells_of(image, source.read(at, (stop - first) * row_size)))
                    if self.cleared:
                        cells &= ~cells.dtype.type(self.cleared)
                    if self.blackening:
                        self.blackening.apply(cells, plane % planes, first, stop)
                    yield at, cells.tobytes()
        for offset, length, pattern in self.trailing:
            yield offset, pattern * length

    def _bands(self, most: int) -> Iterator[tuple[int, int]]:
        """Yield (first row, row behind the last) of what has to be rewritten, ``most`` rows at a time."""
        bands = [(0, self.image.rows)]
        if not self.cleared and self.blackening:
            bands = self.blackening.bands
        for first, stop in bands:
            for at in range(first, stop, most):
                yield at, min(at + most, stop)


def cells_of(image: Image, content: bytes) -> Cells:
    """Return the cells of native pixel data, whatever they mean."""
    return np.frombuffer(content, f"<u{image.allocated // 8}")


def trailing(source: Source, image: Image, offset: int, length: int) -> tuple[Blank, ...]:
    """Return what stands behind the pixels, one padding byte excepted.

    Raises:
        Held: there is room for more frames than the image says it has.
    """
    beyond = length - image.size
    if beyond < 2:
        return ()
    blank = Blank(offset + image.size, beyond)
    end = offset + length
    if not any(source.read(at, min(BLOCK, end - at)).strip(b"\0") for at in range(blank.offset, end, BLOCK)):
        return ()
    if beyond >= image.frame_size:
        raise Held(
            "pixels-beyond-frames",
            "The pixel data holds more than the frames that the image says it has.",
            next_step="Correct Rows, Columns or Number of Frames at the source, or leave the instance out.",
        )
    return (blank,)


def bits_to_clear(source: Source, image: Image, parts: Sequence[tuple[int, int]]) -> int:
    """Return the bits of overlay planes that are set somewhere in ``parts`` (offset, length) of the source.

    Raises:
        Held: bits are set that belong neither to a pixel value nor to an overlay. Signs that were extended and
            padding values, which may use all bits of a cell, are neither.
    """
    unused = image.unused_bits
    if not unused or image.allocated not in (8, 16, 32):
        return 0
    width = image.allocated // 8
    found = 0
    for offset, length in parts:
        for at in range(offset, offset + length, BLOCK):
            content = source.read(at, min(BLOCK, offset + length - at) // width * width)
            found |= int(np.bitwise_or.reduce(cells_of(image, content))) if content else 0
    found &= unused
    stray = found & ~image.overlay_bits
    if stray and not all(
        _harmless(
            image, cells_of(image, source.read(at, min(BLOCK, offset + length - at) // width * width)), stray
        )
        for offset, length in parts
        for at in range(offset, offset + length, BLOCK)
    ):
        raise unused_bits()
    return found & image.overlay_bits


def unused_bits() -> Held:
    """Return why an instance is not passed on whose cells hold more than pixel values."""
    return Held(
        "unused-bits",
        "Bits that belong to no pixel value hold something.",
        next_step="Correct Bits Stored and High Bit at the source, or decompress the instance, or leave it out.",
    )


def _harmless(image: Image, cells: Cells, stray: int) -> bool:
    """Say whether stray bits are set only in padding, or by signs that were extended."""
    odd = cells[(cells & cells.dtype.type(stray)) != 0].astype(np.int64)
    if image.signed:
        odd -= (odd >> (image.allocated - 1)) << image.allocated
    if image.padding is not None:
        low, high = image.padding
        odd = odd[(odd < low) | (odd > high)]
    # An extended sign says nothing that the sign does not: all bits from High Bit upwards are set.
    return not len(odd) or bool(image.signed and np.all(odd >> image.high == -1))
