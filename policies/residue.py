"""Search for original values in every byte of what came out, file names included.

The last proof before something leaves: whoever knows the originals looks for them in the result, whatever
wrote it. It reads bytes, not attributes, and shares no rule with the engine. It cannot find what is
transformed beyond the :mod:`policies.spellings` (scanned text in pixels, images of faces); a clean search is
necessary, not sufficient.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom

from policies.cells import PIXEL_DATA
from policies.coincidence import may_be_chance, place_of
from policies.layout import Octets, written
from policies.originals import originals_of as originals_of
from policies.parsing import read_source
from policies.spellings import Edge, Pattern, patterns

# Cells of an image hold any three letters by chance; there only this many characters mean something.
_CHARACTERS_IN_CELLS = 6
_CHUNK = 1 << 20
_VRS = frozenset(vr.value.encode() for vr in pydicom.valuerep.VR if len(vr.value) == 2)
# A guess at how seldom a byte occurs: zeros and digits are everywhere in DICOM, letters are not.
_RARITY = bytes(0 if octet == 0 else 1 if octet in b"0123456789. " else 3 for octet in range(256))
_TIME_OF_DAY = re.compile(rb"(?:[01]\d|2[0-3])(?:[0-5]\d){0,2}(?!\d)")


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where an original value stands. It says which value by index, and never repeats it.

    ``channel`` is ``content``, ``inflated`` (inside a deflated data set) or ``file name``; ``offset`` counts
    bytes of that channel. ``where`` is the path of tags where the place was looked up, else empty.
    """

    path: Path
    offset: int
    channel: str
    which: int
    where: str = ""


class Residue:
    """A compiled search for a collection of original values.

    ``which`` of a hit is the position of the value in the iteration order of ``values``. ``unsearchable``
    holds the positions of values too short or too common to search for; a report has to name their number.
    Raises ValueError for an empty collection: a search for nothing would always be clean.
    """

    __slots__ = ("_by_gram", "_longest", "_pairs", "_values", "unsearchable")

    def __init__(self, values: Collection[str]) -> None:
        if not values:
            raise ValueError("no original values were given, so nothing could be found")
        self._values = tuple(values)
        spelled = [(index, patterns(value)) for index, value in enumerate(self._values)]
        self.unsearchable = tuple(index for index, forms in spelled if not forms)
        self._pairs = np.zeros(1 << 16, dtype=np.bool_)
        self._by_gram: dict[bytes, dict[Pattern, tuple[int, int]]] = {}
        self._longest = 0
        for index, forms in spelled:
            for pattern in forms:
                self._add(pattern, index)

    def search_bytes(self, data: Octets, *, cells_from: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (offset, which) for every hit in ``data``, which holds image cells from ``cells_from`` on."""
        for start in range(0, len(data), _CHUNK):
            # A needle that begins in this chunk may end behind it.
            chunk = data[start : start + _CHUNK + self._longest].lower()
            yield from self._in_chunk(data, chunk, start, len(data) if cells_from is None else cells_from)

    def search_file(self, path: Path, *, named: str | None = None) -> list[Hit]:
        """All hits in the bytes of ``path`` and in its name (``named``: the part of the path that counts)."""
        hits = []
        with _mapped(path) as data:
            cells, inflated = _layout(path, data)
            for channel, content, border in (("content", data, cells), ("inflated", inflated, None)):
                found = self.search_bytes(content, cells_from=border)
                hits += [Hit(path, at, channel, which) for at, which in found]
        name = (path.name if named is None else named).encode()
        return hits + [Hit(path, at, "file name", which) for at, which in self.search_bytes(name)]

    def search_instance(self, path: Path, *, named: str = "") -> list[Hit]:
        """All hits in an instance, each with its tag, but for those that :mod:`policies.coincidence` explains."""
        hits = self.search_file(path, named=named)
        if not hits:
            return []
        instance = read_source(path)
        found = []
        for hit in hits:
            if hit.channel == "file name":
                found.append(hit)
                continue
            steps, element, level = place_of(instance, hit.offset)
            if not may_be_chance(steps, element, level, self._values[hit.which]):
                found.append(replace(hit, where=written(steps)))
        return found

    def search_tree(self, root: Path) -> list[Hit]:
        """All hits in the files below ``root`` (or in the one file) and in names of files and directories.

        Raises FileNotFoundError when nothing is there to be searched.
        """
        if root.is_file():
            return self.search_file(root)
        hits = []
        entries = sorted(path for path in root.rglob("*") if not path.is_symlink())
        if not any(path.is_file() for path in entries):
            raise FileNotFoundError(f"no file to search below {root}")
        for path in entries:
            if path.is_file():
                hits += self.search_file(path)
            else:
                name = path.name.encode()
                hits += [Hit(path, at, "file name", which) for at, which in self.search_bytes(name)]
        return hits

    def _add(self, pattern: Pattern, index: int) -> None:
        needle = pattern.needle
        rarity = needle.translate(_RARITY)
        sums = [sum(three) for three in zip(rarity, rarity[1:], rarity[2:], strict=False)]
        if not sums:
            return
        # Of the rarest the one by which the fewest others are found: UIDs are digits, and many begin alike.
        most = max(sums)
        rarest = [at for at, one in enumerate(sums) if one == most]
        at = min(rarest, key=lambda place: len(self._by_gram.get(needle[place : place + 3], ())))
        self._pairs[int.from_bytes(needle[at : at + 2], "little")] = True
        entries = self._by_gram.setdefault(needle[at : at + 3], {})
        entries.setdefault(pattern, (at, index))
        self._longest = max(self._longest, len(needle))

    def _in_chunk(self, data: Octets, chunk: bytes, start: int, cells: int) -> Iterator[tuple[int, int]]:
        """Look up two bytes in a table, three in a dictionary, and compare needles at the few places left."""
        seen = set()
        for place in self._places(chunk):
            for pattern, (at, which) in self._by_gram.get(chunk[place : place + 3], {}).items():
                first = place - at
                if not 0 <= first < _CHUNK or not chunk.startswith(pattern.needle, first):
                    continue
                offset = start + first
                if offset >= cells and len(pattern.needle) < _CHARACTERS_IN_CELLS * pattern.unit:
                    continue
                if (offset, which) not in seen and _stands_alone(data, offset, pattern):
                    seen.add((offset, which))
                    yield offset, which

    def _places(self, chunk: bytes) -> Iterator[int]:
        """Where in ``chunk`` two bytes stand that belong to a needle: all even offsets, then all odd ones."""
        for odd in (0, 1):
            pairs = np.frombuffer(chunk, dtype="<u2", offset=odd, count=max(0, len(chunk) - odd) // 2)
            yield from (2 * np.flatnonzero(self._pairs[pairs]) + odd).tolist()


@contextmanager
def _mapped(path: Path) -> Iterator[Octets]:
    """The bytes of a file, without reading a large one into memory at once."""
    if not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _stands_alone(data: Octets, offset: int, pattern: Pattern) -> bool:
    """Is the hit the whole word, number or UID, and not a part of a longer one?"""
    if pattern.edge is Edge.NONE:
        return True
    end = offset + len(pattern.needle)
    before = _character(data, offset - pattern.unit, pattern)
    after = b"" if pattern.unit == 1 and _tag_follows(data, end) else _character(data, end, pattern)
    if pattern.edge is Edge.WORD:
        return not before.isalnum() and not after.isalnum()
    if pattern.edge is Edge.UID:
        further = after == b"." and _character(data, end + pattern.unit, pattern).isdigit()
        return not (before.isdigit() or before == b"." or after.isdigit() or further)
    if before.isdigit():
        return False
    if pattern.edge is Edge.DATE and after.isdigit():
        following = data[end + pattern.low : end + 7 * pattern.unit : pattern.unit]
        return _TIME_OF_DAY.match(following) is not None
    return not after.isdigit()


def _character(data: Octets, at: int, pattern: Pattern) -> bytes:
    """The ASCII character that stands at ``at`` in the pattern's encoding, or nothing."""
    unit = data[at : at + pattern.unit] if at >= 0 else b""
    if len(unit) < pattern.unit or (pattern.unit == 2 and unit[1 - pattern.low]):
        return b""
    return unit[pattern.low : pattern.low + 1]


def _tag_follows(data: Octets, at: int) -> bool:
    """Does the next element's tag stand here? Its group may look like text: (0038,xxxx) begins with ``8``."""
    return data[at + 1 : at + 2] == b"\0" or data[at + 4 : at + 6] in _VRS


def _layout(path: Path, data: Octets) -> tuple[int, bytes]:
    """Where the image's cells begin in a DICOM file, and its data set inflated if it is deflated."""
    if data[128:132] != b"DICM":
        return len(data), b""
    # What cannot be read as DICOM has no cells that could excuse a short hit: all of it is searched.
    instance = read_source(path)
    if isinstance(instance.data, bytes):
        return len(data), instance.data
    cells = instance.top.get(PIXEL_DATA)
    return (len(data) if cells is None else cells.start), b""
