"""The mapping store: sealed originals by case, pseudonym and patient; written once, read by custody.

It stores what it is given and compares fingerprints; it can open nothing, makes no keys and speaks to no
server (:mod:`vault.sealing` does). Writing is insert-or-same from any number of processes: what is there
stays, and a second original for a pseudonym is an error that stops the job; design.md section 5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vault.errors import Collision, NotSealed
from vault.tables import Database, mappings, shares, subject_keys

_IN_ONE_QUESTION = 500


class MappingRow(NamedTuple):
    """One sealed original. The fields are named as the table's columns and stand in their order."""

    case_id: str
    patient: str
    pseudonym: str
    kind: str
    key_id: str
    sealed: bytes
    fingerprint: bytes
    scheme: str
    key_version: int
    created: str


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """What is stored of a patient's key: only the shares of the custodians, each closed for its owner."""

    id: str
    case_id: str
    patient: str
    created: str
    shares: dict[str, str] = field(repr=False)


class MappingStore:
    """The mapping in one database, shared with custody's requests. Belongs to one process."""

    def __init__(self, url: str) -> None:
        """Open the database, bringing its schema up to date. Raises StoreUnavailable."""
        self.database = Database(url)
        dialect = postgresql if self.database.dialect.name == "postgresql" else sqlite
        self._insertion = (
            dialect.insert(mappings)
            .on_conflict_do_nothing()
            .compile(dialect=self.database.dialect, column_keys=list(MappingRow._fields))
        )

    def missing(self, case: str, wanted: Collection[tuple[str, str, bytes]]) -> set[tuple[str, str]]:
        """Which of the wanted (patient, pseudonym, fingerprint) have no row yet, as (patient, pseudonym).

        Raises Collision when a pseudonym stands for another original, whichever patient it belongs to.
        """
        fingerprints = {pseudonym: fingerprint for _, pseudonym, fingerprint in wanted}
        absent = {(patient, pseudonym) for patient, pseudonym, _ in wanted}
        for pseudonym, patient, fingerprint in self._fingerprints(case, list(fingerprints)):
            if fingerprint != fingerprints[pseudonym]:
                raise Collision(
                    f"two originals claim one pseudonym in case {case}; nothing was passed on",
                    next_step="have the case continued under another prefix or key version",
                )
            absent.discard((patient, pseudonym))
        return absent

    def insert(self, keys: Sequence[SubjectKey], rows: Sequence[MappingRow]) -> None:
        """Write keys and rows durably; a row that is there stays as it is.

        Every row is read back after the commit, so that of two processes which wrote different originals
        for one pseudonym at least one finds out. Raises Collision, NotSealed or StoreUnavailable.
        """
        with self.database.writing() as connection:
            if keys:
                connection.execute(sa.insert(subject_keys), [_key_values(key) for key in keys])
                connection.execute(
                    sa.insert(shares), [values for key in keys for values in _share_values(key)]
                )
            self._insert_rows(connection, rows)
        by_case: dict[str, list[tuple[str, str, bytes]]] = {}
        for row in rows:
            by_case.setdefault(row.case_id, []).append((row.patient, row.pseudonym, row.fingerprint))
        for case, wanted in by_case.items():
            if self.missing(case, wanted):
                raise NotSealed(
                    f"the mapping of case {case} was written but cannot be read back",
                    next_step="check the mapping database, then run the command again",
                )

    def patients(self, case: str, pseudonyms: Collection[str]) -> dict[str, frozenset[str]]:
        """For each pseudonym that is known in the case, the patients (by pseudonym) it belongs to."""
        found: dict[str, set[str]] = {}
        for part in _parts(sorted(set(pseudonyms))):
            question = sa.select(mappings.c.pseudonym, mappings.c.patient).where(
                mappings.c.case_id == case, mappings.c.pseudonym.in_(part)
            )
            with self.database.reading() as connection:
                for pseudonym, patient in connection.execute(question):
                    found.setdefault(pseudonym, set()).add(patient)
        return {pseudonym: frozenset(patients) for pseudonym, patients in found.items()}

    def keys(self, case: str, patients: Collection[str]) -> list[SubjectKey]:
        """All keys of some patients, the oldest first."""
        found: list[SubjectKey] = []
        for part in _parts(sorted(patients)):
            question = (
                sa.select(subject_keys, shares.c.custodian, shares.c.ciphertext)
                .join(shares)
                .where(subject_keys.c.case_id == case, subject_keys.c.patient.in_(part))
                .order_by(subject_keys.c.created, subject_keys.c.id)
            )
            by_id: dict[str, SubjectKey] = {}
            with self.database.reading() as connection:
                for key_id, case_id, patient, created, custodian, ciphertext in connection.execute(question):
                    key = by_id.setdefault(key_id, SubjectKey(key_id, case_id, patient, created, {}))
                    key.shares[custodian] = ciphertext
            found.extend(by_id.values())
        return found

    def key_versions(self, case: str) -> frozenset[int]:
        """The versions of the site's keys that the rows of a case were made with."""
        question = sa.select(mappings.c.key_version).where(mappings.c.case_id == case).distinct()
        with self.database.reading() as connection:
            return frozenset(connection.scalars(question))

    def shares_not_under(self, custodian: str, prefix: str, limit: int) -> list[tuple[str, str]]:
        """Some shares of a custodian whose ciphertext does not begin with ``prefix``, as (key id, ciphertext)."""
        question = (
            sa.select(shares.c.key_id, shares.c.ciphertext)
            .where(
                shares.c.custodian == custodian,
                shares.c.ciphertext.not_like(f"{prefix}%"),
            )
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [(key_id, ciphertext) for key_id, ciphertext in connection.execute(question)]

    def replace_shares(self, custodian: str, ciphertexts: Mapping[str, str]) -> None:
        """Put other ciphertexts of the same shares in the place of those that are there, durably, all or none."""
        statement = (
            sa.update(shares)
            .where(shares.c.custodian == custodian, shares.c.key_id == sa.bindparam("of_key"))
            .values(ciphertext=sa.bindparam("anew"))
        )
        with self.database.writing() as connection:
            connection.execute(
                statement, [{"of_key": key, "anew": anew} for key, anew in ciphertexts.items()]
            )

    def rows(self, case: str, patients: Collection[str]) -> list[MappingRow]:
        """All rows of some patients, ordered by patient, kind and pseudonym."""
        found: list[MappingRow] = []
        for part in _parts(sorted(patients)):
            question = sa.select(*(mappings.c[name] for name in MappingRow._fields)).where(
                mappings.c.case_id == case, mappings.c.patient.in_(part)
            )
            with self.database.reading() as connection:
                found.extend(MappingRow(*row) for row in connection.execute(question))
        return sorted(found, key=lambda row: (row.patient, row.kind, row.pseudonym))

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _fingerprints(self, case: str, pseudonyms: Sequence[str]) -> list[tuple[str, str, bytes]]:
        found: list[tuple[str, str, bytes]] = []
        with self.database.reading() as connection:
            for part in _parts(pseudonyms):
                question = sa.select(mappings.c.pseudonym, mappings.c.patient, mappings.c.fingerprint).where(
                    mappings.c.case_id == case, mappings.c.pseudonym.in_(part)
                )
                rows = connection.execute(question).all()  # in one go: row by row takes twice as long
                found.extend((pseudonym, patient, fingerprint) for pseudonym, patient, fingerprint in rows)
        return found

    def _insert_rows(self, connection: sa.Connection, rows: Sequence[MappingRow]) -> None:
        # Given to the driver as they are: the types need no conversion, and the toolkit's care for each value
        # would take longer than the database.
        statement = self._insertion
        values = rows if statement.positional else [row._asdict() for row in rows]
        connection.exec_driver_sql(str(statement), values)


def _key_values(key: SubjectKey) -> dict[str, str]:
    return {"id": key.id, "case_id": key.case_id, "patient": key.patient, "created": key.created}


def _share_values(key: SubjectKey) -> Iterator[dict[str, str]]:
    for custodian, ciphertext in key.shares.items():
        yield {"key_id": key.id, "custodian": custodian, "ciphertext": ciphertext}


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[at : at + _IN_ONE_QUESTION] for at in range(0, len(items), _IN_ONE_QUESTION))
