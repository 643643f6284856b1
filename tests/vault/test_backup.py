"""Tests of backup and restore: what was lost returns, what differs is found, nothing is opened on the way."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne
from tests.vault.mappings import a_key, a_row, some_tags
from tests.vault.subjects import a_subject, patient_id
from tests.vault.test_mapping import made_by_the_first_version
from vault.backup import Copied, back_up, restore
from vault.custody import Custody, Purpose
from vault.errors import StoreUnavailable, Tampered
from vault.keys import Kind
from vault.mapping import MappingStore

pytestmark = pytest.mark.vault


def dump(file: Path) -> list[str]:
    with sqlite3.connect(file) as database:
        return sorted(line for line in database.iterdump() if "backup_digest" not in line)


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


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A mapping that takes a while to copy; no key server has a part in it."""
    file = tmp_path / "large.db"
    store = MappingStore(f"sqlite:///{file}")
    store.insert([a_key()], [a_row(f"X{n}") for n in range(20_000)], some_tags())
    store.close()
    return file


def of_a_process(statement: str, *arguments: Path, pause: float) -> bool:
    """Run a statement in a process of its own and kill -9 it after a while; whether it came to its end before."""
    code = f"import sys; from pathlib import Path; from vault.backup import *; print(flush=True); {statement}"
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # its start takes longer than its work
    time.sleep(pause)
    process.kill()
    process.communicate()
    return process.returncode == 0


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.2, 0.5])
def test_a_backup_that_is_killed_is_none(large: Path, tmp_path: Path, pause: float) -> None:
    """kill -9 at any moment: there is a complete file or none, and the next run is not disturbed by what is left."""
    out = tmp_path / "killed.db"
    back_it_up = "back_up(f'sqlite:///{sys.argv[1]}', Path(sys.argv[2]))"
    ended = of_a_process(back_it_up, large, out, pause=pause)
    assert out.exists() >= ended
    if not out.exists():
        back_up(f"sqlite:///{large}", out)
    assert dump(out) == dump(large)
    assert out.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.2, 0.5])
def test_a_restore_that_is_killed_is_done_again(large: Path, tmp_path: Path, pause: float) -> None:
    """kill -9 at any moment leaves a mapping that holds some of the rows, each whole; the next run brings the rest."""
    out, target = tmp_path / "backup.db", tmp_path / "target.db"
    back_up(f"sqlite:///{large}", out)
    of_a_process("restore(Path(sys.argv[1]), f'sqlite:///{sys.argv[2]}')", out, target, pause=pause)
    assert restore(out, f"sqlite:///{target}").differ == 0
    assert dump(target) == dump(large)


@pytest.mark.parametrize("place", [0.0, 0.01, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("damage", ["one bit", "cut off"])
def test_a_damaged_backup_is_refused(large: Path, tmp_path: Path, place: float, damage: str) -> None:
    """One wrong bit, or a missing end: nothing of it is brought back, and the mapping stays as it is."""
    out = tmp_path / "backup.db"
    back_up(f"sqlite:///{large}", out)
    content = bytearray(out.read_bytes())
    at = int(len(content) * place)
    if damage == "one bit":
        at = content.index(b"sealed", at) if place else 0  # in a value, not in the empty space of a page
        content[at] ^= 1
    else:
        del content[at:]
    out.write_bytes(content)
    with sqlite3.connect(large) as database:
        database.execute("DELETE FROM mappings WHERE pseudonym < 'X2'")
    before = dump(large)
    with pytest.raises(StoreUnavailable, match="damaged"):
        restore(out, f"sqlite:///{large}")
    assert dump(large) == before


def test_a_backup_is_only_read(large: Path, tmp_path: Path) -> None:
    """Restoring writes nothing into the backup nor beside it: it may lie on a medium that cannot be written."""
    out = tmp_path / "medium" / "backup.db"
    out.parent.mkdir()
    back_up(f"sqlite:///{large}", out)
    before = out.read_bytes()
    restore(out, f"sqlite:///{tmp_path / 'new.db'}")
    assert [file.name for file in out.parent.iterdir()] == ["backup.db"]
    assert out.read_bytes() == before


def test_a_copy_of_the_mapping_s_own_files_is_a_backup(large: Path, tmp_path: Path) -> None:
    """Also one whose last rows stand in the log beside it, because nobody closed the database."""
    store = MappingStore(f"sqlite:///{large}")
    store.insert([], [a_row("LAST")], some_tags())
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("large.db*"):
        shutil.copy(file, copy)
    store.close()
    restored = tmp_path / "restored.db"
    restore(copy / "large.db", f"sqlite:///{restored}")
    assert dump(restored) == dump(large)


def test_a_backup_of_an_earlier_version_comes_back(tmp_path: Path) -> None:
    """Its rows are brought up to date on the way; the backup stays as it is."""
    old = tmp_path / "old.db"
    made_by_the_first_version(f"sqlite:///{old}")
    before = dump(old)
    assert restore(old, f"sqlite:///{tmp_path / 'new.db'}").missing == 5
    assert dump(old) == before
    assert MappingStore(f"sqlite:///{tmp_path / 'new.db'}").rows("C", ["P1"]) == [a_row()._replace(tag=None)]


def test_what_custodians_did_since_is_no_difference(large: Path, tmp_path: Path) -> None:
    """A request that was decided and shares that were closed under a newer key stay, and are not called altered."""
    database_url = f"sqlite:///{large}"
    made = "INSERT INTO custody_requests VALUES ('r1', 'C', '[]', '[]', 'p', 't', 'a', 'n', 'e', 'approved', '', '')"
    with sqlite3.connect(large) as database:
        database.execute(made)
    back_up(database_url, tmp_path / "backup.db")
    with sqlite3.connect(large) as database:
        database.execute("UPDATE custody_requests SET state = 'used'")
        database.execute("UPDATE shares SET ciphertext = 'vault:v2:c' WHERE custodian = 'carol'")
    before = dump(large)
    copied = restore(tmp_path / "backup.db", database_url, replace=True)
    assert (copied.missing, copied.differ) == (0, 0)
    assert dump(large) == before
    with sqlite3.connect(large) as database:
        database.execute("UPDATE shares SET ciphertext = 'vault:v1:x' WHERE custodian = 'dave'")
    assert restore(tmp_path / "backup.db", database_url).differ == 1


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
