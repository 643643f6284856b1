"""The confidentiality profile: options combined, compound codes resolved, each row owned by a stage."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from policies import profile
from policies.loader import load_library
from policies.profile import Action, Stage, compound, owner, resolve
from policies.standard.attributes import attribute_named
from policies.standard.tables import AttributeUse, Option, attribute_type, row_of, rows, wildcards

_STORAGE = "1.2.840.10008.5.1.4.1.1."
IODS = {
    "CR": _STORAGE + "1",
    "DX": _STORAGE + "1.1",
    "CT": _STORAGE + "2",
    "ECT": _STORAGE + "2.1",
    "MR": _STORAGE + "4",
    "PT": _STORAGE + "128",
    "US": _STORAGE + "6.1",
    "SC": _STORAGE + "7",
    "KOS": _STORAGE + "88.59",
    "TSR": _STORAGE + "88.11",
    "GSPS": _STORAGE + "11.1",
    "RTSS": _STORAGE + "481.3",
    "PDF": _STORAGE + "104.1",
}


def oracle() -> Iterator[tuple[str, str, str]]:
    """Yield (keyword, IOD, cell) of the matrix of resolved compound codes.

    It was derived by hand from PS3.15 2024e and an independent source of Types. A cell is the Type (with u or c
    where only an optional module holds the attribute), an arrow, and the action. Of its 31 rows none has
    another code in edition 2026d, so no cell needs an explanation.
    """
    with (Path(__file__).parent / "compound_codes.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            for iod in IODS:
                yield line["keyword"], iod, line[iod]


@pytest.mark.parametrize("iod", IODS)
def test_compound_codes_follow_the_type_in_the_iod(iod: str) -> None:
    """Every compound code of the table resolves as the independent matrix says, in 13 IODs."""
    cells = [(keyword, cell) for keyword, name, cell in oracle() if name == iod]
    assert len(cells) == 31
    for keyword, cell in cells:
        tag = attribute_named(keyword).tag
        use = attribute_type(IODS[iod], (tag,))
        if not cell:
            assert use is None, keyword
            continue
        assert use is not None, keyword
        kind, action = cell.split("→")
        assert use.type == kind.rstrip("uc"), keyword
        assert use.mandatory_module is not kind.endswith(("u", "c")), keyword
        assert compound(resolve(tag, ()) or "", use) == action, keyword


def test_the_matrix_leaves_no_compound_code_out() -> None:
    """A compound code that the matrix does not list belongs to an attribute that none of its 13 IODs has."""
    listed = {keyword for keyword, _, _ in oracle()}
    others = [row for row in rows().values() if "/" in row.basic and row.keyword not in listed]
    assert len(others) == 19
    for row in others:
        assert [iod for iod in IODS if attribute_type(IODS[iod], (row.tag,))] == [], row.keyword


@pytest.mark.parametrize(
    ("code", "actions"),
    [
        ("D", "DDDDDD"),
        ("Z", "DDZZZZ"),
        ("X", "DXZZXX"),
        ("K", "KKKKKK"),
        ("C", "CCCCCC"),
        ("U", "UUUUUU"),
        ("Z/D", "DDZZZZ"),
        ("X/Z", "DDZZXX"),
        ("X/D", "DDZZXX"),
        ("X/Z/D", "DDZZXX"),
        ("X/Z/U*", "KKZZXX"),
    ],
)
def test_each_code_has_an_action_for_each_type(code: str, actions: str) -> None:
    """For Types 1, 1C, 2, 2C, 3 and an attribute outside the IOD, each code gives one legal action."""
    uses = [AttributeUse(kind, mandatory_module=True, nested=False) for kind in ("1", "1C", "2", "2C", "3")]
    assert "".join(compound(code, use) for use in [*uses, None]) == actions


@pytest.mark.parametrize(
    ("keyword", "sop_class_uid", "action"),
    [
        ("PresentationCreationDate", IODS["GSPS"], Action.D),
        ("PresentationCreationTime", IODS["GSPS"], Action.D),
        ("ResponsiblePerson", IODS["CT"], Action.Z),
        ("ResponsibleOrganization", IODS["CT"], Action.Z),
        ("StudyDescription", IODS["CT"], Action.X),
    ],
)
def test_removal_never_breaks_the_iod(keyword: str, sop_class_uid: str, action: Action) -> None:
    """An attribute that the table removes and the IOD demands becomes a dummy or empty."""
    tag = attribute_named(keyword).tag
    assert row_of(tag) is not None
    assert compound("X", attribute_type(sop_class_uid, (tag,))) == action


def test_removal_never_breaks_an_item() -> None:
    """Series Description is removed, but not from a sequence whose items must have one."""
    series_description = attribute_named("SeriesDescription").tag
    definition_source = 0x3006004C
    assert compound("X", attribute_type(IODS["RTSS"], (series_description,))) == Action.X
    assert compound("X", attribute_type(IODS["RTSS"], (definition_source, series_description))) == Action.D


def test_overlays_go_although_their_module_demands_data() -> None:
    """Overlay Data is Type 1 of an optional module: it is removed, not replaced by a dummy drawing."""
    assert compound("X", attribute_type(IODS["CR"], (0x60003000,))) == Action.X


def test_every_row_of_the_table_gives_a_simple_action_in_every_iod() -> None:
    """Whatever options are chosen, no code is left unresolved."""
    codes = {row.basic for row in rows().values()} | {"K", "C"}
    for code in codes:
        for use in (None, AttributeUse("1", mandatory_module=False, nested=True)):
            assert compound(code, use) in set(Action)


@pytest.mark.parametrize(
    ("keyword", "options", "code"),
    [
        ("PatientAge", [], "X"),
        ("PatientAge", [Option.RETAIN_PATIENT_CHARACTERISTICS], "K"),
        ("PatientAge", [Option.CLEAN_DESCRIPTORS], "X"),
        ("StudyDate", [Option.RETAIN_LONGITUDINAL_FULL_DATES], "K"),
        ("StudyDate", [Option.RETAIN_LONGITUDINAL_MODIFIED_DATES], "C"),
        ("DateOfLastCalibration", [Option.RETAIN_DEVICE_IDENTITY], "K"),
        (
            "DateOfLastCalibration",
            [Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES],
            "C",
        ),
        ("StationAETitle", [Option.RETAIN_DEVICE_IDENTITY], "C"),
        ("PatientID", list(Option), "Z/D"),
        ("Rows", list(Option), None),
    ],
)
def test_options_override_the_profile_and_cleaning_wins_over_keeping(
    keyword: str, options: list[Option], code: str | None
) -> None:
    """The code is the Basic Profile's unless a chosen option says otherwise; C wins over K."""
    assert resolve(attribute_named(keyword).tag, options) == code


def test_no_pair_of_options_leaves_more_than_one_of_them_does() -> None:
    """Two options together keep an attribute as it is only where one of them alone does."""
    for row in [*rows().values(), *wildcards()]:
        for pair in combinations(Option, 2):
            if resolve(row.tag, pair) == Action.K:
                assert Action.K in {resolve(row.tag, [option]) for option in pair}, row.name


def test_what_the_table_forgets_follows_the_options_too() -> None:
    """A reference to an instance is mapped unless UIDs are retained; body mass stays with the other measures."""
    source = attribute_named("SOPInstanceUIDOfConcatenationSource").tag
    body_mass = attribute_named("PatientBodyMassIndex").tag
    assert profile.resolve_beyond(source, ()) == "U"
    assert profile.resolve_beyond(source, [Option.RETAIN_UIDS]) == "K"
    assert profile.resolve_beyond(body_mass, ()) == "X"
    assert profile.resolve_beyond(body_mass, [Option.RETAIN_PATIENT_CHARACTERISTICS]) == "K"
    assert profile.resolve_beyond(attribute_named("Rows").tag, ()) is None


@pytest.mark.parametrize(
    ("value_type", "options", "code"),
    [
        ("TEXT", [], "X"),
        ("TEXT", [Option.CLEAN_DESCRIPTORS], "C"),
        ("COMPOSITE", [Option.CLEAN_DESCRIPTORS], "X"),
        ("COMPOSITE", [Option.RETAIN_UIDS], "K"),
        ("NUM", list(Option), None),
    ],
)
def test_content_items_are_resolved_by_concept_and_value_type(
    value_type: str, options: list[Option], code: str | None
) -> None:
    """A Clinical Report in a content tree is treated by what it is: text, or a reference."""
    assert profile.resolve_concept("371524004", "SCT", value_type, options) == code


def test_full_and_modified_dates_exclude_each_other() -> None:
    """The one pair that the standard forbids is named; any other pair can be combined."""
    dates = {Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES}
    for pair in combinations(Option, 2):
        found = profile.contradictions(pair)
        assert bool(found) is (set(pair) == dates), pair
        assert all(option in " ".join(found) for option in pair if found)


def test_every_row_is_owned_by_a_stage_and_treated_by_it() -> None:
    """Stage 1 and stage 2 together are the whole table: what stage 1 leaves, the basic policy treats."""
    stage1 = load_library("pseudonymization").options
    stage2 = load_library("basic").options
    every = [*rows().values(), *wildcards()]
    owned: dict[Stage | None, set[str]] = {Stage.PSEUDONYMIZE: set(), Stage.ANONYMIZE: set(), None: set()}
    for row in every:
        owned[owner(row.tag, stage1)].add(row.name)
    assert not owned[None]
    assert owned[Stage.PSEUDONYMIZE] | owned[Stage.ANONYMIZE] == {row.name for row in every}
    for row in every:
        options = stage1 if owner(row.tag, stage1) is Stage.PSEUDONYMIZE else stage2
        assert resolve(row.tag, options) != Action.K, row.name
        if resolve(row.tag, options) == Action.C:
            assert Option.CLEAN_STRUCTURED_CONTENT in row.options, row.name
    assert owner(attribute_named("Rows").tag, stage1) is None


@pytest.mark.parametrize(
    ("keyword", "stage"),
    [
        ("PatientName", Stage.PSEUDONYMIZE),
        ("PatientID", Stage.PSEUDONYMIZE),
        ("SOPInstanceUID", Stage.PSEUDONYMIZE),
        ("PatientBirthDate", Stage.PSEUDONYMIZE),
        ("PatientAge", Stage.ANONYMIZE),
        ("StudyDate", Stage.ANONYMIZE),
        ("StudyDescription", Stage.ANONYMIZE),
        ("DeviceSerialNumber", Stage.ANONYMIZE),
        ("InstitutionName", Stage.ANONYMIZE),
    ],
)
def test_direct_identifiers_belong_to_stage_1(keyword: str, stage: Stage) -> None:
    """Who identifies is treated in the hospital; what describes is left to the research side."""
    assert owner(attribute_named(keyword).tag, load_library("pseudonymization").options) is stage
