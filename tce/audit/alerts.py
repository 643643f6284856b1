"""Alerts: what on the trail should make somebody look, worked out from the trail and nothing else.

An alert is due when a record completes it: a :class:`Watch` is shown the records one after the other and says so.
The :mod:`~tce.audit.journal` writes what is due onto the trail as an event of its own, under the trail's lock, so each
once. The auditor's command works everything out anew and compares (:func:`examine`): an alert that is missing, or one
that was never due, shows. A count begins anew after its alert, so whoever goes on causes another.

No alert names a patient. It says how many, and which person, request, case and record it is about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tce.audit import messages
from tce.audit.messages import Code
from tce.audit.rules import AlertRules, from_detail
from tce.audit.trail import Head, Record, Trail
from tce.errors import Outcome

RULES_SET = "alerts.set"
ALERTS = "alert."
_IMPORTED = "mapping.imported"
WATCHED = ("login", "access.refused", _IMPORTED, "reidentify.", RULES_SET, ALERTS)
"""How the names of all events begin that alerts are worked out from, with the alerts themselves."""

EVERYBODY = "everybody"
_REVEALED = "reidentify.revealed"
_REFUSED = "reidentify.refused"
_HARMLESS = frozenset({"reidentify.denied"})


class Kind(StrEnum):
    """The kinds of alert; each is the name of its event."""

    SWEEP = "alert.sweep"
    REVEALS = "alert.reveals"
    REVEALED_AGAIN = "alert.revealed-again"
    REFUSALS = "alert.refusals"
    ODD_HOURS = "alert.odd-hours"
    EXPIRED = "alert.expired"


@dataclass(frozen=True, slots=True)
class KindRow:
    """How grave an alert is, its type (CID 403), and what it means in words.

    PS3.15 A.5.3.12: Minor or Serious where the system held what was tried, Major where it may not have.
    """

    outcome: Outcome
    type: Code
    words: str


KINDS: Mapping[Kind, KindRow] = {
    Kind.SWEEP: KindRow(
        Outcome.MAJOR_FAILURE,
        messages.RESTRICTED_FUNCTION,
        "one person asked for, approved or revealed very many patients in a short time",
    ),
    Kind.REVEALS: KindRow(
        Outcome.MAJOR_FAILURE, messages.RESTRICTED_FUNCTION, "one person revealed many times in a short time"
    ),
    Kind.REVEALED_AGAIN: KindRow(
        Outcome.MAJOR_FAILURE,
        messages.RESTRICTED_FUNCTION,
        "a grant that was used up was used again; the database of custody may have been put back",
    ),
    Kind.REFUSALS: KindRow(
        Outcome.SERIOUS_FAILURE,
        messages.AUTHORIZATION_DECISION,
        "one person, or all together, were refused many times: logins, steps of re-identification, lists, rights",
    ),
    Kind.ODD_HOURS: KindRow(
        Outcome.MINOR_FAILURE,
        messages.RESTRICTED_FUNCTION,
        "a step of re-identification outside the working hours",
    ),
    Kind.EXPIRED: KindRow(
        Outcome.SERIOUS_FAILURE,
        messages.AUTHORIZATION_DECISION,
        "somebody tried to use a request of re-identification after its end",
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, due because of ``record``, which was written at ``time``."""

    kind: Kind
    record: int
    time: str
    person: str
    about: Mapping[str, str]

    @property
    def detail(self) -> dict[str, str]:
        """What the alert's own record holds."""
        return {"person": self.person, "record": str(self.record), **self.about}


@dataclass(slots=True)
class _Window:
    """What was counted within a time, since the last alert."""

    seen: deque[tuple[datetime, int]] = field(default_factory=deque)

    def add(self, now: datetime, amount: int, *, hours: float, most: int) -> int:
        """Count, and return how much it is when that is as many as ``most`` or more; otherwise 0."""
        begin = now - timedelta(hours=hours)
        self.seen = deque(one for one in self.seen if one[0] > begin)
        self.seen.append((now, amount))
        total = sum(one[1] for one in self.seen)
        if total < most:
            return 0
        self.seen.clear()
        return total


class Watch:
    """Looks at the records of a trail in their order and says which alerts each of them makes due."""

    def __init__(self) -> None:
        self.rules: AlertRules | None = None
        """The rules in force, None until the trail says any: then nothing is due."""
        self._windows: dict[tuple[str, str], _Window] = {}
        self._revealed: set[str] = set()

    def heed(self, record: Record) -> list[Alert]:
        """Return the alerts that are due because of this record."""
        if record.event == RULES_SET:
            self.rules = from_detail(record.detail, record.n)
            return []
        rules = self.rules
        if rules is None or record.event.startswith(ALERTS) or not record.event.startswith(WATCHED):
            return []
        now = datetime.fromisoformat(record.time)
        if _is_refusal(record):
            return [*self._refusals(record, now, rules), *_expired(record), *_odd_hours(record, now, rules)]
        if not record.event.startswith("reidentify.") or record.event in _HARMLESS:
            return []
        return [*self._steps(record, now, rules), *_odd_hours(record, now, rules)]

    def _refusals(self, record: Record, now: datetime, rules: AlertRules) -> Iterator[Alert]:
        for who, most in ((record.actor, rules.refusals), (EVERYBODY, rules.refusals_of_all)):
            count = self._window(Kind.REFUSALS, who).add(now, 1, hours=rules.refusals_hours, most=most)
            if count:
                about = {"refusals": str(count), "hours": str(rules.refusals_hours)}
                yield _alert(Kind.REFUSALS, record, about, who)

    def _steps(self, record: Record, now: datetime, rules: AlertRules) -> Iterator[Alert]:
        told = record.detail.get("patients", "")
        patients = int(told) if told.isdigit() else 1
        window = self._window(record.event, record.actor)
        count = window.add(now, patients, hours=rules.sweep_hours, most=rules.sweep_patients)
        if count:
            about = {
                "step": record.event.partition(".")[2],
                "patients": str(count),
                "hours": str(rules.sweep_hours),
            }
            yield _alert(Kind.SWEEP, record, about)
        if record.event != _REVEALED:
            return
        window = self._window(Kind.REVEALS, record.actor)
        count = window.add(now, 1, hours=rules.reveals_hours, most=rules.reveals)
        if count:
            about = {"reveals": str(count), "hours": str(rules.reveals_hours)}
            yield _alert(Kind.REVEALS, record, about)
        request = record.detail.get("request", "")
        if request in self._revealed:
            yield _alert(Kind.REVEALED_AGAIN, record, {})
        self._revealed.add(request)

    def _window(self, what: str, who: str) -> _Window:
        return self._windows.setdefault((what, who), _Window())


def _is_refusal(record: Record) -> bool:
    if record.event in ("login", _IMPORTED):
        return record.outcome != Outcome.SUCCESS
    return record.event in ("access.refused", _REFUSED)


def _expired(record: Record) -> Iterator[Alert]:
    if record.event == _REFUSED and record.detail.get("reason") == "Expired":
        yield _alert(Kind.EXPIRED, record, {})


def _odd_hours(record: Record, now: datetime, rules: AlertRules) -> Iterator[Alert]:
    if record.event.startswith("reidentify.") and rules.is_odd(now):
        local = now.astimezone(rules.zone())
        about = {"step": record.event.partition(".")[2], "local_time": f"{local:%a %H:%M}"}
        yield _alert(Kind.ODD_HOURS, record, about)


def _alert(kind: Kind, record: Record, about: Mapping[str, str], person: str = "") -> Alert:
    named = {key: record.detail[key] for key in ("case", "request") if record.detail.get(key)}
    return Alert(kind, record.n, record.time, person or record.actor, {**about, **named})


class State(StrEnum):
    """How an alert stands when the trail is looked through anew."""

    TOLD = "told"
    MISSING = "missing"
    NOT_DUE = "not due"


@dataclass(frozen=True, slots=True)
class Finding:
    """One alert: what was due, which record tells it (0: none), and whether both agree."""

    state: State
    kind: str
    time: str
    told_by: int
    detail: Mapping[str, str]


@dataclass(slots=True)
class Examination:
    """Compares the alerts that are due with those that the trail tells. Show it every record in order."""

    watch: Watch = field(default_factory=Watch)
    _due: dict[tuple[str, ...], Alert] = field(default_factory=dict)
    _told: dict[tuple[str, ...], Record] = field(default_factory=dict)
    _surplus: list[Record] = field(default_factory=list)

    def heed(self, record: Record) -> None:
        """Take one record in."""
        if not record.event.startswith(ALERTS):
            self._due |= {_key(alert.kind, alert.detail): alert for alert in self.watch.heed(record)}
            return
        key = _key(record.event, record.detail)
        if key in self._due and key not in self._told:
            self._told[key] = record
        else:
            self._surplus.append(record)

    def missing(self) -> list[Alert]:
        """Return the alerts that are due and not told, oldest first."""
        return [alert for key, alert in self._due.items() if key not in self._told]

    def findings(self) -> list[Finding]:
        """Return every alert, by the time of what it is about."""
        found = [
            Finding(
                State.TOLD if key in self._told else State.MISSING,
                alert.kind,
                alert.time,
                self._told[key].n if key in self._told else 0,
                alert.detail,
            )
            for key, alert in self._due.items()
        ]
        found += [Finding(State.NOT_DUE, one.event, one.time, one.n, one.detail) for one in self._surplus]
        return sorted(found, key=lambda one: one.time)


def _key(event: str, detail: Mapping[str, str]) -> tuple[str, ...]:
    return (event, *(text for pair in sorted(detail.items()) for text in pair))


def examine(trail: Trail) -> list[Finding]:
    """Return every alert of a trail, after proving it whole. Raises AuditError."""
    examination = Examination()
    trail.walk(Head(), examination.heed)
    return examination.findings()


def rules_to_set(rules: AlertRules, records: Iterable[Record]) -> bool:
    """Whether other rules are in force on the trail than these, or none."""
    last = None
    for record in records:
        last = record.detail if record.event == RULES_SET else last
    return last != rules.as_detail()


def still_to_tell(records: Iterable[Record]) -> list[Alert]:
    """Return the alerts that are due by these records of a trail and that none of them tells."""
    examination = Examination()
    for record in records:
        examination.heed(record)
    return examination.missing()
