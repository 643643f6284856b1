"""Numbers that an analysis uses are kept or gone, never made up."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.errors import Held, Refusal
from policies.loader import load_library
from tests.builders import a_ct_image
from tests.policies.reports import a_report, an_item
from tests.policies.test_engine import Carrier

POLICIES = pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
MARKED = "8.125"


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def written(carry: Carrier, ds: Dataset, policy: str, value: bytes) -> Dataset:
    """Carry a data set in which :data:`MARKED` stands as another value of the same length or less."""
    path = carry.save(ds)
    octets, marked = path.read_bytes(), MARKED.encode()
    assert octets.count(marked) == 1
    path.write_bytes(octets.replace(marked, value.ljust(len(marked))))
    return pydicom.dcmread(carry.carry_file(path, load_library(policy)))


@POLICIES
@pytest.mark.parametrize("value", [b"1/ 5", b"Doe", b"1,5"])
def test_a_measurement_is_not_made_up(carry: Carrier, policy: str, value: bytes) -> None:
    """A Numeric Value that is none leaves Measured Value Sequence empty, which is Type 2 (PS3.3 C.18.1)."""
    wrong, right = an_item("NUM"), an_item("NUM")
    wrong.MeasuredValueSequence[0].NumericValue = MARKED
    out = written(carry, a_report(wrong, right), policy, value)
    first, second = out.ContentSequence
    assert len(first.MeasuredValueSequence) == 0
    assert second.MeasuredValueSequence[0].NumericValue == right.MeasuredValueSequence[0].NumericValue


@POLICIES
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_what_describes_pixels_is_refused_by_name(carry: Carrier, policy: str, keyword: str) -> None:
    """Without a number that its IOD demands an instance is refused; the value is not told."""
    ds = a_ct_image()
    setattr(ds, keyword, MARKED)
    with pytest.raises(Refusal) as refused:
        written(carry, ds, policy, b"Zyxw")
    assert (refused.value.reason, keyword in refused.value.what) == ("not-a-number", True)
    assert "Zyxw" not in str(refused.value)
    assert not list(carry.folder.glob("out-*"))


@POLICIES
@pytest.mark.parametrize("keyword", ["SpacingBetweenSlices", "WindowCenter"])
def test_what_is_not_demanded_goes(carry: Carrier, policy: str, keyword: str) -> None:
    """A number that may be absent is absent when it is none."""
    ds = a_ct_image()
    setattr(ds, keyword, MARKED)
    assert not written(carry, ds, policy, b"Zyxw").get(keyword)


@POLICIES
def test_a_number_that_is_somebodys_is_no_zero(carry: Carrier, policy: str) -> None:
    """Where a demanded number is the patient's own, the instance is held."""
    ds = a_ct_image()
    ds.PatientID = "7712345678"
    ds.RescaleIntercept = "7712345678"
    with pytest.raises(Held):
        carry(ds, policy)


@POLICIES
def test_what_only_counts_may_be_zero(carry: Carrier, policy: str) -> None:
    """An Instance Number that is none puts nothing into an order, and measures nothing."""
    ds = a_report(an_item("NUM"))
    ds.InstanceNumber = "91919191"
    path = carry.save(ds)
    path.write_bytes(path.read_bytes().replace(b"91919191", b"Zyxwvuts"))
    assert pydicom.dcmread(carry.carry_file(path, load_library(policy))).InstanceNumber == 0
