"""Where the bytes of an instance are read from: an open file, or memory when it had to be inflated or mended."""

from __future__ import annotations

import os
from typing import Protocol

from policies.errors import Refusal


class Source(Protocol):
    """Random access to the bytes of one instance."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        ...


class FileSource:
    """An open file."""

    __slots__ = ("_seen", "descriptor", "size")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.size = status.st_size
        self._seen = _version(status)

    def require_unchanged(self) -> None:
        """Raise Refusal when somebody wrote to the file since it was opened: what was read is no longer what it is."""
        if _version(os.fstat(self.descriptor)) != self._seen:
            raise Refusal(
                "changed", "The file was changed while it was read.", next_step="Run the command again."
            )

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return os.pread(self.descriptor, length, offset)


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
