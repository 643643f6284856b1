"""Shutters of a display: one made of an overlay plane goes with the planes (PS3.3 C.7.6.15, C.11.12).

A Bitmap Display Shutter refers to an overlay by its group. No overlay stays, so the shape, the group, and what tells
the colour behind a shutter that no longer is there go as well. Shutters of another shape stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from policies.elements import text_of
from policies.operations import Operation
from policies.pieces import Answers, Change, Facts

SHUTTER_SHAPE: Final = 0x00181600
SHUTTER_OVERLAY_GROUP: Final = 0x00181623
_SHAPES: Final = frozenset({"RECTANGULAR", "CIRCULAR", "POLYGONAL"})


def _lasting(raw: bytes) -> bytes:
    return "\\".join(
        shape for part in text_of(raw).split("\\") if (shape := part.strip()) in _SHAPES
    ).encode()


@dataclass(frozen=True, slots=True)
class KeepShapes(Operation):
    """Shutter Shape: all shapes but that of a bitmap."""

    vr: bytes = b"CS"

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the shapes that stay."""
        shapes = _lasting(raw)
        return raw if shapes == raw.strip(b" \0") else shapes or None


@dataclass(frozen=True, slots=True)
class KeepWithShutter(Operation):
    """Shutter Presentation Value and Color: they stay unless the only shutter was a bitmap."""

    vr: bytes = b"US"
    lasting: ClassVar[bool] = False

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged, or nothing."""
        shape = facts.top.get(SHUTTER_SHAPE)
        return raw if shape is None or not shape.raw.strip(b" \0") or _lasting(shape.raw) else None


SHUTTERS: Final[Mapping[int, Change]] = {
    SHUTTER_SHAPE: KeepShapes(),
    0x00181622: KeepWithShutter(),
    0x00181624: KeepWithShutter(),
}
"""What happens to top-level attributes of shutters that no table names."""
