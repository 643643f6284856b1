"""The tables of the mapping database, how it is opened, and the step to the newest version of its schema.

SQLite in one file by default, PostgreSQL by URL. Nothing here holds an original in the clear or under an
unkeyed hash: originals are sealed (:mod:`vault.sealing`) and recognized by a keyed fingerprint.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from vault.errors import StoreUnavailable

VERSION = "0004"  # of the schema; migrations/versions holds the way there
VERSION_TABLE = "vault_schema_version"
_BUSY_MILLISECONDS = 60_000
_MIGRATION_LOCK = 0x7463_6531  # "tce1", the name of an advisory lock of PostgreSQL

metadata = sa.MetaData()

_version_table = sa.Table(
    VERSION_TABLE,
    sa.MetaData(),  # of its own: it belongs to the steps
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)

subject_keys = sa.Table(
    "subject_keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("created", sa.String(20), nullable=False),
    sa.Index("subject_keys_of_patient", "case_id", "patient"),
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("key_id", sa.ForeignKey("subject_keys.id"), primary_key=True),
    sa.Column("custodian", sa.String(64), primary_key=True),
    sa.Column("ciphertext", sa.Text, nullable=False),
)

# The key of one field of a patient, in parts that only the custodians' shares of the patient's key uncover. A patient's
# key without any opens all of the patient: so it was in the first version.
field_keys = sa.Table(
    "field_keys",
    metadata,
    sa.Column("key_id", sa.ForeignKey("subject_keys.id"), primary_key=True),
    sa.Column("field", sa.String(80), primary_key=True),
    sa.Column("parts", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# A value that several patients share (a device, a physician) has a row for each of them, so that each
# patient can be re-identified without touching another.
mappings = sa.Table(
    "mappings",
    metadata,
    sa.Column("case_id", sa.String(64), primary_key=True),
    sa.Column("patient", sa.String(64), primary_key=True),
    sa.Column("pseudonym", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(80), nullable=False),
    sa.Column("key_id", sa.ForeignKey("subject_keys.id"), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary(16), nullable=False),
    sa.Column("scheme", sa.String(16), nullable=False),
    sa.Column("key_version", sa.Integer, nullable=False),
    sa.Column("created", sa.String(20), nullable=False),
    sa.Column("tag", sa.LargeBinary(16), nullable=True),  # none in rows from before rows had tags
    sa.Index("mappings_by_pseudonym", "case_id", "pseudonym", "fingerprint"),
    sqlite_with_rowid=False,
)

# That a stage of a case has pseudonyms which no key gives, and a name by which a store that was lost is noticed.
pseudonym_stores = sa.Table(
    "pseudonym_stores",
    metadata,
    sa.Column("stage", sa.String(16), primary_key=True),
    sa.Column("case_id", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("created", sa.String(20), nullable=False),
)

# The pseudonyms themselves. Days are no identifier: any number of patients may have the same.
assigned_pseudonyms = sa.Table(
    "assigned_pseudonyms",
    metadata,
    sa.Column("stage", sa.String(16), primary_key=True),
    sa.Column("case_id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary(16), primary_key=True),
    sa.Column("pseudonym", sa.String(64), nullable=False),
    sa.Column("origin", sa.String(8), nullable=False),
    sa.Column("tag", sa.LargeBinary(16), nullable=False),
    sa.Column("created", sa.String(20), nullable=False),
    sa.Index(
        "assigned_pseudonyms_once",
        "stage",
        "case_id",
        "pseudonym",
        unique=True,
        sqlite_where=sa.text("kind <> 'days'"),
        postgresql_where=sa.text("kind <> 'days'"),
    ),
    sqlite_with_rowid=False,
)

requests = sa.Table(
    "custody_requests",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("patients", sa.JSON, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),
    sa.Column("ticket", sa.String(64), nullable=False),
    sa.Column("requester", sa.String(64), nullable=False),
    sa.Column("requested", sa.String(20), nullable=False),
    sa.Column("expires", sa.String(20), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("decided_by", sa.String(64), nullable=False),
    sa.Column("decided", sa.String(20), nullable=False),
)

granted_shares = sa.Table(
    "granted_shares",
    metadata,
    sa.Column("request_id", sa.ForeignKey("custody_requests.id"), primary_key=True),
    sa.Column("key_id", sa.ForeignKey("subject_keys.id"), primary_key=True),
    sa.Column("field", sa.String(80), primary_key=True),
    sa.Column("ciphertext", sa.Text, nullable=False),
)


class Database:
    """An open mapping database of the newest schema. Belongs to one process."""

    def __init__(self, url: str) -> None:
        try:
            address = sa.make_url(url)
            if address.get_backend_name() == "sqlite":
                _make_private(address.database)
            self._engine = sa.create_engine(address, hide_parameters=True)
        except (SQLAlchemyError, ImportError):
            raise StoreUnavailable(
                "the address of the mapping database is not usable",
                next_step="write sqlite:///<file> or postgresql+psycopg://<server>/<name> in tce.toml",
            ) from None
        self.dialect = self._engine.dialect
        if self.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._bring_up_to_date()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads. Raises StoreUnavailable."""
        with self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes, durable when the block ends and undone when it raises."""
        with self._transaction(writing=True) as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as fault:
            # The library's text may quote values.
            raise StoreUnavailable(
                f"the mapping database cannot be used ({type(fault).__name__})",
                next_step="check that it is reachable, not full and not locked, then run the command again",
            ) from None

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            if _version(connection) == VERSION:
                return
        # Several processes may come to a new database at once; all but one find it done.
        with self.writing() as connection:
            if self.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            version = _version(connection)
            if not version:
                _make(connection)
            elif version != VERSION:
                _migrate(connection)


def _version(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")))  # noqa: S608 (a constant)


def _make(connection: sa.Connection) -> None:
    """Make a new database as the steps would, without the quarter of a second that it takes to load them."""
    metadata.create_all(connection, checkfirst=False)
    _version_table.create(connection)
    connection.execute(sa.insert(_version_table).values(version_num=VERSION))


def _migrate(connection: sa.Connection, version: str | None = None) -> None:
    # Imported here because it takes longer than opening a database that is new or up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    configuration = Config()
    configuration.set_main_option(
        "script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%")
    )
    configuration.attributes["connection"] = connection
    try:
        command.upgrade(configuration, version or VERSION)
    except CommandError:
        raise StoreUnavailable(
            f"the mapping database was made by a newer version of this software (its schema is not {VERSION})",
            next_step="use that version, or restore a backup from before into a new database",
        ) from None


def _make_private(file: str | None) -> None:
    if file and file != ":memory:":
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise StoreUnavailable(
                f"the file of the mapping database cannot be written ({fault.strerror})",
                next_step="check its folder in tce.toml",
            ) from None


def _write_ahead(cursor: sa.engine.interfaces.DBAPICursor) -> None:
    # Switching a new database to its log does not wait for others who are just doing the same, so we do.
    deadline = time.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _prepare_sqlite(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    # The driver's own transactions would let schema changes and reads slip out of ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous = FULL")  # a commit survives a power failure: nothing leaves before it
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(
        "PRAGMA cache_size = -65536"
    )  # 64 MiB: pseudonyms come in no order, and go all over the table
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
