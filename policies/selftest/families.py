"""Instances of every Storage SOP Class, built from the tables of IODs: every attribute of every module, at every
depth.

An instance holds what its IOD could hold at most, with values that say nothing; what is planted is decided by
:mod:`policies.selftest.attributes`. Pixels are a few cells. It is larger than any real instance, and legal in
shape only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.standard import iods
from policies.standard.beyond import risks
from policies.standard.tables import iod_of

Path = tuple[int, ...]
Fill = Callable[[Path, str], object]
"""What to write into the attribute at a path, of a VR; None for a value that says nothing."""

_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_SIDE = 4

FIXED: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "BurnedInAnnotation": "NO",
    "RecognizableVisualFeatures": "NO",
    "Rows": _SIDE,
    "Columns": _SIDE,
    "NumberOfFrames": "1",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelRepresentation": 0,
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "ValueType": "TEXT",
    "ContinuityOfContent": "SEPARATE",
    "RelationshipType": "CONTAINS",
    "CompletionFlag": "COMPLETE",
    "VerificationFlag": "UNVERIFIED",
    "CodingSchemeDesignator": "SCT",
    "CodeValue": "39607008",
    "CodeMeaning": "Lung",
    "DimensionOrganizationType": "3D",
    "Modality": "OT",
    "TemporalRangeType": "POINT",
    "GraphicType": "POINT",
}
"""What must have a certain value for the instance to be read as what it is."""

_SILENT: dict[str, object] = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC"), "CHEST"),
    **dict.fromkeys(("DS", "IS"), "1"),
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), 1),
    **dict.fromkeys(("FL", "FD"), 1.0),
    **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), b"\0" * 8),
    "CS": "ABC",
    "PN": "",
    "AE": "",
    "AS": "",
    "DA": "",
    "TM": "",
    "DT": "",
    "UR": "",
    "AT": 0x00100010,
    "UI": "",
}


def sop_classes(*, at_risk: bool | None = None) -> list[str]:
    """Return the UIDs of all Storage SOP Classes with an IOD, of those that are held by their kind only, or
    without them.
    """
    known = sorted(iods._iod_of_sop_class())
    return [uid for uid in known if at_risk is None or (uid in risks()) == at_risk]


def family_of(sop_class_uid: str) -> str:
    """Return the name of the IOD."""
    return iod_of(sop_class_uid) or UID(sop_class_uid).name


@cache
def paths_of(sop_class_uid: str, *, essential: bool = False) -> tuple[Path, ...]:
    """Return the path of every attribute that the IOD's modules name, overlay groups as the first of them.

    ``essential`` leaves only what mandatory modules demand.
    """
    iod = iod_of(sop_class_uid)
    assert iod is not None
    tables = iods._tables()
    found: dict[Path, bool] = {}
    for module, usage, _ in tables.ciods[iod]:
        if module in tables.modules and not (essential and usage != "M"):
            for written, kind in iods._module_types(module).items():
                path = tuple(int(part.replace("xx", "00"), 16) for part in written.split("/"))
                found[path] = found.get(path, False) or kind in ("1", "2")
    if essential:
        found = {path: True for path in found if _demanded(path, found)}
    return tuple(sorted(found))


def _demanded(path: Path, found: dict[Path, bool]) -> bool:
    if path[0] in _PIXELS:
        return path[0] == 0x7FE00010
    return all(found.get(path[:depth], False) for depth in range(1, len(path) + 1))


def vr_of(tag: int) -> str:
    """Return the VR of an attribute, the first where the dictionary gives several; UN where it gives none."""
    try:
        return str(dictionary_VR(tag)).split(" ")[0].replace("NONE", "UN")
    except KeyError:
        return "UN"


def nothing(path: Path, vr: str) -> None:
    """Fill no attribute."""


def a_plain_instance(sop_class_uid: str, *, study: str, series: str, uid: str) -> Dataset:
    """Build an instance with what its mandatory modules demand, and nothing in it that tells."""
    ds = an_instance(sop_class_uid, nothing, uid=uid, essential=True)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientID, ds.PatientName = f"NR-{uid.rsplit('.', 1)[-1]}", ""
    ds.StudyDate, ds.StudyTime = "20200102", "101112"
    return ds


def an_instance(
    sop_class_uid: str, fill: Fill, *, uid: str, implicit: bool = False, essential: bool = False
) -> Dataset:
    """Build one instance; ``fill`` is asked for the value of every attribute that is not fixed."""
    ds = _filled(_tree(paths_of(sop_class_uid, essential=essential)), (), fill)
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid
    pixels = [tag for tag in sorted(_PIXELS, reverse=True) if Tag(tag) in ds]
    for tag in pixels[1:]:
        del ds[tag]
    if pixels:
        size = {0x7FE00010: 2, 0x7FE00009: 8, 0x7FE00008: 4}[pixels[0]] * _SIDE * _SIDE
        ds[pixels[0]].value = bytes(range(256))[:size] if size <= 256 else b"\0" * size
        ds.BitsAllocated = {32: 16, 64: 32, 128: 64}.get(size, 16)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return ds


_Tree = dict[int, "_Tree"]


def _tree(paths: tuple[Path, ...]) -> _Tree:
    root: _Tree = {}
    for path in paths:
        level = root
        for tag in path:
            level = level.setdefault(tag, {})
    return root


def _filled(level: _Tree, path: Path, fill: Fill) -> Dataset:
    ds = Dataset()
    for element in _elements(level, path, fill):
        ds[element.tag] = element
    return ds


def _elements(level: _Tree, path: Path, fill: Fill) -> Iterator[DataElement]:
    for tag, below in level.items():
        here, vr = (*path, tag), vr_of(tag)
        if tag >> 16 < 8 or tag & 0xFFFF == 0:
            continue
        if vr == "SQ":
            yield DataElement(tag, vr, Sequence([_filled(below, here, fill)]))
            continue
        value = FIXED.get(keyword_for_tag(tag))
        if value is None and tag not in _PIXELS:
            value = fill(here, vr)
        yield DataElement(tag, vr, _SILENT[vr] if value is None else value)
