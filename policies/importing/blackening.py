"""Drafts pixel rules from the masks of another de-identifier, one for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from policies.clauses import PixelRule
from policies.importing.original import Mask
from policies.importing.report import Fate, Line


@dataclass(frozen=True, slots=True, repr=False)
class Blackened:
    """What came of a mask: the fields of a pixel rule, if there can be one, and the lines for the report."""

    fields: dict[str, Any] | None
    line: Line
    more: Line | None


def drafted(mask: Mask) -> Blackened:
    """Return the pixel rule for a mask; one that no rule can have is told, and such images are held."""
    fields: dict[str, Any] = {
        **mask.conditions,
        "regions": [dict(region) for region in mask.regions],
        "reason": f"Line {mask.line} of the original blacks this out.",
    }
    what = "a signature"
    told = f"blacks out {len(mask.regions)} rectangle{'s' if len(mask.regions) > 1 else ''}"
    try:
        PixelRule.model_validate(fields)
    except ValidationError:
        why = "its conditions are not ones that a pixel rule can have; such images are held"
        return Blackened(None, Line(mask.line, what, told, why, Fate.NOT), None)
    narrow = "the same, for images whose texts are the whole of what it looks for"
    fate = Fate.STRICTER if mask.narrowed else Fate.EXACT
    line = Line(mask.line, what, told, narrow if mask.narrowed else "the same", fate)
    return Blackened(fields, line, Line(mask.line, what, told, "such images pass without review", fate))
