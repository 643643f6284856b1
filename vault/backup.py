"""A copy of the mapping in one file, and back: rows that were lost return, rows that differ are found.

A backup is an SQLite database of the same tables, whatever the site's own is, and holds what the mapping holds:
originals only as they were sealed, shares only as they were closed. Granted shares are left out: they serve one
reveal, soon. Both ways work while others write, and both may be repeated; design.md section 5.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vault.errors import StoreUnavailable
from vault.tables import Database, field_keys, mappings, requests, shares, subject_keys

_TABLES = (subject_keys, shares, field_keys, mappings, requests)
_AT_ONCE = 2_000


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
    draft.unlink(missing_ok=True)
    source = Database(url)
    try:
        target = Database(f"sqlite:///{draft}")
        try:
            copied = _copy(source, target, replace=False)
        finally:
            target.close()
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(out)
    except OSError as fault:
        raise StoreUnavailable(
            f"the backup cannot be written ({fault.strerror})", next_step="make room, or name another place"
        ) from None
    finally:
        source.close()
        draft.unlink(missing_ok=True)
    return copied


def restore(backup: Path, url: str, *, replace: bool = False) -> Copied:
    """Bring the rows of a backup that the mapping at ``url`` lacks back into it.

    Rows that are there but differ are counted, and stay; with ``replace`` those of the backup take their place.
    Nothing is ever removed. Raises StoreUnavailable, also when ``backup`` is none.
    """
    if not backup.is_file():
        raise StoreUnavailable(f"there is no backup {backup}", next_step="name the file that was written")
    source = Database(f"sqlite:///{backup}")
    target = Database(url)
    try:
        return _copy(source, target, replace=replace)
    finally:
        source.close()
        target.close()


def _copy(source: Database, target: Database, *, replace: bool) -> Copied:
    rows = missing = differ = 0
    with source.reading() as reading:
        if source.dialect.name == "postgresql":
            # One picture of the whole: a share whose key came a moment later would have no key in the copy.
            reading.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table, part in ((one, rows_of) for one in _TABLES for rows_of in _parts(reading, one)):
            there = _there(target, table, part)
            fresh = [row for row in part if _key(table, row) not in there]
            other = [row for row in part if there.get(_key(table, row), row) != row]
            with target.writing() as connection:
                if fresh:
                    connection.execute(_insertion(target, table), fresh)
                for row in other if replace else ():
                    connection.execute(sa.update(table).where(_is(table, row)).values(row))
            rows, missing, differ = rows + len(part), missing + len(fresh), differ + len(other)
    return Copied(rows, missing, differ)


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
