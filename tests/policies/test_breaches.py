"""Every breach to a rightly de-identified set is found and named by its reason and place, and nothing else is.

The results are the engine's, so that a breach is the only thing wrong; the breaches are made by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.engine import Engine
from policies.loader import load_library
from policies.verify import Finding, check_export
from tests.builders import a_ct_study, written
from tests.policies.breach import Breach, Kind, apply
from tests.policies.breaches import BREACHES, NAME
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}
_PLACES: dict[Kind, int] = {"image": 0, "second image": 1, "report": 3, "presentation": 4}


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A set as the engine made it, with its sources."""

    pairs: list[tuple[Path, Path]]

    def findings(self, place: int, damaged: Path) -> list[Finding]:
        pairs = list(self.pairs)
        pairs[place] = damaged, pairs[place][1]
        return check_export(pairs, load_library("longitudinal-trial"), trial=TRIAL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSet:
    folder = tmp_path_factory.mktemp("made")
    engine = Engine(load_library("longitudinal-trial"), trial=TRIAL)
    pairs = []
    for place, source in enumerate(written(a_ct_study(), folder / "sources")):
        with engine.read(source) as draft:
            out = folder / f"{place}"
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        pairs.append((out, source))
    return MadeSet(pairs)


def test_what_the_engine_makes_passes(made: MadeSet) -> None:
    """Without any breach there is no finding."""
    assert check_export(made.pairs, load_library("longitudinal-trial"), trial=TRIAL) == []


@pytest.mark.parametrize("kind", list(_PLACES))
def test_the_way_of_damaging_is_none(made: MadeSet, kind: Kind, tmp_path: Path) -> None:
    """Reading an instance and writing it again unchanged, as breaches are done, is no finding."""
    place = _PLACES[kind]
    apply(Breach("none", lambda ds: None, "", "", kind), made.pairs[place][0], tmp_path / "same")
    assert made.findings(place, tmp_path / "same") == []


@pytest.mark.parametrize("breach", [pytest.param(breach, id=breach.name) for breach in BREACHES])
def test_each_breach_is_found(made: MadeSet, breach: Breach, tmp_path: Path) -> None:
    """The finding names the reason, the tag and the instance, and no value."""
    place = _PLACES[breach.of]
    apply(breach, made.pairs[place][0], tmp_path / "damaged")
    found = made.findings(place, tmp_path / "damaged")
    assert (breach.code, breach.where) in {
        (
            finding.code,
            finding.where if finding.where == breach.where else finding.where[-len(breach.where) :],
        )
        for finding in found
    }
    assert place + 1 in {finding.instance for finding in found}
    assert "indqvist" not in repr(found)
    assert NAME not in repr(found)


def test_no_two_breaches_are_called_alike() -> None:
    """A failing test names one breach."""
    names = [breach.name for breach in BREACHES]
    assert len(set(names)) == len(names)


def test_every_reason_is_explained() -> None:
    """Each reason by which a breach holds an export can be looked up."""
    text = (Path(__file__).parents[2] / "docs" / "coordinator.md").read_text(encoding="utf-8")
    assert sorted({breach.code for breach in BREACHES if f"`{breach.code}`" not in text}) == []
