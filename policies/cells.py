"""Pixel data beside its source: every cell the same, but for what a rule of the policy or E.1.1 takes out.

    native       the same cells, minus bits that an overlay group claims; nothing behind the last cell
    compressed   the same streams in the same places; what was taken out of one is zeros there
    cleaned      black in the regions of the rules that match, the same everywhere else

Which rules match and what is black is worked out here from the policy's fields and PS3.3 C.7.6.3. Frames are looked
at one by one, and nothing is held that is larger than a frame. What streams may still say is :mod:`policies.segments`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from policies.layout import Element, Instance
from policies.standard.beyond import conversion_types, risks, screen_types
from policies.unheard import unheard

if TYPE_CHECKING:
    from policies.clauses import PixelRule, Region
    from policies.model import Policy

PIXEL_DATA = 0x7FE00010
RLE = "1.2.840.10008.1.2.5"
_CHUNK = 1 << 20
_MANUFACTURER, _MODEL, _MODALITY = 0x00080070, 0x00081090, 0x00080060
_ROWS, _COLUMNS, _SAMPLES, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
_ALLOCATED, _STORED, _SIGNED, _PLANAR = 0x00280100, 0x00280101, 0x00280103, 0x00280006
_PHOTOMETRIC = 0x00280004

Array = npt.NDArray[np.generic]


def rules_of(policy: Policy, source: Instance) -> list[PixelRule]:
    """Return the pixel rules whose conditions all hold for an instance as it was before."""
    return [rule for rule in policy.pixels if _matches(rule, source)]


def wrong_cells(result: Instance, source: Instance, policy: Policy) -> Iterator[str]:
    """Yield a sentence for each way in which the result's pixel data is not what it has to be."""
    new, old = result.top.get(PIXEL_DATA), source.top.get(PIXEL_DATA)
    if new is None or old is None:
        return
    regions = [region for rule in rules_of(policy, source) for region in rule.regions]
    if regions:
        yield from _cleaned(result, source, new, old, regions)
    elif new.fragments is not None or old.fragments is not None:
        yield from _streams(new, old)
    else:
        yield from _native(result, source, new, old)


def _matches(rule: PixelRule, source: Instance) -> bool:
    texts = ((rule.modality, _MODALITY), (rule.manufacturer, _MANUFACTURER), (rule.model, _MODEL))
    numbers = ((rule.rows, _ROWS), (rule.columns, _COLUMNS))
    return (
        (rule.sop_class is None or rule.sop_class == source.sop_class_uid)
        and all(text is None or text.strip().casefold() == source.text(tag).casefold() for text, tag in texts)
        and all(number is None or number == _number(source, tag) for number, tag in numbers)
        and (rule.risk is None or str(rule.risk) in _risks(source))
    )


def _risks(source: Instance) -> set[str]:
    image_type = source.text(0x00080008).upper().split("\\")
    found = {str(screen_types()[part.strip()]) for part in image_type if part.strip() in screen_types()}
    of_class = risks().get(source.sop_class_uid)
    converted = conversion_types().get(source.text(0x00080064).upper())
    found |= {str(risk) for risk in (of_class, converted) if risk is not None}
    return found | ({"burned-in-annotation"} if source.text(0x00280301).upper() == "YES" else set())


def _number(instance: Instance, tag: int, absent: int = 0) -> int:
    element = instance.top.get(tag)
    if element is None or not element.length:
        return absent
    if element.vr in ("US", "UL", "SS", "UN"):
        return int.from_bytes(element.raw(), "big" if instance.big_endian else "little")
    text = element.text()
    return int(text) if text.isdigit() else absent


def _native(result: Instance, source: Instance, new: Element, old: Element) -> Iterator[str]:
    unit = 2 if old.vr == "OW" or _number(source, _ALLOCATED, 16) > 8 else 1
    cells = _size(source)
    used = min(cells, old.length) if cells else old.length
    mask = ~_overlay_bits(source) & 0xFFFF
    if new.length != old.length and new.length != old.length + (old.length & 1):
        yield "pixel data of another length than the source's"
        return
    swap = result.big_endian != source.big_endian
    if unit == 2 and used < old.length:
        # The last of an odd number of cells of eight bits shares its word with the padding.
        used += used & 1
    for at in range(0, used, _CHUNK):
        stop = min(at + _CHUNK, used)
        mine = new.data[new.start + at : new.start + stop]
        theirs = old.data[old.start + at : old.start + stop]
        if mine == theirs and mask == 0xFFFF and not swap:
            continue
        if not _same_cells(mine, theirs, unit, mask, swap):
            yield "a cell that had to stay as it was"
            return
    if any(_pieces(new, used)):
        yield "bytes behind the last cell"


def goes_on_behind_its_cells(instance: Instance) -> bool:
    """Does something stand behind the last cell of native pixel data, where no viewer shows it?"""
    pixels = instance.top.get(PIXEL_DATA)
    if pixels is None or pixels.fragments is not None or not _size(instance):
        return False
    return any(_pieces(pixels, _size(instance)))


def _same_cells(mine: bytes, theirs: bytes, unit: int, mask: int, swap: bool) -> bool:
    if unit == 2 and len(theirs) % 2 == 0:
        before = np.frombuffer(theirs, ">u2" if swap else "<u2")
        return bool(np.array_equal(np.frombuffer(mine, "<u2"), before & np.uint16(mask)))
    return mine == theirs


def _pieces(element: Element, begin: int) -> Iterator[bool]:
    """Say of each piece from ``begin`` on whether anything stands in it."""
    for at in range(begin, element.length, _CHUNK):
        stop = min(at + _CHUNK, element.length)
        yield bool(element.data[element.start + at : element.start + stop].strip(b"\0"))


def _size(instance: Instance) -> int:
    """How many bytes the cells of native pixel data take, 0 where it cannot be told (PS3.5 8.1.1)."""
    cells = _number(instance, _ROWS) * _number(instance, _COLUMNS) * _number(instance, _FRAMES, 1)
    samples = 2 if "422" in instance.text(_PHOTOMETRIC) else _number(instance, _SAMPLES, 1)
    return -(-cells * samples * _number(instance, _ALLOCATED) // 8)


def _overlay_bits(source: Instance) -> int:
    """The bits of a cell that overlay groups without data of their own claim (PS3.5 8.1.2)."""
    bits = 0
    for group in range(0x6000, 0x6020, 2):
        allocated = _number(source, group << 16 | 0x0100)
        position = _number(source, group << 16 | 0x0102)
        if (allocated > 1 or position > 0) and position < 16:
            bits |= 1 << position
    return bits


def _streams(new: Element, old: Element) -> Iterator[str]:
    mine, theirs = new.fragments, old.fragments
    if mine is None or theirs is None:
        yield "pixel data that is compressed where the source's is not, or not where it is"
        return
    # A Basic Offset Table that is none may become an empty one.
    if len(mine) != len(theirs) or not all(
        one[1] == other[1] for one, other in zip(mine[1:], theirs[1:], strict=True)
    ):
        yield "other fragments than the source has"
        return
    for (start, length), (begin, _) in zip(mine[1:], theirs[1:], strict=True):
        for at in range(0, length, _CHUNK):
            size = min(_CHUNK, length - at)
            after = new.data[start + at : start + at + size]
            before = old.data[begin + at : begin + at + size]
            if after != before and not _only_blanked(after, before):
                yield "a stream that had to stay as it was, but for what is blanked in it"
                return
    table = new.data[mine[0][0] : mine[0][0] + mine[0][1]] if mine else b""
    if mine and mine[0][1] and table != old.data[theirs[0][0] : theirs[0][0] + theirs[0][1]]:
        yield "another offset table than the source has"


def _only_blanked(after: bytes, before: bytes) -> bool:
    """Is every byte that differs a zero, or one of the four letters of a JP2 box that is free?"""
    changed = np.flatnonzero(np.frombuffer(after, np.uint8) != np.frombuffer(before, np.uint8))
    return all(after[at] == 0 or b"free" in after[max(0, at - 3) : at + 4] for at in changed.tolist())


def _cleaned(
    result: Instance, source: Instance, new: Element, old: Element, regions: list[Region]
) -> Iterator[str]:
    if new.fragments is not None or (old.fragments is not None and source.transfer_syntax_uid != RLE):
        yield "a compressed image that the policy cleans"
        return
    shape = _frame_shape(result)
    if shape is None or new.length < _size(result):
        yield "an image of which it cannot be told where its cells are"
        return
    mask = np.zeros(shape[:2], np.bool_)
    pair = 2 if "422" in result.text(_PHOTOMETRIC) else 1
    for region in regions:
        right = shape[1] * pair if region.width is None else region.x + region.width
        bottom = shape[0] if region.height is None else region.y + region.height
        mask[region.y : bottom, region.x // pair : -(-right // pair)] = True
    black = _black(result, shape[2])
    for after, before in zip(_frames(result, new), _source_frames(source, old), strict=False):
        painted = after[mask]
        if black is None and len(np.unique(painted)) > 1:
            yield "a region that is not of one colour"
            return
        if black is not None and not (painted == np.array(black, after.dtype)).all():
            yield "a region that is not black"
            return
        if not np.array_equal(after[~mask], before[~mask]):
            yield "a cell outside the regions that is not the source's"
            return


def _frame_shape(instance: Instance) -> tuple[int, int, int] | None:
    """Rows, columns and values of a cell (of two pixels where they share their chrominance)."""
    rows, columns = _number(instance, _ROWS), _number(instance, _COLUMNS)
    samples = _number(instance, _SAMPLES, 1)
    if not rows or not columns or _number(instance, _ALLOCATED) not in (8, 16):
        return None
    return (rows, columns // 2, 4) if "422" in instance.text(_PHOTOMETRIC) else (rows, columns, samples)


def _frames(instance: Instance, element: Element) -> Iterator[Array]:
    """Yield native frames as (row, column, value)."""
    shape = _frame_shape(instance)
    assert shape is not None
    width = _number(instance, _ALLOCATED) // 8
    size = shape[0] * shape[1] * shape[2] * width
    order = ">" if instance.big_endian else "<"
    planar = shape[2] > 1 and _number(instance, _PLANAR) == 1
    for frame in range(_number(instance, _FRAMES, 1)):
        start = element.start + frame * size
        cells = np.frombuffer(element.data[start : start + size], f"{order}u{width}")
        if planar:
            yield cells.reshape(shape[2], shape[0], shape[1]).transpose(1, 2, 0)
        else:
            yield cells.reshape(shape)


def _source_frames(source: Instance, element: Element) -> Iterator[Array]:
    if element.fragments is None:
        yield from _frames(source, element)
        return
    from pydicom.pixels import iter_pixels

    samples = _number(source, _SAMPLES, 1)
    frames = iter_pixels(source.path, raw=True)
    while True:
        # Only while pydicom reads: what stands between two frames is not its business.
        with unheard():
            frame = next(frames, None)
        if frame is None:
            return
        yield frame.reshape(frame.shape[0], frame.shape[1], samples)


def _black(instance: Instance, values: int) -> tuple[int, ...] | None:
    """The cell that is black, as unsigned numbers; None where a palette says which (PS3.3 C.7.6.3.1.2)."""
    photometric, bits = instance.text(_PHOTOMETRIC), _number(instance, _STORED)
    signed = _number(instance, _SIGNED) == 1
    whole = (1 << _number(instance, _ALLOCATED)) - 1
    lowest = -(1 << bits - 1) & whole if signed else 0
    highest = (1 << bits - (1 if signed else 0)) - 1
    if photometric == "MONOCHROME2":
        return (lowest,)
    if photometric == "MONOCHROME1":
        return (highest,)
    if photometric == "RGB":
        return (0,) * values
    if photometric.startswith("YBR_FULL"):
        chroma = 1 << bits - 1
        return (0, 0, chroma, chroma) if values == 4 else (0, chroma, chroma)
    return None
