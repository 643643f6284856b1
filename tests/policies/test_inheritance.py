"""A policy that extends a shipped one: what it takes over, what it changes, and that all of it is signed and shown."""

from __future__ import annotations

import pytest

from policies.describe import describe
from policies.errors import PolicyFault
from policies.loader import library, load_library, loads
from policies.whole import whole_text

OURS = """\
name: ours
version: 1
extends: australian-research@1
overrides:
  - {attribute: PatientSexNeutered, action: Z, reason: not asked for}
  - {attribute: EthnicGroup, action: Z, reason: emptied instead}
ages: {width: 10, top: 80}
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(PolicyFault) as raised:
        loads(text, "ours.yaml")
    return [str(fault) for fault in raised.value.faults]


def test_what_is_not_said_is_inherited() -> None:
    """Keys of the file replace those of the shipped policy; all others are taken over."""
    ours, base = loads(OURS, "ours"), load_library("australian-research")
    assert ours.ages is not None and ours.ages.width == 10
    assert (ours.options, ours.dates, ours.title) == (base.options, base.dates, base.title)
    assert (ours.name, ours.version) == ("ours", "1")
    assert ours.generalize == base.generalize


def test_inherited_rules_are_never_lost_by_writing_others() -> None:
    """Rules for attributes stay beside those of the file; one goes only where the file names the same attribute."""
    rules = {rule.attribute: str(rule.action) for rule in loads(OURS, "ours").overrides}
    assert rules["EthnicGroup"] == "Z"
    assert rules["PatientSexNeutered"] == "Z"
    assert rules["EthnicGroupCodeSequence"] == "X"


def test_the_digest_is_of_the_whole() -> None:
    """Written out, the same policy has the same digest; so a shipped policy that changes takes the approval with it."""
    ours = loads(OURS, "ours")
    written = whole_text(ours)
    assert "# from australian-research@1" in written
    assert loads(written, "whole").digest == ours.digest != load_library("australian-research").digest


@pytest.mark.parametrize("name", library())
def test_every_shipped_policy_can_be_extended_and_written_out(name: str) -> None:
    """A file with a name and one line is a policy, whatever it extends; what it takes over changes by nothing."""
    base = load_library(name)
    ours = loads(f"name: ours\nversion: 2\nextends: {name}@{base.version}\n", "ours")
    assert (
        ours.model_copy(update={"name": base.name, "version": base.version}).model_dump() == base.model_dump()
    )
    assert loads(whole_text(ours), "whole").digest == ours.digest
    assert loads(whole_text(base), "whole").digest == base.digest


def test_private_elements_are_written_out_as_they_are_read() -> None:
    """Group and element are hexadecimal where they are written, and stay the same numbers."""
    text = (
        "name: ours\nversion: 1\nextends: basic@1\noptions: [clean-structured-content, retain-safe-private]\n"
        "private:\n  - {creator: ACME 1.0, group: 0019, element: 1f, reason: dose}\n"
    )
    ours = loads(text, "ours")
    again = loads(whole_text(ours), "whole")
    assert (again.private[0].group, again.private[0].element) == (0x19, 0x1F)
    assert again.digest == ours.digest


def test_the_words_say_what_is_inherited() -> None:
    """Who signs sees from which text a rule comes, and the digest of that."""
    said = " ".join(describe(loads(OURS, "ours")).split())
    base = load_library("australian-research")
    assert f"extends australian-research@1 ({base.digest})" in said
    assert "inherited: accept, blank" in said
    assert "PatientSexNeutered (0010,2203): emptied: not asked for " in said
    assert "EthnicGroupCodeSequence (0010,2161): removed: it tells the ethnic group [inherited]" in said


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "extends: australian-reserch@1",
            "line 3: 'extends' names no shipped policy; write australian-research@",
        ),
        ("extends: australian-research@9", "line 3: 'extends' names another version than the shipped one"),
        ("extends: australian-research", "line 3: 'extends' names another version than the shipped one"),
        ("extends: [basic]", "line 3: 'extends' names no shipped policy"),
        ("extends: basic@1\nages: {width: 5}", "line 4: ages: bands need an age"),
        (
            "extends: longitudinal-trial@2\noptions: [clean-descriptors]",
            "line 3: dates: 'shift' needs the option",
        ),
    ],
)
def test_faults_stand_at_the_line_that_causes_them(line: str, fault: str) -> None:
    """What is wrong beside an inherited key is told at the line that inherits it, with what would be right."""
    assert any(one.startswith(fault) for one in faults_of(f"name: ours\nversion: 1\n{line}\n"))
