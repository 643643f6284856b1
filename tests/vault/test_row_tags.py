"""Tests of the tags on rows: whoever writes into the database without the key server is found out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne, open_case
from tests.vault.subjects import Identifier, a_subject, image
from vault.errors import BadAnswer, Collision, Tampered
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import IdentityPseudonyms
from vault.row_tags import MappingRow, RowTags
from vault.scheme import Form
from vault.secrecy import Secret

ROW = MappingRow("C", "P", "X", "uid", "key", b"sealed", b"f" * 16, "tce1", 1, "2024-01-01T00:00:00Z")
OTHERS: dict[str, object] = {
    "case_id": "D",
    "patient": "Q",
    "pseudonym": "Y",
    "kind": "device",
    "key_id": "yek",
    "sealed": b"sealee",
    "fingerprint": b"g" * 16,
    "scheme": "tce2",
    "key_version": 2,
    "created": "2024-01-01T00:00:01Z",
    "tag": bytes(16),
}
"""Another value for each column."""


def some_tags() -> RowTags:
    return RowTags(lambda case, version: Secret(f"{case}:{version}".encode()))


def test_a_row_as_it_was_written_fits() -> None:
    """A tag fits its row, also when it is checked elsewhere and later."""
    assert some_tags().fits(some_tags().tagged(ROW))


@pytest.mark.parametrize("column", MappingRow._fields)
def test_no_column_can_be_changed(column: str) -> None:
    """Another value in any column, the tag too, does not fit."""
    assert not some_tags().fits(some_tags().tagged(ROW)._replace(**{column: OTHERS[column]}))


@pytest.mark.parametrize("column", MappingRow._fields)
@pytest.mark.parametrize("value", [None, 1.5, "", b"", "a\0b", -1])
def test_what_no_row_holds_does_not_fit(column: str, value: object) -> None:
    """Values of another type, as SQLite lets anybody write them, are told and do not end in a crash."""
    assert not some_tags().fits(some_tags().tagged(ROW)._replace(**{column: value}))


def test_borders_between_columns_do_not_move() -> None:
    """What leaves one column for the next one does not fit."""
    row = some_tags().tagged(ROW)
    assert not some_tags().fits(row._replace(patient="PX", pseudonym=""))
    assert not some_tags().fits(row._replace(patient="P\0X", pseudonym="uid", kind="key", key_id=""))
    moved = row._replace(fingerprint=row.fingerprint + b"s", sealed=b"ealed")
    assert not some_tags().fits(moved)


def test_a_version_that_the_server_does_not_have_fits_nothing() -> None:
    """A row whose version of the keys was changed into one that never was is told like any other."""

    def no_such_version(case: str, version: int) -> Secret[bytes]:
        raise BadAnswer("no such version")

    assert not RowTags(no_such_version).fits(some_tags().tagged(ROW))


Change = Callable[[sqlite3.Connection, str], object]


def setting(column: str) -> Change:
    def change(database: sqlite3.Connection, pseudonym: str) -> None:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(f"UPDATE mappings SET {column} = ? WHERE pseudonym = ?", (OTHERS[column], pseudonym))

    return change


def exchanging(column: str) -> Change:
    def change(database: sqlite3.Connection, pseudonym: str) -> None:
        question = f"SELECT patient, pseudonym, {column} FROM mappings WHERE kind = 'uid'"
        rows = {one[1]: one for one in database.execute(question)}
        other = next(one for one in rows.values() if one[1] != pseudonym)
        for (patient, name, _), value in ((rows[pseudonym], other[2]), (other, rows[pseudonym][2])):
            where = "patient = ? AND pseudonym = ?"
            database.execute(f"UPDATE mappings SET {column} = ? WHERE {where}", (value, patient, name))

    return change


def losing_its_key(database: sqlite3.Connection, pseudonym: str) -> None:
    database.execute("DELETE FROM shares")
    database.execute("DELETE FROM subject_keys")


def losing_a_share(database: sqlite3.Connection, pseudonym: str) -> None:
    database.execute("DELETE FROM shares WHERE custodian <> 'carol'")


def handing_its_key_over(database: sqlite3.Connection, pseudonym: str) -> None:
    database.execute("UPDATE subject_keys SET patient = 'Q'")


@pytest.fixture
def next_run(embedded_site_vault: SiteVault, mapping_url: str, case: str) -> Iterator[IdentityPseudonyms]:
    """Stage 1 as another process finds the database later."""
    store = MappingStore(mapping_url)
    open_case(embedded_site_vault, case)
    client = embedded_site_vault.service("pseudonymizer")
    yield IdentityPseudonyms(
        client, store, case=case, custodians=embedded_site_vault.custodians, naming=Naming(Form("T-"))
    )
    store.close()


@pytest.fixture
def sealed(stage_one: StageOne) -> str:
    """One patient's mapping, written by stage 1; the pseudonym of an image."""
    return stage_one().resolve([a_subject(1, images=3)])[image(1, 0)]


@pytest.mark.vault
@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(setting(column), id=f"{column} changed")
            for column in MappingRow._fields
            if column not in ("case_id", "patient", "pseudonym")
        ),
        *(
            pytest.param(exchanging(column), id=f"{column} exchanged")
            for column in ("sealed", "fingerprint", "tag")
        ),
        losing_its_key,
        losing_a_share,
        handing_its_key_over,
    ],
)
def test_stage_one_finds_what_was_changed(
    next_run: IdentityPseudonyms, sealed: str, tmp_path: Path, change: Change
) -> None:
    """The next run over the same patient stops, calls it tampering, and names no value."""
    with sqlite3.connect(tmp_path / "mapping.db") as database:
        change(database, sealed)
    with pytest.raises(Tampered) as fault:
        next_run.resolve([a_subject(1, images=3)])
    assert sealed not in fault.value.what + fault.value.next_step


@pytest.mark.vault
@pytest.mark.parametrize("column", ["case_id", "patient", "pseudonym", "the whole row"])
def test_a_row_that_is_gone_is_made_again(
    stage_one: StageOne, store: MappingStore, sealed: str, case: str, tmp_path: Path, column: str
) -> None:
    """A row that was deleted, or moved away to another place, stands at its own place again after the next run."""
    (before,) = (row for row in all_rows(store, case, sealed) if row.pseudonym == sealed)
    with sqlite3.connect(tmp_path / "mapping.db") as database:
        if column == "the whole row":
            database.execute("DELETE FROM mappings WHERE pseudonym = ?", (sealed,))
        else:
            setting(column)(database, sealed)
    assert stage_one().resolve([a_subject(1, images=3)])[image(1, 0)] == sealed
    (after,) = (row for row in all_rows(store, case, sealed) if row.patient == before.patient)
    assert after.fingerprint == before.fingerprint


def all_rows(store: MappingStore, case: str, pseudonym: str) -> list[MappingRow]:
    patients = store.patients(case, [pseudonym])[pseudonym]
    return [row for row in store.rows(case, patients) if row.pseudonym == pseudonym]


@pytest.mark.vault
def test_a_row_copied_to_another_patient_is_found(stage_one: StageOne, sealed: str, tmp_path: Path) -> None:
    """An original of one patient under a pseudonym of another one does not pass."""
    other = stage_one().resolve([a_subject(2, images=3)])[image(2, 0)]
    with sqlite3.connect(tmp_path / "mapping.db") as database:
        (patient,) = database.execute("SELECT patient FROM mappings WHERE pseudonym = ?", (other,)).fetchone()
        database.execute("DELETE FROM mappings WHERE pseudonym = ?", (other,))
        place = "pseudonym = ?, patient = ?"
        database.execute(f"UPDATE mappings SET {place} WHERE pseudonym = ?", (other, patient, sealed))
    with pytest.raises(Tampered):
        stage_one().resolve([a_subject(2, images=3)])


@pytest.mark.vault
def test_a_forged_claim_is_no_collision(stage_one: StageOne, sealed: str, tmp_path: Path) -> None:
    """A row that somebody adds for a pseudonym is called tampering; only a row of stage 1 makes a collision."""
    with sqlite3.connect(tmp_path / "mapping.db") as database:
        columns = (
            ", ".join(MappingRow._fields).replace("patient", "'Q'").replace("fingerprint", "zeroblob(16)")
        )
        statement = f"INSERT INTO mappings SELECT {columns} FROM mappings WHERE pseudonym = ?"
        database.execute(statement, (sealed,))
    with pytest.raises(Tampered):
        stage_one().resolve([a_subject(1, images=3)])


@pytest.mark.vault
def test_a_new_original_for_a_pseudonym_is_a_collision(
    stage_one: StageOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two originals that stage 1 itself gave one pseudonym are a collision, and not called tampering."""
    device = Identifier("device", "", "SN-4711")
    one, two = a_subject(1, images=0), a_subject(2, images=0)
    monkeypatch.setattr("vault.naming.pseudonym", lambda kind, digest, prefix: f"{kind}-1")
    stage_one().resolve([one])
    with pytest.raises(Collision):
        stage_one().resolve([type(two)(two.patient, frozenset({device}))])
