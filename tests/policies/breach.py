"""Ways to breach a rightly de-identified instance, each the smallest that breaks one promise.

``Breach`` names the instance of the set, what is done to it, and what verification has to say: reason and place.
What pydicom would correct while it writes is done to the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydicom
from pydicom.dataset import Dataset

Kind = Literal["image", "second image", "report", "presentation"]
Edit = Callable[[Dataset], object]
Bytes = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Breach:
    """One way of being wrong. ``where`` is the place that the finding must name, empty for none."""

    name: str
    edit: Edit | None
    code: str
    where: str
    of: Kind = "image"
    octets: Bytes | None = None


def apply(breach: Breach, path: Path, out: Path) -> None:
    """Write the damaged copy of ``path``."""
    if breach.edit is not None:
        ds = pydicom.dcmread(path)
        breach.edit(ds)
        # Not enforced: pydicom would correct the File Meta Information that a test has spoiled.
        ds.save_as(out, enforce_file_format=False)
        path = out
    if breach.octets is not None:
        out.write_bytes(breach.octets(path.read_bytes()))


def setting(**values: Any) -> Edit:
    """Set attributes of the data set."""

    def edit(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return edit


def deleting(keyword: str) -> Edit:
    """Delete an attribute of the data set."""
    return lambda ds: ds.__delattr__(keyword)


def inside(path: str, **values: Any) -> Edit:
    """Set attributes in the first item at a path of sequences: ``A/B``; ``A:2/B`` goes by the third item of A."""

    def edit(ds: Dataset) -> None:
        for step in path.split("/"):
            keyword, _, number = step.partition(":")
            ds = ds[keyword].value[int(number or 0)]
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return edit


def adding(tag: int, vr: str, value: Any) -> Edit:
    """Add an element that has no keyword."""
    return lambda ds: ds.add_new(tag, vr, value)


def private(group: int, creator: str, low: int, vr: str, value: Any, *, within: str = "") -> Edit:
    """Add a private block with one element."""

    def edit(ds: Dataset) -> None:
        item = ds[within].value[0] if within else ds
        item.private_block(group, creator, create=True).add_new(low, vr, value)

    return edit


def item(**values: Any) -> Dataset:
    """An item with these attributes."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A code item."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def content_item(ds: Dataset, value_type: str) -> Dataset:
    """The first content item of a value type, at any depth."""
    found = find_item(ds, value_type)
    assert found is not None, value_type
    return found


def find_item(ds: Dataset, value_type: str) -> Dataset | None:
    for inner in ds.get("ContentSequence", ()):
        if inner.get("ValueType") == value_type:
            return inner  # type: ignore[no-any-return]
        found = find_item(inner, value_type)
        if found is not None:
            return found
    return None


def in_item(value_type: str, **values: Any) -> Edit:
    """Set attributes of the first content item of a value type."""

    def edit(ds: Dataset) -> None:
        found = content_item(ds, value_type)
        for keyword, value in values.items():
            setattr(found, keyword, value)

    return edit


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian with a length of 16 bits, as it is, odd or not."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def header(tag: int, vr: bytes) -> bytes:
    """The first six bytes of an element."""
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)


def replacing(tag: int, vr: bytes, value: bytes, *, new_vr: bytes = b"", behind: bytes = b"") -> Bytes:
    """Replace the first element with this tag and VR; ``behind`` is put behind it."""

    def change(data: bytes) -> bytes:
        at = data.index(header(tag, vr))
        length = struct.unpack_from("<H", data, at + 6)[0]
        return data[:at] + element(tag, new_vr or vr, value) + behind + data[at + 8 + length :]

    return change


def inserting(before: int, vr: bytes, octets: bytes) -> Bytes:
    """Put bytes before the first element with this tag and VR."""

    def change(data: bytes) -> bytes:
        at = data.index(header(before, vr))
        return data[:at] + octets + data[at:]

    return change


def doubled_item(keyword: str) -> Edit:
    """Repeat the first item of a sequence."""
    return lambda ds: ds[keyword].value.append(deepcopy(ds[keyword].value[0]))


def meta(**values: Any) -> Edit:
    """Set elements of the File Meta Information."""

    def edit(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds.file_meta, keyword, value)

    return edit


def pixel(at: int) -> Edit:
    """Change one byte of a cell."""

    def edit(ds: Dataset) -> None:
        cells = bytearray(ds.PixelData)
        cells[at] ^= 1
        ds.PixelData = bytes(cells)

    return edit
