"""Whether a result has an IOD error that its source lacked, as dciodvfy (dicom3tools) sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from tests.canaries.utility import NewError, Pair

_VALUE = re.compile(r"(?<=[=ed] )<[^/<>][^<>]*>|\[\d+\]|0x[0-9a-fA-F]+")
_UNREAD = ("Information Object Not found", "Dicom dataset read failed")

EXCEPTIONS: dict[str, str] = {}
"""Errors that a result may have and its source lacked, each with the reason. It is empty, and stays so if it can."""


def available() -> bool:
    """Whether dciodvfy is installed."""
    return shutil.which("dciodvfy") is not None


def new_errors(pairs: Sequence[Pair]) -> tuple[list[NewError], int]:
    """Ask dciodvfy about every source and result; return what is new, and how many sources it could not judge
    itself.
    """
    with ThreadPoolExecutor(2) as pool:
        judged = list(pool.map(_of_pair, pairs))
    return [error for found in judged for error in found or ()], judged.count(None)


def _of_pair(pair: Pair) -> list[NewError] | None:
    """The new errors of a pair; None where dciodvfy does not know the source for a DICOM instance."""
    before = _errors(pair.source)
    if any(unread in error for error in before for unread in _UNREAD):
        return None
    new = (_errors(pair.result) - before).elements()
    return [NewError(pair.source.name, error) for error in new if error not in EXCEPTIONS]


def _errors(path: Path) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            ["dciodvfy", "-new", _inflated(path, Path(folder))], capture_output=True, check=False
        )
    lines = (said.stderr + said.stdout).decode(errors="replace").splitlines()
    return Counter(_VALUE.sub("…", line) for line in lines if line.startswith("Error"))


def _inflated(path: Path, folder: Path) -> Path:
    """The file, or where it is deflated, which dciodvfy does not read, a copy that is not."""
    with path.open("rb") as file:
        head = file.read(1024)
    if DeflatedExplicitVRLittleEndian.encode() not in head:
        return path
    ds = pydicom.dcmread(path, force=True)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(folder / "inflated.dcm", enforce_file_format=True)
    return folder / "inflated.dcm"
