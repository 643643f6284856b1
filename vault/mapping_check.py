"""Looks through the whole mapping without opening anything: is every row as stage 1 wrote it, and can it be opened?

It needs the tags' key, which stage 1 asks the server for, and no custodian. It changes nothing, with one exception that
must be asked for: rows of a version that knew no tags get theirs. design.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from vault.row_tags import MappingRow, RowTags
from vault.tables import (
    VERSION,
    Database,
    field_keys,
    granted_shares,
    mappings,
    requests,
    shares,
    subject_keys,
)

_AT_ONCE = 5_000
_FEWEST_SHARES = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """What there is, and what is wrong with it. The second half is all 0 where the mapping is sound."""

    schema: str
    rows: int
    patients: int
    keys: int
    shares: int
    requests: int

    changed: int
    """Rows that are not as stage 1 wrote them."""
    untagged: int
    """Rows of a version that knew no tags."""
    without_key: int
    """Rows whose key is not there or is another patient's, or whose field has none."""
    without_custodians: int
    """Keys with shares of fewer than two custodians."""
    strays: int
    """Shares, keys of fields and grants, of keys and requests that are not there."""
    damage: int
    """1 when the database itself finds its file damaged."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (
            self.changed
            or self.untagged
            or self.without_key
            or self.without_custodians
            or self.strays
            or self.damage
        )


def check(url: str, tags: RowTags, *, adopt: bool = False) -> Checked:
    """Look through the mapping at ``url``. With ``adopt`` rows that have no tag get theirs, as they stand.

    Raises StoreUnavailable, and what asking the server for the tags' keys raises.
    """
    database = Database(url)
    try:
        changed = untagged = 0
        for part in _rows(database):
            bare = [row for row in part if row.tag is None]
            changed += sum(not tags.fits(row) for row in part if row.tag is not None)
            if adopt:
                _give_tags(database, [tags.tagged(row) for row in bare])
            else:
                untagged += len(bare)
        with database.reading() as connection:
            return Checked(
                schema=VERSION,
                rows=_count(connection, sa.select(mappings.c.pseudonym)),
                patients=_count(connection, sa.select(mappings.c.case_id, mappings.c.patient).distinct()),
                keys=_count(connection, sa.select(subject_keys.c.id)),
                shares=_count(connection, sa.select(shares.c.key_id)),
                requests=_count(connection, sa.select(requests.c.id)),
                changed=changed,
                untagged=untagged,
                without_key=_count(connection, _WITHOUT_KEY),
                without_custodians=_count(connection, _WITHOUT_CUSTODIANS),
                strays=sum(_count(connection, question) for question in _STRAYS),
                damage=_damage(connection),
            )
    finally:
        database.close()


_WITHOUT_KEY = (
    sa.select(mappings.c.pseudonym)
    .outerjoin(
        subject_keys,
        sa.and_(
            subject_keys.c.id == mappings.c.key_id,
            subject_keys.c.case_id == mappings.c.case_id,
            subject_keys.c.patient == mappings.c.patient,
        ),
    )
    .outerjoin(
        field_keys,
        sa.and_(field_keys.c.key_id == mappings.c.key_id, field_keys.c.field == mappings.c.kind),
    )
    # A key of the first version has no fields: it opens all of its patient.
    .where(
        subject_keys.c.id.is_(None)
        | (field_keys.c.key_id.is_(None) & mappings.c.key_id.in_(sa.select(field_keys.c.key_id)))
    )
)
_WITHOUT_CUSTODIANS = (
    sa.select(subject_keys.c.id)
    .outerjoin(shares)
    .group_by(subject_keys.c.id)
    .having(sa.func.count(shares.c.custodian) < _FEWEST_SHARES)
)
_STRAYS = (
    sa.select(shares.c.key_id).outerjoin(subject_keys).where(subject_keys.c.id.is_(None)),
    sa.select(field_keys.c.key_id).outerjoin(subject_keys).where(subject_keys.c.id.is_(None)),
    sa.select(granted_shares.c.key_id).outerjoin(subject_keys).where(subject_keys.c.id.is_(None)),
    sa.select(granted_shares.c.request_id).outerjoin(requests).where(requests.c.id.is_(None)),
)


def _rows(database: Database) -> Iterator[list[MappingRow]]:
    """Yield all rows by their key, a part at a time, each in a transaction of its own: others go on writing."""
    columns = [mappings.c[name] for name in MappingRow._fields]
    place = (mappings.c.case_id, mappings.c.patient, mappings.c.pseudonym)
    question = sa.select(*columns).order_by(*place).limit(_AT_ONCE)
    after = question
    while True:
        with database.reading() as connection:
            part = [MappingRow(*row) for row in connection.execute(after)]
        if not part:
            return
        yield part
        last = sa.tuple_(*(sa.literal(value) for value in part[-1][:3]))
        after = question.where(sa.tuple_(*place) > last)


def _give_tags(database: Database, rows: list[MappingRow]) -> None:
    statement = (
        sa.update(mappings)
        .where(
            mappings.c.case_id == sa.bindparam("of_case"),
            mappings.c.patient == sa.bindparam("of_patient"),
            mappings.c.pseudonym == sa.bindparam("of_pseudonym"),
            mappings.c.tag.is_(None),
        )
        .values(tag=sa.bindparam("new_tag"))
    )
    names = "of_case", "of_patient", "of_pseudonym", "new_tag"
    if rows:
        with database.writing() as connection:
            values = [dict(zip(names, (*row[:3], row.tag), strict=True)) for row in rows]
            connection.execute(statement, values)


def _count(connection: sa.Connection, question: sa.Select[tuple[str, ...]]) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(question.subquery())) or 0)


def _damage(connection: sa.Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0  # PostgreSQL stops at a damaged page by itself
    return int(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar() != "ok")
