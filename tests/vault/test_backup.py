"""Tests of backup and restore: what was lost returns, what differs is found, nothing is opened on the way."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne
from tests.vault.subjects import a_subject, patient_id
from vault.backup import Copied, back_up, restore
from vault.custody import Custody, Purpose
from vault.errors import StoreUnavailable, Tampered
from vault.keys import Kind
from vault.mapping import MappingStore

pytestmark = pytest.mark.vault


def dump(file: Path) -> list[str]:
    with sqlite3.connect(file) as database:
        return sorted(database.iterdump())


@pytest.fixture
def mapping(mapping_url: str) -> Path:
    return Path(mapping_url.removeprefix("sqlite:///"))


@pytest.fixture
def backup(stage_one: StageOne, mapping_url: str, tmp_path: Path) -> Path:
    """A backup of a mapping of three patients."""
    stage_one().resolve([a_subject(number, images=3) for number in range(3)])
    back_up(mapping_url, tmp_path / "backup.db")
    return tmp_path / "backup.db"


def reveal(site: SiteVault, store: MappingStore, case: str, pseudonym: str) -> list[str]:
    carol, dave = (Custody(site.person(who), store, lambda event, detail: None) for who in ("carol", "dave"))
    request = carol.request(
        case,
        [pseudonym],
        purpose=Purpose.PATIENT_SAFETY,
        ticket="T-1",
        fields=[Kind.PATIENT_ID],
        window=timedelta(hours=1),
    )
    dave.approve(request.id)
    return [line.original.reveal() for line in carol.reveal(request.id).lines]


def test_a_backup_holds_every_row(backup: Path, mapping: Path) -> None:
    """The copy has the same tables with the same rows."""
    assert dump(backup) == dump(mapping)


def test_a_lost_mapping_comes_back(
    embedded_site_vault: SiteVault,
    stage_one: StageOne,
    backup: Path,
    mapping: Path,
    mapping_url: str,
    case: str,
) -> None:
    """After the database is gone, the backup alone brings a working one back: two custodians reveal from it."""
    pseudonym = stage_one().resolve([a_subject(1)])[patient_id(1)]
    for file in mapping.parent.glob("mapping.db*"):
        file.unlink()
    copied = restore(backup, mapping_url)
    assert copied.missing == copied.rows > 0
    store = MappingStore(mapping_url)
    assert reveal(embedded_site_vault, store, case, pseudonym) == [patient_id(1).value]
    store.close()


def test_a_lost_row_comes_back(backup: Path, mapping: Path, mapping_url: str) -> None:
    """Only what is missing is brought back, and a second run finds nothing to do."""
    before = dump(mapping)
    with sqlite3.connect(mapping) as database:
        database.execute("DELETE FROM mappings WHERE kind = 'uid'")
    lost = len(before) - len(dump(mapping))
    assert restore(backup, mapping_url).missing == lost > 0
    assert dump(mapping) == before
    again = restore(backup, mapping_url)
    assert again == Copied(again.rows, 0, 0)


def test_a_changed_row_is_found_and_replaced_when_asked(
    embedded_site_vault: SiteVault,
    stage_one: StageOne,
    backup: Path,
    mapping: Path,
    mapping_url: str,
    case: str,
) -> None:
    """A row that somebody altered does not open; the comparison counts it, and replacing it opens it again."""
    pseudonym = stage_one().resolve([a_subject(1)])[patient_id(1)]
    with sqlite3.connect(mapping) as database:
        sealed = "sealed = zeroblob(length(sealed))"
        database.execute(f"UPDATE mappings SET {sealed} WHERE pseudonym = ?", (pseudonym,))
    assert restore(backup, mapping_url).differ == 1
    store = MappingStore(mapping_url)
    with pytest.raises(Tampered):
        reveal(embedded_site_vault, store, case, pseudonym)
    assert restore(backup, mapping_url, replace=True).differ == 1
    assert reveal(embedded_site_vault, store, case, pseudonym) == [patient_id(1).value]
    store.close()


def test_what_came_after_the_backup_stays(
    stage_one: StageOne, backup: Path, mapping: Path, mapping_url: str
) -> None:
    """Restoring never removes: patients that were added since keep their rows."""
    stage_one().resolve([a_subject(7)])
    with_the_seventh = dump(mapping)
    restore(backup, mapping_url, replace=True)
    assert dump(mapping) == with_the_seventh


def test_a_backup_is_no_easier_to_read_than_the_mapping(backup: Path) -> None:
    """No original stands in it, and only its owner may read it."""
    content = backup.read_bytes()
    assert not [number for number in range(3) if patient_id(number).value.encode() in content]
    assert backup.stat().st_mode & 0o077 == 0


def test_nothing_is_overwritten_by_mistake(backup: Path, mapping_url: str, tmp_path: Path) -> None:
    """An existing file is no place for a backup, and a missing one is no backup."""
    with pytest.raises(StoreUnavailable):
        back_up(mapping_url, backup)
    with pytest.raises(StoreUnavailable):
        restore(tmp_path / "nothing.db", mapping_url)
    assert not (tmp_path / "nothing.db").exists()


def test_parts_are_joined_without_loss(
    stage_one: StageOne, mapping_url: str, mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping that is copied in many small parts is the same mapping."""
    monkeypatch.setattr("vault.backup._AT_ONCE", 3)
    stage_one().resolve([a_subject(number, images=4) for number in range(5)])
    back_up(mapping_url, tmp_path / "parts.db")
    assert dump(tmp_path / "parts.db") == dump(mapping)
