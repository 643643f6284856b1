"""Tests of the mapping store and its schema."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.vault.mappings import a_key, a_row, some_tags
from vault import tables
from vault.custody_ledger import Ledger, State
from vault.errors import Collision, NotSealed, StoreUnavailable, Tampered, VaultRoomError
from vault.mapping import FieldKey, MappingStore
from vault.mapping_check import check
from vault.tables import Database

TAGS = some_tags()


def test_what_is_written_is_read(url: str) -> None:
    """Rows, keys and shares come back as they were written, found by pseudonym and by patient."""
    store = MappingStore(url)
    store.insert([a_key()], [a_row("X1"), a_row("X2")], TAGS)
    assert store.rows("C", ["P1"]) == [a_row("X1"), a_row("X2")]
    assert store.keys("C", ["P1"]) == [a_key()]
    assert store.patients("C", ["X1", "X3"]) == {"X1": frozenset({"P1"})}
    assert store.keys("another", ["P1"]) == []


def test_what_is_there_stays(url: str) -> None:
    """The same original written again, under another key, leaves the first row as it is."""
    store = MappingStore(url)
    store.insert([a_key()], [a_row()], TAGS)
    store.insert([a_key(name="key-2")], [a_row(key="key-2")], TAGS)
    assert store.rows("C", ["P1"]) == [a_row()]


def test_a_shared_value_has_a_row_for_each_patient(url: str) -> None:
    """A scanner that two patients share belongs to both."""
    store = MappingStore(url)
    store.insert([a_key(), a_key("P2", name="key-2")], [a_row(), a_row(patient="P2", key="key-2")], TAGS)
    assert store.patients("C", ["X1"]) == {"X1": frozenset({"P1", "P2"})}


def test_a_lost_key_of_a_field_is_found(url: str) -> None:
    """A row whose field has no key any more counts as tampered with: nobody could open it."""
    store = MappingStore(url)
    fields = [FieldKey("key-1", "uid", b"parts"), FieldKey("key-1", "patient", b"parts")]
    store.insert([a_key()], [a_row()], TAGS, fields)
    assert store.field_keys(["key-1"]) == {"key-1": sorted(fields)}
    assert store.missing("C", {("P1", "X1", b"a" * 16)}, TAGS) == set()
    with store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM field_keys WHERE field = 'uid'")
    with pytest.raises(Tampered, match="key of its field"):
        MappingStore(url).missing("C", {("P1", "X1", b"a" * 16)}, TAGS)


@pytest.mark.parametrize("patient", ["P1", "P2"])
def test_a_second_original_is_a_collision(url: str, patient: str) -> None:
    """Another original for a pseudonym is found before writing and after it, whosever patient it is."""
    store = MappingStore(url)
    store.insert([a_key(), a_key("P2", name="key-2")], [a_row()], TAGS)
    with pytest.raises(Collision):
        store.missing("C", [(patient, "X1", b"b" * 16)], TAGS)
    with pytest.raises(Collision):
        store.insert([], [a_row(patient=patient, key="key-2", original=b"b")], TAGS)


def test_only_what_is_missing_is_named(url: str) -> None:
    """Of many wanted rows those that are not there are told, however many are asked at once."""
    store = MappingStore(url)
    rows = [a_row(f"X{n}") for n in range(1200)]
    store.insert([a_key()], rows, TAGS)
    wanted = [(row.patient, row.pseudonym, row.fingerprint) for row in rows]
    assert store.missing("C", wanted, TAGS) == set()
    assert store.missing("C", [*wanted, ("P1", "Y", b"y" * 16), ("P2", "X1", b"a" * 16)], TAGS) == {
        ("P1", "Y"),
        ("P2", "X1"),
    }


def test_a_row_that_was_not_kept_is_noticed(url: str) -> None:
    """A database that swallows rows does not pass for one that keeps them."""
    store = MappingStore(url)
    store.insert([a_key()], [a_row()], TAGS)
    store._insert_rows = lambda connection, rows: None  # type: ignore[method-assign]
    with pytest.raises(NotSealed):
        store.insert([], [a_row("X2")], TAGS)


def test_keys_and_rows_are_written_together_or_not(url: str) -> None:
    """A row without its key undoes the whole write, and the error names no value."""
    store = MappingStore(url)
    with pytest.raises(StoreUnavailable) as fault:
        store.insert([a_key()], [a_row(), a_row("X2", key="no-such-key")], TAGS)
    assert store.keys("C", ["P1"]) == []
    assert "no-such-key" not in str(fault.value)


@pytest.mark.parametrize("made", ["by the steps", "at once"])
def test_the_steps_lead_to_the_tables(url: str, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    """A new database is the one that all steps lead to, and the one that the code is written for."""
    if made == "by the steps":
        monkeypatch.setattr(tables, "_make", tables._migrate)
    store = MappingStore(url)
    options = {"version_table": tables.VERSION_TABLE}
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == tables.VERSION


def test_the_step_to_the_keys_of_fields_loses_no_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, keys and shares of the first version stay; what was approved but not used waits for its approval again."""
    file = tmp_path / "mapping.db"
    monkeypatch.setattr(tables, "_make", tables._migrate)
    monkeypatch.setattr(tables, "VERSION", "0001")
    Database(f"sqlite:///{file}").close()
    monkeypatch.undo()
    now = "2024-01-01T00:00:00Z"
    request = ("r", "C", "[]", "[]", "legal-duty", "T", "carol", now, now, "approved", "dave", now)
    with sqlite3.connect(file) as old:
        old.execute("INSERT INTO subject_keys VALUES ('key-1', 'C', 'P1', ?)", (now,))
        old.executemany(
            "INSERT INTO shares VALUES ('key-1', ?, ?)", [("carol", "vault:v1:a"), ("dave", "vault:v1:b")]
        )
        old.execute(f"INSERT INTO mappings VALUES ({', '.join('?' * 10)})", a_row()[:10])
        old.execute(f"INSERT INTO custody_requests VALUES ({', '.join('?' * 12)})", request)
        old.execute("INSERT INTO granted_shares VALUES ('r', 'key-1', 'vault:v1:c')")
    store = MappingStore(f"sqlite:///{file}")
    assert (store.keys("C", ["P1"]), store.rows("C", ["P1"])) == ([a_key()], [a_row()._replace(tag=None)])
    assert store.field_keys(["key-1"]) == {}
    asked = Ledger(store.database).get("r")
    assert (asked.state, asked.decided_by) == (State.REQUESTED, "")


def test_the_version_is_the_last_step() -> None:
    """The version that the code asks for is the head of the steps, and there is one head."""
    script = ScriptDirectory(str(Path(tables.__file__).with_name("migrations")))
    assert script.get_heads() == [tables.VERSION]


FIRST_VERSION = (
    "INSERT INTO subject_keys (id, case_id, patient, created) VALUES ('key-1', 'C', 'P1', '2024-01-01T00:00:00Z')",
    "INSERT INTO shares (key_id, custodian, ciphertext) VALUES ('key-1', 'carol', 'vault:v1:a')",
    "INSERT INTO shares (key_id, custodian, ciphertext) VALUES ('key-1', 'dave', 'vault:v1:b')",
    "INSERT INTO mappings (case_id, patient, pseudonym, kind, key_id, sealed, fingerprint, scheme, key_version,"
    " created) VALUES ('C', 'P1', 'X1', 'uid', 'key-1', {sealed}, {fingerprint}, 'tce1', 1, '2024-01-01T00:00:00Z')",
    "INSERT INTO custody_requests (id, case_id, patients, fields, purpose, ticket, requester, requested, expires,"
    """ state, decided_by, decided) VALUES ('r1', 'C', '["P1"]', '["patient"]', 'legal-duty', 'T-1', 'carol',"""
    " '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 'used', 'dave', '2024-01-01T00:00:00Z')",
)


def made_by_the_first_version(url: str) -> None:
    """Make a database as the first version of the software left it, with a row of each kind."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        tables._migrate(connection, "0001")
        form = "x'{}'" if connection.dialect.name == "sqlite" else "'\\x{}'"
        values = {"sealed": form.format(b"sealed".hex()), "fingerprint": form.format((b"a" * 16).hex())}
        for statement in FIRST_VERSION:
            connection.exec_driver_sql(statement.format(**values) if "{sealed}" in statement else statement)
    engine.dispose()


def test_a_database_of_the_first_version_goes_on(url: str) -> None:
    """Opened by this version it has every row as it was, is brought up to date once, and takes new rows."""
    made_by_the_first_version(url)
    store = MappingStore(url)
    assert store.rows("C", ["P1"]) == [a_row()._replace(tag=None)]
    assert store.keys("C", ["P1"]) == [a_key()]
    (request,) = Ledger(store.database).all()
    assert (request.id, request.patients, request.state) == ("r1", ("P1",), State.USED)
    store.insert([a_key("P2", name="key-2")], [a_row("X2", patient="P2", key="key-2")], TAGS)
    store.close()
    assert MappingStore(url).rows("C", ["P2"]) == [a_row("X2", patient="P2", key="key-2")]


def test_rows_of_the_first_version_count_when_somebody_vouches_for_them(url: str) -> None:
    """They have no tags: stage 1 stops, until they were adopted as they are."""
    made_by_the_first_version(url)
    store = MappingStore(url)
    wanted = [("P1", "X1", b"a" * 16)]
    with pytest.raises(Tampered, match="no tag"):
        store.missing("C", wanted, TAGS)
    assert check(url, TAGS).untagged == 1
    assert check(url, TAGS, adopt=True).sound
    assert store.missing("C", wanted, TAGS) == set()
    assert store.rows("C", ["P1"]) == [a_row()]


def open_store(url: str, done: object) -> None:
    MappingStore(url).close()
    done.put(True)  # type: ignore[attr-defined]


def open_together(url: str, together: Barrier, done: Queue[str]) -> None:
    together.wait()
    try:
        MappingStore(url).close()
        done.put("")
    except VaultRoomError as fault:
        done.put(fault.what)


def test_a_new_database_can_be_opened_by_many_at_once(url: str) -> None:
    """Processes that come to an empty database at the same time all find it made."""
    processes = multiprocessing.get_context("spawn")
    done = processes.Queue()
    workers = [processes.Process(target=open_store, args=(url, done)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [done.get(timeout=60) for _ in workers] == [True] * 4
    for worker in workers:
        worker.join(60)


def test_new_files_can_be_opened_at_the_same_instant(tmp_path: Path) -> None:
    """Many new files, each opened by processes that start together: none is told that the file is locked."""
    processes = multiprocessing.get_context("fork")
    done = processes.Queue()
    for number in range(15):
        together = processes.Barrier(4)
        url = f"sqlite:///{tmp_path}/{number}.db"
        workers = [processes.Process(target=open_together, args=(url, together, done)) for _ in range(4)]
        for worker in workers:
            worker.start()
        assert [done.get(timeout=60) for _ in workers] == [""] * 4
        for worker in workers:
            worker.join(60)


def test_a_database_of_the_future_is_left_alone(url: str) -> None:
    """What a newer version made is refused by name of the cause, and not changed."""
    store = MappingStore(url)
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="newer version") as fault:
        MappingStore(url)
    assert fault.value.next_step
    with store.database.reading() as connection:
        assert tables._version(connection) == "9999"
    store.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle://x/y", "sqlite:////dev/null/x.db"])
def test_an_address_that_leads_nowhere_is_told(url: str) -> None:
    """An unusable address is one error with a next step."""
    with pytest.raises(StoreUnavailable) as fault:
        MappingStore(url)
    assert fault.value.next_step


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """A file of something else is refused and not overwritten."""
    file = tmp_path / "mapping.db"
    file.write_bytes(b"a file of mine" * 100)
    with pytest.raises(StoreUnavailable):
        MappingStore(f"sqlite:///{file}")
    assert file.read_bytes() == b"a file of mine" * 100


def test_the_files_are_the_owners_only(tmp_path: Path) -> None:
    """Neither the database nor its log can be read by another user."""
    store = MappingStore(f"sqlite:///{tmp_path / 'mapping.db'}")
    store.insert([a_key()], [a_row()], TAGS)
    files = list(tmp_path.glob("mapping.db*"))
    assert len(files) >= 2
    assert [file.name for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077] == []
    store.close()
