"""Storage commitment, push model: asking for it, reporting it, and hearing reports (PS3.4 annex J).

Who has an instance says whether he answers for it from now on. The report comes on the association that asked, or
later on one that the other side opens; who asked takes both. What is durable, and what a report leads to, is decided
by the caller.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context

from tce.errors import TceError
from tce.network import quiet
from tce.network.calling import NothingAccepted, PeerUnavailable, asked, associate, end
from tce.network.contexts import VERIFICATION
from tce.network.storage_scp import Service
from tce.road import Peer

quiet.silence()

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_REQUEST: Final = 1  # action type, PS3.4 table J.3-1
_COMPLETE, _FAILURES = 1, 2  # event types, PS3.4 table J.3-2
_SUCCESS: Final = 0x0000
_SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_LOOK_SECONDS: Final = 0.1
_PARKED_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 120.0
_AT_MOST_SECONDS: Final = 150.0

NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
PROCESSING_FAILURE: Final = 0x0110

FAILURE_REASONS: Final = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "it does not have the instance",
    CLASS_INSTANCE_CONFLICT: "it has the instance as another SOP Class",
    0x0122: "it does not commit to this SOP Class",
    0x0131: "it has had this transaction before",
    0x0213: "it has no room",
}
"""Failure Reason (0008,1197) as PS3.3 C.14.1.1 has it, in words."""


class Item(NamedTuple):
    """One instance of a request or a report."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was committed, and what was not, with the Failure Reason of each."""

    transaction_uid: str = field(repr=False)
    committed: tuple[Item, ...] = field(repr=False)
    failed: tuple[tuple[Item, int], ...] = field(repr=False)


class CommitmentRefused(TceError):
    """The peer takes instances from us and did not take the request for their commitment.

    ``status`` is what it answered, 0 if it ended the association without an answer.
    """

    def __init__(self, to: Peer, status: int) -> None:
        said = f"answered status 0x{status:04X}" if status else "ended the association"
        super().__init__(
            f"{to.ae_title} was asked for storage commitment and {said}",
            next_step="have our AE title, host and port entered there",
        )
        self.status = status


def request(
    to: Peer,
    calling: str,
    transaction_uid: str,
    items: Sequence[Item],
    reported: Callable[[str, Report], bool],
    wait_until: Callable[[], bool],
    wait_seconds: float,
) -> None:
    """Ask a peer to commit itself, and wait some seconds for its report on the same association.

    ``reported`` is told the peer's AE title and the report if it comes; ``wait_until`` ends the waiting (the report may
    come elsewhere). Raises NothingAccepted when the peer does not offer storage commitment, CommitmentRefused when it
    does not take this request, and PeerUnavailable.
    """
    action = Dataset()
    action.TransactionUID = transaction_uid
    action.ReferencedSOPSequence = [_reference(item) for item in items]
    hear = _hearing(lambda event: to.ae_title, reported)
    # With Verification beside it, no peer has a reason to reject the association as a whole.
    contexts = [build_context(PUSH_MODEL, _SYNTAXES), build_context(VERIFICATION, _SYNTAXES)]
    assoc = _associated(to, calling, contexts, [(evt.EVT_N_EVENT_REPORT, hear)])
    try:
        if PUSH_MODEL not in [cx.abstract_syntax for cx in assoc.accepted_contexts]:
            raise NothingAccepted(f"{to.ae_title} does not offer storage commitment")
        status = _acted(assoc, action)
        if status != _SUCCESS:
            raise CommitmentRefused(to, status or 0)
        deadline = time.monotonic() + wait_seconds
        while assoc.is_established and not wait_until() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
    finally:
        if assoc.is_established:
            end(assoc, well=True)


def _associated(to: Peer, calling: str, contexts: list[Any], handlers: Sequence[Any]) -> Any:
    """Return an association for a request. Raises CommitmentRefused where any other one would be accepted."""
    try:
        return associate(to, calling, contexts, handlers=handlers, answer_seconds=_ANSWER_SECONDS)
    except NothingAccepted:
        raise
    except PeerUnavailable:
        # Is it away, or is it only this that it does not want to hear of?
        end(associate(to, calling, contexts[1:]), well=True)
        raise CommitmentRefused(to, 0) from None


def _acted(assoc: Any, action: Dataset) -> int | None:
    """Send the request and return the status of the answer; None where there is none."""
    try:
        status, _ = asked(
            assoc, lambda: assoc.send_n_action(action, _REQUEST, PUSH_MODEL, _INSTANCE), _AT_MOST_SECONDS
        )
    except (PeerUnavailable, RuntimeError, ValueError):  # it ended before, or while, it was asked
        return None
    return int(status.Status) if "Status" in status else None


def hearing(reported: Callable[[str, Report], bool]) -> Service:
    """Return what a listener serves to those who report on associations of their own.

    ``reported`` says of an AE title and its report whether anybody waits for it.
    """
    context = build_context(PUSH_MODEL, _SYNTAXES)
    context.scu_role = context.scp_role = True
    handler = _hearing(lambda event: str(event.assoc.requestor.ae_title).strip(), reported)
    return Service((context,), ((evt.EVT_N_EVENT_REPORT, handler),))


def committing(judge: Callable[[Sequence[Item]], Iterable[int]]) -> Service:
    """Return what a listener serves to those who ask it for commitment.

    ``judge`` gives a Failure Reason for each instance, 0 for one that is durable. The report goes out on the same
    association, after the answer to the request.
    """
    waiting: dict[Any, Report] = {}

    def asked(event: Any) -> tuple[int, None]:
        try:
            action = event.action_information
            items = _items(action, "ReferencedSOPSequence")
            verdicts = list(zip(items, judge(items), strict=True))
            waiting[event.assoc] = Report(
                str(action.TransactionUID),
                tuple(item for item, reason in verdicts if not reason),
                tuple((item, reason) for item, reason in verdicts if reason),
            )
        except Exception:
            return PROCESSING_FAILURE, None
        return _SUCCESS, None

    def answered(event: Any) -> None:
        report = waiting.pop(event.assoc, None)
        if report is not None:
            threading.Thread(target=_send_report, args=(event.assoc, report), daemon=True).start()

    handlers = ((evt.EVT_N_ACTION, asked), (evt.EVT_DIMSE_SENT, answered))
    return Service((build_context(PUSH_MODEL, _SYNTAXES),), handlers)


def _send_report(assoc: Any, report: Report) -> None:
    event = Dataset()
    event.TransactionUID = report.transaction_uid
    if report.committed:
        event.ReferencedSOPSequence = [_reference(item) for item in report.committed]
    failed = []
    for item, reason in report.failed:
        reference = _reference(item)
        reference.FailureReason = reason
        failed.append(reference)
    if failed:
        event.FailedSOPSequence = failed
    # The toolkit's thread must have come to rest, or it takes the answer to this away from us.
    assoc._reactor_checkpoint.clear()
    time.sleep(_PARKED_SECONDS)
    try:
        # Who asked may be gone: he asks again.
        with contextlib.suppress(Exception):
            kind = _FAILURES if failed else _COMPLETE
            send = partial(assoc.send_n_event_report, event, kind, PUSH_MODEL, _INSTANCE)
            asked(assoc, send, _AT_MOST_SECONDS)
    finally:
        assoc._reactor_checkpoint.set()


def _hearing(
    who: Callable[[Any], str], reported: Callable[[str, Report], bool]
) -> Callable[[Any], tuple[int, None]]:
    def heard(event: Any) -> tuple[int, None]:
        try:
            information = event.event_information
            failures = information.get("FailedSOPSequence") or []
            report = Report(
                str(information.TransactionUID),
                tuple(_items(information, "ReferencedSOPSequence")),
                tuple((_item(one), int(one.get("FailureReason", PROCESSING_FAILURE))) for one in failures),
            )
            known = reported(who(event), report)
        except Exception:
            return PROCESSING_FAILURE, None
        return (_SUCCESS if known else NO_SUCH_INSTANCE), None

    return heard


def _items(ds: Dataset, keyword: str) -> list[Item]:
    return [_item(one) for one in ds.get(keyword) or []]


def _item(ds: Dataset) -> Item:
    return Item(str(ds.ReferencedSOPClassUID), str(ds.ReferencedSOPInstanceUID))


def _reference(item: Item) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID = item.sop_class_uid
    ds.ReferencedSOPInstanceUID = item.sop_instance_uid
    return ds
