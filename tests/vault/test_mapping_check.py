"""Tests of the check of a whole mapping: everything that is wrong is counted, and nothing is opened for it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vault.mappings import a_key, a_row, some_tags
from vault import mapping_check
from vault.mapping import FieldKey, MappingStore
from vault.mapping_check import Checked, check
from vault.tables import VERSION

SOUND = Checked(VERSION, 40, 2, 2, 4, 0, *([0] * 6))


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """Two patients with twenty rows each; the key of the first is one of the first version, without fields."""
    file = tmp_path / "mapping.db"
    store = MappingStore(f"sqlite:///{file}")
    rows = [a_row(f"X{n}", patient=f"P{n % 2 + 1}", key=f"key-{n % 2 + 1}") for n in range(40)]
    fields = [FieldKey("key-2", "uid", b"parts"), FieldKey("key-2", "patient", b"parts")]
    store.insert([a_key(), a_key("P2", name="key-2")], rows, some_tags(), fields)
    store.close()
    return file


def checked(file: Path, *, adopt: bool = False) -> Checked:
    return check(f"sqlite:///{file}", some_tags(), adopt=adopt)


def changed_by(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as database:
        for statement in statements:
            database.execute(statement)


def test_a_sound_mapping_is_counted(mapping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, patients, keys and shares are told, in however many parts they are read; nothing is wrong."""
    monkeypatch.setattr(mapping_check, "_AT_ONCE", 7)
    assert checked(mapping) == SOUND
    assert SOUND.sound


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE mappings SET sealed = x'00' WHERE pseudonym = 'X3'", {"changed": 1}),
        ("UPDATE mappings SET created = '' WHERE patient = 'P2'", {"changed": 20}),
        ("UPDATE mappings SET pseudonym = 'Y' WHERE pseudonym = 'X3'", {"changed": 1}),
        ("UPDATE mappings SET key_version = 9 WHERE pseudonym = 'X3'", {"changed": 1}),
        ("UPDATE mappings SET tag = NULL WHERE pseudonym = 'X3'", {"untagged": 1}),
        ("UPDATE mappings SET key_id = 'key-2' WHERE pseudonym = 'X0'", {"changed": 1, "without_key": 1}),
        ("DELETE FROM shares WHERE custodian = 'carol'", {"shares": 2, "without_custodians": 2}),
        ("DELETE FROM subject_keys WHERE id = 'key-1'", {"keys": 1, "without_key": 20, "strays": 2}),
        ("DELETE FROM field_keys WHERE field = 'uid'", {"without_key": 20}),
        ("UPDATE field_keys SET key_id = 'key-3' WHERE field = 'patient'", {"strays": 1}),
        ("UPDATE subject_keys SET patient = 'P3' WHERE id = 'key-1'", {"without_key": 20}),
    ],
)
def test_what_is_wrong_is_counted(mapping: Path, statement: str, fault: dict[str, int]) -> None:
    """Each way of being wrong is told by its own number."""
    changed_by(mapping, "PRAGMA foreign_keys = OFF", statement)
    assert checked(mapping) == replace(SOUND, **fault)
    assert not checked(mapping).sound


def test_a_damaged_index_is_found(mapping: Path) -> None:
    """An index that tells of other rows than there are, by which a claim could be hidden, is damage."""
    index = "name = 'mappings_by_pseudonym'"
    of_no_row = f"UPDATE sqlite_master SET sql = sql || ' WHERE key_version = 0' WHERE {index}"
    of_all_rows = f"UPDATE sqlite_master SET sql = replace(sql, ' WHERE key_version = 0', '') WHERE {index}"
    changed_by(mapping, "PRAGMA writable_schema = ON", of_no_row)
    changed_by(mapping, "DELETE FROM mappings WHERE pseudonym = 'X3'")
    changed_by(mapping, "PRAGMA writable_schema = ON", of_all_rows)
    assert checked(mapping).damage == 1


def test_rows_from_before_are_adopted_when_asked(mapping: Path) -> None:
    """Rows without tags get them once; rows that have one keep it, whether it fits or not."""
    changed_by(
        mapping,
        "UPDATE mappings SET tag = NULL WHERE patient = 'P1'",
        "UPDATE mappings SET sealed = x'00' WHERE pseudonym = 'X3'",
    )
    assert checked(mapping, adopt=True) == replace(SOUND, changed=1)
    assert checked(mapping) == replace(SOUND, changed=1)
