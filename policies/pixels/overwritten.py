"""Ranges of a file that become other bytes of the same length, so that every offset behind them stays true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from policies.source import Source

BLOCK: Final = 1 << 20
"""How many bytes are read or written at a time."""


class Blank(NamedTuple):
    """A range (offset in the source, bytes) that is filled with ``pattern`` over and over."""

    offset: int
    length: int
    pattern: bytes = b"\0"


@dataclass(frozen=True, slots=True)
class Blanks:
    """Ranges that are filled (:class:`policies.pieces.Overwriting`)."""

    ranges: tuple[Blank, ...]

    def blocks(self, source: Source) -> Iterator[tuple[int, bytes]]:
        """Yield the ranges with what fills them."""
        for offset, length, pattern in self.ranges:
            for at in range(0, length, BLOCK):
                size = min(BLOCK, length - at)
                yield offset + at, pattern * (size // len(pattern))


def worth_blanking(source: Source, ranges: Iterable[Blank]) -> tuple[Blank, ...]:
    """Return the ranges that hold anything but zeros: what is blank already is no change."""
    return tuple(blank for blank in ranges if blank.length and not _is_zero(source, blank))


def _is_zero(source: Source, blank: Blank) -> bool:
    if blank.pattern != b"\0":
        return False
    end = blank.offset + blank.length
    return not any(
        source.read(at, min(BLOCK, end - at)).strip(b"\0") for at in range(blank.offset, end, BLOCK)
    )
