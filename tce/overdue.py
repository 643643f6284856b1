"""Exports that have been in one state for too long: what is told of them, and what becomes of them."""

from __future__ import annotations

import sqlalchemy as sa

from tce.counts import counted
from tce.ledger import Transaction, dump
from tce.road import Reason
from tce.states import State, Verb
from tce.tables import exports


def give_up(tx: Transaction, seconds: float) -> int:
    """Fail every export that stayed incomplete for that many seconds; return how many."""
    of = exports.c
    stale = (of.state == State.COLLECTING.value) & (of.changed_at < tx.now - seconds)
    rows = tx.db.execute(sa.select(of.number, of.missing).where(stale)).all()
    for row in rows:
        reason = Reason(
            "incomplete",
            f"{counted(row.missing, 'instance or manifest', 'instances or manifests')} never arrived",
        )
        tx.change(row.number, Verb.GIVE_UP, reasons=dump([reason]))
    return len(rows)


def expire(tx: Transaction, seconds: float) -> int:
    """Cancel every failed export that nobody retried for that many seconds; return how many."""
    reason = Reason("expired", "it failed, and nobody tried it again")
    old = (exports.c.state == State.FAILED.value) & (exports.c.changed_at <= tx.now - seconds)
    numbers = tx.db.scalars(sa.select(exports.c.number).where(old)).all()
    for number in numbers:
        tx.change(number, Verb.EXPIRE, reasons=dump([reason]))
    return len(numbers)


def report_delayed(tx: Transaction, seconds: float) -> int:
    """Note once every export that a Delay Reason has held back for that many seconds; return how many."""
    of = exports.c
    long = (of.state == State.DELAYED.value) & (of.changed_at <= tx.now - seconds) & of.reported_at.is_(None)
    rows = tx.db.execute(sa.select(of.number, of.id, of.calling_ae).where(long).order_by(of.number)).all()
    for row in rows:
        tx.note("export.delayed", detail={"export": row.id, "sender": row.calling_ae})
        tx.set(row.number, reported_at=tx.now)
    return len(rows)
