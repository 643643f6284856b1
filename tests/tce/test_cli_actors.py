"""What a person gives to ``tce select`` arrives in the documents, or is refused with what would be right."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tce.cli.actors import information
from tce.documents import teaching_file_info
from tce.documents.codes import Category, Confirmed, Level
from tce.documents.teaching_file_info import PolicyRequest
from tce.errors import Refused
from tests.builders import a_ct_image

NEEDED = "author: A. Reader\nabstract: a nodule\nkeywords: [lung]\n"


def a_file(folder: Path, more: str) -> Path:
    path = folder / "info.yaml"
    path.write_text(NEEDED + more, "utf-8")
    return path


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("written", ["meaning", "lower case", "with hyphens", "code", "DICOM's code"])
def test_every_category_of_the_table_is_carried(tmp_path: Path, category: Category, written: str) -> None:
    """Table H-2 by the words of the table, however they are written, or by code, ends up in the document."""
    ihe, dcm, meaning = category.value
    text = {
        "meaning": meaning,
        "lower case": meaning.lower(),
        "with hyphens": meaning.lower().replace(" ", "-"),
        "code": ihe,
        "DICOM's code": dcm,
    }[written]
    info = information(a_file(tmp_path, f"category: {text}\nlevel: Advanced\n"))
    document = teaching_file_info.build(
        info, PolicyRequest(case="lung-1"), a_ct_image(), now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    carried = teaching_file_info.parse(document)[0]
    assert (carried.category, carried.level) == (category, Level.ADVANCED)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("yes", Confirmed.YES), ("'No'", Confirmed.NO), ("373068000", Confirmed.UNDETERMINED)],
)
def test_whether_diagnoses_are_confirmed_is_carried(
    tmp_path: Path, written: str, expected: Confirmed
) -> None:
    """A bare yes of YAML, a word and a code all say it; modalities go along."""
    info = information(a_file(tmp_path, f"diagnoses_confirmed: {written}\nmodality: [CT]\n"))
    assert (info.diagnoses_confirmed, info.modality) == (expected, ("CT",))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("category: Lungs\n", ["category", "Pulmonary", "Vascular and Interventional"]),
        ("category: [Pulmonary]\n", ["category", "Breast"]),
        ("level: hard\n", ["level", "Primary, Intermediate, Advanced"]),
        ("level: 4\n", ["level", "Primary"]),
        ("categroy: Pulmonary\n", ["categroy", "category", "organ_system"]),
        ("diagnoses_confirmed: perhaps\n", ["diagnoses_confirmed", "Yes, No, Undetermined"]),
        ("2: x\n", ["2", "category"]),
        ("history: text\n", ["history", "list"]),
        ("affiliation: [a]\n", ["affiliation", "text"]),
    ],
)
def test_what_cannot_be_carried_is_refused_with_what_is_right(
    tmp_path: Path, more: str, words: list[str]
) -> None:
    """Nothing that somebody wrote is left out in silence."""
    with pytest.raises(Refused) as caught:
        information(a_file(tmp_path, more))
    for word in words:
        assert word in f"{caught.value.what} {caught.value.next_step}"
    assert "TCE3" not in caught.value.what


def test_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    """Author, abstract and keywords are mandatory in table H-1; all that lack are named at once."""
    path = tmp_path / "info.yaml"
    path.write_text("author: A. Reader\n", "utf-8")
    with pytest.raises(Refused, match=r"abstract.*keywords"):
        information(path)
