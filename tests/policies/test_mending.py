"""What is not conforming is read as if it were, or refused by name; DCMTK reads no more and nothing else."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from array import array
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.elements import file_head
from policies.engine import Engine
from policies.errors import Refusal
from policies.instances import mended, open_instance
from policies.loader import load_library
from policies.source import FileSource
from tests.policies.damage import (
    BIG_ENDIAN,
    DAMAGES,
    EXPLICIT,
    IMPLICIT,
    MANUFACTURER,
    MODEL,
    OPEN,
    PIXELS,
    PREFIX,
    SEQUENCE_END,
    Damage,
    as_it_is,
    base,
    copied,
    data_set,
    element,
    elements_of,
    item,
    meta,
)
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}


def carried(content: bytes, folder: Path) -> pydicom.FileDataset:
    """What the engine makes of a file."""
    path, out = folder / "in.dcm", folder / "out.dcm"
    path.write_bytes(content)
    out.unlink(missing_ok=True)
    engine = Engine(load_library("longitudinal-trial"), trial=TRIAL)
    with engine.read(path) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return pydicom.dcmread(out)


def values(ds: Dataset) -> dict[object, object]:
    """The values of a data set as text and octets, whatever their VR was."""
    plain: dict[object, object] = {}
    for one in ds:
        if one.VR == "SQ":
            plain[one.tag] = [values(item) for item in one.value]
        elif isinstance(one.value, bytes):
            plain[one.tag] = one.value.rstrip(b" \0")
        else:
            plain[one.tag] = str(one.value).rstrip().encode()
    return plain


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[object, object]:
    """What the undamaged instance becomes."""
    return values(carried(PREFIX + meta() + data_set(base()), tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("damage", [one for one in DAMAGES if not one.reason], ids=str)
def test_what_can_be_understood_is_read_as_if_it_were_whole(
    damage: Damage, whole: dict[object, object], tmp_path: Path
) -> None:
    """A damaged instance becomes what the undamaged one becomes, value by value."""
    assert values(carried(damage.build(), tmp_path)) == whole


@pytest.mark.parametrize("damage", [one for one in DAMAGES if one.reason], ids=str)
def test_what_cannot_be_understood_is_refused_by_name(damage: Damage, tmp_path: Path) -> None:
    """An instance that would have to be guessed at is refused, and the reason says what is wrong."""
    with pytest.raises(Refusal) as refusal:
        carried(damage.build(), tmp_path)
    assert refusal.value.reason == damage.reason


def read_here(path: Path) -> Dataset:
    """The data set as it goes to the rules, everything still in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        instance = open_instance(FileSource(descriptor))
        if not instance.mended:
            instance = mended(instance)
    finally:
        os.close(descriptor)
    head = file_head(instance.meta.sop_class_uid, "1.2", instance.meta.transfer_syntax_uid)
    return pydicom.dcmread(BytesIO(head + instance.data.read(0, instance.data.size)))


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dcmconv") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_dcmtk_reads_no_more_and_nothing_else(damage: Damage, tmp_path: Path) -> None:
    """What DCMTK reads without an error is read here with the same values, or refused by name."""
    path, theirs = tmp_path / "in.dcm", tmp_path / "theirs.dcm"
    path.write_bytes(damage.build())
    if subprocess.run(["dcmconv", "-q", "+te", path, theirs], check=False, capture_output=True).returncode:
        return
    try:
        ours = read_here(path)
    except Refusal as refusal:
        assert refusal.reason == damage.reason
        return
    expected = pydicom.dcmread(theirs, force=True)
    for one in [*expected]:
        if one.tag.element == 0:
            del expected[one.tag]
    assert values(ours) == values(expected)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_mending_keeps_every_value(syntax: str, tmp_path: Path) -> None:
    """A conforming instance of any encoding that goes through the mending has the same values afterwards."""
    path = tmp_path / "in.dcm"
    ds = copied(base())
    if syntax == IMPLICIT:
        ds.remove_private_tags()  # whose representation is not told
    path.write_bytes(PREFIX + meta(syntax) + data_set(ds, syntax))
    assert values(read_here(path)) == values(ds)


def test_pixel_words_of_a_private_syntax_are_turned_round(tmp_path: Path) -> None:
    """The syntax of old GE scanners, little endian but for its pixels, is read as what it is."""
    ds = copied(base())
    ds.remove_private_tags()
    cells = ds.PixelData
    ds.PixelData = struct.pack(f">{len(cells) // 2}H", *array("H", cells))
    path = tmp_path / "in.dcm"
    path.write_bytes(PREFIX + meta("1.2.840.113619.5.2") + data_set(ds, IMPLICIT))
    ours = read_here(path)
    assert ours.PixelData == cells
    assert ours.file_meta.TransferSyntaxUID == EXPLICIT


def test_large_cells_in_big_endian_are_not_guessed(tmp_path: Path) -> None:
    """Pixel cells of 32 bits in big endian are refused: programs do not agree on the order of their words."""
    ds = base()
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31
    path = tmp_path / "in.dcm"
    path.write_bytes(PREFIX + meta(BIG_ENDIAN) + data_set(ds, BIG_ENDIAN))
    with pytest.raises(Refusal) as refusal:
        read_here(path)
    assert refusal.value.reason == "unsupported-transfer-syntax"


JPEG = "1.2.840.10008.1.2.4.50"


def fragments(table: list[int], *frames: bytes) -> bytes:
    """The small image, its pixel data compressed: an offset table, and frames of one fragment each."""
    content = item(struct.pack(f"<{len(table)}I", *table)) + b"".join(map(item, frames)) + SEQUENCE_END
    elements = [
        element(PIXELS, b"OB", content, length=OPEN) if tag == PIXELS else whole
        for tag, whole in elements_of(data_set(base()))
    ]
    return PREFIX + meta(JPEG) + b"".join(elements)


def test_odd_fragments_become_even_and_offsets_follow(tmp_path: Path) -> None:
    """Fragments of odd length are padded, and the offset table points to the same frames as before."""
    path = tmp_path / "in.dcm"
    path.write_bytes(fragments([0, 11, 23], b"abc", b"defg", b"hij"))
    content = read_here(path).PixelData
    assert content == item(struct.pack("<3I", 0, 12, 24)) + item(b"abc\0") + item(b"defg") + item(b"hij\0")


def test_offsets_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    """Where odd fragments and their offset table do not agree, nobody can say which frame is meant."""
    path = tmp_path / "in.dcm"
    path.write_bytes(fragments([0, 12], b"abc", b"defg"))
    with pytest.raises(Refusal) as refusal:
        read_here(path)
    assert refusal.value.reason == "malformed"


def test_what_is_too_large_to_be_mended_is_refused_for_what_is_wrong(tmp_path: Path) -> None:
    """A file of more than 256 MiB that does not conform is refused without being read."""
    path = tmp_path / "in.dcm"
    path.write_bytes(PREFIX + meta() + as_it_is(MODEL) + as_it_is(MANUFACTURER) + data_set(base()))
    with path.open("r+b") as file:
        file.truncate(300 << 20)  # a hole; it takes no room
    with pytest.raises(Refusal) as refusal:
        Engine(load_library("basic")).read(path)
    assert refusal.value.reason == "malformed"
    assert "out of order" in refusal.value.what
    assert "dcmconv" in refusal.value.next_step


def test_no_level_is_of_more_elements_than_can_be_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tiny elements in the wrong order are refused, because each of them takes memory of its own."""
    monkeypatch.setattr("policies.mending._MOST_ELEMENTS", 100)
    tiny = b"".join(element(0x00091000 + number, b"UN", b"") for number in reversed(range(100)))
    with pytest.raises(Refusal) as refused:
        carried(PREFIX + meta() + data_set(base()) + tiny, tmp_path)
    assert refused.value.reason == "malformed"
