"""No value reaches a warning or a log, whatever a hostile file makes pydicom say."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import load_library
from policies.originals import originals_of
from policies.verify import Verification
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.policies.test_engine import Carrier

HOSTILE = {
    "character set": b"\x08\x00\x05\x00CS",
    "illegal number": b"\x28\x00\x51\x10DS",
    "illegal date": b"\x08\x00\x22\x00DA",
    "illegal UID": b"\x20\x00\x52\x00UI",
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", [b"QUIRIN^VYX", "QUÏRIN^VŸX".encode()], ids=["ascii", "beyond"])
def test_nothing_is_said_of_a_value(
    tmp_path: Path, head: bytes, name: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Engine, verification and the search for originals neither warn nor log, with everything switched on."""
    ds = a_ct_image()
    ds.SpecificCharacterSet, ds.WindowWidth, ds.AcquisitionDate = "ISO_IR 100", 400, "20240301"
    ds.PatientName = "Müller^Ängela"
    path = Carrier(tmp_path).save(ds)
    octets = path.read_bytes()
    at = octets.index(head)
    length = int.from_bytes(octets[at + 6 : at + 8], "little")
    value = name.ljust(len(name) + len(name) % 2)
    path.write_bytes(octets[: at + 6] + len(value).to_bytes(2, "little") + value + octets[at + 8 + length :])
    policy = load_library("pseudonymization")
    engine, out = Engine(policy), tmp_path / "out"
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        originals_of([path])
        try:
            with engine.read(path) as draft:
                engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
            Verification(policy).check(out, path)
        except Refusal as refused:
            assert "RIN" not in str(refused)
    assert [str(warning.message) for warning in said] == []
    assert caplog.records == []
