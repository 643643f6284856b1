"""Files that survive the process and the power: what has arrived, and what is being made of it.

A file gets its name only when its bytes are on the disk: written under ``unfinished/``, flushed, renamed, and
the folder flushed, which those that arrive at the same time share. A name is the moment of arrival and a random
number, and says nothing else. Every file is Part 10 (PS3.10 section 7) with the data set exactly as it came, and
carries in its file meta what the index needs (the sender in Source Application Entity Title), so that the index
can be made again from the spool. ::

    spool/unfinished/    written to, not yet promised to anybody; emptied at start
    spool/arrived/a1b2/  one file an instance, some thousands in a folder
    spool/work/<export>/ what the worker makes of one export; can always be made again
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from tce.errors import ExportError

# One UID for the whole product, in files and in associations (PS3.7 D.3.3.2); from a UUID, PS3.5 B.2.
IMPLEMENTATION_CLASS_UID = "2.25.130947245512337318226498237706126481171"
IMPLEMENTATION_VERSION_NAME = "TCE_0_1"


_IN_ONE_DRAWER = 4096
_SMALL = 1 << 16
_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 12


class Header(NamedTuple):
    """What the file meta of a spooled file says."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str

    def __repr__(self) -> str:
        return "Header(…)"


@dataclass(frozen=True, slots=True)
class Spooled:
    """One durable file: its name below the spool, what its file meta says, its size in bytes."""

    name: str
    header: Header = field(repr=False)
    size: int


class Durability(StrEnum):
    """What an instance survives that a peer was answered Success for."""

    POWER = "power"
    """The loss of power: its bytes and its name are flushed to the disk."""
    PROCESS = "process"
    """The death of this process, not that of the machine."""


class Spool:
    """The folder of one actor. One process at a time owns it (:meth:`own`)."""

    def __init__(self, home: Path, durability: Durability = Durability.POWER) -> None:
        self.home = home
        self.durability = durability
        self._arrived = home / "arrived"
        self._unfinished = home / "unfinished"
        for folder in (home, self._arrived, self._unfinished, home / "work"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.unfinished = self._unfinished
        self._owner: int | None = None
        self._drawing = threading.Lock()
        self._drawer: Drawer | None = None

    def own(self) -> None:
        """Take this spool for this process, until it ends however it ends, and clear unfinished files.

        Raises ExportError when another process has it.
        """
        owner = os.open(self.home / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(owner)
            raise ExportError(
                "another process already works on this spool", next_step="stop it, or use another site"
            ) from None
        self._owner = owner
        for leftover in self._unfinished.iterdir():  # nobody was promised these bytes
            leftover.unlink()

    def release(self) -> None:
        """Give the spool back."""
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def begin(self, header: Header) -> Incoming:
        """Begin a Part 10 file; its encoded data set follows in fragments."""
        return Incoming(self, header)

    def finish(self, incoming: Sequence[Incoming]) -> list[Spooled | None]:
        """Finish files together: their folder is flushed once. None stands for one that the disk did not take."""
        named: list[tuple[Spooled, Drawer] | None] = []
        for one in incoming:
            try:
                named.append(one.name())
            except OSError:
                one.discard()
                named.append(None)
        lost: set[Drawer] = set()
        for drawer in {pair[1] for pair in named if pair} if self.durability is Durability.POWER else ():
            try:
                drawer.flush()
            except OSError:
                lost.add(drawer)
        return [pair[0] if pair and pair[1] not in lost else None for pair in named]

    def drawer(self) -> Drawer:
        """Return the folder into which files go now. Safe for many threads."""
        with self._drawing:
            if self._drawer is None or self._drawer.taken >= _IN_ONE_DRAWER:
                self._drawer = Drawer(self._arrived, secrets.token_hex(4))
            self._drawer.taken += 1
            return self._drawer

    def path(self, name: str) -> Path:
        """Return where a spooled file lies."""
        return self._arrived / name

    def remove(self, name: str) -> None:
        """Delete a spooled file; one that is gone already is no error."""
        self.path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Yield the name of every spooled file."""
        for folder in self._arrived.iterdir():
            for path in folder.iterdir():
                yield f"{folder.name}/{path.name}"

    @staticmethod
    def moment(name: str) -> str:
        """Return the part of a file's name by which files are in the order in which they began to come."""
        return name.rpartition("/")[2]

    def examine(self, name: str) -> Spooled:
        """Read a spooled file's header again, as it was when the file was finished."""
        path = self.path(name)
        with path.open("rb") as file:
            header, _ = read_header(file.read(_LONGEST_HEADER))
        return Spooled(name, header, path.stat().st_size)

    def digest(self, spooled: Spooled) -> str:
        """Return the digest of a file's transfer syntax and data set: the same content has the same digest."""
        digest = hashlib.sha256(spooled.header.transfer_syntax_uid.encode())
        with self.path(spooled.name).open("rb", buffering=0) as file:
            _, start = read_header(file.read(_LONGEST_HEADER))
            file.seek(start)
            while block := file.read(_BLOCK):
                digest.update(block)
        return "sha256:" + digest.hexdigest()

    def workplace(self, export_id: str, *, fresh: bool = False) -> Path:
        """Return the folder in which one export is worked on; ``fresh`` empties it."""
        folder = self.home / "work" / export_id
        if fresh and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def workplaces(self) -> list[str]:
        """Return the exports that have a workplace."""
        return [folder.name for folder in (self.home / "work").iterdir()]

    def clear(self, export_id: str) -> None:
        """Remove an export's workplace."""
        shutil.rmtree(self.home / "work" / export_id, ignore_errors=True)


class Drawer:
    """One folder of arrived files. Many threads may flush its entries; they share what one of them does."""

    def __init__(self, arrived: Path, name: str) -> None:
        self.name = name
        self.path = arrived / name
        self.path.mkdir()
        _flush_folder(arrived)
        self.taken = 0
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._asked = self._done = 0

    def flush(self) -> None:
        """Return when every name that was put here before the call is on the disk."""
        with self._counting:
            self._asked += 1
            mine = self._asked
        with self._turn:
            if self._done >= mine:
                return
            with self._counting:
                upto = self._asked
            _flush_folder(self.path)
            self._done = upto


class Incoming:
    """One file on its way into the spool. It is nobody's until :meth:`finish` returns."""

    def __init__(self, spool: Spool, header: Header) -> None:
        self._spool = spool
        self._header = header
        self._key = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        self._unfinished = f"{spool.unfinished}/{self._key}"
        self._file = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._begun = [part10_header(header)]
        """What is written with the next fragment."""
        self._size = 0

    def write(self, fragment: bytes | memoryview) -> None:
        """Write a fragment of the data set. Raises OSError."""
        begun, self._begun = self._begun, []
        if begun and len(fragment) <= _SMALL:
            self._write(b"".join((*begun, fragment)))
            return
        for part in (*begun, fragment):
            self._write(part)

    def finish(self) -> Spooled:
        """Give the file its name; when this returns, it is as durable as the spool promises. Raises OSError."""
        spooled, drawer = self.name()
        if self._spool.durability is Durability.POWER:
            drawer.flush()
        return spooled

    def name(self) -> tuple[Spooled, Drawer]:
        """Give the file its name in a drawer that is to be flushed yet. Raises OSError."""
        for part in self._begun:
            self._write(part)
        drawer = self._spool.drawer()
        if self._spool.durability is Durability.POWER:
            os.fsync(self._file)
        os.close(self._file)
        self._file = -1
        os.rename(self._unfinished, f"{drawer.path}/{self._key}")  # noqa: PTH104 - for every instance
        return Spooled(f"{drawer.name}/{self._key}", self._header, self._size), drawer

    def discard(self) -> None:
        """Forget the file; one that was finished, or discarded before, stays as it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._unfinished)  # noqa: PTH108 - a plain path

    def _write(self, content: bytes | memoryview) -> None:
        view = memoryview(content)
        while view:
            written = os.write(self._file, view)
            self._size += written
            view = view[written:]


def part10_header(header: Header) -> bytes:
    """Return preamble, prefix and file meta information (PS3.10 table 7.1-1) for a data set as received."""
    meta = b"".join(
        (
            struct.pack("<HH2sHL", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _element(0x0002, b"UI", header.sop_class_uid),
            _element(0x0003, b"UI", header.sop_instance_uid),
            _element(0x0010, b"UI", header.transfer_syntax_uid),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _element(0x0016, b"AE", header.source_ae_title),
        )
    )
    length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header that :func:`part10_header` wrote, and where the data set begins.

    Raises ExportError for a file that the spool did not write.
    """
    if len(data) < 144 or data[128:132] != b"DICM":
        raise ExportError("the spool holds a file that is not its own", next_step="move it out of the spool")
    end = 144 + int(struct.unpack_from("<L", data, 140)[0])
    values: dict[int, str] = {}
    place = 144
    while place + 8 <= end:
        element, vr, length = struct.unpack_from("<2xH2sH", data, place)
        place += 8
        if vr == b"OB":
            length = struct.unpack_from("<L", data, place)[0]
            place += 4
        values[element] = data[place : place + length].decode("ascii").strip("\0 ")
        place += length
    return Header(values[0x0002], values[0x0003], values[0x0010], values.get(0x0016, "")), end


def _element(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, element, vr, len(encoded)) + encoded


def _flush_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: without it a rename may not survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
