"""The tables behind :mod:`tce.exports`, and opening a database with them.

SQLite is opened so that a commit survives a loss of power (WAL, every commit flushed) and that writers wait
for each other from the start of a transaction on. Tables come about only by the migrations in
:mod:`tce.migrations`.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_BUSY_SECONDS = 30
REVISION = "0007"  # the last one in tce/migrations/versions; a test compares

metadata = sa.MetaData()


def _uid(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False, **options)


def _of_export() -> sa.Column[int]:
    return sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True)


instances = sa.Table(
    "instances",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _uid("sop_instance_uid"),
    _uid("sop_class_uid"),
    _uid("transfer_syntax_uid"),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("file", sa.String(64), nullable=False, unique=True),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("arrived_at", sa.Float, nullable=False, index=True),
    # Somebody was told that no manifest names it.
    sa.Column("reported_at", sa.Float),
    # Its file is gone; the row stays, so that the same content is known when it comes again.
    sa.Column("purged_at", sa.Float),
    # One UID with two digests is a conflict, kept so that a person can see it.
    sa.UniqueConstraint("sop_instance_uid", "digest"),
)
exports = sa.Table(
    "exports",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(16), nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("title", sa.String(16), nullable=False),
    sa.Column("description", sa.String(128), nullable=False),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("policy_digest", sa.String(71), nullable=False),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("tally", sa.Text, nullable=False),
    sa.Column("unreadable", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("leased", sa.Boolean, nullable=False),
    sa.Column("not_before", sa.Float, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
    # Somebody was told that it has been delayed for long.
    sa.Column("reported_at", sa.Float),
    # Everything of it that no other export needs is gone from the spool.
    sa.Column("purged_at", sa.Float),
)
members = sa.Table(
    "members",
    metadata,
    _of_export(),
    _uid("sop_instance_uid", primary_key=True, index=True),
    _uid("sop_class_uid"),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("arrived", sa.Boolean, nullable=False),
)
outputs = sa.Table(
    "outputs",
    metadata,
    _of_export(),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    _uid("sop_class_uid"),
    _uid("sop_instance_uid"),
    _uid("transfer_syntax_uid"),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("is_manifest", sa.Boolean, nullable=False),
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    _of_export(),
    sa.Column("receiver", sa.String(16), primary_key=True),
    _uid("sop_instance_uid", primary_key=True),
    sa.Column("digest", sa.String(71), primary_key=True),
    sa.Column("delivered_at", sa.Float, nullable=False),
    sa.Column("committed_at", sa.Float),
)
commitments = sa.Table(
    "commitments",
    metadata,
    _uid("transaction_uid", primary_key=True),
    sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), nullable=False, index=True),
    sa.Column("receiver", sa.String(16), nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("answered_at", sa.Float),
    # What was refused: [SOP Class UID, Failure Reason, how many].
    sa.Column("refused", sa.Text, nullable=False),
)

fetches = sa.Table(
    "fetches",
    metadata,
    _of_export(),
    sa.Column("asked_at", sa.Float),
    sa.Column("tried_at", sa.Float),
    sa.Column("said", sa.Text, nullable=False),
)
cohort = sa.Table(
    "cohort",
    metadata,
    _of_export(),
    sa.Column("case_id", sa.String(64), nullable=False, index=True),
    # Of the case's own pseudonyms; what is released of the patient, and no more.
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("traits", sa.Text, nullable=False),
)
holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), nullable=False, index=True),
    sa.Column("held_at", sa.Float, nullable=False),
    # Codes of reasons.
    sa.Column("reasons", sa.Text, nullable=False),
    sa.Column("resolved_at", sa.Float),
    sa.Column("resolved_by", sa.String(64), nullable=False),
)
untold = sa.Table(
    "untold",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("success", sa.Boolean, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("happened_at", sa.Float, nullable=False),
)


def open_database(url: str) -> sa.Engine:
    """Open a database by URL and bring its tables up to date; several processes may do so at once."""
    engine = sa.create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _durable_sqlite)
        sa.event.listen(engine, "begin", _begin_immediate)
    with engine.begin() as connection:
        # Looking first keeps Alembic out of every start.
        if not _is_current(connection):
            _upgrade(connection)
    return engine


def _is_current(connection: sa.Connection) -> bool:
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return bool(version == REVISION)


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _durable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    # Switching a new database to its log does not wait for others who are just doing the same, so we do.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
