"""Shutters: what is left of them when the overlay planes are gone."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.loader import load_library
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.policies.test_engine import Carrier


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def with_shutter(shape: str) -> Dataset:
    ds = a_ct_image()
    ds.ShutterShape = shape
    ds.ShutterPresentationValue = 0
    ds.ShutterOverlayGroup = 0x6000
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60000011, "US", 8)
    ds.add_new(0x60001001, "CS", "LAYER")
    ds.add_new(0x60003000, "OW", bytes(8))
    return ds


@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_a_shutter_of_a_bitmap_goes_with_the_overlay(carry: Carrier, policy: str) -> None:
    """Nothing refers to an overlay plane that is gone: the whole Bitmap Display Shutter goes (PS3.3 C.7.6.15)."""
    out = carry(with_shutter("BITMAP"), policy)
    left = {"ShutterShape", "ShutterOverlayGroup", "ShutterPresentationValue"} & set(out.dir())
    assert left == set()
    assert not [element for element in out if element.tag.group == 0x6000]


@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_other_shutters_stay(carry: Carrier, policy: str) -> None:
    """A shutter of another shape beside it keeps its shape and the value behind it."""
    out = carry(with_shutter("CIRCULAR\\BITMAP"), policy)
    assert (out.ShutterShape, out.ShutterPresentationValue) == ("CIRCULAR", 0)
    assert "ShutterOverlayGroup" not in out


def test_an_engine_does_not_remember_the_shutter_before(carry: Carrier) -> None:
    """The value behind a shutter depends on its own instance, whatever the engine carried before."""
    engine, stays = Engine(load_library("pseudonymization")), []
    for shape in ("BITMAP", "CIRCULAR", "BITMAP", "CIRCULAR", "BITMAP"):
        path = carry.save(with_shutter(shape))
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out := path.with_suffix(".out"))
        stays.append("ShutterPresentationValue" in pydicom.dcmread(out))
    assert stays == [False, True, False, True, False]
