"""Where the bytes of an instance are read from: an open file, or memory when it had to be inflated or mended."""

from __future__ import annotations

import os
import stat
from typing import Final, Protocol

from policies.errors import Refusal

_HEAD: Final = (1 << 16) + (1 << 12)
"""Bytes of a file that are read at once: File Meta Information, and a window of the data set behind it."""


class Source(Protocol):
    """Random access to the bytes of one instance."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        ...


class FileSource:
    """An open file. Its beginning, where its header is read from more than once, is held until :meth:`forget`."""

    __slots__ = ("_head", "_seen", "descriptor", "size")

    def __init__(self, descriptor: int) -> None:
        """Raises Refusal ``not-dicom`` for what is no regular file: a pipe or a device would never end."""
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refusal(
                "not-dicom", "This is not a regular file.", next_step="Leave it out of the selection."
            )
        self.size = status.st_size
        self._seen = _version(status)
        self._head: bytes | None = None

    def require_unchanged(self) -> None:
        """Raise Refusal when somebody wrote to the file since it was opened: what was read is no longer what it is."""
        if _version(os.fstat(self.descriptor)) != self._seen:
            raise Refusal(
                "changed", "The file was changed while it was read.", next_step="Run the command again."
            )

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        head = self._head
        if head is None:
            if offset >= _HEAD:
                return os.pread(self.descriptor, length, offset)
            head = self._head = os.pread(self.descriptor, _HEAD, 0)
        end = offset + length
        if end <= len(head) or len(head) == self.size:
            return head[offset:end]
        return os.pread(self.descriptor, length, offset)

    def forget(self) -> None:
        """Let the beginning of the file go when the header was read, unless it is the whole of a small file."""
        if self._head is not None and len(self._head) < self.size:
            self._head = b""


class MemorySource:
    """A data set that had to be inflated or mended first."""

    __slots__ = ("content", "size")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return self.content[offset : offset + length]

    def view(self, offset: int, length: int) -> memoryview:
        """Return the same bytes without a copy of them."""
        return memoryview(self.content)[offset : offset + length]


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
