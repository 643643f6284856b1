"""What the audit trail says was withdrawn: policies, cases that were closed or forgotten, orders to forget one.

The file of a withdrawal can be deleted in silence; its event cannot be taken out of the hash chain. The whole
chain is proved while it is read, once in a process; after that only what was added is read. Who signed a
withdrawal is :mod:`vault.approvals`' to prove; here an event counts because it stands on the trail.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tce.audit.trail import Head, Record, Trail
from tce.errors import AuditError, Outcome
from vault.approvals import Approval
from vault.moments import moment

KEY_DESTROYED = "case.key-destroyed"
ORDER_TAKEN_BACK = "case.forget-taken-back"
EVENT_OF = {"policy": "policy.withdrawn", "case": "case.closed"}
_KIND_OF = {event: kind for kind, event in EVENT_OF.items()}


@dataclass(frozen=True, slots=True)
class Told:
    """One withdrawal as the trail tells it; ``approval`` names the approval that was in force."""

    n: int
    time: str
    actor: str
    kind: str
    name: str
    version: str
    digest: str
    approval: str

    def ends(self, approval: Approval) -> bool:
        """Say whether this withdrawal ends an approval: the one it names, and every earlier one of the document.

        Earlier ones too, since nobody should be able to put an old approval back, nor one of an older text. An
        approval is dated to the second; in the second of the withdrawal only the one that is named is ended,
        or any if none is named, as early versions of the program did.
        """
        document = approval.submission.document
        named = (self.name, self.version) == (document.name, document.version)
        if self.kind != document.kind or not (named or self.digest == document.digest):
            return False
        if self.approval == approval.digest():
            return True
        approved, told = moment(approval.approved), datetime.fromisoformat(self.time)
        return approved < told.replace(microsecond=0) or (not self.approval and approved <= told)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """That the order to forget a case was taken back, as the trail tells it; ``order`` names the order."""

    n: int
    time: str
    actor: str
    case: str
    order: str


@dataclass(frozen=True, slots=True)
class Destroyed:
    """That a key of a case was destroyed, as the trail tells it; ``key`` is the mount."""

    n: int
    case: str
    key: str


@dataclass(frozen=True, slots=True)
class _Read:
    """What this process knows of one trail: how its file looked, where it ended, and what it told."""

    looks: tuple[int, int, int] | None
    end: Head
    told: tuple[Told, ...]
    taken_back: tuple[TakenBack, ...] = ()
    destroyed: tuple[Destroyed, ...] = ()


_NOTHING = _Read(None, Head(), ())
_known: dict[Path, _Read] = {}
_one_reader = threading.Lock()


def told_by(trail: Trail) -> Sequence[Told]:
    """Return every withdrawal on the trail, oldest first.

    Raises AuditError when the trail is missing or not whole: then nobody knows what was withdrawn.
    """
    return _now(trail).told


def forgotten_by(trail: Trail) -> frozenset[str]:
    """Return the ids of the cases of which a key was destroyed. Raises AuditError like :func:`told_by`."""
    return frozenset(one.case for one in _now(trail).destroyed)


def taken_back_by(trail: Trail, case: str) -> Sequence[TakenBack]:
    """Return every order to forget a case that was taken back, oldest first. Raises AuditError."""
    return [one for one in _now(trail).taken_back if one.case == case]


def destroyed_within(trail: Trail, case: str, records: int) -> frozenset[str]:
    """Return which keys of a case were destroyed within the first so many records of the trail.

    Raises AuditError, also when the trail never was that long.
    """
    now = _now(trail)
    if now.end.records < records:
        raise AuditError(
            "the audit trail is shorter than it was when that was recorded",
            next_step="keep the files as they are, tell the auditor, and compare them with your backup",
        )
    return frozenset(one.key for one in now.destroyed if one.case == case and one.n <= records)


def _now(trail: Trail) -> _Read:
    with _one_reader:
        known = _known.get(trail.path, _NOTHING)
        looks = _looks(trail.path)
        if looks is None or looks != known.looks:
            known = _read_on(trail, known, looks)
            _known[trail.path] = known
        return known


def _looks(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when somebody writes to a file or puts another one there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_on(trail: Trail, known: _Read, looks: tuple[int, int, int] | None) -> _Read:
    """Read what was added; everything, if what is known is no beginning of the trail that is there now."""
    told, taken_back, destroyed = list(known.told), list(known.taken_back), list(known.destroyed)

    def look(record: Record) -> None:
        detail = record.detail
        case = detail.get("case", "")
        if record.event == KEY_DESTROYED:
            destroyed.append(Destroyed(record.n, case, detail.get("key", "")))
        if record.event == ORDER_TAKEN_BACK:
            taken_back.append(TakenBack(record.n, record.time, record.actor, case, detail.get("order", "")))
        kind = _KIND_OF.get(record.event)
        if kind is not None and record.outcome == Outcome.SUCCESS:
            told.append(_told(record, kind))

    try:
        end = trail.walk(known.end, look)
    except AuditError:
        if known is _NOTHING:
            raise
        return _read_on(trail, _NOTHING, looks)
    return _Read(looks, end, tuple(told), tuple(taken_back), tuple(destroyed))


def _told(record: Record, kind: str) -> Told:
    detail = record.detail
    return Told(
        n=record.n,
        time=record.time,
        actor=record.actor,
        kind=kind,
        name=detail.get(kind, ""),
        version=detail.get("version", ""),
        digest=detail.get("digest", ""),
        approval=detail.get("approval", ""),
    )
