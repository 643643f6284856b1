"""Tests of types that do not print and of names in paths."""

from __future__ import annotations

import pickle
import stat
from pathlib import Path

import pytest

from vault.errors import BadName
from vault.secrecy import Secret, safe_name, write_private


def test_a_secret_does_not_print() -> None:
    """No way of turning a secret into text shows it."""
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret!s} {[secret]}"
    assert "hunter2" not in shown


def test_a_secret_is_not_pickled() -> None:
    """A secret does not travel to another process by accident."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"hunter2"))


def test_secrets_compare_by_value_and_do_not_hash() -> None:
    """Secrets are compared as values, in constant time, and are no dictionary keys."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    with pytest.raises(TypeError):
        hash(Secret("a"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../sys", "a b", "a\n", "-a", "a-", "ä", "a" * 65, "a..b"])
def test_a_name_that_could_leave_its_place_is_refused(name: str) -> None:
    """No configured name reaches into another part of the server, and the message does not repeat it."""
    with pytest.raises(BadName) as refusal:
        safe_name(name, "case")
    assert not name or repr(name) not in refusal.value.what


@pytest.mark.parametrize("name", ["a", "C-1", "trial_2024.b", "a" * 64])
def test_a_usual_name_passes(name: str) -> None:
    """Names as people give them are usable."""
    assert safe_name(name, "case") == name


def test_a_private_file_is_the_owners_only(tmp_path: Path) -> None:
    """What is written privately can be read by its owner only, also when it replaces an open file."""
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
