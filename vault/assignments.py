"""Pseudonyms that no key gives: drawn by chance, or brought by a list. One store for each stage of a case.

An original is recognized by the digest that the key server makes of it, of which the store keeps a half, the
fingerprint; from a row alone nobody comes to an original, nor from one original to its row without the key. Each row
carries a tag under the whole digest, so that a pseudonym cannot be exchanged in the database unnoticed; a number of
days, which is no identifier, is covered as well. Writing is insert-or-same from any number of processes: whoever comes
second takes what is there. That a store is there is a row of its own: a store that was lost must not look like a new
one.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vault.errors import Collision, StoreMissing, Tampered
from vault.keys import Kind
from vault.moments import timestamp
from vault.scheme import SCHEME, fingerprint
from vault.secrecy import safe_name
from vault.tables import Database, assigned_pseudonyms, pseudonym_stores

T = TypeVar("T")

_IN_ONE_QUESTION = 500
_TAG_BYTES = 16
_COVER_BYTES = 4
_NO_DAYS = 1 << 31


class Stage(StrEnum):
    """Which stage gives the pseudonyms: of originals, or of the pseudonyms of stage 1."""

    PSEUDONYMIZE = "pseudonymize"
    ANONYMIZE = "anonymize"


class Origin(StrEnum):
    """Where a pseudonym comes from."""

    DRAWN = "drawn"
    IMPORTED = "imported"
    DERIVED = "derived"  # kept only so that two originals cannot claim it


class Original(NamedTuple):
    """An identifier as the store knows it: its kind, and its whole digest, which is not stored."""

    kind: Kind
    digest: bytes

    @property
    def place(self) -> tuple[str, bytes]:
        """What a row is found by."""
        return self.kind, fingerprint(self.digest)


class Given(NamedTuple):
    """What stands for an original."""

    pseudonym: str
    origin: Origin


class Assignments:
    """The store of one stage of one case. Belongs to one process."""

    def __init__(self, database: Database, *, stage: Stage, case: str) -> None:
        """Raises BadName for an unusable case name."""
        self._database = database
        self._stage = stage
        self._case = safe_name(case, "case")
        dialect = postgresql if database.dialect.name == "postgresql" else sqlite
        self._insertion = dialect.insert(assigned_pseudonyms).on_conflict_do_nothing()
        self._beginning = dialect.insert(pseudonym_stores).on_conflict_do_nothing()

    @property
    def id(self) -> str:
        """The name that the store got when it was begun, by which a lost one is noticed; empty where there is none."""
        with self._database.reading() as connection:
            return self._id(connection)

    def begin(self) -> str:
        """Make the store if there is none, and return its name."""
        values = {
            "stage": str(self._stage),
            "case_id": self._case,
            "id": secrets.token_hex(16),
            "created": timestamp(),
        }
        with self._database.writing() as connection:
            connection.execute(self._beginning, values)
            return self._id(connection)

    def given(self, originals: Collection[Original]) -> dict[Original, Given]:
        """What stands for those of some originals that the store has. Raises Tampered."""
        with self._database.reading() as connection:
            return self._given(connection, originals)

    def give(
        self, offered: Mapping[Original, str], origin: Origin, *, all_or_none: bool = False
    ) -> dict[Original, Given]:
        """Keep a pseudonym for each original that has none, durably, and return what stands for each then.

        An original is missing in the answer when the pseudonym that was offered for it stands for another one. With
        ``all_or_none`` each must stand as it was offered, or Collision is raised and nothing was written. Raises
        StoreMissing where the store was never begun, and Tampered.
        """
        now = timestamp()
        rows = [self._row(original, pseudonym, origin, now) for original, pseudonym in offered.items()]
        with self._database.writing() as connection:
            if not self._id(connection):
                raise StoreMissing(
                    f"case {self._case} has no store of pseudonyms",
                    next_step="restore the database from its backup",
                )
            connection.execute(self._insertion, rows)
            given = self._given(connection, offered)
            if all_or_none and {one: found.pseudonym for one, found in given.items()} != offered:
                raise Collision(
                    f"somebody else gave pseudonyms of case {self._case} at the same time; nothing was written",
                    next_step="run the command again; it tells what contradicts",
                )
            return given

    def holders(self, pseudonyms: Collection[str]) -> dict[str, tuple[str, bytes]]:
        """For each of some pseudonyms that the store gave, kind and fingerprint of its original. No days."""
        found: dict[str, tuple[str, bytes]] = {}
        table = assigned_pseudonyms.c
        with self._database.reading() as connection:
            for part in _parts(list(pseudonyms)):
                question = sa.select(table.pseudonym, table.kind, table.fingerprint).where(
                    *self._mine(), table.kind != Kind.DATE_OFFSET, table.pseudonym.in_(part)
                )
                found |= {text: (kind, print_) for text, kind, print_ in connection.execute(question)}
        return found

    def imported(self) -> frozenset[str]:
        """Every pseudonym that a list brought. No days."""
        table = assigned_pseudonyms.c
        question = sa.select(table.pseudonym).where(
            *self._mine(), table.kind != Kind.DATE_OFFSET, table.origin == Origin.IMPORTED
        )
        with self._database.reading() as connection:
            return frozenset(connection.scalars(question))

    def origins(self) -> frozenset[Origin]:
        """Where the pseudonyms of the store come from."""
        question = sa.select(assigned_pseudonyms.c.origin).where(*self._mine()).distinct()
        with self._database.reading() as connection:
            return frozenset(Origin(origin) for origin in connection.scalars(question))

    def forget(self) -> int:
        """Remove every row of the store, and the store; return how many rows there were."""
        with self._database.writing() as connection:
            removed = connection.execute(sa.delete(assigned_pseudonyms).where(*self._mine())).rowcount
            stores = pseudonym_stores.c
            connection.execute(
                sa.delete(pseudonym_stores).where(stores.stage == self._stage, stores.case_id == self._case)
            )
        return removed

    def _id(self, connection: sa.Connection) -> str:
        stores = pseudonym_stores.c
        question = sa.select(stores.id).where(stores.stage == self._stage, stores.case_id == self._case)
        return connection.scalar(question) or ""

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            assigned_pseudonyms.c.stage == self._stage,
            assigned_pseudonyms.c.case_id == self._case,
        )

    def _given(self, connection: sa.Connection, originals: Collection[Original]) -> dict[Original, Given]:
        by_kind: dict[Kind, dict[bytes, Original]] = {}
        for original in originals:
            by_kind.setdefault(original.kind, {})[original.place[1]] = original
        found: dict[Original, Given] = {}
        table = assigned_pseudonyms.c
        for kind, members in by_kind.items():
            for part in _parts(list(members)):
                question = sa.select(table.fingerprint, table.pseudonym, table.origin, table.tag).where(
                    *self._mine(), table.kind == kind, table.fingerprint.in_(part)
                )
                for print_, stored, origin, tag in connection.execute(question):
                    original = members[print_]
                    found[original] = self._opened(original, stored, origin, tag)
        return found

    def _row(self, original: Original, pseudonym: str, origin: Origin, now: str) -> dict[str, str | bytes]:
        return {
            "stage": str(self._stage),
            "case_id": self._case,
            "kind": str(original.kind),
            "fingerprint": original.place[1],
            "pseudonym": self._covered(original, int(pseudonym))
            if original.kind is Kind.DATE_OFFSET
            else pseudonym,
            "origin": str(origin),
            "tag": self._tag(original, pseudonym, origin),
            "created": now,
        }

    def _opened(self, original: Original, stored: str, origin: str, tag: bytes) -> Given:
        try:
            pseudonym = stored
            if original.kind is Kind.DATE_OFFSET:
                pseudonym = str(int(self._covered(original, int(stored, 16) - _NO_DAYS), 16) - _NO_DAYS)
            if hmac.compare_digest(tag, self._tag(original, pseudonym, origin)):
                return Given(pseudonym, Origin(origin))
        except (TypeError, ValueError, OverflowError):
            pass
        raise Tampered(
            f"a pseudonym in the store of case {self._case} is not the one that was put there",
            next_step="restore the database from its backup and report the incident",
        )

    def _covered(self, original: Original, days: int) -> str:
        """A number of days that only the digest of its original uncovers; covering twice gives the number back."""
        cover = int.from_bytes(self._hmac(original, "cover")[:_COVER_BYTES], "big")
        return f"{days + _NO_DAYS ^ cover:08x}"

    def _tag(self, original: Original, pseudonym: str, origin: str) -> bytes:
        return self._hmac(original, "tag", origin, pseudonym)[:_TAG_BYTES]

    def _hmac(self, original: Original, *more: str) -> bytes:
        parts = (f"{SCHEME}-assigned", self._stage, self._case, original.kind, *more)
        return hmac.digest(original.digest, "\0".join(parts).encode(), "sha256")


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + _IN_ONE_QUESTION] for at in range(0, len(items), _IN_ONE_QUESTION))
