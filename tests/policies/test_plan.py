"""What a plan makes of elements that are not written as the dictionary says."""

from __future__ import annotations

import struct
from pathlib import Path

import pydicom
import pytest

from policies.elements import encode
from policies.engine import Engine
from policies.loader import load_library
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

INSTANCE_NUMBER = 0x00200013


def carried_with(element: bytes, folder: Path) -> pydicom.FileDataset:
    """The CT image after the basic policy, its Instance Number written as these bytes."""
    ds = a_ct_image()
    ds.InstanceNumber = "77"
    path, out = folder / "in.dcm", folder / "out.dcm"
    ds.save_as(path, enforce_file_format=True)
    whole = encode(INSTANCE_NUMBER, b"IS", b"77", explicit=True)
    content = path.read_bytes()
    assert content.count(whole) == 1
    path.write_bytes(content.replace(whole, element))
    engine = Engine(load_library("basic"))
    with engine.read(path) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return pydicom.dcmread(out)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        (b"US", struct.pack("<H", 77)),
        (b"SL", struct.pack("<i", 77)),
        (b"FD", struct.pack("<d", 77)),
        (b"DS", b"77"),
    ],
)
def test_a_number_written_in_another_way_stays(vr: bytes, value: bytes, tmp_path: Path) -> None:
    """A number in the place of a number string is still a number, and tells no more than that."""
    assert carried_with(encode(INSTANCE_NUMBER, vr, value, explicit=True), tmp_path).InstanceNumber == 77


@pytest.mark.parametrize("vr", [b"LO", b"OB", b"PN", b"UT"])
def test_text_in_the_place_of_a_number_goes(vr: bytes, tmp_path: Path) -> None:
    """Text and bytes in the place of a number could tell anything, and go."""
    out = carried_with(encode(INSTANCE_NUMBER, vr, b"Zzyx", explicit=True), tmp_path)
    assert not out.get("InstanceNumber")
