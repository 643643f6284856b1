"""A policy in words: whatever decides about data is said, and nothing is said that is not so."""

from __future__ import annotations

import pytest

from policies.describe import describe
from policies.loader import library, load_library, loads
from policies.standard.tables import Option

RICH = """\
name: rich
version: 3
stage: anonymize
title: A rich policy
description: It uses everything.
options: [retain-patient-characteristics, retain-safe-private, clean-descriptors]
overrides:
  - {attribute: StudyDescription, action: K, reason: the site cleans it by hand}
  - {attribute: PatientSex, action: X, reason: the trial is of one sex}
  - {attribute: PatientComments, action: D, value: SUBJECT, reason: the analysis wants a value}
ages: {width: 10, top: 80}
private:
  - {creator: ACME 1.0, group: 0019, element: 1f, vr: DS, reason: dose rate}
vocabulary: [dixon]
accept:
  - {risk: ultrasound, reason: phantoms only}
minimum_cohort: 7
clinical_trial: true
"""


def flat(text: str) -> str:
    """Return ``text`` on one line, so that line breaks do not matter."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", library())
def test_a_shipped_policy_says_title_digest_and_claims(name: str) -> None:
    """What an approver signs is in the words: title, digest, every code claimed, no other code."""
    policy = load_library(name)
    words = flat(describe(policy))
    assert words.startswith(f"{policy.title} {name} {policy.version} ")
    assert policy.digest in words
    assert flat(policy.description) in words
    for code, meaning in policy.codes:
        assert f"{code} {meaning}" in words
    for option in set(Option) - policy.options:
        assert option.code not in words


def test_everything_that_a_policy_decides_is_said() -> None:
    """Overrides with reasons, bands, private elements, words, risks and limits all appear."""
    words = flat(describe(loads(RICH, "rich.yaml")))
    for said in (
        "StudyDescription (0008,1030): kept [weaker than the profile]: the site cleans it by hand",
        "PatientSex (0010,0040): removed: the trial is of one sex",
        "PatientComments (0010,4000): replaced by 'SUBJECT': the analysis wants a value",
        "bands of 10 years; 38 years become 30, which stands for 30 to 39 years. From 80 years up",
        "private element (0019,xx1F) of ACME 1.0, VR DS: dose rate",
        "safe in descriptions: dixon",
        "ultrasound images: pass without review: phantoms only",
        "secondary captures: screens, films and documents as images: held",
        "no release of fewer than 7 patients",
        "Longitudinal Temporal Information Modified: REMOVED",
        "113100 Basic Application Confidentiality Profile is not claimed",
        "113105 Clean Descriptors Option is not claimed",
        "113108 Retain Patient Characteristics Option is not claimed",
        "113111 Retain Safe Private Option",
        "Clinical Trial modules: sponsor",
    ):
        assert said in words


@pytest.mark.parametrize(
    ("name", "age", "dates"),
    [
        ("basic", "Age: removed.", "Dates and times: removed"),
        ("longitudinal-trial", "38 years become 35", "Dates and times: shifted"),
        ("pseudonymization", "Age: kept as it is.", "Dates and times: kept"),
    ],
)
def test_age_and_dates_are_told_as_the_policy_has_them(name: str, age: str, dates: str) -> None:
    """A coordinator reads what becomes of age and dates."""
    words = flat(describe(load_library(name)))
    assert age in words
    assert dates in words


def test_heads_are_said_to_be_held() -> None:
    """The option Clean Recognizable Visual Features is told as what it does: it holds, and is never claimed."""
    asked = RICH.replace("options: [", "options: [clean-recognizable-visual-features, ")
    words = flat(describe(loads(asked, "asked.yaml")))
    assert "volumes of the head, or of a part of the body that nothing names, and images that say" in words
    assert "113102" not in words


@pytest.mark.parametrize("name", library())
def test_overlay_planes_are_said_to_go(name: str) -> None:
    """No policy keeps overlay planes, and none says so, whatever it does with other graphics."""
    goes, _, stays = flat(describe(load_library(name))).partition("What stays")
    assert "overlay planes (60xx,eeee)" in goes
    assert "overlay" not in stays


def test_the_counts_add_up_to_the_table() -> None:
    """Removed, replaced, cleaned and kept attributes together are those of Table E.1-1."""
    words = flat(describe(load_library("basic")))
    assert "Of the 653 attributes of PS3.15 Table E.1-1, 594 are removed" in words
    assert "55 are replaced by new UIDs, 4 are cleaned and 0 kept" in words


def test_no_line_is_wider_than_a_terminal_shows() -> None:
    """The words wrap, also around long names."""
    assert all(len(line) <= 100 for name in library() for line in describe(load_library(name)).splitlines())
