"""A copy of the mapping in one file, and back: rows that were lost return, rows that differ are found.

A backup is an SQLite database of the same tables, whatever the site's own is, and holds what the mapping holds:
originals only as they were sealed, shares only as they were closed. Granted shares are left out: they serve one
reveal, soon. A digest over all rows shows whether the file is still as it was written; who changed a row on purpose is
found by the tags (:mod:`vault.mapping_check`). A backup is only ever read, so it may lie on a medium that cannot be
written, and may be of an earlier version. Both ways work while others write, and both may be repeated; design.md
section 5.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from vault.errors import StoreUnavailable
from vault.secrecy import sync_directory, sync_file
from vault.tables import (
    VERSION,
    VERSION_TABLE,
    Database,
    assigned_pseudonyms,
    field_keys,
    mappings,
    pseudonym_stores,
    requests,
    shares,
    subject_keys,
)

_TABLES = (subject_keys, shares, field_keys, mappings, requests, pseudonym_stores, assigned_pseudonyms)
_AT_ONCE = 2_000
_DIGEST_TABLE = "backup_digest"


@dataclass(frozen=True, slots=True)
class Copied:
    """What one run did: rows that were ``missing`` and are there now, and rows that ``differ`` between the two."""

    rows: int
    missing: int
    differ: int


def back_up(url: str, out: Path) -> Copied:
    """Write the mapping at ``url`` into the new file ``out``, complete or not at all.

    Raises StoreUnavailable, also when ``out`` exists or cannot be written.
    """
    if out.exists():
        raise StoreUnavailable(f"{out} exists already", next_step="name a file that does not exist yet")
    draft = out.with_name(f"{out.name}.new")
    _remove(draft)
    source = Database(url)
    try:
        target = Database(f"sqlite:///{draft}")
        try:
            with source.reading() as reading:
                copied = _copy(reading, target, replace=False)
        finally:
            target.close()
        _close_off(draft)
        sync_file(draft)
        draft.replace(out)
        sync_directory(out.parent)
    except (OSError, sqlite3.Error) as fault:
        reason = getattr(fault, "strerror", None) or type(fault).__name__
        raise StoreUnavailable(
            f"the backup cannot be written ({reason})", next_step="make room, or name another place"
        ) from None
    finally:
        source.close()
        _remove(draft)
    return copied


def restore(backup: Path, url: str, *, replace: bool = False) -> Copied:
    """Bring the rows of a backup that the mapping at ``url`` lacks back into it.

    Rows that are there but differ are counted, and stay; with ``replace`` those of the backup take their place.
    Nothing is ever removed, and what custodians did since is left alone: decisions, and shares closed under a newer
    key. Raises StoreUnavailable, also when ``backup`` is none or damaged; then nothing was changed.
    """
    if not backup.is_file():
        raise StoreUnavailable(f"there is no backup {backup}", next_step="name the file that was written")
    with _reading(backup) as reading:
        target = Database(url)
        try:
            return _copy(reading, target, replace=replace)
        finally:
            target.close()


@contextmanager
def _reading(backup: Path) -> Iterator[sa.Connection]:
    """Open a backup that is whole, without writing to it."""
    damaged = StoreUnavailable(
        f"{backup} is damaged, or no backup of a mapping", next_step="use another backup; nothing was changed"
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = _with_its_log(backup, Path(folder) / "backup.db")
            with contextlib.closing(_untouched(file)) as database:
                version = _checked(database)
        except (sqlite3.Error, ValueError):
            raise damaged from None
        if version != VERSION:
            # Brought up to date in a copy: what the steps would do to the backup itself could not be undone.
            file = Path(shutil.copyfile(file, Path(folder) / "newest.db"))
            Database(f"sqlite:///{file}").close()
        engine = sa.create_engine("sqlite://", creator=lambda: _untouched(file), hide_parameters=True)
        try:
            with engine.connect() as reading:
                yield reading
        except SQLAlchemyError:
            raise damaged from None
        finally:
            engine.dispose()


def _with_its_log(backup: Path, copy: Path) -> Path:
    """Return the backup, or a copy with what stands only in the log beside it: so a copied site folder may be."""
    log = backup.with_name(f"{backup.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return backup
    shutil.copyfile(backup, copy)
    shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    return copy


def _untouched(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
    )


def _checked(database: sqlite3.Connection) -> str:
    """Return the version of a backup's schema. Raises ValueError or sqlite3.Error when it is not as it was written."""
    if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise ValueError("pages")
    # A copy of the site's own file is a backup as well; that one has no digest.
    if _has(database, _DIGEST_TABLE):
        written = database.execute(f"SELECT digest FROM {_DIGEST_TABLE}").fetchall()  # noqa: S608 (a constant)
        if written != [(_digest(database),)]:
            raise ValueError("rows")
    ((version,),) = database.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()  # noqa: S608 (constants)
    return str(version)


def _close_off(draft: Path) -> None:
    """Write the digest, and leave a file that needs no other beside it."""
    with contextlib.closing(sqlite3.connect(draft)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        digest = _digest(database)
        database.execute(f"CREATE TABLE {_DIGEST_TABLE} (digest TEXT NOT NULL)")
        database.execute(f"INSERT INTO {_DIGEST_TABLE} VALUES (?)", (digest,))  # noqa: S608 (a constant)
        database.commit()


def _digest(database: sqlite3.Connection) -> str:
    """Return the SHA-256 over every row of every table but the digest's own."""
    digest = hashlib.sha256()
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    for (name,) in names:
        if name != _DIGEST_TABLE:
            digest.update(f"{name}\0".encode())
            for row in database.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 (a name of the file's own)
                digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _has(database: sqlite3.Connection, table: str) -> bool:
    question = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return bool(database.execute(question, (table,)).fetchone()[0])


def _remove(draft: Path) -> None:
    """Remove a draft, also that of a run that was killed, with the log beside it."""
    for file in (draft, *(draft.with_name(f"{draft.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        file.unlink(missing_ok=True)


def _copy(reading: sa.Connection, target: Database, *, replace: bool) -> Copied:
    rows = missing = differ = 0
    if reading.dialect.name == "postgresql":
        # One picture of the whole: a share whose key came a moment later would have no key in the copy.
        reading.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    for table, part in ((one, rows_of) for one in _TABLES for rows_of in _parts(reading, one)):
        there = _there(target, table, part)
        fresh = [row for row in part if _key(table, row) not in there]
        other = [row for row in part if _differs(table, row, there.get(_key(table, row), row))]
        with target.writing() as connection:
            if fresh:
                connection.execute(_insertion(target, table), fresh)
            for row in other if replace else ():
                connection.execute(sa.update(table).where(_is(table, row)).values(row))
        rows, missing, differ = rows + len(part), missing + len(fresh), differ + len(other)
    return Copied(rows, missing, differ)


def _differs(table: sa.Table, row: dict[str, Any], there: dict[str, Any]) -> bool:
    """Whether a row is not what it was, other than by the work of custodians."""
    if table is requests:
        return False
    if table is shares:
        before, now = (str(one["ciphertext"]) for one in (row, there))
        return before != now and before.split(":")[:2] == now.split(":")[:2]
    return row != there


def _parts(reading: sa.Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows in the order of their key, a part at a time."""
    keys = list(table.primary_key)
    last: tuple[Any, ...] | None = None
    while True:
        question = sa.select(table).order_by(*keys).limit(_AT_ONCE)
        if last is not None:
            question = question.where(sa.tuple_(*keys) > sa.tuple_(*(sa.literal(value) for value in last)))
        part = [dict(row._mapping) for row in reading.execute(question)]
        if not part:
            return
        yield part
        last = _key(table, part[-1])


def _there(
    target: Database, table: sa.Table, rows: list[dict[str, Any]]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return what the target has at the keys of some rows, which follow each other."""
    keys = list(table.primary_key)
    bounds = (_key(table, rows[0]), _key(table, rows[-1]))
    first, last = (sa.tuple_(*(sa.literal(value) for value in bound)) for bound in bounds)
    question = sa.select(table).where(sa.tuple_(*keys) >= first, sa.tuple_(*keys) <= last)
    with target.reading() as connection:
        found = [dict(row._mapping) for row in connection.execute(question)]
    return {_key(table, row): row for row in found}


def _key(table: sa.Table, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _is(table: sa.Table, row: dict[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == row[column.name] for column in table.primary_key))


def _insertion(target: Database, table: sa.Table) -> sa.Executable:
    if target.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
