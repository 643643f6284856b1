"""Advice at the command line: patients of files and tables, and the page that names nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lxml import etree

from policies.disclosure.advice import advise
from policies.disclosure.cohort import Limits
from policies.loader import loads
from policies.model import Policy
from tce.advising import patients_of
from tce.cli import main
from tce.disclosure_page import few, page
from tce.errors import Refused
from tests.builders import a_ct_study

POLICY = """\
name: ours
version: 1
stage: anonymize
title: Ours
description: For tests.
options: [retain-patient-characteristics]
minimum_cohort: 3
disclosure:
  quasi_identifiers: [PatientAge, EthnicGroup]
  sensitive: BodyPartExamined
  diversity: 2
"""
ROWS = [
    ("a", "041Y", "Maori", "CHEST"),
    ("b", "042Y", "Maori", "HEAD"),
    ("c", "043Y", "Maori", "CHEST"),
    ("d", "044Y", "Maori", "CHEST"),
    ("e", "044Y", "Sami", "CHEST"),
]


@pytest.fixture
def policy() -> Policy:
    return loads(POLICY, "ours.yaml")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    lines = ["patient_id,PatientAge,EthnicGroup,BodyPartExamined", *(",".join(row) for row in ROWS)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def tce(*line: str | Path, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--home", "/nowhere", *map(str, line)])
    assert ended.value.code == status


def test_patients_of_a_table_are_one_row_each(table: Path, policy: Policy) -> None:
    """Two lines of one patient are one patient with both values."""
    table.write_text(table.read_text("utf-8") + "a,052Y,,\n", "utf-8")
    found = patients_of([table], policy)
    assert found.count == 5
    assert found.columns["PatientAge"][0] == "041Y\\052Y"
    assert found.sensitive is not None and found.sensitive[0] == "CHEST"


def test_a_table_without_a_column_is_refused(table: Path, policy: Policy) -> None:
    """What is compared has to be there; it is said what is missing."""
    table.write_text("patient_id,PatientAge\na,041Y\n", "utf-8")
    with pytest.raises(Refused, match="lacks the columns EthnicGroup, BodyPartExamined"):
        patients_of([table], policy)


def test_patients_of_files_are_told_by_all_their_instances(tmp_path: Path, policy: Policy) -> None:
    """Every instance of a patient counts; an age that is missing is computed; what is no instance is counted."""
    for number in (1, 2):
        for place, sample in enumerate(a_ct_study(patient=number, slices=2)):
            sample.instance.EthnicGroup = f"G{place % 2}"
            sample.instance.StudyDate, sample.instance.PatientBirthDate = "20240101", "19800615"
            if "PatientAge" in sample.instance:
                del sample.instance.PatientAge
            sample.instance.save_as(tmp_path / f"{number}-{place}", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("no instance")
    found = patients_of([tmp_path], policy)
    assert (found.count, found.unread) == (2, 1)
    assert list(found.columns["PatientAge"]) == ["043Y", "043Y"]
    assert list(found.columns["EthnicGroup"]) == ["G0\\G1", "G0\\G1"]


def test_the_command_prints_lines_that_can_be_written(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints as JSON are the keys, and a policy with them is told that it need not be changed."""
    file = tmp_path / "ours.yaml"
    file.write_text(POLICY, "utf-8")
    tce("policy", "advise", file, table, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["patients"] == 5
    assert (told["before"]["k"], told["before"]["short"]) == (1, 5)
    assert told["after"]["kept"]
    file.write_text(POLICY + told["lines"], "utf-8")
    tce("policy", "advise", file, table)
    assert "need not be changed" in capsys.readouterr().out


def test_what_cannot_be_helped_is_said(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five patients are never six, and a policy that asks nothing gets no advice."""
    file = tmp_path / "ours.yaml"
    file.write_text(POLICY, "utf-8")
    tce("policy", "advise", file, table, "--k", "6", status=1)
    assert "no policy gives 5 patients company enough" in capsys.readouterr().err
    tce("policy", "advise", "basic", table, status=1)
    assert "asks for company" in capsys.readouterr().err


def test_the_page_is_legal_and_names_nobody_who_is_rare(table: Path, policy: Policy) -> None:
    """It is well formed, without scripts, shows before and after, and neither rare values nor counts below k."""
    found = patients_of([table], policy)
    advice = advise(policy, found.columns, Limits(3), share_left_out=0.2)
    assert advice is not None and advice.left_out == 1
    text = page(advice, policy="ours 1")
    root = etree.fromstring(text.encode())
    assert not root.findall(".//{http://www.w3.org/1999/xhtml}script")
    assert "fewer than 3" in text and "width: 5" in text
    assert not any(word in text for word in ("Sami", "041Y", "CHEST"))
    rows = [
        ["".join(cell.itertext()) for cell in row] for row in root.iter("{http://www.w3.org/1999/xhtml}tr")
    ]
    counted = {cell for row in rows if not row[0].startswith("Groups") for cell in row[1:]}
    assert {"5", "4", "fewer than 3"} < counted and not {"1", "2"} & counted


def test_what_stands_in_values_does_not_become_markup(policy: Policy) -> None:
    """A value that looks like markup is shown as text."""
    columns = {"PatientAge": ["040Y"] * 3, "EthnicGroup": ["<b>&x</b>"] * 3}
    advice = advise(policy, columns, Limits(3))
    assert advice is not None
    text = page(advice, policy="ours 1")
    assert "<b>" not in text and "&lt;b&gt;" in text


@pytest.mark.parametrize(("count", "shown"), [(0, "0"), (1, "fewer than 3"), (2, "fewer than 3"), (3, "3")])
def test_small_counts_are_not_shown(count: int, shown: str) -> None:
    """A count below k points at people."""
    assert few(count, 3) == shown
