"""Reads one table of this folder: rows as dictionaries, tags as numbers.

It knows how the files are written, not what they mean. Everything that uses it keeps its result, so that a
file is opened once in a process.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from importlib import resources


def read_csv(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the table ``name``, keyed by its header row."""
    text = resources.files("policies.standard").joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(io.StringIO(text))


def tag_of(printed: str) -> int:
    """Return ``(gggg,eeee)`` as a number. Raises ValueError where it is not a single tag."""
    group, element = printed.strip("()").split(",")
    return int(group, 16) << 16 | int(element, 16)


def printed(tag: int) -> str:
    """Return a tag as the standard prints it, ``(gggg,eeee)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
