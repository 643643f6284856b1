"""An ISO 9660 volume read from its own bytes: an image file, or the device that a disc lies in (ECMA-119; PS3.12 F).

::

    sectors 0-15   system area, not looked at
    sector 16 …    volume descriptors ──▶ primary: name, root directory ──▶ directories ──▶ files

Only the primary volume counts: what Joliet or Rock Ridge tell beside it is noted and not followed. Nothing here is
believed: every number is held against the size of the image, a directory is read once wherever links lead to it, and
names, depth and count are bounded. The image is read by other code than the one that writes images, so that a fault of
the writer shows.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from media.errors import UnreadableMedium

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_MOST_DESCRIPTORS = 64
_DEEPEST = 16
_MOST_ENTRIES = 2_000_000
_DIRECTORY, _ASSOCIATED, _MULTI_EXTENT = 0x02, 0x04, 0x80
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255
_JOLIET = (b"%/@", b"%/C", b"%/E")
_LEVEL_1_FILE = re.compile(r"[A-Z0-9_]{1,8}\.[A-Z0-9_]{0,3};1")
_LEVEL_1_FOLDER = re.compile(r"[A-Z0-9_]{1,8}")
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a part of a file lies: bytes from the beginning of the image."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, repr=False)
class VolumeFile:
    """One file of a volume: its name as a mounted disc shows it, in words that are safe as file names."""

    name: tuple[str, ...]
    extents: tuple[Extent, ...]

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return sum(extent.length for extent in self.extents)


@dataclass(frozen=True, slots=True)
class Volume:
    """What an image says of itself. ``faults`` are what ISO 9660 level 1 and PDI do not allow, counted by kind."""

    volume_id: str = field(repr=False)
    files: tuple[VolumeFile, ...] = field(repr=False)
    folders: tuple[tuple[str, ...], ...] = field(repr=False)
    faults: dict[str, int]
    further: tuple[str, ...]
    """What there is beside the primary volume: Joliet, Rock Ridge, a boot record."""


def gaps(volume: Volume, size: int) -> Iterator[Extent]:
    """Yield the parts of an image of a size that belong to no file: descriptors, directories, what lies between."""
    at = 0
    taken = sorted((one.offset, one.offset + one.length) for file in volume.files for one in file.extents)
    for start, end in (*taken, (size, size)):
        if start > at:
            yield Extent(at, start - at)
        at = max(at, end)


def is_image(path: Path) -> bool:
    """Whether a file or device begins as an ISO 9660 image does."""
    try:
        if not (path.is_file() or path.is_block_device()):
            return False
        with path.open("rb") as image:
            image.seek(_FIRST_DESCRIPTOR * _SECTOR + 1)
            return image.read(5) == b"CD001"
    except OSError:
        return False


def read_volume(image: BinaryIO) -> Volume:
    """Read the directories of an open image. Raises :class:`UnreadableMedium` when it is none."""
    return _Reading(image).volume()


@dataclass(frozen=True, slots=True, repr=False)
class _Entry:
    """One directory record as it stands (ECMA-119 9.1)."""

    identifier: bytes
    extent: Extent
    flags: int
    interleaved: bool
    system_use: bytes


class _Reading:
    def __init__(self, image: BinaryIO) -> None:
        self._image = image
        self._size = image.seek(0, os.SEEK_END)
        self._faults: Counter[str] = Counter()
        self._further: dict[str, None] = {}
        self._block = _SECTOR
        self._left = _MOST_ENTRIES
        self._left_of_directories = self._size
        """Bytes: the directories of an honest image lie beside one another."""
        self._files: dict[tuple[str, ...], VolumeFile] = {}
        self._folders: list[tuple[str, ...]] = []
        self._visited: set[int] = set()
        self._claimed: set[tuple[str, ...]] = set()

    def volume(self) -> Volume:
        primary = self._primary()
        block = int.from_bytes(primary[128:130], "little")
        self._block = block if block in (512, 1024, 2048) else _SECTOR
        if self._block != _SECTOR:
            self._faults["the logical blocks are not of 2048 bytes"] += 1
        # Both-endian numbers: a writer that sets one half only makes a disc that some systems cannot read.
        if primary[80:84] != primary[84:88][::-1] or primary[158:162] != primary[162:166][::-1]:
            self._faults["a number of the primary volume descriptor differs in its two byte orders"] += 1
        if int.from_bytes(primary[80:84], "little") * self._block > self._size:
            self._faults["the image is shorter than its volume"] += 1
        root = self._entry(primary[156:190])
        if root is None:
            raise _no_image("its root directory cannot be read")
        self._walk(root)
        # d-characters by the letter; others are kept to be compared, never shown.
        volume_id = primary[40:72].decode("latin-1").rstrip(" \0")
        return Volume(
            volume_id,
            tuple(self._files[name] for name in sorted(self._files)),
            tuple(sorted(self._folders)),
            dict(self._faults),
            tuple(self._further),
        )

    def _primary(self) -> bytes:
        primary = b""
        for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _MOST_DESCRIPTORS):
            descriptor = self._read(number * _SECTOR, _SECTOR)
            if len(descriptor) < _SECTOR or descriptor[1:6] != b"CD001" or descriptor[0] == _END:
                if not descriptor.startswith(b"\xffCD001"):
                    self._faults["the volume descriptors have no end"] += 1
                break
            if descriptor[0] == _PRIMARY:
                if primary:
                    self._faults["there is more than one primary volume descriptor"] += 1
                primary = primary or descriptor
            elif descriptor[0] == _SUPPLEMENTARY:
                joliet = descriptor[88:120].startswith(_JOLIET)
                self._further["Joliet names" if joliet else "a supplementary volume"] = None
            elif descriptor[0] == 0:
                self._further["a boot record"] = None
            else:
                self._further["a volume partition"] = None
        if not primary:
            raise _no_image("it has no primary volume descriptor")
        return primary

    def _walk(self, root: _Entry) -> None:
        waiting: list[tuple[tuple[str, ...], _Entry]] = [((), root)]
        while waiting:
            name, folder = waiting.pop()
            if folder.extent.offset in self._visited:
                self._faults["directories lead to one that was read already"] += 1
                continue
            self._visited.add(folder.extent.offset)
            if name:
                self._folders.append(name)
            inner = list(self._folder(name, folder))
            if len(name) + 1 >= _DEEPEST and inner:
                self._faults["directories lie too deep and were not read"] += len(inner)
                continue
            waiting += reversed(inner)

    def _folder(self, above: tuple[str, ...], folder: _Entry) -> Iterator[tuple[tuple[str, ...], _Entry]]:
        """Note the files of a directory and yield the directories in it."""
        begun: list[_Entry] = []
        for entry in self._entries(folder.extent):
            if entry.system_use:
                self._further.setdefault("Rock Ridge or other system use", None)
            if entry.identifier in (b"\0", b"\1"):
                continue
            if entry.interleaved:
                self._faults["entries are interleaved or in another volume and were left alone"] += 1
            elif entry.flags & _DIRECTORY:
                name = (*above, self._legible(entry.identifier, _LEVEL_1_FOLDER))
                if self._claim(name):
                    yield name, entry
            elif entry.flags & _MULTI_EXTENT:
                begun.append(entry)
            else:
                parts = [part for part in begun if part.identifier == entry.identifier]
                begun = []
                self._file(above, entry, (*parts, entry))

    def _file(self, above: tuple[str, ...], entry: _Entry, parts: tuple[_Entry, ...]) -> None:
        name = (*above, self._legible(entry.identifier, _LEVEL_1_FILE))
        if entry.flags & _ASSOCIATED:
            self._faults["files are associated with another and were left alone"] += 1
        elif any(part.extent.offset + part.extent.length > self._size for part in parts):
            self._faults["files reach beyond the end of the image and were left alone"] += 1
        elif self._claim(name):
            self._files[name] = VolumeFile(name, tuple(part.extent for part in parts if part.extent.length))

    def _claim(self, name: tuple[str, ...]) -> bool:
        if name in self._claimed:
            self._faults["two entries have one name; the first was taken"] += 1
            return False
        self._claimed.add(name)
        return True

    def _entries(self, extent: Extent) -> Iterator[_Entry]:
        if extent.offset + extent.length > self._size:
            self._faults["directories reach beyond the end of the image"] += 1
        end = min(extent.offset + extent.length, self._size)
        self._left_of_directories -= max(0, end - extent.offset)
        if self._left_of_directories < 0:
            raise _no_image("its directories hold more than it does")
        for start in range(extent.offset, end, self._block):
            # No record crosses the end of a sector (ECMA-119 6.8.1.1).
            sector = self._read(start, min(self._block, end - start))
            at = 0
            while at < len(sector) and sector[at]:
                self._left -= 1
                if self._left < 0:
                    raise _no_image("it has more entries than any disc")
                entry = self._entry(sector[at : at + sector[at]])
                if entry is None:
                    self._faults["entries of directories cannot be read"] += 1
                    break
                yield entry
                at += sector[at]

    def _entry(self, record: bytes) -> _Entry | None:
        if len(record) < 34 or len(record) < record[0] or len(record) < 33 + record[32] or not record[32]:
            return None
        if record[2:6] != record[6:10][::-1] or record[10:14] != record[14:18][::-1]:
            self._faults["entries of directories differ in their two byte orders"] += 1
        identifier = record[33 : 33 + record[32]]
        behind = 33 + record[32] + (1 - record[32] % 2)
        first = int.from_bytes(record[2:6], "little") + record[1]
        return _Entry(
            identifier=identifier,
            extent=Extent(first * self._block, int.from_bytes(record[10:14], "little")),
            flags=record[25],
            interleaved=any(record[26:28]) or record[28:32] != b"\1\0\0\1",
            system_use=record[behind : record[0]],
        )

    def _legible(self, identifier: bytes, legal: re.Pattern[str]) -> str:
        """Return a name as a mounted disc shows it; what is not safe in a name of a file becomes an underscore."""
        text = identifier.decode("latin-1")
        if not legal.fullmatch(text):
            self._faults["names are not legal in ISO 9660 level 1"] += 1
        shown = _PLAIN.sub("_", text.rpartition(";")[0] or text)
        shown = shown[:-1] if shown.endswith(".") and shown.strip(".") else shown
        return shown if shown.strip(".") else "_" * max(1, len(shown))

    def _read(self, offset: int, length: int) -> bytes:
        self._image.seek(offset)
        return self._image.read(length)


def _no_image(why: str) -> UnreadableMedium:
    return UnreadableMedium(
        f"the image cannot be read: {why}",
        next_step="read the disc again into a new image, or mount the disc",
    )
