"""After both stages an instance claims what is true of it now, and nothing that only the first stage did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.claims import true_methods
from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy
from policies.verify import check_instance
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}
LIBRARY = ("pseudonymization", "basic", "longitudinal-trial")


def carried(source: Path, policy: str, out: Path, trial: Mapping[str, str] | None = None) -> Dataset:
    engine = Engine(load_library(policy), trial=trial)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return pydicom.dcmread(out)


def claimed(ds: Dataset) -> set[str]:
    return {str(item.CodeValue) for item in ds.DeidentificationMethodCodeSequence}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    a_ct_image().save_as(source, enforce_file_format=True)
    carried(source, "pseudonymization", tmp_path / "first")
    return tmp_path / "first"


@pytest.mark.parametrize("policy", ["basic", "longitudinal-trial"])
def test_both_stages_together_claim_what_is_true(first: Path, policy: str, tmp_path: Path) -> None:
    """Codes, method, temporal information and equipment are those of the final state; verification agrees."""
    ds = carried(first, policy, tmp_path / "second", TRIAL)
    assert claimed(ds) == {value for value, _ in load_library(policy).codes}
    assert {"113106", "113109", "113112"} <= claimed(pydicom.dcmread(first))
    assert not {"113106", "113109", "113112"} & claimed(ds)
    assert ds.DeidentificationMethod[0] == f"{policy} {load_library(policy).version}"
    assert "pseudonymization" not in str(ds.DeidentificationMethod)
    assert len(ds.ContributingEquipmentSequence) == 1
    assert ds.LongitudinalTemporalInformationModified == load_library(policy).temporal_information
    found = check_instance(tmp_path / "second", load_library(policy), source=first, trial=TRIAL)
    assert found == []


def test_what_stage_1_claims_is_found_after_stage_2(first: Path, tmp_path: Path) -> None:
    """The marks of stage 1 on a result of stage 2 are findings, each by its tag."""
    ds, before = carried(first, "basic", tmp_path / "second"), pydicom.dcmread(first)
    marks = (
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "LongitudinalTemporalInformationModified",
    )
    for keyword in marks:
        ds[keyword] = before[keyword]
    ds.save_as(tmp_path / "mixed", enforce_file_format=True)
    found = check_instance(tmp_path / "mixed", load_library("basic"), source=first)
    assert {"(0012,0063)", "(0012,0064)", "(0028,0303)"} == {one.where for one in found if one.code == "mark"}


def test_the_trial_of_the_case_and_no_other(first: Path, tmp_path: Path) -> None:
    """The Clinical Trial modules hold what the case says; what the source said of another trial is found."""
    ds = carried(first, "longitudinal-trial", tmp_path / "second", TRIAL)
    assert (ds.ClinicalTrialSponsorName, ds.ClinicalTrialProtocolID) == ("Sponsor", "P-1")
    assert ds.ClinicalTrialSubjectID == ds.PatientID
    policy = load_library("longitudinal-trial")
    other = check_instance(
        tmp_path / "second", policy, source=first, trial={**TRIAL, "ClinicalTrialProtocolID": "P-2"}
    )
    assert [(one.code, one.where) for one in other] == [("mark", "(0012,0020)")]


@pytest.mark.parametrize("name", LIBRARY)
def test_methods_are_worked_out_alike(name: str) -> None:
    """What verification holds for true of a policy is what the policy says of itself; neither asks the other."""
    policy = load_library(name)
    assert true_methods(policy) == set(policy.codes)


@pytest.mark.parametrize(
    ("attribute", "action", "lost"),
    [
        ("StationName", "K", "113100"),
        ("SeriesDescription", "K", "113105"),
        ("PatientWeight", "X", "113108"),
        ("PatientWeight", "K", ""),
        ("Manufacturer", "X", ""),
    ],
)
def test_an_override_costs_the_claim_that_it_belies(attribute: str, action: str, lost: str) -> None:
    """A weakened profile is not claimed, nor an option whose promise an override breaks; both parts agree on that."""
    fields = load_library("longitudinal-trial").model_dump(mode="json")
    override = {"attribute": attribute, "action": action, "reason": "a test"}
    policy = Policy.model_validate({**fields, "overrides": [override], "generalize": []})
    whole = {value for value, _ in true_methods(load_library("longitudinal-trial"))}
    left = {value for value, _ in true_methods(policy)}
    assert true_methods(policy) == set(policy.codes)
    if lost:
        assert lost in whole - left
    else:
        assert left == whole
