"""Blacking out regions of an image: the value that is black, and the cells that get it (PS3.3 C.7.6.3.1.2).

A region that does not lie in the image was written for another kind of image: then nothing is blacked out and the
instance is held, because what the region was to cover stands somewhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from policies.clauses import Region
from policies.errors import Held
from policies.pixels.image import Image, darkest_index

_NEXT = "Decompress it, or convert it to an image that can be cleaned, and try again; or leave it out."


@dataclass(frozen=True)
class Blackening:
    """Regions of one image, and the cells that are black in it (of a pixel, or of two that share chrominance)."""

    image: Image
    boxes: tuple[tuple[int, int, int, int], ...]
    """(first column, column behind the last, first row, row behind the last)."""
    black: tuple[int, ...]

    @cached_property
    def bands(self) -> list[tuple[int, int]]:
        """The rows that a region touches, as (first, behind the last), none twice."""
        bands: list[tuple[int, int]] = []
        for first, stop in sorted((top, bottom) for _, _, top, bottom in self.boxes):
            if bands and first <= bands[-1][1]:
                bands[-1] = bands[-1][0], max(stop, bands[-1][1])
            else:
                bands.append((first, stop))
        return bands

    def apply(self, cells: npt.NDArray[np.unsignedinteger], plane: int, first: int, stop: int) -> None:
        """Black out the rows from ``first`` to before ``stop`` of a plane, which ``cells`` holds whole."""
        image = self.image
        black = self.black[plane : plane + 1] if image.planar else self.black
        per_column = 2 if image.per_pixel != image.samples else 1
        rows = cells.reshape(stop - first, image.columns // per_column, len(black))
        value = np.array(black, cells.dtype)
        for left, right, top, bottom in self.boxes:
            # Two pixels that share their chrominance go together.
            columns = slice(left // per_column, -(-right // per_column))
            rows[max(0, top - first) : max(0, bottom - first), columns] = value


def blackening(image: Image, regions: Sequence[Region], raws: Mapping[int, bytes]) -> Blackening:
    """Return how ``regions`` of an image are blacked out.

    Raises:
        Held: a region does not lie in the image, or nobody can say what is black there.
    """
    boxes = []
    for region in regions:
        right = image.columns if region.width is None else region.x + region.width
        bottom = image.rows if region.height is None else region.y + region.height
        if not (region.x < right <= image.columns and region.y < bottom <= image.rows):
            raise Held(
                "region-beyond-image",
                "A region of a pixel rule does not lie in the image that the rule matches.",
                next_step="Give the rule the rows and columns of the images that it was written for.",
            )
        boxes.append((region.x, right, region.y, bottom))
    return Blackening(image, tuple(boxes), _black(image, raws))


def not_cleaned(what: str) -> Held:
    """Return why an instance is not passed on that a pixel rule matches."""
    return Held("pixels-not-cleaned", f"A pixel rule matches, but {what}.", next_step=_NEXT)


def _black(image: Image, raws: Mapping[int, bytes]) -> tuple[int, ...]:
    """Return the cells of a black pixel; signed values as two's complement, their sign extended."""
    if image.allocated not in (8, 16):
        raise not_cleaned("its pixels are of neither 8 nor 16 bits")
    cell = (1 << image.allocated) - 1
    middle = 1 << (image.stored - 1)
    lowest, highest = (-middle, middle - 1) if image.signed else (0, (1 << image.stored) - 1)
    black: tuple[int, ...] = ()
    match image.photometric, image.samples:
        case "MONOCHROME2", 1:
            black = (lowest,)
        case "MONOCHROME1", 1:
            black = (highest,)
        case "RGB", 3 if not image.signed:
            black = (0, 0, 0)
        case "YBR_FULL", 3 if not image.signed:
            black = (0, middle, middle)
        case "YBR_FULL_422", 3 if not (image.signed or image.planar or image.columns % 2):
            black = (0, 0, middle, middle)
        case "PALETTE COLOR", 1:
            index = darkest_index(raws)
            black = () if index is None else (index,)
    if not black:
        raise not_cleaned("its colours are not ones of which it is known what is black")
    return tuple(value << image.shift & cell for value in black)
