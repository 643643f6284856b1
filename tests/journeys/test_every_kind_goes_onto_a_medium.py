"""After both stages an instance of every kind still has what a medium needs of it (PS3.3 annex F)."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from media.checker import check_medium
from media.pdi import write_medium
from media.requirements import missing
from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy, Risk
from tests.media.builders import LABEL, SOP_CLASSES, one_of_each_kind, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

STAGES = ("basic", "longitudinal-trial")


def accepting(name: str) -> Policy:
    """A policy of the library that holds nothing for review; what a document shows is no matter here."""
    policy = load_library(name)
    accepted = [{"risk": risk, "reason": "nothing is shown here"} for risk in Risk]
    return Policy.model_validate({**policy.model_dump(exclude={"accept"}), "accept": accepted})


def carried(sources: list[Path], name: str, folder: Path) -> list[Path]:
    folder.mkdir()
    engine, pseudonyms = Engine(accepting(name)), CountedPseudonyms()
    out = []
    for source in sources:
        with engine.read(source) as draft:
            engine.write(draft, pseudonyms.resolve([draft.subject]), folder / source.name)
        out.append(folder / source.name)
    return out


@pytest.fixture(scope="module")
def pseudonymized(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("kinds")
    sources = [written(instance, folder / "in") for instance in one_of_each_kind()]
    assert len(sources) == len(SOP_CLASSES)
    return carried(sources, "pseudonymization", folder / "stage1")


@pytest.mark.parametrize("policy", STAGES)
def test_no_kind_loses_a_key_of_its_directory_record(
    policy: str, pseudonymized: list[Path], tmp_path: Path
) -> None:
    """After stage 2 every Type 1 key of every record is there, which the table would let go or be empty: dates and
    times of study, content and presentation, Study ID, labels of structure sets and plans."""
    for path in carried(pseudonymized, policy, tmp_path / "out"):
        ds = pydicom.dcmread(path)
        assert [str(key) for key in missing(ds) if not key.assignable] == [], ds.SOPClassUID.name


@pytest.mark.parametrize("policy", STAGES)
def test_a_medium_takes_every_kind(policy: str, pseudonymized: list[Path], tmp_path: Path) -> None:
    """All of them go onto one medium, whose directory is found to be right."""
    medium = write_medium(carried(pseudonymized, policy, tmp_path / "out"), tmp_path / "medium", label=LABEL)
    report = check_medium(medium.path)
    assert [check for check in report.checks if not check.passed] == []
    kinds = {
        record.DirectoryRecordType
        for record in pydicom.dcmread(medium.path / "DICOMDIR").DirectoryRecordSequence
    }
    assert set(SOP_CLASSES) <= kinds
