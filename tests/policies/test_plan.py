"""What a plan makes of elements that are not written as the dictionary says."""

from __future__ import annotations

import gc
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary

from policies import plan
from policies.elements import encode
from policies.engine import Engine
from policies.loader import load_library
from policies.standard.tables import row_of
from tests.builders import a_ct_image, an_item
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


def sequences_in_sequences(count: int) -> pydicom.Dataset:
    """A CT image with ``count`` by ``count`` sequences of different tags in one another."""
    ds = a_ct_image()
    tags = [tag for tag, entry in sorted(DicomDictionary.items()) if entry[0] == "SQ" and not entry[3]]
    kept = [tag for tag in tags if 0x00080000 < tag < 0x00700000 and row_of(tag) is None][:count]
    for outer in kept:
        item = pydicom.Dataset()
        for inner in kept:
            if inner != outer:
                item.add_new(inner, "SQ", [an_item(RescaleSlope="1")])
        ds.add_new(outer, "SQ", [item])
    return ds


def test_a_plan_learns_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of ever other sequences leaves no more tables behind than the bound, and becomes the same bytes."""
    path = tmp_path / "in.dcm"
    sequences_in_sequences(40).save_as(path, enforce_file_format=True)
    results = []
    gc.collect()
    before = sum(isinstance(one, plan.LevelTable) for one in gc.get_objects())
    for most in (1 << 14, 300):
        monkeypatch.setattr(plan, "_MOST_TABLES", most)
        engine = Engine(load_library("basic"))
        for turn in range(2):
            out = tmp_path / f"{most}-{turn}.dcm"
            with engine.read(path) as draft:
                engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
            results.append(out.read_bytes())
    assert len(set(results)) == 1
    del draft
    gc.collect()
    left = sum(isinstance(one, plan.LevelTable) for one in gc.get_objects())
    assert left - before < 600


def test_an_engine_begins_anew_when_a_plan_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one file made an engine learn does not slow down those that follow for ever."""
    monkeypatch.setattr(plan, "_MOST_TABLES", 300)
    paths = tmp_path / "many.dcm", tmp_path / "usual.dcm"
    sequences_in_sequences(40).save_as(paths[0], enforce_file_format=True)
    a_ct_image().save_as(paths[1], enforce_file_format=True)
    engine = Engine(load_library("basic"))
    drafts = []
    for path in paths:
        with engine.read(path) as draft:
            drafts.append(draft)
    assert [draft._plan.full for draft in drafts] == [True, False]
