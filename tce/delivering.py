"""Delivers a sealed export to one receiver: what is missing there, then its commitment (RAD-53, PS3.4 annex J).

What the receiver refuses does not keep the rest from it, except that no manifest goes before everything that it
references is there. Where the receiver offers storage commitment, delivered means committed; else, that it answered
Success. When to try again, and when to give up, is :mod:`tce.worker`'s.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.uid import UID, generate_uid

from tce import counts
from tce.commitments import Standing
from tce.errors import TceError
from tce.exports import Exports
from tce.ledger import Export
from tce.network.calling import NothingAccepted, PeerUnavailable
from tce.network.commitment import FAILURE_REASONS, CommitmentRefused, Item, request
from tce.network.storage_scu import NOT_TRIED, send
from tce.road import Auditor, Delivered, Peer, Reason, Sealed

ATTEMPTS: Final = 8
"""How often something is tried that the other side refuses."""
_REPORT_SECONDS: Final = 10.0
_LONGEST_SILENCE: Final = 900.0
_LOOK_AGAIN_SECONDS: Final = 30.0
_NOTE_SECONDS: Final = 0.1
_AT_ONCE: Final = 500
"""So many instances stand in one request for commitment."""


class Outlook(StrEnum):
    """What may become of what is not delivered."""

    REFUSED = "refused"
    LATER = "later"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Something that a receiver does not have yet, and why.

    ``REFUSED``: it does not take it. ``LATER``: it is away, slow or full, or owes an answer; ``wait`` says after how
    many seconds to look again, where that is known. ``ENDED``: it was asked often enough.
    """

    outlook: Outlook
    reason: Reason
    wait: float = 0.0


class Delivery:
    """Delivers the exports of one index, as one application entity."""

    def __init__(
        self,
        exports: Exports,
        auditor: Auditor,
        ae_title: str,
        permission: Callable[[], None] = lambda: None,
    ) -> None:
        """``permission`` is asked before each instance; what it raises ends the delivery."""
        self._exports = exports
        self._permission = permission
        self._commitments = exports.commitments
        self._auditor = auditor
        self._ae_title = ae_title

    def deliver(self, export: Export, sealed: Sequence[Sealed], to: Peer) -> list[Shortfall]:
        """Send what a receiver does not have, and ask for its commitment; return what it still falls short of."""
        standing = self._commitments.standing(export, to.ae_title)
        if standing.refusals >= ATTEMPTS:
            return [self._refused(to, standing)]
        try:
            return self._send(export, sealed, to) or self._commit(export, sealed, to)
        except PeerUnavailable as exc:
            return [Shortfall(Outlook.LATER, Reason("receiver-away", exc.what))]

    def _send(self, export: Export, sealed: Sequence[Sealed], to: Peer) -> list[Shortfall]:
        has = self._exports.has(export, to.ae_title)
        missing = [one for one in sealed if (one.sop_instance_uid, one.digest) not in has]
        if not missing:
            return []
        detail = {"export": export.id, "instances": str(len(missing))}
        detail |= {"receiver": to.ae_title, "receiver_address": to.host}
        self._auditor.record("begin transfer", success=True, detail=detail)

        manifests = next((at for at, one in enumerate(missing) if one.is_manifest), None)
        try:
            with _Answered(lambda answered: self._exports.delivered(export, answered)) as answered:
                account = send(
                    [one.path for one in missing],
                    to,
                    self._ae_title,
                    progress=lambda place: answered.note(Delivered(missing[place], to.ae_title)),
                    only_after_all=manifests,
                    permission=self._permission,
                )
        except NothingAccepted:
            why = "the peer takes none of the SOP Classes that are missing there"
            return _shortfalls(to, ((one, why, True) for one in missing[:manifests] or missing))
        return _shortfalls(
            to,
            (
                (missing[failure.place], failure.why, failure.refused)
                for failure in account.failed
                if failure.why != NOT_TRIED
            ),
        )

    def _commit(self, export: Export, sealed: Sequence[Sealed], to: Peer) -> list[Shortfall]:
        wanted = self._uncommitted(export, sealed, to)
        awaited = self._commitments.standing(export, to.ae_title).awaited
        if wanted and awaited is not None and awaited < _LONGEST_SILENCE:
            return [_awaited(to, wanted)]
        while wanted:
            transaction_uid = str(generate_uid(prefix=None))
            self._commitments.ask(export, to.ae_title, transaction_uid)
            try:
                self._ask(to, transaction_uid, wanted[:_AT_ONCE])
            except CommitmentRefused as exc:
                self._commitments.not_taken(transaction_uid, exc.status)
            except TceError as exc:
                self._commitments.withdraw(transaction_uid)
                if isinstance(exc, NothingAccepted):
                    return []  # it does not offer this: Success is all that it says
                raise
            if not self._commitments.answered(transaction_uid):
                return [_awaited(to, wanted)]
            standing = self._commitments.standing(export, to.ae_title)
            if standing.refused or standing.untaken is not None:
                return [self._refused(to, standing)]
            before, wanted = len(wanted), self._uncommitted(export, sealed, to)
            if len(wanted) == before:
                return [_awaited(to, wanted)]  # it answered, and not about these
        return []

    def _refused(self, to: Peer, standing: Standing) -> Shortfall:
        ended = standing.refusals >= ATTEMPTS
        reason = _refusal(to, standing.refused)
        if standing.untaken is not None:
            reason = _not_taken(to, self._ae_title, standing.untaken)
        return Shortfall(Outlook.ENDED if ended else Outlook.LATER, reason, wait=2.0**standing.refusals)

    def _ask(self, to: Peer, transaction_uid: str, instances: Sequence[Sealed]) -> None:
        request(
            to,
            self._ae_title,
            transaction_uid,
            [Item(one.sop_class_uid, one.sop_instance_uid) for one in instances],
            self._commitments.report,
            lambda: self._commitments.answered(transaction_uid),
            _REPORT_SECONDS,
        )

    def _uncommitted(self, export: Export, sealed: Sequence[Sealed], to: Peer) -> list[Sealed]:
        committed = self._commitments.committed(export, to.ae_title)
        return [one for one in sealed if (one.sop_instance_uid, one.digest) not in committed]


class _Answered:
    """Writes down what a receiver has answered, several at a time: an index takes some milliseconds a transaction.

    What a process that dies had not written down yet is sent once more, and is the same instance there.
    """

    def __init__(self, write: Callable[[Sequence[Delivered]], None]) -> None:
        self._write = write
        self._waiting: list[Delivered] = []
        self._since = 0.0

    def note(self, delivered: Delivered) -> None:
        """Take one instance that was answered with Success."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(delivered)
        if time.monotonic() - self._since >= _NOTE_SECONDS:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(waiting)

    def __enter__(self) -> _Answered:
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()


def _shortfalls(to: Peer, failures: Iterable[tuple[Sealed, str, bool]]) -> list[Shortfall]:
    """Say once for each SOP Class and reason how many instances it concerns."""
    found = Counter((one.sop_class_uid, why, refused) for one, why, refused in failures)
    return [
        Shortfall(
            Outlook.REFUSED if refused else Outlook.LATER,
            Reason(
                "refused" if refused else "delivery",
                f"{to.ae_title}: {counts.instances(count)} of {UID(sop_class).name}: {why}",
            ),
        )
        for (sop_class, why, refused), count in found.items()
    ]


def _awaited(to: Peer, instances: Sequence[Sealed]) -> Shortfall:
    what = f"{to.ae_title} has not said yet whether it commits itself to {counts.instances(len(instances))}"
    return Shortfall(Outlook.LATER, Reason("commitment-awaited", what), wait=_LOOK_AGAIN_SECONDS)


def _not_taken(to: Peer, calling: str, status: int) -> Reason:
    said = f"answers status 0x{status:04X}" if status else "ends the association"
    what = f"{to.ae_title} has everything, and {said} when it is asked for storage commitment; does it know {calling}?"
    return Reason("commitment-not-taken", what)


def _refusal(to: Peer, refused: Iterable[tuple[str, int, int]]) -> Reason:
    said = "; ".join(
        f"{counts.instances(count)} of {UID(sop_class).name}: "
        f"{FAILURE_REASONS.get(reason, 'for another reason')} (0x{reason:04X})"
        for sop_class, reason, count in refused
    )
    return Reason(
        "commitment-refused", f"{to.ae_title} does not commit itself to {said or 'what it was sent'}"
    )
