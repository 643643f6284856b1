"""The shipped policies: each on instances of many kinds, after stage 1 and verified."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.errors import Held
from policies.loader import library, load_library
from policies.model import Policy, PseudonymSource, Stage
from policies.rules import Rules
from policies.standard.attributes import attribute_named
from policies.standard.tables import Option
from policies.verify import Verification
from tests.builders import a_code, a_ct_image, a_ct_study, an_enhanced_ct, an_item, an_mr_study, written
from tests.docs.generated import identifiers
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

STAGE_TWO = [name for name in library() if load_library(name).stage is Stage.ANONYMIZE]


def through(policy: Policy, sources: list[Path], out: Path) -> list[Path]:
    """Carry instances through a policy and verify each beside its source; heads may be held, and are left out."""
    out.mkdir()
    engine, verification = Engine(policy), Verification(policy)
    results = []
    for number, source in enumerate(sources):
        result = out / f"{number}.dcm"
        try:
            draft = engine.read(source)
        except Held as held:
            assert held.reason == "at-risk-recognizable-visual-features"
            assert Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in policy.options
            continue
        with draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), result)
        assert verification.check(result, source) == []
        results.append(result)
    assert verification.whole() == []
    return results


def a_told_person() -> Dataset:
    """A CT image of somebody of ninety-four years of whom everything is told that a policy may treat."""
    ds = a_ct_image(patient=4)
    ds.PatientSex, ds.PatientAge, ds.PatientBirthDate = "F", "094Y", "19201103"
    ds.PatientWeight, ds.PatientSize, ds.PatientBodyMassIndex = "163.7", "1.634", "61.31"
    ds.EthnicGroup, ds.Occupation, ds.RegionOfResidence = "Torres", "lighthouse", "94110"
    ds.CountryOfResidence, ds.PatientAddress = "Tuvalu", "1 Lagoon Road"
    ds.AcquisitionContextSequence = [
        an_item(
            ValueType="NUM",
            ConceptNameCodeSequence=[a_code("121033", "DCM", "Subject Age")],
            MeasuredValueSequence=[
                an_item(NumericValue="94", MeasurementUnitsCodeSequence=[a_code("a", "UCUM", "year")])
            ],
        )
    ]
    return ds


@pytest.mark.parametrize("name", STAGE_TWO)
def test_built_instances_pass_both_stages(name: str, tmp_path: Path) -> None:
    """CT, MR and enhanced CT, and a person of whom much is told, are clean after stage 1 and the policy."""
    sources = written([*a_ct_study(), *an_mr_study()], tmp_path / "in")
    for number, ds in enumerate((an_enhanced_ct(frames=2, patient=3), a_told_person())):
        path = tmp_path / f"further-{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        sources.append(path)
    first = through(load_library("pseudonymization"), sources, tmp_path / "one")
    results = through(load_library(name), first, tmp_path / "two")
    told = str(pydicom.dcmread(results[-1]))
    assert [
        word for word in ("Tuvalu", "Lagoon", "lighthouse", "94110", "094Y", "163.7") if word in told
    ] == (["163.7"] if name == "hipaa-safe-harbor" else [])


@pytest.mark.parametrize("name", STAGE_TWO)
def test_the_oldest_become_one_category(name: str, tmp_path: Path) -> None:
    """Where ages stay they are bands, and whoever is older than the top code is as old as it."""
    policy = load_library(name)
    source = tmp_path / "in.dcm"
    a_told_person().save_as(source, enforce_file_format=True)
    result = through(policy, [source], tmp_path / "out")[0]
    age = pydicom.dcmread(result).get("PatientAge")
    assert age == (f"{policy.ages.top:03d}Y" if policy.ages else None)


def test_safe_harbor_draws_its_codes_and_bands_its_ages() -> None:
    """45 CFR 164.514(c): no code is derived from the person; (b)(2)(i)(C): years only, and one category from 90 up."""
    policy = load_library("hipaa-safe-harbor")
    assert policy.pseudonyms is PseudonymSource.RANDOM
    assert policy.ages is not None and (policy.ages.width, policy.ages.top) == (1, 90)
    assert policy.dates == "truncate-to-year"


def test_safe_harbor_treats_every_kind_of_identifier() -> None:
    """The eighteen kinds are in the page, A to R, and no attribute that is named there stays as it is."""
    policy = load_library("hipaa-safe-harbor")
    rows = identifiers("hipaa-safe-harbor")
    assert [row["paragraph"] for row in rows] == list("ABCDEFGHIJKLMNOPQR")
    rules = Rules(policy)
    kept = []
    for row in rows:
        for name in row["attributes"].split(", "):
            attribute = attribute_named(name)
            code = rules.code((attribute.tag,), attribute.vr.encode())
            if code == "K" and name != "PatientAge":
                kept.append(name)
    assert kept == []
