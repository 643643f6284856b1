"""What comes for an export and does not agree with what came for it before: no such arrival is passed over in silence.

Which of two contents under one SOP Instance UID was meant cannot be decided, so an export that is on its way is held;
one that a later manifest makes is held when it is taken up (:mod:`tce.members`). One that is delivered stays so, since
what is out cannot be called back, and one that is delayed may still be superseded: these say by a reason of their own
that other content came. Every time the audit trail is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tce import counts
from tce.ledger import Export, Transaction, dump
from tce.road import Reason
from tce.states import Verb, transition
from tce.tables import exports, members

CONFLICT = Reason("conflict", "an instance was sent twice with different content")
_HELD = tuple(transition(Verb.HOLD).before)


def came_differently(tx: Transaction, uids: Sequence[str], sender: str) -> None:
    """Tell of every export that has any of these instances, and hold it where it is on its way."""
    of = members.c
    concerned = sa.select(of.export, sa.func.count()).where(of.sop_instance_uid.in_(uids), of.arrived)
    for number, count in tx.db.execute(concerned.group_by(of.export).order_by(of.export)).all():
        export = tx.export(exports.c.number == number)
        what = f"{counts.instances(count)} of it came again with other content when it was {export.state}"
        _tell(tx, export, [Reason("came-differently", what)], count, sender)
        if export.state in _HELD:
            tx.change(number, Verb.HOLD, reasons=dump([CONFLICT]))
        else:
            _add(tx, export, [Reason("came-differently", what)])


def disagrees(tx: Transaction, export: Export, found: Sequence[Reason], sender: str) -> None:
    """Hold an export of which a manifest is at fault, or says something else than the one before; where it cannot
    be held any more, say so."""
    if export.state in _HELD:
        tx.change(export.number, Verb.HOLD, reasons=dump(found), unreadable=True)
        return
    _tell(tx, export, found, 1, sender)
    _add(tx, export, found)


def _tell(tx: Transaction, export: Export, found: Sequence[Reason], count: int, sender: str) -> None:
    detail = {"export": export.id, "state": export.state.value, "sender": sender, "instances": str(count)}
    detail["reasons"] = ", ".join(sorted({reason.code for reason in found}))
    tx.note("export.contradicted", success=False, detail=detail)


def _add(tx: Transaction, export: Export, found: Sequence[Reason]) -> None:
    """Add reasons to those that an export has, and leave its state as it is."""
    new = [reason for reason in found if reason not in export.reasons]
    tx.set(export.number, reasons=dump([*export.reasons, *new]))
