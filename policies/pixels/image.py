"""What the header says of the pixels: how many there are, and which bits of a cell are one (PS3.3 C.7.6.3, PS3.5 8.1).

Read from the raw values of a few attributes. The images of a series say the same, so the answer is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from policies.elements import text_of

_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_PLANAR: Final = 0x00280006
_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_ALLOCATED: Final = 0x00280100
_STORED: Final = 0x00280101
_HIGH: Final = 0x00280102
_SIGNED: Final = 0x00280103
_PADDING: Final = 0x00280120
_PADDING_LIMIT: Final = 0x00280121
_PALETTE: Final = (0x00281101, 0x00281102, 0x00281103, 0x00281201, 0x00281202, 0x00281203)
_OVERLAYS: Final = tuple((group << 16 | 0x0100, group << 16 | 0x0102) for group in range(0x6000, 0x6020, 2))

FLOAT: Final = 0x7FE00008
DOUBLE: Final = 0x7FE00009
OFFSETS: Final = 0x7FE00001
OFFSET_LENGTHS: Final = 0x7FE00002
DATA: Final = frozenset({FLOAT, DOUBLE, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

_SHAPE: Final = (
    *(_SAMPLES, _PHOTOMETRIC, _PLANAR, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH, _SIGNED),
    *(_PADDING, _PADDING_LIMIT),
)
DESCRIBING: Final = frozenset(
    {*_SHAPE, OFFSETS, OFFSET_LENGTHS, *(tag for pair in _OVERLAYS for tag in pair)}
)
"""Top-level attributes without whose values nothing can be said of the pixels."""

COLOURING: Final = frozenset(_PALETTE)
"""Top-level attributes that tell which cell is black; asked for only where something is blacked out."""


@dataclass(frozen=True, slots=True)
class Image:
    """The shape of an image. ``planar`` says that each sample has a plane of its own; bits are counted from 0."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: bool
    allocated: int
    stored: int
    high: int
    signed: bool
    padding: tuple[int, int] | None = None
    """The lowest and the highest Pixel Padding Value."""
    overlay_bits: int = 0
    """The bits of a cell that the header gives to overlay planes (retired; PS3.5 2004 8.1.2)."""

    @property
    def per_pixel(self) -> int:
        """How many cells a pixel takes: chrominance may be shared by two."""
        return 2 if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") else self.samples

    @property
    def frame_size(self) -> int:
        """Bytes of one frame of native pixel data, rounded up where its cells are bits."""
        return (self.rows * self.columns * self.per_pixel * self.allocated + 7) // 8

    @property
    def size(self) -> int:
        """Bytes of the whole native pixel data: frames of bits follow each other without a gap (PS3.5 8.1.1)."""
        return (self.rows * self.columns * self.per_pixel * self.allocated * self.frames + 7) // 8

    @property
    def shift(self) -> int:
        """The place of a pixel value's lowest bit in its cell."""
        return max(0, self.high + 1 - self.stored)

    @property
    def unused_bits(self) -> int:
        """The bits of a cell that belong to no pixel value."""
        return ((1 << self.allocated) - 1) & ~(((1 << self.stored) - 1) << self.shift)


def image_of(raws: Mapping[int, bytes], tag: int) -> Image | None:
    """Return the image that attributes describe whose pixels are the element ``tag``; None where they do not."""
    overlays = tuple(
        (raws.get(size, b""), raws.get(place, b"")) for size, place in _OVERLAYS if place in raws
    )
    return _image(tuple(raws.get(of, b"") for of in _SHAPE), overlays, {FLOAT: 32, DOUBLE: 64}.get(tag, 0))


@lru_cache(maxsize=256)
def _image(
    shape: tuple[bytes, ...], overlays: tuple[tuple[bytes, bytes], ...], floating: int
) -> Image | None:
    samples, photometric, planar, frames, rows, columns, allocated, stored, high, signed, low, limit = shape
    bits = floating or _number(allocated)
    count = text_of(frames) or "1"
    if not (_number(rows) and _number(columns) and bits and count.isascii() and count.isdigit()):
        return None
    kept = min(_number(stored), bits) if not floating else bits
    if not kept or not 0 < int(count) < 1 << 31:
        return None
    negative = _number(signed) == 1
    paddings = [int.from_bytes(value[:2], "little", signed=negative) for value in (low, limit) if value]
    return Image(
        rows=_number(rows),
        columns=_number(columns),
        frames=int(count),
        samples=_number(samples) or 1,
        photometric=text_of(photometric),
        planar=_number(planar) == 1,
        allocated=bits,
        stored=kept,
        high=_number(high) if high and not floating else kept - 1,
        signed=negative,
        padding=(min(paddings), max(paddings)) if paddings else None,
        overlay_bits=_overlay_bits(overlays, bits),
    )


def _overlay_bits(overlays: tuple[tuple[bytes, bytes], ...], allocated: int) -> int:
    bits = 0
    for size, place in overlays:
        # An overlay with data of its own says 1 and 0.
        if _number(size) > 1 or _number(place) > 0:
            bits |= 1 << min(_number(place), allocated)
    return bits


def _number(raw: bytes) -> int:
    return int.from_bytes(raw[:2], "little")


def darkest_index(raws: Mapping[int, bytes]) -> int | None:
    """Return the cell that a palette shows darkest, or None where the palette is not plainly given."""
    return _darkest(tuple(raws.get(tag, b"") for tag in _PALETTE))


@lru_cache(maxsize=16)
def _darkest(palette: tuple[bytes, ...]) -> int | None:
    descriptors, tables = palette[:3], palette[3:]
    count = _number(descriptors[0]) or 1 << 16
    if any(len(descriptor) != 6 or descriptor[:4] != descriptors[0][:4] for descriptor in descriptors):
        return None
    lights = [0] * count
    for table in tables:
        wide = 2 if len(table) >= 2 * count else 1
        if len(table) < count:
            return None
        for at in range(count):
            # Tables of 8 and 16 bits may stand beside each other: only the order within one counts.
            lights[at] += int.from_bytes(table[at * wide : at * wide + wide], "little")
    return _number(descriptors[0][2:]) + min(range(count), key=lights.__getitem__)
