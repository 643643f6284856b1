"""Conditions and tables of CTP that a policy can say are carried over exactly, and whatever it cannot is not looser."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.forms import Forms
from policies.importing.original import Dialect
from policies.importing.report import Fate, Report
from policies.model import Conditions, Policy
from policies.rules import Rules
from policies.verify import Verification
from tests.builders import a_ct_study, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.policies.test_importing import drafted, fate, listed_as_more

KINDS = [
    {"modality": modality, "manufacturer": maker, "sop_class": sop_class}
    for modality in ("CT", "MR", "PT", "")
    for maker in ("ACME", "Other Maker", "")
    for sop_class in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")
]
ASKED = {"modality": "Modality", "manufacturer": "Manufacturer", "sop_class": "SOPClassUID"}


def script(*rows: tuple[str, str]) -> str:
    """A script with one row for each attribute."""
    lines = (
        f'<e en="T" t="{int(tag_for_keyword(keyword) or 0):08x}" n="{keyword}">{rule}</e>'
        for keyword, rule in rows
    )
    return "<script>" + "\n".join(lines) + "</script>"


def code(policy: Policy, keyword: str, kind: Mapping[str, str]) -> str:
    """What a policy does to an attribute of instances of one kind."""

    def holds(when: Conditions) -> bool:
        return all(kind[name].casefold() == value.casefold() for name, value in when.given.items())

    tag = int(tag_for_keyword(keyword) or 0)
    return Rules(policy.applied(holds)).code((tag,), dictionary_VR(tag).encode())


def words(report: Report, keyword: str) -> list[str]:
    return [line.words for line in report.lines if line.what == keyword]


def test_a_condition_is_carried_over_exactly() -> None:
    """One branch is for the instances that the row names, the other for all others; also if the first is stricter."""
    policy, report = drafted(
        script(
            ("BodyPartExamined", '@if(Modality,equals,"ct"){@keep()}{@remove()}'),
            ("PatientSex", "@always()@if(Manufacturer,equals,Acme){@remove()}{@keep()}"),
            ("StationName", "@if(Modality,equals,CT){@remove()}{@empty()}"),
        ),
        Dialect.CTP,
    )
    for kind in KINDS:
        assert code(policy, "BodyPartExamined", kind) == ("K" if kind["modality"] == "CT" else "X")
        assert code(policy, "PatientSex", kind) == ("Z" if kind["manufacturer"] == "ACME" else "K")
    assert {line.fate for line in report.lines if line.what == "BodyPartExamined"} == {Fate.EXACT}
    assert any("where Modality is as the line names it" in said for said in words(report, "BodyPartExamined"))
    assert any("for all others" in said for said in words(report, "BodyPartExamined"))
    assert "PatientSex" in listed_as_more(report)
    assert not [one for one in policy.overrides if one.attribute == "StationName"], "the profile does enough"


def test_conditions_within_conditions_and_one_after_the_other() -> None:
    """Of rows with several tests, each combination ends where the script ends."""
    rule = (
        "@if(Modality,equals,MR){@if(Manufacturer,equals,ACME){@keep()}{@if(Modality,equals,CT){@keep()}{X}}}"
        "{@if(SOPClassUID,equals,1.2.840.10008.5.1.4.1.1.2){@keep()}{@remove()}}"
    )
    policy, _ = drafted(script(("BodyPartExamined", rule)), Dialect.CTP)
    for kind in KINDS:
        if kind["modality"] == "MR":
            wanted = "K" if kind["manufacturer"] == "ACME" else "D"
        else:
            wanted = "K" if kind["sop_class"].endswith("1.2") else "X"
        assert code(policy, "BodyPartExamined", kind) == wanted


@pytest.mark.parametrize(
    "rule",
    [
        "@if(Modality,contains,CT){@keep()}{@remove()}",
        "@if(Modality,matches,CT){@keep()}{@remove()}",
        "@if(Modality,exists){@keep()}{@remove()}",
        "@if(ImageType,equals,ORIGINAL){@keep()}{@remove()}",
        "@if(PatientID,equals,1){@keep()}{@remove()}",
        "@if(Modality,equals,@NOWHERE){@keep()}{@remove()}",
        "@if(Modality,equals,$CT){@keep()}{@remove()}",
        "@if(Modality,equals,CT){@keep()}{@if(this,exists){@keep()}{@remove()}}",
        "x@if(Modality,equals,CT){@keep()}{@remove()}",
        "@if(Modality,equals,CT){@keep()}{@remove()}@if(Modality,equals,CT){@keep()}{@remove()}",
    ],
)
def test_any_other_condition_is_lost_to_the_strictest_branch(rule: str) -> None:
    """What a policy cannot say exactly keeps nothing in any instance."""
    policy, _ = drafted(script(("BodyPartExamined", rule), ("PatientSex", rule)), Dialect.CTP)
    for kind in KINDS:
        assert code(policy, "PatientSex", kind) == "Z"
        assert code(policy, "BodyPartExamined", kind) == "X"
    assert not policy.conditional


def test_inside_of_sequences_the_script_asks_their_items() -> None:
    """Where a script works inside of sequences, a test of the item is none of the instance; one from the root is."""
    descends = ("RequestAttributesSequence", "@process()")
    for asked, wanted in (("Modality", False), ("root:Modality", True)):
        rule = f"@if({asked},equals,CT){{@keep()}}{{@remove()}}"
        policy, _ = drafted(script(("BodyPartExamined", rule), descends), Dialect.CTP)
        assert policy.conditional is wanted


def test_no_condition_loosens() -> None:
    """Of rows that nobody would write, what stays of a kind of instance is what the script keeps of that very kind."""
    chance = random.Random(11)
    leaves = ["@keep()", "@remove()", "@empty()", "text", ""]
    attributes = [
        "BodyPartExamined",
        "PatientSex",
        "StationName",
        "InstitutionName",
        "EthnicGroup",
        "SeriesDescription",
    ]

    def grown(depth: int, kinds: list[dict[str, str]]) -> tuple[str, dict[int, str]]:
        """A rule, and by kind what it does."""
        if depth == 0 or chance.random() < 0.3:
            leaf = chance.choice(leaves)
            return leaf, {id(kind): leaf for kind in kinds}
        name, value = chance.choice([(name, kind[name]) for kind in KINDS for name in kind if kind[name]])
        then, does = grown(depth - 1, kinds)
        other, does_else = grown(depth - 1, kinds)
        word = f'@if({ASKED[name]},equals,"{value.lower()}"){{{then}}}{{{other}}}'
        return word, {id(kind): (does if kind[name] == value else does_else)[id(kind)] for kind in kinds}

    conditional = 0
    for _ in range(25):
        rules = {attribute: grown(3, KINDS) for attribute in attributes}
        policy, report = drafted(script(*((name, rule) for name, (rule, _) in rules.items())), Dialect.CTP)
        conditional += policy.conditional
        for attribute, (_, does) in rules.items():
            for kind in KINDS:
                done = code(policy, attribute, kind)
                if done in ("K", "C"):
                    assert does[id(kind)] == "@keep()", (attribute, kind)
        assert {one.attribute for one in policy.weakening} <= listed_as_more(report)
    assert conditional > 15, "the test would say nothing"


def treated(policy: Policy, folder: Path, **values: str) -> Dataset:
    """An instance under a policy, verified."""
    sample = a_ct_study(slices=1)
    for keyword, value in values.items():
        setattr(sample[0].instance, keyword, value)
    source = written(sample[:1], folder)[0]
    out = folder / "out.dcm"
    engine = Engine(policy)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    assert Verification(policy, forms=Forms("P")).check(out, source) == []
    return pydicom.dcmread(out)


def test_what_is_drafted_is_done_and_proved(tmp_path: Path) -> None:
    """Engine and verification agree on which of several branches is for an instance."""
    rule = (
        "@if(Modality,equals,CT){@if(Manufacturer,equals,ACME){@keep()}{TEXT}}"
        "{@if(Manufacturer,equals,ACME){@remove()}{@keep()}}"
    )
    policy, _ = drafted(script(("BodyPartExamined", rule)), Dialect.CTP)
    for maker, wanted in (("Acme", "CHEST"), ("Other", "TEXT")):
        ds = treated(policy, tmp_path / maker, Manufacturer=maker, BodyPartExamined="CHEST")
        assert ds.BodyPartExamined == wanted


def test_a_table_is_carried_over_as_one(tmp_path: Path) -> None:
    """Tests of the value itself are a table; what no line names becomes what the script writes then, or goes."""
    rule = '@if(this,equals,"Maori"){PACIFIC}{@if(EthnicGroup,equals,"Samoan"){PACIFIC}{OTHER}}'
    policy, report = drafted(script(("EthnicGroup", rule)), Dialect.CTP)
    assert policy.generalize[0].attribute == "EthnicGroup"
    assert fate(report, "EthnicGroup") is Fate.EXACT
    assert "EthnicGroup" in listed_as_more(report)
    assert "Maori" not in report.as_text(exact=True)
    for value, wanted in (("samoan", "PACIFIC"), ("Maori", "PACIFIC"), ("Inuit", "OTHER")):
        assert treated(policy, tmp_path / value, EthnicGroup=value).EthnicGroup == wanted
    policy, _ = drafted(script(("EthnicGroup", "@if(this,equals,Maori){PACIFIC}{@remove()}")), Dialect.CTP)
    assert policy.generalize[0].otherwise is None


@pytest.mark.parametrize(
    ("keyword", "rule"),
    [
        ("EthnicGroup", "@if(this,equals,Maori){PACIFIC}{@keep()}"),
        ("EthnicGroup", "@if(this,equals,Maori){@keep()}{OTHER}"),
        ("EthnicGroup", "@if(this,contains,Maori){PACIFIC}{OTHER}"),
        ("EthnicGroup", "@if(PatientID,equals,Maori){PACIFIC}{OTHER}"),
        ("EthnicGroup", "@if(this,equals,Maori){@contents(this)}{OTHER}"),
        ("PatientName", "@if(this,equals,Maori){PACIFIC}{OTHER}"),
        ("ImageType", "@if(this,equals,ORIGINAL){DERIVED}{OTHER}"),
    ],
)
def test_what_is_no_table_is_none(keyword: str, rule: str) -> None:
    """A part of a value, a value that is kept, another attribute, one that has several values: no table of ours."""
    policy, _ = drafted(script((keyword, rule)), Dialect.CTP)
    assert not policy.generalize


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            (("SOPInstanceUID", "@hashuid(1.2.3,this)"), ("StudyInstanceUID", "@hashuid(1.2.3,this)")),
            "line 1.",
        ),
        (
            (("SOPInstanceUID", "@hashuid(1.2.3,this)"), ("StudyInstanceUID", "@hashuid(1.2.4,this)")),
            "cannot be made",
        ),
        ((("SOPInstanceUID", "@hashuid(1.2.3,this,PatientID)"),), "cannot be made"),
    ],
)
def test_the_report_says_how_uids_go_on(rows: tuple[tuple[str, str], ...], said: str) -> None:
    """A script with @hashuid is told of the legacy form and its root's line, not of the root; or that there is none."""
    _, report = drafted(script(*rows), Dialect.CTP)
    found = [warning for warning in report.warnings if said in warning]
    assert len(found) == 1
    assert ("legacy_uids" in found[0]) == (said == "line 1.")
    assert "1.2.3" not in report.as_text(exact=True)


def test_scripts_without_hashed_uids_are_not_told_of_them() -> None:
    """Only who has such UIDs reads of them."""
    _, report = drafted(script(("SOPInstanceUID", "@remove()")), Dialect.CTP)
    assert not any("legacy_uids" in warning for warning in report.warnings)


def test_a_condition_of_dicomedit_takes_away_where_it_holds() -> None:
    """A statement that removes for one Modality removes for that, and leaves the others to statements above it."""
    text = (
        'version "6.3"\n(0010,2160) := "X"\n(0008,0060) = "MR" ? - (0018,0015)\n(0008,0060) = "MR" ? - (0010,2160)\n'
        '(0008,0070) = "ACME" ? (0018,0015) := "HEAD"\n'
    )
    policy, report = drafted(text, Dialect.DICOMEDIT)
    for kind in KINDS:
        wanted = "D" if kind["manufacturer"] == "ACME" else "X" if kind["modality"] == "MR" else "K"
        assert code(policy, "BodyPartExamined", kind) == wanted
        assert code(policy, "EthnicGroup", kind) != "K"
    assert any("where Modality is as the line names it" in said for said in words(report, "BodyPartExamined"))


@pytest.mark.parametrize(
    "statement",
    [
        '(0008,0060) != "MR" ? - (0018,0015)',
        '(0008,0060) ~ "M." ? - (0018,0015)',
        '(0008,1030) = "MR" ? - (0018,0015)',
        '(0008,1140)[0]/(0008,0060) = "MR" ? - (0018,0015)',
        '(0008,0060) = "MR" ? (0018,0015) := "A" : - (0018,0015)',
        'project = "MR" ? - (0018,0015)',
    ],
)
def test_other_conditions_of_dicomedit_take_away_everywhere(statement: str) -> None:
    """What no policy can ask is lost to the strictest outcome, for every instance."""
    policy, _ = drafted(f'version "6.3"\n{statement}\n', Dialect.DICOMEDIT)
    assert not policy.conditional
    assert all(code(policy, "BodyPartExamined", kind) == "X" for kind in KINDS)
