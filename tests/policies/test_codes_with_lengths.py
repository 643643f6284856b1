"""Coded entries as old writers wrote them."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.sequence import Sequence

from policies.loader import load_library
from tests.builders import a_ct_image
from tests.policies.test_empty_items import item
from tests.policies.test_engine import Carrier


@pytest.mark.parametrize("policy", ["pseudonymization", "basic"])
def test_a_group_length_hides_no_public_code(tmp_path: Path, policy: str) -> None:
    """A coded entry that begins with the retired length of its group (PS3.5 7.2) is as public as without it."""
    carry = Carrier(tmp_path)
    code = item(CodeValue="113691", CodingSchemeDesignator="DCM", CodeMeaning="IEC Body Dosimetry Phantom")
    ds = a_ct_image()
    ds.CTDIPhantomTypeCodeSequence = Sequence([code])
    path = carry.save(ds)
    octets = path.read_bytes()
    at = octets.index(b"\x08\x00\x00\x01SH\x06\x00113691")
    lengths = bytearray(octets[:at] + b"\x08\x00\x00\x00UL\x04\x00\x80\0\0\0" + octets[at:])
    for place in (at - 4, at - 12):
        lengths[place : place + 4] = (int.from_bytes(lengths[place : place + 4], "little") + 12).to_bytes(
            4, "little"
        )
    path.write_bytes(lengths)
    out = pydicom.dcmread(carry.carry_file(path, load_library(policy)))
    (kept,) = out.CTDIPhantomTypeCodeSequence
    assert list(kept) == list(code)
