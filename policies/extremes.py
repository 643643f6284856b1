"""What a header says of the smallest and the largest pixel value: untrue once regions are blacked out (PS3.3 C.7.6.3).

All four attributes are optional (Type 3), so they go; nobody reads every cell again for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from policies.operations import Operation
from policies.pieces import Answers, Facts

EXTREMES: Final = frozenset({0x00280106, 0x00280107, 0x00280108, 0x00280109})
"""Smallest and Largest Image Pixel Value, and those of the series."""


@dataclass(frozen=True, slots=True)
class KeepUnlessCleaned(Operation):
    """A value that stays as long as no pixel does otherwise."""

    vr: bytes
    lasting: ClassVar[bool] = False

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged, or nothing."""
        return None if facts.pixels_cleaned else raw
