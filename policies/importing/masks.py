"""Makes a pixel rule of criteria and rectangles, where a pixel rule has them; otherwise says why it cannot.

A rule lets images pass that would be held. So its conditions are never wider than those of the original: what asks for
a part of a text asks for all of it here, and what cannot be asked makes the whole rule impossible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policies.importing.original import Lost, Mask

_CONDITIONS = {
    "Modality": "modality",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "SOPClassUID": "sop_class",
    "Rows": "rows",
    "Columns": "columns",
}
_WHY = "it asks for {}, which no pixel rule does; such images are held if they are at risk"
_LARGEST = 0xFFFF


class Criterion(NamedTuple):
    """An attribute, how it is compared (``equals`` or ``contains``), and with what."""

    keyword: str
    method: str
    value: str

    def __repr__(self) -> str:
        return f"Criterion({self.keyword}, {self.method}, …)"


def mask_of(
    line: int, criteria: Sequence[Criterion], regions: Sequence[tuple[int, int, int, int]], *, wider: int
) -> Mask | Lost:
    """Return the rule for images that meet all ``criteria``; ``wider`` pixels are added at the right and below."""
    conditions: dict[str, str | int] = {}
    narrowed = False
    for criterion in criteria:
        name = _CONDITIONS.get(criterion.keyword)
        if name is None:
            return Lost(line, "a signature", _WHY.format(criterion.keyword))
        value = _value(name, criterion.value)
        if value is None or conditions.get(name, value) != value:
            return Lost(line, "a signature", _WHY.format("two values of one attribute, or none"))
        narrowed |= criterion.method == "contains" and name not in ("rows", "columns")
        conditions[name] = value
    if not conditions:
        return Lost(line, "a signature", "it has no condition, and would let every image pass")
    drawn = [_region(region, conditions, wider) for region in regions]
    if not drawn or any(region is None for region in drawn):
        return Lost(
            line,
            "a signature",
            "a rectangle needs the size of the image; such images are held if they are at risk",
        )
    return Mask(line, conditions, tuple(region for region in drawn if region is not None), narrowed)


def _value(name: str, written: str) -> str | int | None:
    if name in ("rows", "columns"):
        return int(written) if written.isdecimal() and 0 < int(written) <= _LARGEST else None
    text = written.strip()
    return (text.upper() if name == "modality" else text) or None


def _region(
    region: tuple[int, int, int, int], conditions: dict[str, str | int], wider: int
) -> dict[str, int] | None:
    """Return a rectangle as a policy writes it; one that reaches beyond the edge ends there."""
    x, y, width, height = region
    columns, rows = conditions.get("columns"), conditions.get("rows")
    across = _side(x, width, columns if isinstance(columns, int) else None, wider)
    down = _side(y, height, rows if isinstance(rows, int) else None, wider)
    if across is None or down is None:
        return None
    written = {"x": across[0], "y": down[0], "width": across[1], "height": down[1]}
    return {name: value for name, value in written.items() if value or name in ("width", "height")}


def _side(start: int, length: int, whole: int | None, wider: int) -> tuple[int, int] | None:
    if start < 0:
        if whole is None:
            return None
        start = max(0, whole + start)
    if length < 1 or start > _LARGEST:
        return None
    length += wider
    if whole is not None:
        if start >= whole:
            return None
        length = min(length, whole - start)
    return start, min(length, _LARGEST)
