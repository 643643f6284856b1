"""Compressed frames over one or several fragments, read as one stream each (PS3.5 A.4).

A stream keeps no frame in memory: it is read through a window, and what is found in it is told as ranges of the file.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from policies.errors import Held
from policies.pixels.overwritten import Blank
from policies.source import Source

_FIRST: Final = 1 << 12
_WINDOW: Final = 1 << 20


def unreadable(what: str) -> Held:
    """Return why a stream is not passed on: nobody can say what stands in it."""
    return Held(
        "unreadable-stream",
        f"The compressed pixel data cannot be looked through: {what}.",
        next_step="Have it decompressed or compressed anew with a tool that can read it, or leave it out.",
    )


class Stream:
    """One frame: the contents of its fragments, joined. Positions count from the frame's first byte."""

    __slots__ = ("_base", "_begins", "_buf", "_parts", "_source", "size")

    def __init__(self, source: Source, parts: Sequence[tuple[int, int]]) -> None:
        self._source = source
        self._parts = tuple(part for part in parts if part[1])
        begins = tuple(accumulate((length for _, length in self._parts), initial=0))
        self._begins, self.size = begins[:-1], begins[-1]
        self._buf = b""
        self._base = 0

    def window(self, pos: int, least: int, most: int = _WINDOW) -> tuple[bytes, int]:
        """Return bytes and where ``pos`` is in them; fewer than ``least`` stand there only at the stream's end."""
        at = pos - self._base
        if at < 0 or at + least > len(self._buf):
            self._buf = self._read(pos, max(least, most))
            self._base, at = pos, 0
        return self._buf, at

    def read(self, pos: int, length: int) -> bytes:
        """Return ``length`` bytes from ``pos``. Raises Held where the stream ends before."""
        buf, at = self.window(pos, length, _FIRST)
        if at + length > len(buf):
            raise unreadable("a stream ends too early")
        return buf[at : at + length]

    def ranges(self, pos: int, length: int) -> Iterator[Blank]:
        """Yield the ranges of the file that are ``length`` bytes from ``pos``, to be blanked."""
        for offset, here in self._places(pos, length):
            yield Blank(offset, here)

    def rest(self, pos: int) -> Iterator[Blank]:
        """Yield what stands behind the end of the frame at ``pos``, one padding byte excepted."""
        if self.size - pos > 1:
            yield from self.ranges(pos, self.size - pos)

    def _read(self, pos: int, length: int) -> bytes:
        found = [self._source.read(offset, here) for offset, here in self._places(pos, length)]
        return found[0] if len(found) == 1 else b"".join(found)

    def _places(self, pos: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of the parts of the file where ``length`` bytes from ``pos`` lie."""
        place = bisect_right(self._begins, pos) - 1
        while length > 0 and place < len(self._parts):
            offset, size = self._parts[place]
            within = pos - self._begins[place]
            here = min(size - within, length)
            if here > 0:
                yield offset + within, here
                pos, length = pos + here, length - here
            place += 1


def frames_of(
    source: Source, fragments: Sequence[tuple[int, int]], frames: int, starts: Sequence[bytes]
) -> list[Stream]:
    """Return the frames that fragments (without the Basic Offset Table) are.

    A frame of a multi-frame image begins where a fragment begins as streams of its kind do (``starts``), unless there
    is one fragment for each frame.

    Raises:
        Held: there are not as many frames as the image says.
    """
    if len(fragments) == frames:
        return [Stream(source, (fragment,)) for fragment in fragments]
    if frames == 1 and fragments:
        return [Stream(source, fragments)]
    longest = max(map(len, starts), default=0)
    groups: list[list[tuple[int, int]]] = []
    for fragment in fragments:
        if source.read(fragment[0], longest).startswith(tuple(starts)) or not groups:
            groups.append([])
        groups[-1].append(fragment)
    if len(groups) != frames:
        raise unreadable("there are not as many frames as the image says")
    return [Stream(source, group) for group in groups]


def is_offset_table(source: Source, fragments: Sequence[tuple[int, int]], frames: int) -> bool:
    """Say whether the first item is what a Basic Offset Table may be: empty, or where each frame begins."""
    offset, length = fragments[0]
    if not length:
        return True
    if length != 4 * frames or offset + length > source.size:
        return False
    return _are_beginnings(struct.unpack(f"<{frames}I", source.read(offset, length)), fragments)


def are_extended_tables(
    fragments: Sequence[tuple[int, int]], frames: int, offsets: bytes, lengths: bytes
) -> bool:
    """Say whether two values are what an Extended Offset Table and its lengths may be (PS3.3 C.7.6.3.1.8)."""
    if len(offsets) != 8 * frames or len(lengths) != 8 * frames or len(fragments) - 1 != frames:
        return False
    sizes = struct.unpack(f"<{frames}Q", lengths)
    fit = all(0 <= held - size <= 1 for size, (_, held) in zip(sizes, fragments[1:], strict=True))
    return fit and _are_beginnings(struct.unpack(f"<{frames}Q", offsets), fragments)


def _are_beginnings(places: Sequence[int], fragments: Sequence[tuple[int, int]]) -> bool:
    first = sum(fragments[0])
    begins = {offset - 8 - first for offset, _ in fragments[1:]}
    return places[:1] == (0,) and list(places) == sorted(places) and begins.issuperset(places)
