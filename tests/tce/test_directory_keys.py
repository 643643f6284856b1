"""Who approves a policy reads which keys of a DICOMDIR it leaves empty."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from media.requirements import missing
from policies.engine import Engine
from policies.loader import library_text, load_library, loads
from policies.model import Policy, Risk
from tce.cli import main
from tce.directory_keys import empty_keys, in_words
from tests.media.builders import SOP_CLASSES, an_instance, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

_POLICY = """
name: ours
version: 1
stage: pseudonymize
title: Ours
description: A policy that takes away what a directory needs.
dates: remove
overrides:
  - {attribute: Modality, action: Z, reason: nobody needs it}
"""
_RETIRED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6"
"""An IOD that PS3.3 no longer has: nothing there demands a value, as everywhere else."""


@pytest.mark.parametrize("name", ["pseudonymization", "basic", "longitudinal-trial"])
def test_what_is_shipped_leaves_no_key_empty(name: str) -> None:
    """After each shipped policy every instance of every SOP Class has all keys of its directory records."""
    assert empty_keys(load_library(name)) == []


def test_what_a_policy_leaves_empty_is_named() -> None:
    """A key is named with its record type and the number of SOP Classes whose own definition demands no value."""
    (found,) = empty_keys(loads(_POLICY, "ours"))
    assert (found.record, found.key, found.hinders) == ("SERIES", "Modality (0008,0060)", True)
    assert 1 < found.sop_classes < 30
    said = in_words([found])
    assert "Modality (0008,0060), which a SERIES record needs, is left empty in instances of" in said
    assert said.startswith("On media\n") and "no medium takes them" in said
    assert in_words([]) == ""


@pytest.mark.parametrize("sop_class", [_RETIRED_ULTRASOUND, SOP_CLASSES["IMAGE"]])
def test_the_engine_leaves_empty_what_was_foretold(tmp_path: Path, sop_class: str) -> None:
    """An instance that was treated by such a policy lacks those keys and no others."""
    policy = loads(_POLICY, "ours")
    accepted = [{"risk": risk, "reason": "nothing is shown here"} for risk in Risk]
    engine = Engine(Policy.model_validate({**policy.model_dump(exclude={"accept"}), "accept": accepted}))
    source = an_instance(SOPClassUID=sop_class)
    out = tmp_path / "out"
    with engine.read(written(source, tmp_path / "in")) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    lacking = [(one.record, one.key.name) for one in missing(pydicom.dcmread(out)) if not one.assignable]
    assert lacking == ([("SERIES", "Modality (0008,0060)")] if sop_class == _RETIRED_ULTRASOUND else [])


def test_the_approver_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``tce policy check`` says it of a file, and nothing of a policy that leaves every key."""
    file = tmp_path / "ours-1.yaml"
    for text, expected in ((_POLICY, True), (library_text("basic"), False)):
        file.write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path / "home"), "policy", "check", str(file)])
        said = " ".join(capsys.readouterr().out.split())
        assert not ended.value.code
        assert ("Modality (0008,0060), which a SERIES record needs" in said) is expected
