"""One transaction on the index, and the only way to change an export's state in it.

A change that the table of :mod:`tce.states` does not name raises and takes the whole transaction back. What
has happened is written down in the same transaction and told to the observer after the commit: so the audit
trail never says more than the database, and what a process that dies could not tell is told by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tce.errors import ExportError, IndexAway, TceError
from tce.road import Reason
from tce.states import WHO_ACTS, State, Verb, transition
from tce.tables import exports, holds, untold

_WRONG = (State.HELD, State.FAILED)
_ARRIVALS_LOCK = 0x7463655F
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that has happened, as the audit trail is told of it: event, whether it went well, details."""

    event: str
    success: bool
    detail: Mapping[str, str]


Observer = Callable[[Notice], None]


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
        self.notices: dict[int, Notice] = {}

    def export(self, which: sa.ColumnElement[bool]) -> Export:
        """Return the export of which a condition is true. Raises ExportError when there is none."""
        row = self.db.execute(sa.select(exports).where(which)).first()
        if row is None:
            raise ExportError("there is no export of this id", next_step="see: tce exports list")
        return as_export(row)

    def alone(self) -> None:
        """Wait until nobody else enters arrivals or purges, in whatever process, and keep them waiting.

        SQLite has one writer at a time anyway.
        """
        if self.db.dialect.name == "postgresql":
            self.db.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ARRIVALS_LOCK})

    def note(self, event: str, *, success: bool = True, detail: Mapping[str, str]) -> None:
        """Write down what the audit trail is to be told once this is committed."""
        written = untold.insert().values(
            event=event,
            success=success,
            detail=json.dumps(dict(detail)),
            happened_at=self.now,
        )
        number = self.db.scalar(written.returning(untold.c.number))
        self.notices[int(number)] = Notice(event, success, detail)

    def began(self, export_id: str) -> None:
        """Note that an export has come about."""
        self.note("export state", detail={"export": export_id, "after": State.COLLECTING.value})

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
        if before.state is State.HELD:
            stands = (holds.c.export == number, holds.c.resolved_at.is_(None))
            self.db.execute(holds.update().where(*stands).values(resolved_at=self.now))
        if verb is Verb.HOLD:
            codes = sorted({reason.code for reason in after.reasons})
            held = {"export": number, "held_at": self.now, "reasons": json.dumps(codes), "resolved_by": ""}
            self.db.execute(holds.insert().values(held))
        detail = {"export": before.id, "before": before.state.value, "after": row.after.value}
        if after.reasons:
            detail["reasons"] = ", ".join(sorted({reason.code for reason in after.reasons}))
        self.note("export state", success=row.after not in _WRONG, detail=detail)
        return after


@contextmanager
def transaction(engine: sa.Engine, clock: Callable[[], float], observer: Observer) -> Iterator[Transaction]:
    """Open one transaction; commit it at the end of the block, then tell the observer what happened.

    Raises IndexAway when the database does not take part; then nothing has changed.
    """
    try:
        with engine.begin() as db:
            opened = Transaction(db, clock())
            yield opened
    except sa.exc.OperationalError:
        raise IndexAway(
            "the index of exports cannot be read or written",
            next_step="make room on its disk, or look after its database",
        ) from None
    if opened.notices:
        tell(engine, opened.notices, observer)


def tell(engine: sa.Engine, notices: Mapping[int, Notice], observer: Observer) -> None:
    """Tell what is written down, in order, and strike it out. What cannot be told now stays for later."""
    told: list[int] = []
    # What has happened has happened: that the trail cannot be written just now is no reason to say otherwise.
    with suppress(OSError, TceError):
        for number, notice in notices.items():
            observer(notice)
            told.append(number)
    if told:
        with suppress(sa.exc.OperationalError), engine.begin() as db:
            db.execute(untold.delete().where(untold.c.number.in_(told)))


def tell_late(engine: sa.Engine, before: float, observer: Observer) -> int:
    """Tell what happened before a moment and was not struck out; return how many notices that were.

    A process that died just then may have told it already: the detail ``told: late`` says that it can stand twice.
    """
    waiting = sa.select(untold).where(untold.c.happened_at <= before).order_by(untold.c.number)
    with engine.begin() as db:
        rows = db.execute(waiting.limit(_AT_ONCE)).all()
    late = {
        row.number: Notice(row.event, row.success, json.loads(row.detail) | {"told": "late"}) for row in rows
    }
    if late:
        tell(engine, late, observer)
    return len(late)


def dump(reasons: Sequence[Reason]) -> str:
    """Return reasons as the column holds them."""
    return json.dumps([list(reason) for reason in reasons])


def undump(column: str) -> tuple[Reason, ...]:
    """Return the reasons that a column holds."""
    return tuple(Reason(*pair) for pair in json.loads(column))


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
        reasons=undump(row.reasons),
        tally=json.loads(row.tally),
        attempts=row.attempts,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
