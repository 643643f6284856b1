"""Reading with bounds: what a parser takes from one file, or for one part of it, before it is cut off.

A parser reads a value of as many bytes as the file says, and makes an object of every element. What is read here are
headers and directory records; none of them is as long as this.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

_CHUNK = 1 << 20
_LARGEST_INFLATED = 256 << 20


class TooMuch(Exception):
    """The file has more than is read of it."""


class Measured:
    """A binary file of which at most so many bytes are read until :meth:`begin` is called again."""

    def __init__(self, file: BinaryIO, most: int, *, inflated: int = _LARGEST_INFLATED) -> None:
        self._file = file
        self._inflated = inflated
        self._most = self._left = most

    def begin(self) -> None:
        """Begin another part."""
        self._left = self._most

    def read(self, size: int = -1) -> bytes:
        """Read as a file does. Raises TooMuch.

        All that is left is read of a deflated data set; what it inflates to is bounded then.
        """
        content = self._file.read(size if 0 <= size <= self._left else self._left + 1)
        if len(content) > self._left:
            raise TooMuch
        self._left -= len(content)
        if size < 0:
            _require_inflatable(content, self._inflated)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as in a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()


def _require_inflatable(deflated: bytes, most: int) -> None:
    """Inflate a data set (PS3.5 A.5) piece by piece and keep nothing. Raises TooMuch, or zlib.error if it is broken."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, deflated
    while rest and not stream.eof:
        size += len(stream.decompress(rest, _CHUNK))
        if size > most:
            raise TooMuch
        rest = stream.unconsumed_tail
