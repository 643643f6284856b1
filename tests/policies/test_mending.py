"""What is not conforming is read as if it were, or refused by name; DCMTK reads no more and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
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
    PREFIX,
    Damage,
    base,
    copied,
    data_set,
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
    for element in ds:
        if element.VR == "SQ":
            plain[element.tag] = [values(item) for item in element.value]
        elif isinstance(element.value, bytes):
            plain[element.tag] = element.value.rstrip(b" \0")
        else:
            plain[element.tag] = str(element.value).rstrip().encode()
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
    for element in [*expected]:
        if element.tag.element == 0:
            del expected[element.tag]
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
