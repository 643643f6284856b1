"""What happens to the pixel data of one instance, decided from its transfer syntax, its header and its streams.

    native          ──▶ overlay bits cleared, bytes behind the last frame blanked, regions blacked out
    RLE             ──▶ padding blanked; with regions: decoded, blacked out, written as native
    deflated frames ──▶ what follows the end blanked in place
    JPEG, JPEG-LS, JPEG 2000 ──▶ comments, application segments and what follows the end blanked in place
    anything else   ──▶ held

Only ranges are noted here; the kernel copies the rest when the instance is written (PS3.5 section 8, annex A).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from policies.clauses import Region
from policies.elements import (
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    encode,
    tag_bytes,
)
from policies.errors import Held, Refusal
from policies.pieces import Copy, Made, PixelData
from policies.pixels import deflated, jpeg, jpeg2000, rle
from policies.pixels.image import OFFSET_LENGTHS, OFFSETS, Image, image_of
from policies.pixels.native import Overwritten, Span, bits_to_clear, cells_of, trailing, unused_bits
from policies.pixels.overwritten import Blank, Blanks, worth_blanking
from policies.pixels.regions import Blackening, blackening, not_cleaned
from policies.pixels.streams import Stream, are_extended_tables, frames_of, is_offset_table, unreadable
from policies.source import Source

_FAMILY: Final = "1.2.840.10008.1.2.4."
_JPEG: Final = frozenset(f"{_FAMILY}{number}" for number in (*range(50, 67), 70))
_JPEG_LS: Final = frozenset({f"{_FAMILY}80", f"{_FAMILY}81"})
_JPEG_2000: Final = frozenset(f"{_FAMILY}{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_ELSEWHERE: Final = frozenset(f"{_FAMILY}{number}" for number in (94, 95, 204, 205))
_RLE: Final = "1.2.840.10008.1.2.5"
_DEFLATED_FRAMES: Final = "1.2.840.10008.1.2.8.1"
_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
_NATIVE: Final = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, DEFLATED_LITTLE_ENDIAN})
_LARGEST_VALUE: Final = (1 << 32) - 2
_EMPTY_TABLE: Final = b"\xfe\xff\x00\xe0\0\0\0\0"


@dataclass(frozen=True, slots=True, repr=False)
class Treatment:
    """What becomes of the pixel data's element.

    ``pieces`` stand in its place, None where it stays as it is; ``syntax`` is the new transfer syntax, if any;
    ``cleaned`` says that regions were blacked out.
    """

    pieces: tuple[bytes | Copy | Made, ...] | None = None
    syntax: str | None = None
    cleaned: bool = False
    keeps_offset_tables: bool = True


def require_pixels_here(syntax: str) -> None:
    """Raise Refusal where a transfer syntax keeps the pixels at another place (JPIP)."""
    if syntax in _ELSEWHERE:
        raise Refusal(
            "pixels-elsewhere",
            "The pixels are kept at an address that the instance names.",
            next_step="Fetch the pixels and store them in the instance, or leave it out.",
        )


def treat(
    source: Source, pixels: PixelData, syntax: str, raws: Mapping[int, bytes], regions: Sequence[Region]
) -> Treatment:
    """Decide what happens to pixel data; ``raws`` are the values of the attributes that describe it.

    Raises:
        Held: it cannot be vouched for; ``reason`` says why.
    """
    image = image_of(raws, pixels.tag)
    if image is None:
        if not pixels.length and not regions:
            return Treatment()
        raise Held(
            "unclear-pixels",
            "The header does not say how the pixels are encoded.",
            next_step="Correct Rows, Columns, Bits Allocated and Bits Stored at the source, or leave it out.",
        )
    native = syntax in _NATIVE
    if native != (pixels.fragments is None):
        raise unreadable("the pixel data is not encapsulated as its transfer syntax says")
    black = blackening(image, regions, raws) if regions else None
    if pixels.fragments is None:
        return _native(source, pixels, image, black)
    if not pixels.fragments:
        raise unreadable("there are not as many frames as the image says")
    keeps = OFFSETS not in raws or are_extended_tables(
        pixels.fragments, image.frames, raws[OFFSETS], raws.get(OFFSET_LENGTHS, b"")
    )
    if syntax == _UNCOMPRESSED:
        done = _uncompressed(source, pixels, image, black)
    else:
        done = _compressed(source, pixels, image, syntax, black)
    return replace(done, keeps_offset_tables=keeps and done.syntax is None)


def _native(source: Source, pixels: PixelData, image: Image, black: Blackening | None) -> Treatment:
    held = min(pixels.length, image.size)
    if black and held < image.size:
        raise not_cleaned("its pixel data is too short")
    overwritten = Overwritten(
        image,
        (Span(pixels.value, image.frames),),
        bits_to_clear(source, image, ((pixels.value, held),)),
        black,
        trailing(source, image, pixels.value, pixels.length),
    )
    return _overwritten(pixels.copy, overwritten, held < image.size)


def _uncompressed(source: Source, pixels: PixelData, image: Image, black: Blackening | None) -> Treatment:
    """Native frames, each a fragment (PS3.5 A.4.11)."""
    fragments = pixels.fragments or ()
    frames = fragments[1:]
    size = image.frame_size
    if len(frames) != image.frames or any(length not in (size, size + 1) for _, length in frames):
        raise unreadable("a fragment is not one frame")
    overwritten = Overwritten(
        image,
        tuple(Span(offset, 1) for offset, _ in frames),
        bits_to_clear(source, image, [(offset, size) for offset, _ in frames]),
        black,
    )
    done = _overwritten(pixels.copy, overwritten, truncated=False)
    return _with_table(source, pixels, image, done)


def _overwritten(copy: Copy, overwritten: Overwritten, truncated: bool) -> Treatment:
    if not (overwritten.cleared or overwritten.blackening or overwritten.trailing):
        return Treatment()
    if overwritten.cleared and truncated:
        raise unused_bits()
    return Treatment((replace(copy, overwriting=overwritten),), cleaned=overwritten.blackening is not None)


def _compressed(
    source: Source, pixels: PixelData, image: Image, syntax: str, black: Blackening | None
) -> Treatment:
    starts, to_blank = _reader(syntax, image)
    fragments = pixels.fragments or ()
    frames = frames_of(source, fragments[1:], image.frames, starts)
    if black is not None:
        if syntax != _RLE:
            raise not_cleaned("its pixels are compressed")
        return _rewritten(frames, image, black)
    if image.overlay_bits & image.unused_bits:
        raise unused_bits()
    found = [blank for frame in frames for blank in to_blank(frame)]
    blanks = worth_blanking(source, found)
    done = Treatment((replace(pixels.copy, overwriting=Blanks(blanks)),)) if blanks else Treatment()
    return _with_table(source, pixels, image, done)


def _reader(syntax: str, image: Image) -> tuple[Sequence[bytes], Callable[[Stream], Iterator[Blank]]]:
    """Return how frames of a transfer syntax begin, and what finds in them what has to be blanked."""
    if syntax in _JPEG or syntax in _JPEG_LS:
        return jpeg.STARTS, partial(jpeg.to_blank, lossless_ls=syntax in _JPEG_LS)
    if syntax in _JPEG_2000:
        return jpeg2000.STARTS, jpeg2000.to_blank
    if syntax == _RLE:
        return (), partial(rle.to_blank, image=image)
    if syntax == _DEFLATED_FRAMES:
        return (), partial(deflated.to_blank, image=image)
    raise unreadable("its transfer syntax is not known here")


def _with_table(source: Source, pixels: PixelData, image: Image, done: Treatment) -> Treatment:
    """Put an empty Basic Offset Table, which is always legal, in place of an item that is no table."""
    fragments = pixels.fragments or ()
    if is_offset_table(source, fragments, image.frames):
        return done
    copy = pixels.copy
    if done.pieces and isinstance(done.pieces[0], Copy):
        copy = done.pieces[0]
    behind = sum(fragments[0])
    rest = replace(copy, offset=behind, length=copy.offset + copy.length - behind)
    head = source.read(copy.offset, pixels.value - copy.offset)
    return replace(done, pieces=(head + _EMPTY_TABLE, rest))


_LARGEST_FRAME: Final = 1 << 28
"""Bytes of a frame that is decoded: a few runs may claim any number of pixels."""


def _rewritten(frames: Sequence[Stream], image: Image, black: Blackening) -> Treatment:
    """Return RLE frames as native pixel data, blacked out."""
    length = image.size + image.size % 2
    if length > _LARGEST_VALUE:
        raise not_cleaned("its pixels are too many for native pixel data")
    if image.frame_size > _LARGEST_FRAME:
        raise not_cleaned("its frames are too large to be blacked out in memory")
    vr = b"OB" if image.allocated == 8 else b"OW"
    # The same header as that of an empty value, but for the length.
    head = encode(0x7FE00010, vr, b"", explicit=True)[:-4] + length.to_bytes(4, "little")
    assert head.startswith(tag_bytes(0x7FE00010)), "Pixel Data"
    made = Made(partial(_blackened, frames, image, black, length - image.size))
    return Treatment((head, made), EXPLICIT_LITTLE_ENDIAN, cleaned=True)


def _blackened(frames: Sequence[Stream], image: Image, black: Blackening, padding: int) -> Iterator[bytes]:
    planes = image.samples if image.planar else 1
    for frame in frames:
        cells = cells_of(image, rle.decoded(frame, image)).copy()
        cells &= ~cells.dtype.type(image.overlay_bits & image.unused_bits)
        for plane, part in enumerate(cells.reshape(planes, -1)):
            black.apply(part, plane, 0, image.rows)
        yield cells.tobytes()
    yield b"\0" * padding
