"""Files that survive the process and the power: what has arrived, and what is being made of it.

A file gets its name only when its bytes are on the disk: written under ``unfinished/``, flushed, renamed, and
the folder flushed. Names are random and say nothing. Every file is Part 10 (PS3.10 section 7) with the data set
exactly as it came, and carries in its file meta what the index needs (the sender in Source Application Entity
Title), so that the index can be made again from the spool. ::

    spool/unfinished/    written to, not yet promised to anybody; emptied at start
    spool/arrived/ab/    one file an instance
    spool/work/<export>/ what the worker makes of one export; can always be made again
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tce.errors import ExportError

# One UID for the whole product, in files and in associations (PS3.7 D.3.3.2); from a UUID, PS3.5 B.2.
IMPLEMENTATION_CLASS_UID = "2.25.130947245512337318226498237706126481171"
IMPLEMENTATION_VERSION_NAME = "TCE_0_1"


class Header(NamedTuple):
    """What the file meta of a spooled file says."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str


@dataclass(frozen=True, slots=True)
class Spooled:
    """One durable file: its name below the spool, and the digest of transfer syntax and data set."""

    name: str
    header: Header = field(repr=False)
    digest: str
    size: int


class Spool:
    """The folder of one actor. One process at a time owns it (:meth:`own`)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._arrived = home / "arrived"
        self._unfinished = home / "unfinished"
        for folder in (home, self._arrived, self._unfinished, home / "work"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._owner: int | None = None

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

    def put(self, header: Header, dataset: bytes | memoryview) -> Spooled:
        """Store one encoded data set as a Part 10 file; when this returns, the bytes are on the disk."""
        digest = hashlib.sha256(header.transfer_syntax_uid.encode())
        digest.update(dataset)
        key = secrets.token_hex(16)
        folder = self._arrived / key[:2]
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _flush_folder(self._arrived)
        unfinished = self._unfinished / key
        try:
            with unfinished.open("wb", buffering=0) as file:
                size = _write(file.fileno(), part10_header(header), dataset)
                os.fsync(file.fileno())
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        unfinished.rename(folder / key)
        _flush_folder(folder)
        return Spooled(f"{key[:2]}/{key}", header, "sha256:" + digest.hexdigest(), size)

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

    def examine(self, name: str) -> Spooled:
        """Read a spooled file's header and digest again, as :meth:`put` returned them."""
        data = self.path(name).read_bytes()
        header, start = read_header(data)
        digest = hashlib.sha256(header.transfer_syntax_uid.encode())
        digest.update(memoryview(data)[start:])
        return Spooled(name, header, "sha256:" + digest.hexdigest(), len(data))

    def workplace(self, export_id: str, *, fresh: bool = False) -> Path:
        """Return the folder in which one export is worked on; ``fresh`` empties it."""
        folder = self.home / "work" / export_id
        if fresh and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear(self, export_id: str) -> None:
        """Remove an export's workplace."""
        shutil.rmtree(self.home / "work" / export_id, ignore_errors=True)


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


def _write(descriptor: int, header: bytes, dataset: bytes | memoryview) -> int:
    """Write both parts whole; ``os.write`` may take less than it is given."""
    total = 0
    for part in (header, dataset):
        view = memoryview(part)
        while view:
            written = os.write(descriptor, view)
            total += written
            view = view[written:]
    return total


def _flush_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: without it a rename may not survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
