"""The mapping store: sealed originals by case, pseudonym and patient; written once, read by custody.

It stores what it is given, compares fingerprints and checks tags; it can open nothing, makes no keys and speaks
to no server (:mod:`vault.sealing` does). Writing is insert-or-same from any number of processes: what is there
stays, and a second original for a pseudonym is an error that stops the job, as is a row that somebody else
changed; design.md section 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vault.errors import Collision, NotSealed, Tampered
from vault.keys import Kind
from vault.recent import Recent
from vault.row_tags import MappingRow, RowTags
from vault.tables import Database, field_keys, granted_shares, mappings, shares, subject_keys

T = TypeVar("T")
Wanted = tuple[str, str, bytes]
"""Patient, pseudonym, and the fingerprint of the original."""

_IN_ONE_QUESTION = 500
_KNOWN_KEYS = 100_000
_FEWEST_SHARES = 2
_OTHER_CLAIM = (
    "EXISTS (SELECT 1 FROM mappings o"
    " WHERE o.case_id = ? AND o.pseudonym = w.pseudonym AND o.fingerprint {} w.fingerprint)"
)
_CLAIMED = f"({_OTHER_CLAIM.format('<')} OR {_OTHER_CLAIM.format('>')})"
_AT_ITS_PLACE = "m.case_id = ? AND m.patient = w.patient AND m.pseudonym = w.pseudonym"
# Written by hand: made anew for each number of rows, the toolkit's would take longer than the database.
_LOOK_UP = (
    "WITH wanted (patient, pseudonym, fingerprint) AS (VALUES (wanted)) SELECT "  # noqa: S608 (constants)
    + ", ".join(f"m.{name}" for name in MappingRow._fields)
    + f", {_CLAIMED}, w.pseudonym, w.fingerprint FROM wanted w LEFT JOIN mappings m ON {_AT_ITS_PLACE}"
    f" WHERE m.case_id IS NOT NULL OR {_CLAIMED}"
)
_COUNT = (
    "WITH wanted (patient, pseudonym, fingerprint, tag) AS (VALUES (wanted)) "  # noqa: S608 (constants)
    f"SELECT count(*) FROM wanted w JOIN mappings m ON {_AT_ITS_PLACE} AND m.tag = w.tag WHERE NOT {_CLAIMED}"
)


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """What is stored of a patient's key: only the shares of the custodians, each closed for its owner."""

    id: str
    case_id: str
    patient: str
    created: str
    shares: dict[str, str] = field(repr=False)


class FieldKey(NamedTuple):
    """What is stored of the key of one field: parts that are of use only with the shares of the patient's key."""

    key_id: str
    field: str
    parts: bytes


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
        self._sound_keys: Recent[tuple[str, str, str], bool] = Recent(_KNOWN_KEYS)
        self._sound_fields: Recent[tuple[str, str], bool] = Recent(_KNOWN_KEYS)

    def missing(self, case: str, wanted: Collection[Wanted], tags: RowTags) -> set[tuple[str, str]]:
        """Which of the wanted (patient, pseudonym, fingerprint) have no row yet, as (patient, pseudonym).

        Raises Collision when a pseudonym stands for another original, whichever patient it belongs to, and
        Tampered when a row that is there is not as stage 1 wrote it, or lost its key.
        """
        found, claimed = self._look_up(case, wanted)
        for row in found:
            if row.tag is None:
                raise Tampered(
                    f"a row of the mapping of case {case} has no tag",
                    next_step="if it is from before rows had tags: `tce mapping check --adopt`; if not, report it",
                )
            if not tags.fits(row):
                raise _tampered(case)
        for pseudonym, fingerprint in claimed.items():
            if any(tags.fits(row) for row in self._other_claims(case, pseudonym, fingerprint)):
                raise Collision(
                    f"two originals claim one pseudonym in case {case}; nothing was passed on",
                    next_step="have the case continued under another prefix or key version",
                )
            raise _tampered(case)
        self._require_keys({(row.key_id, row.case_id, row.patient) for row in found})
        self._require_field_keys(case, {(row.key_id, row.kind) for row in found})
        there = {(row.patient, row.pseudonym) for row in found}
        return {(patient, pseudonym) for patient, pseudonym, _ in wanted} - there

    def insert(
        self,
        keys: Sequence[SubjectKey],
        rows: Sequence[MappingRow],
        tags: RowTags,
        fields: Sequence[FieldKey] = (),
    ) -> None:
        """Write keys, keys of fields and tagged rows durably; a row that is there stays as it is.

        Every row is read back after the commit, so that of two processes which wrote different originals
        for one pseudonym at least one finds out. Raises Collision, Tampered, NotSealed or StoreUnavailable.
        """
        with self.database.writing() as connection:
            if keys:
                connection.execute(sa.insert(subject_keys), [_key_values(key) for key in keys])
                connection.execute(
                    sa.insert(shares), [values for key in keys for values in _share_values(key)]
                )
            if fields:
                connection.execute(sa.insert(field_keys), [one._asdict() for one in fields])
            self._insert_rows(connection, rows)
        by_case: dict[str, list[MappingRow]] = {}
        for row in rows:
            by_case.setdefault(row.case_id, []).append(row)
        for case, written in by_case.items():
            if self._stand_alone(case, written):
                continue
            if self.missing(case, [(row.patient, row.pseudonym, row.fingerprint) for row in written], tags):
                raise NotSealed(
                    f"the mapping of case {case} was written but cannot be read back",
                    next_step="check the mapping database, then run the command again",
                )

    def patients(self, case: str, pseudonyms: Collection[str]) -> dict[str, frozenset[str]]:
        """For each pseudonym that is known in the case, the patients (by pseudonym) it belongs to.

        What an import brought without its patient belongs to itself, until its patient is met.
        """
        found: dict[str, set[str]] = {}
        alone: set[str] = set()
        for part in _parts(sorted(set(pseudonyms))):
            question = sa.select(mappings.c.pseudonym, mappings.c.patient, mappings.c.kind).where(
                mappings.c.case_id == case, mappings.c.pseudonym.in_(part)
            )
            with self.database.reading() as connection:
                for pseudonym, patient, kind in connection.execute(question):
                    found.setdefault(pseudonym, set()).add(patient)
                    if pseudonym == patient and kind != Kind.PATIENT_ID:
                        alone.add(pseudonym)
        for pseudonym in alone:
            found[pseudonym] = found[pseudonym] - {pseudonym} or {pseudonym}
        return {pseudonym: frozenset(patients) for pseudonym, patients in found.items()}

    def claims(self, case: str, pseudonyms: Collection[str]) -> dict[str, set[bytes]]:
        """For each pseudonym that is known in the case, the fingerprints of the originals that it stands for."""
        found: dict[str, set[bytes]] = {}
        for part in _parts(sorted(set(pseudonyms))):
            question = sa.select(mappings.c.pseudonym, mappings.c.fingerprint).where(
                mappings.c.case_id == case, mappings.c.pseudonym.in_(part)
            )
            with self.database.reading() as connection:
                for pseudonym, fingerprint in connection.execute(question):
                    found.setdefault(pseudonym, set()).add(fingerprint)
        return found

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

    def field_keys(self, key_ids: Collection[str]) -> dict[str, list[FieldKey]]:
        """The keys of fields of some patients' keys; a patient's key that has none is not in the answer."""
        found: dict[str, list[FieldKey]] = {}
        for part in _parts(sorted(key_ids)):
            question = (
                sa.select(field_keys).where(field_keys.c.key_id.in_(part)).order_by(*field_keys.primary_key)
            )
            with self.database.reading() as connection:
                for row in connection.execute(question):
                    found.setdefault(row.key_id, []).append(FieldKey(*row))
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
            question = _rows_of(case).where(mappings.c.patient.in_(part))
            with self.database.reading() as connection:
                found.extend(MappingRow(*row) for row in connection.execute(question))
        return sorted(found, key=lambda row: (row.patient, row.kind, row.pseudonym))

    def any_patient(self, case: str) -> str | None:
        """Some patient of a case, or None when nothing of the case is here."""
        question = sa.select(mappings.c.patient).where(mappings.c.case_id == case).limit(1)
        with self.database.reading() as connection:
            found: str | None = connection.scalar(question)
            return found

    def remove_some(self, case: str, at_most: int) -> int:
        """Remove rows, keys and shares of a case, so many at once, durably; 0 when nothing of it is left.

        Requests of custody stay: they say who asked for what, and hold no original.
        """
        keys = sa.select(subject_keys.c.id).where(subject_keys.c.case_id == case)
        for table, of_case in (
            (granted_shares, granted_shares.c.key_id.in_(keys)),
            (mappings, mappings.c.case_id == case),
            (field_keys, field_keys.c.key_id.in_(keys)),
            (shares, shares.c.key_id.in_(keys)),
            (subject_keys, subject_keys.c.case_id == case),
        ):
            place = sa.tuple_(*table.primary_key)
            some = sa.select(*table.primary_key).where(of_case).limit(at_most)
            with self.database.writing() as connection:
                removed = connection.execute(sa.delete(table).where(place.in_(some))).rowcount
            if removed:
                return removed
        return 0

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _look_up(self, case: str, wanted: Collection[Wanted]) -> tuple[list[MappingRow], dict[str, bytes]]:
        """The wanted rows that are there, and the wanted pseudonyms that stand for another original somewhere.

        A row is found by its key, another claim at the two ends of an index: what thousands of patients share,
        such as a device, is not read thousands of times.
        """
        found: list[MappingRow] = []
        claimed: dict[str, bytes] = {}
        with self.database.reading() as connection:
            for part in _parts(list(wanted)):
                # In one go: row by row takes twice as long.
                rows: Sequence[Any] = self._ask(connection, _LOOK_UP, part, [case] * 5).all()
                claimed |= {row[-2]: row[-1] for row in rows if row[-3]}
                found.extend(MappingRow(*row[:-3]) for row in rows if row[0] is not None)
        return found, claimed

    def _stand_alone(self, case: str, written: Sequence[MappingRow]) -> bool:
        """Whether all rows stand as they were just written, and nobody claims one of their pseudonyms otherwise."""
        there = 0
        with self.database.reading() as connection:
            for part in _parts([(row.patient, row.pseudonym, row.fingerprint, row.tag) for row in written]):
                there += int(self._ask(connection, _COUNT, part, [case] * 3).scalar_one())
        return there == len(written)

    def _ask(
        self,
        connection: sa.Connection,
        statement: str,
        wanted: Sequence[tuple[Any, ...]],
        more: Sequence[str],
    ) -> sa.CursorResult[Any]:
        """Ask about some wanted rows. Their places come first in the statement, then those of ``more``."""
        place = f"({', '.join('?' * len(wanted[0]))})"
        statement = statement.replace("(wanted)", ", ".join([place] * len(wanted)))
        if self.database.dialect.paramstyle != "qmark":
            statement = statement.replace("?", "%s")
        return connection.exec_driver_sql(statement, (*itertools.chain.from_iterable(wanted), *more))

    def _other_claims(self, case: str, pseudonym: str, fingerprint: bytes) -> list[MappingRow]:
        question = _rows_of(case).where(
            mappings.c.pseudonym == pseudonym, mappings.c.fingerprint != fingerprint
        )
        with self.database.reading() as connection:
            return [MappingRow(*row) for row in connection.execute(question.limit(_IN_ONE_QUESTION))]

    def _require_keys(self, used: set[tuple[str, str, str]]) -> None:
        """Return if each (key, case, patient) is stored, with shares of two custodians at least."""
        asked = [one for one in used if not self._sound_keys.get(one)]
        for part in _parts(asked):
            question = (
                sa.select(subject_keys.c.id, subject_keys.c.case_id, subject_keys.c.patient)
                .join(shares)
                .where(subject_keys.c.id.in_([key_id for key_id, _, _ in part]))
                .group_by(subject_keys.c.id)
                .having(sa.func.count() >= _FEWEST_SHARES)
            )
            with self.database.reading() as connection:
                sound = {(key_id, case, patient) for key_id, case, patient in connection.execute(question)}
            for one in part:
                if one not in sound:
                    raise Tampered(
                        f"a row of the mapping of case {one[1]} has no key that two custodians could open",
                        next_step="restore the mapping from its backup and report the incident",
                    )
                self._sound_keys.keep(one, True)

    def _require_field_keys(self, case: str, used: set[tuple[str, str]]) -> None:
        """Return if each (patient's key, field) is stored, or the patient's key is one without fields."""
        asked = [one for one in used if not self._sound_fields.get(one)]
        stored = self.field_keys({key_id for key_id, _ in asked})
        for key_id, name in asked:
            if key_id in stored and name not in {one.field for one in stored[key_id]}:
                raise Tampered(
                    f"a row of the mapping of case {case} has lost the key of its field",
                    next_step="restore the mapping from its backup and report the incident",
                )
            self._sound_fields.keep((key_id, name), True)

    def _insert_rows(self, connection: sa.Connection, rows: Sequence[MappingRow]) -> None:
        # Given to the driver as they are: the types need no conversion, and the toolkit's care for each value
        # would take longer than the database.
        statement = self._insertion
        values = rows if statement.positional else [row._asdict() for row in rows]
        connection.exec_driver_sql(str(statement), values)


def _tampered(case: str) -> Tampered:
    return Tampered(
        f"a row of the mapping of case {case} is not as it was written",
        next_step="compare it with the backup (`tce mapping restore`) and report the incident",
    )


def _rows_of(case: str) -> sa.Select[tuple[Any, ...]]:
    return sa.select(*(mappings.c[name] for name in MappingRow._fields)).where(mappings.c.case_id == case)


def _key_values(key: SubjectKey) -> dict[str, str]:
    return {"id": key.id, "case_id": key.case_id, "patient": key.patient, "created": key.created}


def _share_values(key: SubjectKey) -> Iterator[dict[str, str]]:
    for custodian, ciphertext in key.shares.items():
        yield {"key_id": key.id, "custodian": custodian, "ciphertext": ciphertext}


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + _IN_ONE_QUESTION] for at in range(0, len(items), _IN_ONE_QUESTION))
