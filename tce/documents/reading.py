"""Reading a document that a peer sent: whole, since it is short, and not at all where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import FileDataset

from media.measured import Measured

_LARGEST = 64 << 20
"""Bytes: the manifest of 100,000 instances has half of it. Deflated or not, no more is taken into memory."""


def read_document(path: Path) -> FileDataset:
    """Return a document. A peer's bytes may fail in any way, also by being too many (TooMuch)."""
    with path.open("rb") as file:
        source: Any = Measured(file, _LARGEST, inflated=_LARGEST)
        return dcmread(source)
