"""On real files: what an engine saw before changes no byte of what it writes.

The files are the reader's own. ``TCE_REAL_FILES`` names their folder; without it there is nothing to read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import load_library
from policies.model import AcceptedRisk, Policy, Risk
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

_FOLDER = os.environ.get("TCE_REAL_FILES", "")


def _a_policy(name: str) -> Policy:
    """The shipped policy, letting instances at risk through: they have headers too."""
    accepted = tuple(AcceptedRisk(risk=risk, reason="nothing leaves this test") for risk in Risk)
    return load_library(name).model_copy(update={"accept": accepted})


def _carried(engine: Engine, path: Path, out: Path) -> bytes | str:
    try:
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    except Refusal as refusal:
        return refusal.reason
    written = out.read_bytes()
    out.unlink()
    return written


@pytest.mark.skipif(not _FOLDER, reason="TCE_REAL_FILES names no folder of DICOM files")
@pytest.mark.parametrize("name", ["pseudonymization", "basic", "longitudinal-trial"])
def test_a_shared_engine_writes_what_a_fresh_one_writes(name: str, tmp_path: Path) -> None:
    """One engine for all files, and a new one for each, write the same bytes or refuse for the same reason."""
    policy, out = _a_policy(name), tmp_path / "out.dcm"
    shared = Engine(policy)
    paths = sorted(path for path in Path(_FOLDER).rglob("*") if path.is_file())
    assert paths, "the folder holds no file"
    differing = [
        path.name for path in paths if _carried(shared, path, out) != _carried(Engine(policy), path, out)
    ]
    assert differing == []
