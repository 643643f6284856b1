"""The verification's reader sees what is there: as much as pydicom sees, and the faults that pydicom forgives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.layout import Step, walk
from policies.loader import load_library
from policies.parsing import Unreadable, read, read_source
from tce.proving import prove_set
from tests.policies.damage import DAMAGES, Damage
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

# Files that come with pydicom and are whole.
FILES = sorted(
    Path(str(name))
    for name in get_testdata_files("*.dcm")
    if "truncated" not in str(name) and "dicomdirtests" not in str(name)
)


def seen_by_pydicom(ds: Dataset, steps: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    for element in ds:
        yield (*steps, (int(element.tag), 0))
        if element.VR == "SQ":
            for number, item in enumerate(element.value, start=1):
                yield from seen_by_pydicom(item, (*steps, (int(element.tag), number)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_overlooked(path: Path) -> None:
    """Every element that pydicom finds, at every depth, is found; strictly read, the file has as many or is refused."""
    try:
        theirs = set(seen_by_pydicom(pydicom.dcmread(path)))
    except Exception:
        theirs = set(seen_by_pydicom(pydicom.dcmread(path, stop_before_pixels=True, force=True)))
    assert theirs <= {steps for steps, _, _ in walk(read_source(path).top)}
    try:
        strict = {steps for steps, _, _ in walk(read(path).top)}
    except Unreadable:
        return
    assert theirs <= strict


@pytest.mark.parametrize("damage", [one for one in DAMAGES if not one.reason], ids=str)
def test_what_is_mended_is_compared(damage: Damage, tmp_path: Path) -> None:
    """A source that is not conforming is read as its mended result says: nothing is held that is right."""
    source, policy = tmp_path / "source", load_library("longitudinal-trial")
    source.write_bytes(damage.build())
    with Engine(policy).read(source) as draft:
        Engine(policy).write(draft, CountedPseudonyms().resolve([draft.subject]), tmp_path / "made")
    assert prove_set([(tmp_path / "made", source)], policy) == []


@pytest.mark.parametrize("damage", [one for one in DAMAGES if one.reason], ids=str)
def test_no_damage_stops_the_reader(damage: Damage, tmp_path: Path) -> None:
    """Of what is refused as a source as much is read as can be followed, and nothing raises."""
    path = tmp_path / "source"
    path.write_bytes(damage.build())
    assert read_source(path).path == path


def test_a_file_cut_anywhere_is_never_whole(tmp_path: Path) -> None:
    """Strictly read, a file that ends early is refused, or ends between two elements."""
    content = next(one for one in DAMAGES if not one.reason).build()
    path = tmp_path / "cut"
    path.write_bytes(content)
    whole = {steps for steps, _, _ in walk(read_source(path).top)}
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        assert {steps for steps, _, _ in walk(read_source(path).top)} <= whole
        with contextlib.suppress(Unreadable):
            assert {steps for steps, _, _ in walk(read(path).top)} < whole
