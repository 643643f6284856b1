"""What may go from the spool, page by page: rows are marked and the purge is written down in one transaction.

A file goes when a rule of :mod:`tce.retention` names every export that has it, and it did not come just now. The
row of an instance stays, so that the same content is known when it comes again; whoever carries a purge out
removes the files after the commit, and what a process that dies then leaves is removed at the next start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tce.ledger import Transaction
from tce.retention import Rules
from tce.states import State
from tce.tables import exports, instances, members

_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Purge:
    """What goes by one rule: of one export, or of one sender where no manifest names it."""

    rule: str
    export: str
    case: str
    sender: str
    instances: int
    size: int
    files: tuple[str, ...] = field(repr=False)

    def detail(self) -> dict[str, str]:
        """What the audit trail is told."""
        said = {"rule": self.rule, "export": self.export, "case": self.case, "sender": self.sender}
        return {name: value for name, value in said.items() if value} | {
            "instances": str(self.instances),
            "bytes": str(self.size),
        }


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Instances of one sender that no manifest names."""

    sender: str
    instances: int
    size: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Step:
    """One page of a purge, and where the next one begins; None behind the last."""

    purges: tuple[Purge, ...]
    after: int | None


def of_exports(tx: Transaction, rules: Rules, after: int) -> Step:
    """Mark a page of what the next export behind ``after`` does not need any more."""
    due = _due(exports, rules, tx.now)
    following = sa.select(exports).where(due, exports.c.purged_at.is_(None), exports.c.number > after)
    export = tx.db.execute(following.order_by(exports.c.number).limit(1)).first()
    if export is None:
        return Step((), None)
    of_export = sa.select(members.c.sop_instance_uid).where(members.c.export == export.number)
    its = instances.c.sop_instance_uid.in_(of_export) & instances.c.purged_at.is_(None)
    recent = tx.now - rules.unclaimed_report
    rows = _page(tx, its & (instances.c.arrived_at < recent) & ~_needed(rules, tx.now))
    if len(rows) == _PAGE:
        return Step((_mark(tx, rows, export.state, export.id, export.case_id, export.calling_ae),), after)
    fresh = tx.db.scalar(sa.select(sa.exists().where(its, instances.c.arrived_at >= recent)))
    if not fresh:
        tx.set(export.number, purged_at=tx.now)
    return Step((_mark(tx, rows, export.state, export.id, export.case_id, export.calling_ae),), export.number)


def of_unclaimed(tx: Transaction, rules: Rules, after: int) -> Step:
    """Mark a page of the instances behind ``after`` that no manifest names, if there is a rule for them."""
    if rules.unclaimed is None:
        return Step((), None)
    old = instances.c.arrived_at < tx.now - max(rules.unclaimed, rules.unclaimed_report)
    rows = _page(tx, old & instances.c.purged_at.is_(None) & (instances.c.id > after) & _claimed_by_nobody())
    by_sender: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_sender[row.calling_ae].append(row)
    purges = tuple(_mark(tx, of, "unclaimed", "", "", sender) for sender, of in by_sender.items())
    return Step(purges, rows[-1].id if len(rows) == _PAGE else None)


def unclaimed(tx: Transaction, before: float) -> list[Unclaimed]:
    """Count by sender what came before a moment and no manifest names."""
    return _by_sender(tx, (instances.c.arrived_at <= before) & instances.c.purged_at.is_(None))


def report_unclaimed(tx: Transaction, since: float, before: float) -> int:
    """Note once what came between two moments and no manifest names; return how many instances that are."""
    span = (instances.c.arrived_at >= since) & (instances.c.arrived_at < before)
    which = span & instances.c.reported_at.is_(None) & instances.c.purged_at.is_(None)
    found = _by_sender(tx, which)
    for one in found:
        detail = {"sender": one.sender, "instances": str(one.instances), "bytes": str(one.size)}
        tx.note("instances.unclaimed", detail=detail)
    if found:
        tx.db.execute(instances.update().where(which, _claimed_by_nobody()).values(reported_at=tx.now))
    return sum(one.instances for one in found)


def _by_sender(tx: Transaction, which: sa.ColumnElement[bool]) -> list[Unclaimed]:
    of = instances.c
    counts = sa.select(of.calling_ae, sa.func.count(), sa.func.sum(of.size), sa.func.min(of.arrived_at))
    rows = tx.db.execute(
        counts.where(which, _claimed_by_nobody()).group_by(of.calling_ae).order_by(of.calling_ae)
    )
    return [Unclaimed(sender, count, int(size), oldest) for sender, count, size, oldest in rows]


def _claimed_by_nobody() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(members.c.sop_instance_uid == instances.c.sop_instance_uid)


def _due(of: Any, rules: Rules, now: float) -> sa.ColumnElement[bool]:
    """Say of exports that a rule names them now."""
    cases: dict[float, list[str]] = defaultdict(list)
    for case, seconds in rules.delivered.items():
        cases[seconds].append(case)
    named = [
        (of.c.state == State.DELIVERED.value) & of.c.case_id.in_(ids) & (of.c.changed_at <= now - seconds)
        for seconds, ids in sorted(cases.items())
    ]
    if rules.cancelled is not None:
        named.append((of.c.state == State.CANCELLED.value) & (of.c.changed_at <= now - rules.cancelled))
    return sa.or_(sa.false(), *named)


def _needed(rules: Rules, now: float) -> sa.ColumnElement[bool]:
    """Say of instances that an export has them which no rule names."""
    having, export = members.alias(), exports.alias()
    return sa.exists().where(
        having.c.sop_instance_uid == instances.c.sop_instance_uid,
        export.c.number == having.c.export,
        ~_due(export, rules, now),
    )


def _page(tx: Transaction, which: sa.ColumnElement[bool]) -> Sequence[Any]:
    of = instances.c
    page = sa.select(of.id, of.file, of.size, of.calling_ae).where(which).order_by(of.id).limit(_PAGE)
    return tx.db.execute(page).all()


def _mark(tx: Transaction, rows: Sequence[Any], rule: str, export: str, case: str, sender: str) -> Purge:
    purge = Purge(
        rule, export, case, sender, len(rows), sum(row.size for row in rows), tuple(row.file for row in rows)
    )
    if rows:
        going = instances.c.id.in_([row.id for row in rows])
        tx.db.execute(instances.update().where(going).values(purged_at=tx.now))
        tx.note("spool.purged", detail=purge.detail())
    return purge
