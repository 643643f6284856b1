"""Nothing identified leaves: both stages, files to files, with real keys, over two richly identified studies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy
from policies.originals import ALL, DIRECT, originals_of
from policies.pseudonyms import Pseudonyms
from policies.residue import Residue
from policies.verify import check_instance, check_references
from tce.folder import Bench, de_identify
from tce.samples import write_two_studies
from tests.conftest import SiteVault
from vault.keys import create_case_key, create_way_back
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import CasePseudonyms, IdentityPseudonyms
from vault.scheme import Form

pytestmark = pytest.mark.vault

CASE = "nothing-leaves"
TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}
STAGE_TWO = ("basic", "longitudinal-trial")


@dataclass(frozen=True, slots=True)
class Journey:
    """The files before stage 1, after it, and after stage 2 under each policy of the library."""

    sources: list[Path]
    pseudonymized: Path
    anonymized: dict[str, Path]

    def after(self, stage: str) -> Path:
        return self.pseudonymized if stage == "pseudonymization" else self.anonymized[stage]


def stage_one(site: SiteVault, mapping: Path) -> tuple[Engine, Callable[[], Pseudonyms]]:
    def pseudonyms() -> Pseudonyms:
        return IdentityPseudonyms(
            site.service("pseudonymizer"),
            MappingStore(f"sqlite:///{mapping}"),
            case=CASE,
            custodians=site.custodians,
            naming=Naming(Form("HOS")),
        )

    return Engine(load_library("pseudonymization")), pseudonyms


def stage_two(site: SiteVault, policy: str) -> tuple[Engine, Callable[[], Pseudonyms]]:
    def pseudonyms() -> Pseudonyms:
        return CasePseudonyms(site.service("manager"), case=CASE, naming=Naming(Form("TRI")))

    return Engine(load_library(policy), trial=TRIAL), pseudonyms


def carried(sources: list[Path], out: Path, bench: Bench) -> Path:
    """``out`` after every instance of ``sources`` went through a stage; none may be set aside."""
    account = de_identify(sources, out, bench, workers=1)
    assert account.set_aside == []
    return out


@pytest.fixture(scope="module")
def journey(embedded_site_vault: SiteVault, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    site, root = embedded_site_vault, tmp_path_factory.mktemp("journey")
    create_case_key(site.person("bob"), CASE)
    create_way_back(site.service("pseudonymizer"), CASE)
    sources = write_two_studies(root / "modality")
    first = carried(
        [root / "modality"], root / "pseudonymized", partial(stage_one, site, root / "mapping.db")
    )
    second = {
        policy: carried([first], root / policy, partial(stage_two, site, policy)) for policy in STAGE_TWO
    }
    return Journey(sources, first, second)


def instances(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_stage_one_leaves_no_direct_identifier(journey: Journey) -> None:
    """After stage 1 no name, number, UID, contact or birth date of the hospital stands in any byte or file name."""
    search = Residue(originals_of(journey.sources, DIRECT))
    assert search.unsearchable == ()
    assert search.search_tree(journey.pseudonymized) == []


@pytest.mark.parametrize("policy", STAGE_TWO)
def test_stage_two_leaves_nothing_of_either_side(journey: Journey, policy: str) -> None:
    """After stage 2 neither an original, nor a place or device, nor a pseudonym of stage 1 is left."""
    before = instances(journey.pseudonymized)
    originals = {*originals_of(journey.sources, ALL), *originals_of(before, ALL)}
    assert Residue(sorted(originals)).search_tree(journey.anonymized[policy]) == []


@pytest.mark.parametrize("stage", ("pseudonymization", *STAGE_TWO))
def test_every_instance_arrives(journey: Journey, stage: str) -> None:
    """No instance is lost or doubled on the way, and none keeps a name of its source."""
    arrived = instances(journey.after(stage))
    assert len(arrived) == len(journey.sources)
    assert not {path.stem for path in arrived} & {path.stem for path in journey.sources}


@pytest.mark.parametrize("stage", ("pseudonymization", *STAGE_TWO))
def test_the_outcome_is_what_the_policy_promises(journey: Journey, stage: str) -> None:
    """Verification, which shares no rule with the engine, finds nothing, and all references resolve."""
    policy: Policy = load_library(stage)
    arrived = instances(journey.after(stage))
    assert [finding for path in arrived for finding in check_instance(path, policy)] == []
    assert check_references(arrived) == []


def test_the_same_input_gives_the_same_bytes(
    journey: Journey, embedded_site_vault: SiteVault, tmp_path: Path
) -> None:
    """Run again with the same keys and policy, stage 2 writes the same files, byte for byte."""
    again = carried(
        [journey.pseudonymized], tmp_path / "again", partial(stage_two, embedded_site_vault, "basic")
    )
    first = journey.anonymized["basic"]
    relative = [path.relative_to(first) for path in instances(first)]
    assert [path.relative_to(again) for path in instances(again)] == relative
    assert all((first / path).read_bytes() == (again / path).read_bytes() for path in relative)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("stage", ("pseudonymization", *STAGE_TWO))
def test_what_comes_out_is_legal(journey: Journey, stage: str) -> None:
    """The sources have no IOD error, so the results have none either, alone and between them."""
    arrived = instances(journey.after(stage))
    for path in arrived:
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False).stderr
        assert b"Error" not in said, said.decode(errors="replace")
    between = subprocess.run(["dcentvfy", *arrived], capture_output=True, check=False)
    assert b"Error" not in between.stdout + between.stderr
