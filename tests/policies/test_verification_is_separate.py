"""Verification is separate code: what proves a result shares no rule with what made it.

Shared is only what is no rule: the standard's tables as data, and what a policy declares. So an error of the engine
cannot be its own excuse.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import policies
from policies.model import Policy

_ROOT = Path(policies.__file__).parent
_PROOFS = ("verify", "residue")
_DATA = ("policies.standard",)
# What verification itself is made of; everything else in the package belongs to the engine or to policies.
_OWN = frozenset(
    f"policies.{name}"
    for name in (
        *(
            "cells",
            "claims",
            "coarseness",
            "coded",
            "coincidence",
            "comparison",
            "conformity",
            "enciphered",
            "expected",
            "forms",
            "layout",
            "originals",
            "references",
        ),
        *("parsing", "residue", "segments", "silence", "spellings", "unheard", "verify"),
    )
)
_DECLARED = frozenset(Policy.model_fields)


def _loaded(module: str) -> set[str]:
    """The modules of the package that a fresh interpreter loads to import ``module``."""
    ask = f"import sys, policies.{module}; print(*(name for name in sys.modules if name.startswith('policies.')))"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True)
    return set(said.stdout.split())


@pytest.mark.parametrize("module", _PROOFS)
def test_nothing_of_the_engine_is_loaded(module: str) -> None:
    """Whoever imports a proof gets its own modules and the standard's tables, and no module that decides or changes."""
    assert {name for name in _loaded(module) if not name.startswith(_DATA)} <= _OWN


@pytest.mark.parametrize("module", sorted(_OWN))
def test_types_of_policies_are_all_that_is_named(module: str) -> None:
    """Outside a type check no proof imports anything but proofs and tables; inside it only what a policy declares."""
    tree = ast.parse((_ROOT / f"{module.removeprefix('policies.')}.py").read_text())
    typed = {
        found
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom)
        for found in [inner.module or ""]
    }
    every = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in every - typed if name.startswith("policies")}
    assert all(name in _OWN or name.startswith(_DATA) for name in ours)
    assert typed <= {"policies.model", "policies.clauses", "policies.quasi_identifiers"}


@pytest.mark.parametrize("module", sorted(_OWN))
def test_a_policy_is_read_and_not_asked(module: str) -> None:
    """Of a policy its declared fields are read; its own account of codes and marks is not believed, but worked out."""
    tree = ast.parse((_ROOT / f"{module.removeprefix('policies.')}.py").read_text())
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Name) and node.value.id == "policy")
            or (isinstance(node.value, ast.Attribute) and node.value.attr == "_policy")
        )
    }
    # A copy with some of its rules is made of declared fields.
    assert asked - {"model_copy"} <= _DECLARED
