"""Real files with canaries in them: those that come with pydicom, and those of a folder of your own.

In each, every value that the strictest policy takes is exchanged for a canary where it stands, at every depth,
and the channels beside the attributes are added. What pydicom cannot read or write again is told by number.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.data import data_manager
from pydicom.dataset import Dataset
from pydicom.uid import UID

from policies.selftest.attributes import Unknown
from policies.selftest.canary import Canary, Mint
from policies.selftest.channels import CHANNELS, wrong_vr
from policies.selftest.families import FIXED
from policies.standard.beyond import risks
from tests.canaries.garden import Garden
from tests.canaries.road import Planted
from tests.canaries.streams import written

_DIRECTORY = "1.2.840.10008.1.3.10"
_KEPT = frozenset({"SOPClassUID", "SpecificCharacterSet", *FIXED})
_CONTENT = frozenset({0x0040A730, 0x00400555, 0x00400612})
_VALUES = frozenset({0x0040A160, 0x0040A121, 0x0040A122, 0x0040A120, 0x0040A123, 0x0040A124})
_BEHIND_PIXELS = 0x7FE00000


def files_of_pydicom() -> list[Path]:
    """The DICOM files that the installed pydicom brings along."""
    folder = Path(data_manager.DATA_ROOT) / "test_files"
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))


def files_of(folder: Path) -> list[Path]:
    """Everything below a folder but tables and texts."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".csv", ".md", ".txt", ".json")
    )


def planted_in(sources: list[Path], garden: Garden, mint: Mint) -> tuple[list[Planted], int]:
    """Plant copies of the files; return them, and how many could not be planted."""
    planted, failed = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in sources:
            try:
                planted += list(_copies(source, garden, mint))
            except Exception:
                # Malformed files are tried as they are by the tests of the reader; here they carry nothing.
                failed += 1
    return planted, failed


def _copies(source: Path, garden: Garden, mint: Mint) -> Iterator[Planted]:
    """A copy with canaries in its own attributes, and one with the channels beside them."""
    for channels in (False, True):
        ds = pydicom.dcmread(source, force=True)
        uid = str(ds.get("SOPClassUID", ""))
        if not uid or uid == _DIRECTORY or ("PatientID" not in ds and "StudyInstanceUID" not in ds):
            raise ValueError("no instance")
        canaries = _beside(ds, mint) if channels else _within(ds, garden, mint)
        yield garden.kept(written(ds), f"real {UID(uid).name}", canaries, uid in risks())


def _within(ds: Dataset, garden: Garden, mint: Mint) -> list[Canary]:
    unknown = Unknown(mint, garden.strict, channel="attributes of real files")
    _exchange(ds, (), unknown)
    return unknown.planted


def _exchange(ds: Dataset, path: tuple[int, ...], unknown: Unknown) -> None:
    for tag in sorted(ds.keys()):
        if tag.is_private or tag >= _BEHIND_PIXELS or tag.element == 0:
            continue
        element = ds[tag]
        if element.VR == "SQ":
            for item in element.value:
                _exchange(item, (*path, int(tag)), unknown)
        elif element.keyword not in _KEPT:
            value = unknown(
                (*path, int(tag)), element.VR, _concept_of(ds) if _is_content(path, tag) else None
            )
            if value is not None:
                element.value = value


def _is_content(path: tuple[int, ...], tag: int) -> bool:
    """Whether an element is the value of a content item, or of an item of a context, which Table E.3.4-1 goes by."""
    return bool(path) and path[-1] in _CONTENT and tag in _VALUES


def _concept_of(ds: Dataset) -> tuple[str, str, str]:
    name = ds.get("ConceptNameCodeSequence") or [Dataset()]
    return (
        str(name[0].get("CodeValue", "")),
        str(name[0].get("CodingSchemeDesignator", "")),
        str(ds.get("ValueType", "")),
    )


def _beside(ds: Dataset, mint: Mint) -> list[Canary]:
    planted = []
    for channel in CHANNELS:
        if channel is not wrong_vr:
            planted += channel(ds, mint)
    return planted
