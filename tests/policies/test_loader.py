"""Policies from YAML: every fault at once with its line and what to write, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyFault, PolicyRoomError
from policies.loader import library, library_text, load, load_library, loads
from policies.model import Policy, Stage

SOUND = """\
name: trial
version: 1.10
stage: anonymize
title: A trial
description: For tests.
"""


def faults_of(text: str) -> list[str]:
    """Return the faults that loading ``text`` reports."""
    with pytest.raises(PolicyFault) as raised:
        loads(text, "trial.yaml")
    assert raised.value.next_step
    return [str(fault) for fault in raised.value.faults]


def test_every_fault_is_reported_at_once_with_its_line() -> None:
    """A file with faults of every kind yields one list, in the order of the lines, each with its remedy."""
    text = """\
name: Bad Name
version: 1
stage: anonymise
title: A bad policy
optons: [clean-descriptors]
options:
  - clean-descriptor
ages: {width: five, topp: 3}
overrides:
  - attribute: PatientNam
    action: K
  - {attribute: PatientName, action: K, reason: because}
  - attribute: PatientSex
    action: Q
    reason: ~
private:
  - {creator: ACME, group: 0018, element: zz, reason: r}
accept:
  - risk: ultrasond
    reason: r
minimum_cohort: 0
clinical_trial: maybe
minimum_cohort: 2
"""
    assert faults_of(text) == [
        "line 1: 'name' has characters that it cannot have; write lower-case letters, digits and hyphens",
        "line 1: 'description' is missing; write description: …",
        "line 3: 'anonymise' is not possible for 'stage'; write anonymize",
        "line 5: 'optons' is unknown; write options",
        "line 7: 'clean-descriptor' is not possible for this entry; write clean-descriptors",
        "line 8: 'width' is no whole number; write digits",
        "line 8: 'topp' is unknown; write top",
        "line 10: 'PatientNam' is no attribute; write PatientName",
        "line 10: 'reason' is missing; write reason: …",
        "line 12: PatientName is never kept: it names the patient; write X, Z or D",
        "line 14: 'Q' is not possible for 'action'; write one of D, Z, X, K, C, U",
        "line 15: 'reason' wants text; write a few words",
        "line 17: 'group' is no private group; private groups are odd, for example 0019",
        "line 17: 'element' is no hexadecimal number; write its digits, for example 0019",
        "line 19: 'ultrasond' is not possible for 'risk'; write ultrasound",
        "line 21: 'minimum_cohort' is too small; write 1 or more",
        "line 22: 'clinical_trial' is neither true nor false; write true or false",
        "line 23: 'minimum_cohort' stands here a second time; write it once",
    ]


def test_contradictions_are_reported_beside_other_faults() -> None:
    """A misspelt key does not hide that two parts contradict each other further down."""
    text = SOUND + "hue: blue\nages:\n  width: 5\ndates: shift\n"
    assert faults_of(text) == [
        "line 6: 'hue' is unknown; possible here: name, version, extends, stage, title, description, options,"
        " overrides, ages, generalize, dates, event, private, vocabulary, accept, pixels, pseudonyms,"
        " legacy_uids, minimum_cohort, disclosure, clinical_trial, blank",
        "line 7: ages: bands need an age; write the option retain-patient-characteristics, or leave ages out",
        "line 9: dates: 'shift' needs the option retain-longitudinal-modified-dates; write it, or dates: remove",
    ]


def test_an_unknown_option_does_not_hide_an_impossible_one() -> None:
    """The options that are known are judged although another is misspelt."""
    text = (
        SOUND
        + "options: [clean-grafics, retain-longitudinal-full-dates, retain-longitudinal-modified-dates]\n"
    )
    unknown, impossible = faults_of(text)
    assert unknown == "line 6: 'clean-grafics' is not possible for this entry; write clean-graphics"
    assert impossible.startswith("line 6: options: retain-longitudinal-full-dates keeps every date")


def test_a_contradiction_among_overrides_has_the_line_of_the_override() -> None:
    """The second of two overrides of one attribute is the one named."""
    text = (
        SOUND
        + """\
overrides:
  - {attribute: PatientSex, action: X, reason: not needed}
  - {attribute: "(0010,0040)", action: Z, reason: not needed}
"""
    )
    assert faults_of(text) == ["line 8: PatientSex is overridden twice; write it once"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it holds no policy"),
        ("# only a remark\n", "it holds no policy"),
        ("- a\n- b\n", "it holds no policy"),
        ("just words", "it holds no policy"),
        ("{}", "it holds no policy"),
        ("name: [", "it is not YAML"),
        ("a: b: c", "it is not YAML"),
        ("\tname: x", "it is not YAML"),
        ("name: x\n---\nname: y\n", "it is not YAML"),
        ("name: \x00", "it is not YAML"),
        ("name: &n x\ntitle: *n\n", "an alias"),
        ("a: &a [*a]\n", "an alias"),
        ("? [a]\n: b\n", "a key is missing"),
        ("!!python/object/apply:os.getcwd []", "it holds no policy"),
        (SOUND + "options: clean-graphics\n", "'options' wants a list"),
        (SOUND + "overrides: {attribute: PatientSex}\n", "'overrides' wants a list"),
        (SOUND + "ages: 5\n", "'ages' wants keys of its own"),
        (SOUND + "options: 5\n", "'options' wants a list"),
        (SOUND + "minimum_cohort: " + "9" * 5000 + "\n", "'minimum_cohort' is"),
        (SOUND + "a: " + "[" * 3000 + "]" * 3000, ""),
    ],
)
def test_what_is_no_policy_is_refused_in_a_sentence(text: str, fault: str) -> None:
    """Whatever stands in the file, the answer is a fault and not an accident."""
    assert any(fault in found for found in faults_of(text))


@given(st.text(max_size=200) | st.text(alphabet="name: [{}]-&*!|>#'\"\n\t ,ages0", max_size=200))
def test_no_text_makes_the_loader_stumble(text: str) -> None:
    """Any text is a policy or a PolicyFault."""
    try:
        loads(text, "any")
    except PolicyFault as fault:
        assert fault.faults


@given(st.text(max_size=30))
def test_no_value_makes_the_loader_stumble(value: str) -> None:
    """Any text as the name of an attribute is an attribute or a PolicyFault."""
    quoted = "'" + value.replace("'", "''") + "'"
    text = SOUND + f"overrides:\n  - {{attribute: {quoted}, action: X, reason: why}}\n"
    try:
        assert len(loads(text, "any").overrides) == 1
    except PolicyFault as fault:
        assert fault.faults


def test_scalars_are_what_they_look_like() -> None:
    """A version is not a decimal number, a private group not an octal one."""
    text = SOUND + (
        "options: [retain-safe-private]\n"
        "private:\n"
        "  - {creator: ACME, group: 0021, element: 08, reason: dose}\n"
    )
    policy = loads(text, "trial.yaml")
    assert policy.version == "1.10"
    assert (policy.private[0].group, policy.private[0].element) == (0x0021, 0x08)


def test_a_file_is_loaded_and_named_without_its_folder(tmp_path: Path) -> None:
    """A policy file loads; what is wrong with one is told with its name only."""
    path = tmp_path / "trial.yaml"
    path.write_text(SOUND, encoding="utf-8-sig")
    assert load(path) == loads(SOUND, "trial.yaml")
    path.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(PolicyFault, match=r"the policy trial\.yaml has 4 faults") as raised:
        load(path)
    assert str(tmp_path) not in str(raised.value)


def test_what_is_no_readable_file_is_said(tmp_path: Path) -> None:
    """A missing file, a folder, a huge file and one that is not text each get a sentence and a next step."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x00")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 2_000_000)
    for path in (tmp_path / "missing.yaml", tmp_path, binary, huge):
        with pytest.raises(PolicyRoomError) as raised:
            load(path)
        assert raised.value.next_step


@pytest.mark.parametrize("name", ["basic", "longitudinal-trial", "pseudonymization"])
def test_every_shipped_policy_loads(name: str) -> None:
    """The library's policies are sound, named as their files, and explain themselves."""
    policy = load_library(name)
    assert policy.name == name
    assert policy.title
    assert len(policy.description) > 100
    assert policy.codes[0][0] == "113100"
    assert loads(library_text(name), name).digest == policy.digest


def test_the_library_is_what_is_shipped() -> None:
    """The library names its policies, one for stage 1 and the rest for stage 2."""
    assert library() == (
        "ai-training",
        "australian-research",
        "basic",
        "hipaa-safe-harbor",
        "longitudinal-trial",
        "pseudonymization",
        "teaching-file",
    )
    stages = {name: load_library(name).stage for name in library()}
    assert [name for name, stage in stages.items() if stage is Stage.PSEUDONYMIZE] == ["pseudonymization"]


def test_the_trial_policy_has_five_year_bands_and_shifted_dates() -> None:
    """What the library promises for trials is in the policy."""
    policy: Policy = load_library("longitudinal-trial")
    assert policy.ages is not None
    assert (policy.ages.width, policy.ages.top) == (5, 90)
    assert policy.dates == "shift"
    assert policy.clinical_trial
    assert [code for code, _ in policy.codes] == ["113100", "113103", "113104", "113105", "113107", "113108"]


def test_an_unknown_shipped_policy_is_answered_with_the_nearest() -> None:
    """A misspelt name is refused, and the next step names the policy that was meant."""
    with pytest.raises(PolicyRoomError) as raised:
        load_library("longitudinal-trail")
    assert raised.value.next_step == "write longitudinal-trial"
    with pytest.raises(PolicyRoomError):
        load_library("../library/basic")
