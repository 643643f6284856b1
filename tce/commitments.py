"""What each receiver was asked to commit itself to, and what it has said to that (PS3.4 annex J).

Part of the index of exports. A report may come on any association and at any time after the request, also to a process
that was started since: the transaction, and who was asked, is all that it is recognised by.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import sqlalchemy as sa

from tce.ledger import Export, Transaction
from tce.network.commitment import Report
from tce.tables import commitments, deliveries, exports

_IN_ONE_QUESTION = 500
_NOT_TAKEN = ""  # stands for the SOP Class where a request as a whole was refused


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a receiver is with its commitment to an export, since the export was sealed.

    ``awaited``: seconds since the newest request, when it has no answer yet. ``refusals``: how many answers refused
    something; ``refused``: what the newest answer did, by SOP Class and Failure Reason. ``untaken``: the status with
    which the newest request was not taken at all (0: none), which is a refusal, too; None: it was taken.
    """

    awaited: float | None
    refusals: int
    refused: tuple[tuple[str, int, int], ...]
    untaken: int | None


class Commitments:
    """The requests of one index."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._transaction = transaction

    def ask(self, export: Export, receiver: str, transaction_uid: str) -> None:
        """Note a request, before it is made."""
        with self._transaction() as tx:
            tx.db.execute(
                commitments.insert().values(
                    transaction_uid=transaction_uid,
                    export=export.number,
                    receiver=receiver,
                    asked_at=tx.now,
                    refused="[]",
                )
            )

    def withdraw(self, transaction_uid: str) -> None:
        """Forget a request that was not taken."""
        with self._transaction() as tx:
            tx.db.execute(commitments.delete().where(commitments.c.transaction_uid == transaction_uid))

    def not_taken(self, transaction_uid: str, status: int) -> None:
        """Note that the receiver did not take a request, and with which status; 0: it answered none."""
        which = commitments.c.transaction_uid == transaction_uid
        with self._transaction() as tx:
            said = {"answered_at": tx.now, "refused": json.dumps([[_NOT_TAKEN, status, 0]])}
            tx.db.execute(commitments.update().where(which).values(**said))

    def answered(self, transaction_uid: str) -> bool:
        """Say whether a report has come."""
        with self._transaction() as tx:
            found = sa.select(commitments.c.answered_at).where(
                commitments.c.transaction_uid == transaction_uid
            )
            return tx.db.scalar(found) is not None

    def report(self, receiver: str, report: Report) -> bool:
        """Enter a report; False when this receiver was not asked that.

        What was committed is delivered for good. What was refused is not delivered any more, and is sent again.
        """
        with self._transaction() as tx:
            asked = tx.db.execute(
                sa.select(commitments.c.export, commitments.c.asked_at).where(
                    commitments.c.transaction_uid == report.transaction_uid,
                    commitments.c.receiver == receiver,
                )
            ).first()
            if asked is None:
                return False
            number = asked.export
            delivered = (deliveries.c.export == number) & (deliveries.c.receiver == receiver)
            for part in _parts([item.sop_instance_uid for item in report.committed]):
                # What was sent since then is not what the receiver speaks of.
                before = deliveries.c.delivered_at <= asked.asked_at
                which = delivered & before & deliveries.c.sop_instance_uid.in_(part)
                tx.db.execute(deliveries.update().where(which).values(committed_at=tx.now))
            for part in _parts([item.sop_instance_uid for item, _ in report.failed]):
                uncommitted = deliveries.c.committed_at.is_(None)
                which = delivered & uncommitted & deliveries.c.sop_instance_uid.in_(part)
                tx.db.execute(deliveries.delete().where(which))
            refused = Counter((item.sop_class_uid, reason) for item, reason in report.failed)
            tx.db.execute(
                commitments.update()
                .where(commitments.c.transaction_uid == report.transaction_uid)
                .values(
                    answered_at=tx.now,
                    refused=json.dumps([[*what, count] for what, count in sorted(refused.items())]),
                )
            )
            tx.db.execute(exports.update().where(exports.c.number == number).values(not_before=tx.now))
            return True

    def committed(self, export: Export, receiver: str) -> set[tuple[str, str]]:
        """Return (SOP Instance UID, digest) of everything that a receiver has committed itself to."""
        with self._transaction() as tx:
            rows = tx.db.execute(
                sa.select(deliveries.c.sop_instance_uid, deliveries.c.digest).where(
                    deliveries.c.export == export.number,
                    deliveries.c.receiver == receiver,
                    deliveries.c.committed_at.is_not(None),
                )
            )
            return {(row.sop_instance_uid, row.digest) for row in rows}

    def progress(self, export: Export) -> dict[str, tuple[int, int]]:
        """Return by receiver how many instances it has, and to how many of them it has committed itself."""
        of = deliveries.c
        counted = sa.select(
            of.receiver, sa.func.count().label("has"), sa.func.count(of.committed_at).label("held")
        )
        with self._transaction() as tx:
            rows = tx.db.execute(counted.where(of.export == export.number).group_by(of.receiver))
            return {row.receiver: (row.has, row.held) for row in rows.all()}

    def standing(self, export: Export, receiver: str) -> Standing:
        """Return how far a receiver is."""
        with self._transaction() as tx:
            rows = tx.db.execute(
                sa.select(commitments.c.asked_at, commitments.c.answered_at, commitments.c.refused)
                .where(
                    commitments.c.export == export.number,
                    commitments.c.receiver == receiver,
                    commitments.c.asked_at >= export.changed_at,
                )
                .order_by(commitments.c.asked_at)
            ).all()
            answers = [json.loads(row.refused) for row in rows if row.answered_at is not None]
            awaited = tx.now - rows[-1].asked_at if rows and rows[-1].answered_at is None else None
        newest = [(uid, code, count) for uid, code, count in answers[-1]] if answers else []
        return Standing(
            awaited,
            refusals=sum(map(bool, answers)),
            refused=tuple(one for one in newest if one[0] != _NOT_TAKEN),
            untaken=next((code for uid, code, _ in newest if uid == _NOT_TAKEN), None),
        )


def _parts(uids: Sequence[str]) -> Iterator[Collection[str]]:
    return (uids[at : at + _IN_ONE_QUESTION] for at in range(0, len(uids), _IN_ONE_QUESTION))
