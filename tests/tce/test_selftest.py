"""A policy's trial tells what leaks, stays and fits, and an approver sees only figures that count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies import loader
from policies.engine import Engine
from policies.selftest.families import family_of
from tce import selftest, trial_figures
from tce.approvals_desk import Desk
from tce.attached_figures import SUFFIX
from tce.config import Site
from tce.selftest import FAMILIES, figures
from tce.shelf import Shelf, Shelved
from tce.trial_figures import Figures
from tests.tce.test_approvals_desk import site

__all__ = ["site"]

GOOD = Figures(
    policy={"name": "basic", "version": "1", "digest": ""},
    software="tce",
    planted=9,
    searched=9,
    leaked=(),
    instances=3,
    set_aside={"at-risk-ultrasound": 1},
    retained={"pixel": (2, 2)},
    references={"standing after": 2, "resolving after": 2, "standing before": 3, "resolving before": 3},
    findings={},
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial on two families and the channels."""
    monkeypatch.setattr(selftest, "FAMILIES", FAMILIES[3:5])


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", loader.library())
def test_every_shipped_policy_holds(name: str) -> None:
    """Nothing that a shipped policy has to take survives, references resolve, and the verification finds nothing."""
    found = figures(loader.load_library(name))
    assert found.holds, found.words()
    assert found.searched > 1000
    assert found.policy["digest"] == loader.load_library(name).digest
    assert found.retained["pixel"][1]


@pytest.mark.usefixtures("few")
def test_an_engine_that_leaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If what a policy takes were left in place, the trial would say so: it can fail."""
    monkeypatch.setattr(
        selftest, "Engine", lambda policy, **_: Engine(loader.load_library("pseudonymization"))
    )
    found = figures(loader.load_library("basic"))
    assert not found.holds
    assert found.leaked


def test_every_main_family_is_tried() -> None:
    """The list names SOP Classes that there are, once each."""
    assert len(set(FAMILIES)) == len(FAMILIES) > 25
    assert all(family_of(uid) for uid in FAMILIES)


@pytest.mark.parametrize(
    "changed",
    [
        {"leaked": ("text: somewhere",)},
        {"searched": 0},
        {"findings": {"mark": 1}},
        {"references": {**GOOD.references, "resolving after": 1}},
    ],
)
def test_figures_hold_only_if_everything_does(changed: dict[str, object]) -> None:
    """A leak, a finding, a dangling reference, or nothing searched: none of these is a trial that holds."""
    assert GOOD.holds
    assert not replace(GOOD, **changed).holds  # type: ignore[arg-type]


def test_figures_are_read_as_they_were_written() -> None:
    """The signed bytes are the same after a journey through a file."""
    assert trial_figures.read(GOOD.payload().decode()).payload() == GOOD.payload()
    for text in ("{}", "[]", "", '{"form": "tce-selftest-1", "retained": {}}'):
        with pytest.raises((ValueError, KeyError)):
            trial_figures.read(text)


def submitted(site: Site) -> tuple[Shelved, Path]:
    shelved = Shelf(site.policies_dir).put(loader.library_text("basic"))
    found = replace(GOOD, policy={**GOOD.policy, "digest": shelved.policy.digest})
    Desk(site).submit_policy(shelved, "alice", found)
    return shelved, shelved.path.with_suffix(SUFFIX)


@pytest.mark.vault
def test_an_approver_sees_the_figures_of_the_text_that_was_submitted(site: Site) -> None:
    """What the author signed is shown, with who signed it."""
    shelved, _ = submitted(site)
    said = Desk(site).figures(shelved)
    assert said[0].startswith("trial:      holds") and "alice" in said[0]
    assert "0 of 9" in said[1]


@pytest.mark.vault
def test_figures_that_were_changed_or_are_of_another_text_do_not_count(site: Site) -> None:
    """Nobody can make a leak of nine values one of none, or lend a policy the figures of another."""
    shelved, path = submitted(site)
    content = json.loads(path.read_text())
    content["figures"]["planted"] = 99
    path.write_text(json.dumps(content))
    assert "do not count" in Desk(site).figures(shelved)[0]
    path.write_text("{}")
    assert "do not count" in Desk(site).figures(shelved)[0]
    submitted_again = replace(GOOD, policy={**GOOD.policy, "digest": "sha256:" + "0" * 64})
    Desk(site).submit_policy(shelved, "alice", submitted_again)
    assert "another text" in Desk(site).figures(shelved)[0]
    path.unlink()
    assert Desk(site).figures(shelved) == []
