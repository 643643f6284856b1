"""Which case a selection is for: tce.documents.disposition, and the settings that say so."""

from __future__ import annotations

import pytest

from tce.config import Settings, dumps, loads
from tce.documents.codes import ExportTitle, Scheme
from tce.documents.disposition import Disposition, DocumentRules
from tce.documents.manifest import Manifest
from tce.documents.teaching_file_info import PolicyRequest
from tce.errors import ConfigFault
from tce.road import Hold

RULES = Disposition(
    descriptions={"Dr. Jost teaching file": "jost", "nodule": "nodules"},
    titles={ExportTitle.TEACHING: "teaching-file"},
)


def case(
    description: str = "",
    title: ExportTitle = ExportTitle.TEACHING,
    request: str = "",
    rules: Disposition = RULES,
) -> str:
    """The case of one manifest and one request."""
    return rules.case_of([PolicyRequest(case=request)], [Manifest(title, (), (), description)])


@pytest.mark.parametrize(
    ("description", "title", "request_", "expected"),
    [
        ("Dr. Jost teaching file", ExportTitle.TEACHING, "trial", "trial"),
        ("Dr. Jost teaching file", ExportTitle.TEACHING, "", "jost"),
        (" Dr. Jost teaching file ", ExportTitle.TRIAL, "", "jost"),
        ("nodule", ExportTitle.TEACHING, "", "nodules"),
        ("other-case", ExportTitle.TEACHING, "", "other-case"),
        ("Something else", ExportTitle.TEACHING, "", "teaching-file"),
        ("", ExportTitle.TEACHING, "", "teaching-file"),
    ],
    ids=["request", "description", "blanks", "looks-like-a-case", "is-a-case", "free-text", "title"],
)
def test_the_nearest_word_counts(description: str, title: ExportTitle, request_: str, expected: str) -> None:
    """The request, else the description as the settings know it or as the id of a case, else the title."""
    assert case(description, title, request_) == expected


@pytest.mark.parametrize(
    ("description", "title", "rules", "code"),
    [
        ("Something else", ExportTitle.TRIAL, RULES, "no-case"),
        ("", ExportTitle.TEACHING, Disposition(), "no-case"),
    ],
    ids=["other-title", "no-settings"],
)
def test_no_case_is_guessed(description: str, title: ExportTitle, rules: Disposition, code: str) -> None:
    """Where neither documents nor settings name a case, the export is held, and its text stays out of the reason."""
    with pytest.raises(Hold) as held:
        case(description, title, rules=rules)
    assert [reason.code for reason in held.value.reasons] == [code]
    assert "Something" not in str(held.value)


@pytest.mark.parametrize(
    ("requests", "descriptions"),
    [(["a-case", "b-case"], [""]), (["No Case"], [""]), ([], ["a-case", "b-case"])],
    ids=["two-requests", "illegal", "two-descriptions"],
)
def test_two_cases_are_held(requests: list[str], descriptions: list[str]) -> None:
    """Documents that name two cases, or what cannot be one, name none."""
    with pytest.raises(Hold) as held:
        RULES.case_of(
            [PolicyRequest(case=one) for one in requests],
            [Manifest(ExportTitle.TEACHING, (), (), one) for one in descriptions],
        )
    assert [reason.code for reason in held.value.reasons] == ["ambiguous-case"]


TEXT = """
[documents]
selected_codes = "DCM"
exported_codes = "IHERADTF"
descriptions = { "Dr. Jost teaching file" = "jost", nodule = "nodules" }
titles = { teaching = "teaching-file" }
"""


def test_the_settings_say_it() -> None:
    """Coding schemes, titles and descriptions stand in tce.toml, and survive being written."""
    settings = loads(TEXT, "tce.toml")
    assert settings.documents.selected_codes is Scheme.DCM
    assert settings.documents.rules() == DocumentRules(RULES, Scheme.IHERADTF)
    assert loads(dumps(settings), "tce.toml") == settings
    assert Settings().documents.rules() == DocumentRules(Disposition(), None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("teaching =", "holiday ="),
        ('"teaching-file"', '"Teaching File"'),
        ('"DCM"', '"SNOMED"'),
        ('"jost"', '""'),
    ],
    ids=["title", "case", "scheme", "empty"],
)
def test_what_the_settings_cannot_mean_is_named(old: str, new: str) -> None:
    """An unknown title or scheme, or what is no id of a case, is refused with its line."""
    with pytest.raises(ConfigFault, match="line"):
        loads(TEXT.replace(old, new), "tce.toml")
