"""The index of one actor: what has arrived, which exports its manifests make, and how far each has come.

Every change is one transaction (:mod:`tce.ledger`), checked against the table of :mod:`tce.states`. The index
holds UIDs as received, file names, digests and states, and no other attribute of an instance. It reads and
writes no files and talks to no peer. SQLite by default, PostgreSQL by URL.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import sqlalchemy as sa

from tce import collecting, exports_cohort, members, overdue, past_holds, purging
from tce.cohort import CohortRule, Joining, Share
from tce.collecting import Entry, Intake
from tce.commitments import Commitments
from tce.errors import ExportError, Held
from tce.fetches import Fetches
from tce.ledger import Export, Observer, Transaction, as_export, dump, tell_late, transaction
from tce.members import Member, Missing
from tce.purging import Purge, Unclaimed
from tce.retention import Rules
from tce.road import Delivered, PastHold, Reason, Sealed
from tce.states import State, Verb
from tce.tables import commitments, deliveries, exports, instances, open_database, outputs

_IN_ONE_QUESTION = 500


class _Undo(Exception):
    """Take a transaction back that was made to see what it would do."""


class Exports:
    """The index behind one actor. Safe for many threads of one process; other processes may look and ask."""

    def __init__(
        self,
        url: str,
        *,
        settle_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
        observer: Observer = lambda notice: None,
    ) -> None:
        self._engine = open_database(url)
        self._settle = settle_seconds
        self._clock = clock
        self._observer = observer
        # An instance and the manifest that names it may arrive at the same time on two associations: each
        # must see the other, whatever the isolation level of the database.
        self._arriving = threading.Lock()
        self._reported = 0.0  # what came before was looked at for instances that no manifest names

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    # --- Arrival (RAD-50, RAD-51, RAD-52)

    def arrive(self, entries: Sequence[Entry]) -> list[Intake]:
        """Enter spooled instances in the order in which they came, all or none; when this returns, it is durable.

        The same bytes twice are one instance (DUPLICATE: the second file is not needed). A manifest makes or
        completes an export; one that could not be read makes an export that is held.
        """
        with self._arriving, self._transaction() as tx:
            tx.alone()
            return collecting.enter(tx, entries, self._settle)

    @property
    def commitments(self) -> Commitments:
        """What receivers were asked to commit themselves to."""
        return Commitments(self._transaction)

    @property
    def fetches(self) -> Fetches:
        """Which exports are to be completed from the archive."""
        return Fetches(self._transaction)

    def age(self, export: Export) -> float:
        """Return for how many seconds an export has been in its state."""
        return self._clock() - export.changed_at

    def known(self, names: Sequence[str]) -> dict[str, bool]:
        """Return which of these files the index knows, each with whether it is still to be kept."""
        of = instances.c
        with self._transaction() as tx:
            rows = tx.db.execute(sa.select(of.file, of.purged_at).where(of.file.in_(names)))
            return {row.file: row.purged_at is None for row in rows}

    def held(self, uids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Return (SOP Class UID, file) of every content that arrived under these SOP Instance UIDs."""
        found: dict[str, list[tuple[str, str]]] = {}
        of = instances.c
        with self._transaction() as tx:
            for at in range(0, len(uids), _IN_ONE_QUESTION):
                part = of.sop_instance_uid.in_(uids[at : at + _IN_ONE_QUESTION])
                for row in tx.db.execute(
                    sa.select(of.sop_instance_uid, of.sop_class_uid, of.file).where(part)
                ):
                    found.setdefault(row.sop_instance_uid, []).append((row.sop_class_uid, row.file))
        return found

    # --- Work

    def lease(self) -> Export | None:
        """Take the oldest export that is ready or has something left to deliver; None when there is none."""
        with self._transaction() as tx:
            row = tx.db.execute(
                sa.select(exports.c.number, exports.c.state)
                .where(
                    exports.c.state.in_([State.READY.value, State.DELIVERING.value]),
                    ~exports.c.leased,
                    exports.c.not_before <= tx.now,
                )
                .order_by(exports.c.number)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            if row.state == State.READY.value:
                return tx.change(row.number, Verb.LEASE, leased=True)
            tx.set(row.number, leased=True)
            return tx.export(exports.c.number == row.number)

    def recover(self) -> int:
        """Give back what a process that is gone had leased. Only for the owner of the spool, at start.

        Requests for storage commitment without a report are forgotten, so that they are made again: many receivers
        report on the association that asked, which is gone as well.
        """
        with self._transaction() as tx:
            tx.db.execute(commitments.delete().where(commitments.c.answered_at.is_(None)))
            rows = tx.db.execute(sa.select(exports.c.number, exports.c.state).where(exports.c.leased)).all()
            for row in rows:
                if row.state == State.WORKING.value:
                    tx.change(row.number, Verb.GIVE_BACK)
                else:
                    tx.set(row.number, leased=False)
            return len(rows)

    def arrived(self, export: Export, where: Callable[[str], Path]) -> list[Member]:
        """Return the instances of an export: what its manifests reference, information, then the manifests.

        Raises Hold when one SOP Instance UID arrived with two contents, or as another SOP Class than the
        manifest says: which one was meant cannot be decided.
        """
        with self._transaction() as tx:
            return members.arrived(tx, export.number, where)

    def give_back(
        self, export: Export, reasons: Sequence[Reason], *, wait: float, counted: bool = True
    ) -> None:
        """End a lease without a result; the export is taken again after ``wait`` seconds.

        It counts as an attempt, unless nothing that was to be done could even be tried.
        """
        with self._transaction() as tx:
            if export.state is State.WORKING:
                tx.change(export.number, Verb.GIVE_BACK)
            tx.set(
                export.number,
                leased=False,
                attempts=exports.c.attempts + int(counted),
                not_before=tx.now + wait,
                reasons=dump(reasons),
            )

    def fail(self, export: Export, reasons: Sequence[Reason]) -> None:
        """End a lease for good, until a person asks for another try."""
        self._change(export.id, Verb.FAIL, reasons)

    def is_for(self, export: Export, case_id: str) -> None:
        """Note which case an export is for, as soon as that is known."""
        with self._transaction() as tx:
            tx.set(export.number, case_id=case_id)

    def seal(
        self,
        export: Export,
        sealed: Sequence[Sealed],
        *,
        case_id: str,
        policy_digest: str,
        tally: Mapping[str, int],
        joining: Joining | None = None,
    ) -> Export:
        """Record what is to be delivered, under which case and policy. The lease goes on.

        With ``joining`` the export is held instead, sealed as it is, if a patient would have too little company in the
        cohort of its case; if not, those that waited for it go with it.
        """
        rows = [
            {
                "export": export.number,
                "place": place,
                "path": str(one.path),
                "sop_class_uid": one.sop_class_uid,
                "sop_instance_uid": one.sop_instance_uid,
                "transfer_syntax_uid": one.transfer_syntax_uid,
                "digest": one.digest,
                "is_manifest": one.is_manifest,
            }
            for place, one in enumerate(sealed)
        ]
        with self._transaction() as tx:
            tx.db.execute(outputs.delete().where(outputs.c.export == export.number))
            tx.db.execute(outputs.insert(), rows)
            verdict = exports_cohort.join(tx, export.number, case_id, policy_digest, joining)
            return tx.change(
                export.number,
                Verb.HOLD if verdict.reason else Verb.SEAL,
                leased=verdict.reason is None,
                case_id=case_id,
                policy_digest=policy_digest,
                tally=json.dumps({**tally, **verdict.figures}, sort_keys=True),
                attempts=0,
                reasons=dump([verdict.reason] if verdict.reason else []),
            )

    def admit(self, export: Export, rule: CohortRule, by: str = "") -> Export:
        """Let an export go that waits for its cohort, with all that go with it. Raises Held if it may not yet.

        ``by`` says who lets it go on, for the release record.
        """
        with self._transaction() as tx:
            verdict = exports_cohort.admit(tx, export.number, rule)
            if verdict.reason is not None:
                raise Held(verdict.reason.what, next_step="see: tce exports list --state held")
            past_holds.resolved(tx, export.number, by)
            return tx.export(exports.c.number == export.number)

    def released(self, case_id: str) -> list[Share]:
        """Return what the exports of a case have released of their patients."""
        with self._transaction() as tx:
            return exports_cohort.shares(tx, case_id)

    def forget_cohort(self, case_id: str) -> int:
        """Remove what is kept of the patients of a case; return how many rows that were."""
        with self._transaction() as tx:
            return exports_cohort.forget(tx, case_id)

    def sealed(self, export: Export) -> list[Sealed]:
        """Return what :meth:`seal` recorded, in the order of delivery."""
        of_export = sa.select(outputs).where(outputs.c.export == export.number).order_by(outputs.c.place)
        with self._transaction() as tx:
            return [
                Sealed(
                    path=Path(row.path),
                    sop_class_uid=row.sop_class_uid,
                    sop_instance_uid=row.sop_instance_uid,
                    transfer_syntax_uid=row.transfer_syntax_uid,
                    digest=row.digest,
                    is_manifest=row.is_manifest,
                )
                for row in tx.db.execute(of_export)
            ]

    def has(self, export: Export, receiver: str) -> set[tuple[str, str]]:
        """Return (SOP Instance UID, digest) of everything that a receiver has answered with Success."""
        with self._transaction() as tx:
            rows = tx.db.execute(
                sa.select(deliveries.c.sop_instance_uid, deliveries.c.digest).where(
                    deliveries.c.export == export.number, deliveries.c.receiver == receiver
                )
            )
            return {(row.sop_instance_uid, row.digest) for row in rows}

    def delivered(self, export: Export, delivered: Sequence[Delivered]) -> None:
        """Record that receivers have instances."""
        with self._transaction() as tx:
            rows = [
                {
                    "export": export.number,
                    "receiver": one.receiver,
                    "sop_instance_uid": one.sealed.sop_instance_uid,
                    "digest": one.sealed.digest,
                    "delivered_at": tx.now,
                }
                for one in delivered
            ]
            tx.db.execute(deliveries.insert(), rows)

    def close_export(self, export: Export) -> None:
        """End an export's life: every receiver has everything, and the record is written."""
        self._change(export.id, Verb.DELIVER, ())

    # --- What waits too long, and what goes

    def give_up(self, older_than: float) -> int:
        """Fail every export that stayed incomplete for that many seconds; return how many."""
        with self._transaction() as tx:
            return overdue.give_up(tx, older_than)

    def expire(self, older_than: float) -> int:
        """Cancel every failed export that nobody retried for that many seconds; return how many."""
        with self._transaction() as tx:
            return overdue.expire(tx, older_than)

    def report_delayed(self, older_than: float) -> int:
        """Tell once of every export that has been delayed for that many seconds; return how many."""
        with self._transaction() as tx:
            return overdue.report_delayed(tx, older_than)

    def unclaimed(self, seconds: float = 0.0) -> list[Unclaimed]:
        """Count by sender the instances that no manifest has named for that many seconds."""
        with self._transaction() as tx:
            return purging.unclaimed(tx, tx.now - seconds)

    def report_unclaimed(self, rules: Rules) -> int:
        """Tell once, by sender, what no manifest has named for the time of the rules; return how many instances."""
        with self._transaction() as tx:
            # What a manifest has named once is named for good: what was looked at needs no second look.
            since, self._reported = self._reported, tx.now - rules.unclaimed_report
            return purging.report_unclaimed(tx, since, self._reported)

    def purge(self, rules: Rules) -> Iterator[tuple[Purge, ...]]:
        """Mark what the rules name, page by page; the caller removes the files of each page."""
        for take in (purging.of_exports, purging.of_unclaimed):
            after: int | None = 0
            while after is not None:
                with self._arriving, self._transaction() as tx:
                    tx.alone()
                    step = take(tx, rules, after)
                after = step.after
                yield step.purges

    def would_purge(self, rules: Rules) -> list[Purge]:
        """Return what :meth:`purge` would mark now, and leave everything as it is."""
        found: list[Purge] = []
        with suppress(_Undo), self._arriving, self._transaction() as tx:
            tx.alone()
            for take in (purging.of_exports, purging.of_unclaimed):
                after: int | None = 0
                while after is not None:
                    step = take(tx, rules, after)
                    after = step.after
                    found += (purge for purge in step.purges if purge.instances)
            raise _Undo
        return found

    def tell_late(self, older_than: float) -> int:
        """Tell the observer what happened that many seconds ago and was not told; return how much that was."""
        return tell_late(self._engine, self._clock() - older_than, self._observer)

    def is_over(self, export_id: str) -> bool:
        """Say whether an export is delivered, cancelled or unknown."""
        with self._transaction() as tx:
            state = tx.db.scalar(sa.select(exports.c.state).where(exports.c.id == export_id))
            return state in (None, State.DELIVERED.value, State.CANCELLED.value)

    # --- What people see and ask (tce exports …)

    def listing(self, states: Iterable[State] = State) -> list[Export]:
        """Return the exports in any of these states, oldest first."""
        wanted = exports.c.state.in_([state.value for state in states])
        with self._transaction() as tx:
            rows = tx.db.execute(sa.select(exports).where(wanted).order_by(exports.c.number))
            return [as_export(row) for row in rows]

    def get(self, export_id: str) -> Export:
        """Return one export. Raises ExportError when there is none of this id."""
        with self._transaction() as tx:
            return tx.export(exports.c.id == export_id)

    def find(self, name: str) -> Export:
        """Return the export of an id, or of the mark of its manifests as they were selected.

        Raises ExportError when there is none.
        """
        with self._transaction() as tx:
            by_id = tx.db.scalar(sa.select(exports.c.number).where(exports.c.id == name))
            number = by_id if by_id is not None else members.marked(tx).get(name)
            return tx.export(exports.c.number == number)

    def mark(self, export: Export) -> str:
        """Return the mark of an export's manifests as they were selected; its Export Selector knows it, too."""
        with self._transaction() as tx:
            return members.mark(tx, export.number)

    def missing(self, export_id: str) -> list[Missing]:
        """Return what an export still waits for: manifests, then instances."""
        with self._transaction() as tx:
            return members.missing(tx, tx.export(exports.c.id == export_id).number)

    def hold(self, export_id: str, reasons: Sequence[Reason]) -> Export:
        """Stop an export until a person has looked at it. Raises ExportError where its state forbids it."""
        return self._change(export_id, Verb.HOLD, reasons)

    def holds(self, export: Export) -> list[PastHold]:
        """Return every hold of an export, the one that stands included, oldest first."""
        with self._transaction() as tx:
            return past_holds.of_export(tx, export.number)

    def retry(self, export_id: str, by: str = "") -> Export:
        """Let a held or failed export go through every check again. What a receiver has is not sent again.

        ``by`` says who lets it go on, for the release record.
        Raises ExportError where its state forbids it, and when its manifest is at fault.
        """
        with self._transaction() as tx:
            number = tx.export(exports.c.id == export_id).number
            if tx.db.scalar(sa.select(exports.c.unreadable).where(exports.c.number == number)):
                raise ExportError(
                    "its manifest can never be exported", next_step="send a new manifest; cancel this one"
                )
            tx.change(number, Verb.RETRY, reasons="[]", attempts=0)
            past_holds.resolved(tx, number, by)
            collecting.complete(tx, number, self._settle)
            return tx.export(exports.c.number == number)

    def cancel(self, export_id: str) -> Export:
        """Give an export up. Raises ExportError when it is being worked on, or delivered."""
        return self._change(export_id, Verb.CANCEL, [Reason("cancelled", "a person cancelled it")])

    def _change(self, export_id: str, verb: Verb, reasons: Sequence[Reason]) -> Export:
        with self._transaction() as tx:
            number = tx.export(exports.c.id == export_id).number
            return tx.change(number, verb, reasons=dump(reasons))

    def _transaction(self) -> AbstractContextManager[Transaction]:
        return transaction(self._engine, self._clock, self._observer)
