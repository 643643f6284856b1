"""One transaction on the index, and the only way to change an export's state in it.

A change that the table of :mod:`tce.states` does not name raises and takes the whole transaction back. What
has changed is told to the observer after the commit, so that the audit trail never says more than the
database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tce.errors import ExportError
from tce.road import Reason
from tce.states import WHO_ACTS, State, Verb, transition
from tce.tables import exports


@dataclass(frozen=True, slots=True)
class Change:
    """One transition that has happened, for the audit trail."""

    export_id: str
    before: State | None
    after: State
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Export:
    """One export as the index knows it."""

    number: int
    id: str
    state: State
    title: str
    description: str = field(repr=False)
    case_id: str
    policy_digest: str
    calling_ae: str
    missing: int
    reasons: tuple[Reason, ...]
    tally: dict[str, int]
    attempts: int
    created_at: float
    changed_at: float

    @property
    def who_acts(self) -> str:
        """Who must do something for this export to go on."""
        return WHO_ACTS[self.state]


class Transaction:
    """What can be done inside one transaction. ``now`` is one moment for all of it."""

    def __init__(self, db: sa.Connection, now: float) -> None:
        self.db = db
        self.now = now
        self.changes: list[Change] = []

    def export(self, which: sa.ColumnElement[bool]) -> Export:
        """Return the export of which a condition is true. Raises ExportError when there is none."""
        row = self.db.execute(sa.select(exports).where(which)).first()
        if row is None:
            raise ExportError("there is no export of this id", next_step="see: tce exports list")
        return as_export(row)

    def set(self, number: int, **values: Any) -> None:
        """Set columns of an export, the state excepted."""
        self.db.execute(exports.update().where(exports.c.number == number).values(**values))

    def change(self, number: int, verb: Verb, **values: Any) -> Export:
        """Make one transition and return the export. Raises ExportError when the table does not name it.

        A lease ends with it, unless ``leased=True`` says otherwise.
        """
        row = transition(verb)
        before = self.export(exports.c.number == number)
        if before.state not in row.before:
            raise ExportError(
                f"export {before.id} is {before.state}: {verb} is not possible",
                next_step=f"who must act: {before.who_acts}",
            )
        self.set(number, **({"leased": False} | values), changed_at=self.now, state=row.after.value)
        after = self.export(exports.c.number == number)
        self.changes.append(Change(before.id, before.state, row.after, after.reasons))
        return after


@contextmanager
def transaction(
    engine: sa.Engine, clock: Callable[[], float], observer: Callable[[Change], None]
) -> Iterator[Transaction]:
    """Open one transaction; commit it at the end of the block, then tell the observer what changed."""
    with engine.begin() as db:
        opened = Transaction(db, clock())
        yield opened
    for change in opened.changes:
        observer(change)


def dump(reasons: Sequence[Reason]) -> str:
    """Return reasons as the column holds them."""
    return json.dumps([list(reason) for reason in reasons])


def as_export(row: Any) -> Export:
    """Return a row of the table of exports as an Export."""
    return Export(
        number=row.number,
        id=row.id,
        state=State(row.state),
        title=row.title,
        description=row.description,
        case_id=row.case_id,
        policy_digest=row.policy_digest,
        calling_ae=row.calling_ae,
        missing=row.missing,
        reasons=tuple(Reason(*pair) for pair in json.loads(row.reasons)),
        tally=json.loads(row.tally),
        attempts=row.attempts,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
