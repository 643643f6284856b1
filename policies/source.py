"""Where the bytes of an instance are read from: an open file, or memory when it had to be inflated."""

from __future__ import annotations

import os
from typing import Protocol


class Source(Protocol):
    """Random access to the bytes of one instance."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        ...


class FileSource:
    """An open file."""

    __slots__ = ("descriptor", "size")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return os.pread(self.descriptor, length, offset)


class MemorySource:
    """A data set that had to be inflated first."""

    __slots__ = ("content", "size")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return self.content[offset : offset + length]
