"""One is one and several are several, wherever the program counts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tce
from tce import counts

_COUNTED = re.compile(r"\A (patients|instances|studies|files|manifests)\b")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (counts.patients(1), "1 patient"),
        (counts.studies(0), "0 studies"),
        (counts.instances(2), "2 instances"),
        (counts.counted(1, "file was", "files were"), "1 file was"),
    ],
)
def test_a_number_agrees_with_its_noun(said: str, expected: str) -> None:
    """Nobody is told of 1 patients."""
    assert said == expected


def test_no_verb_of_the_command_line_counts_by_itself() -> None:
    """A number before one of these nouns in what a verb says comes with the noun that fits it."""
    wrong = []
    for path in (Path(tce.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                pairs = zip(node.values, node.values[1:], strict=False)
                wrong += [
                    f"{path.name}:{node.lineno}"
                    for before, after in pairs
                    if isinstance(before, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and _COUNTED.match(str(after.value))
                ]
    assert wrong == []
