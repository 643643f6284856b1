"""The life of an export, as a table: its states, who must act in each, and every transition there is.

What the table does not name cannot happen. No behaviour lives here; :mod:`tce.exports` keeps the states and
checks each change against these rows. ::

    collecting ──► ready ──► working ──► delivering ──► delivered
        │  ▲          ▲ └─ crash ─┘│          │
        ▼  └─ retry ──┤            ▼          ▼
     delayed         held ◄────── held     failed ── retry ──► collecting
                      └── admit ──► delivering
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where an export stands."""

    COLLECTING = "collecting"
    DELAYED = "delayed"
    READY = "ready"
    WORKING = "working"
    HELD = "held"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Verb(StrEnum):
    """What can happen to an export."""

    DELAY = "delay"
    COMPLETE = "complete"
    GIVE_UP = "give up"
    LEASE = "lease"
    GIVE_BACK = "give back"
    HOLD = "hold"
    SEAL = "seal"
    ADMIT = "admit"
    DELIVER = "deliver"
    FAIL = "fail"
    RETRY = "retry"
    SUPERSEDE = "supersede"
    CANCEL = "cancel"
    EXPIRE = "expire"


class Transition(NamedTuple):
    """One row: this verb takes an export from any of these states to that one."""

    verb: Verb
    before: frozenset[State]
    after: State
    why: str


def _row(verb: Verb, before: str, after: State, why: str) -> Transition:
    return Transition(verb, frozenset(State(name) for name in before.split()), after, why)


TRANSITIONS: tuple[Transition, ...] = (
    _row(Verb.DELAY, "collecting", State.DELAYED, "its manifest carries a Delay Reason"),
    _row(Verb.COMPLETE, "collecting", State.READY, "everything its manifests reference is here"),
    _row(Verb.GIVE_UP, "collecting", State.FAILED, "it stayed incomplete too long"),
    _row(Verb.LEASE, "ready", State.WORKING, "a worker took it"),
    _row(Verb.GIVE_BACK, "working", State.READY, "its worker died, or a service was away"),
    _row(Verb.HOLD, "collecting ready working delivering", State.HELD, "a check or a person stopped it"),
    _row(Verb.SEAL, "working", State.DELIVERING, "it is verified and its bytes are fixed"),
    _row(Verb.ADMIT, "held", State.DELIVERING, "it is sealed, and its patient has enough company now"),
    _row(Verb.DELIVER, "working delivering", State.DELIVERED, "every receiver has everything"),
    _row(Verb.FAIL, "working delivering", State.FAILED, "it was tried often enough"),
    _row(Verb.RETRY, "held failed", State.COLLECTING, "a person wants it tried again"),
    _row(Verb.SUPERSEDE, "delayed", State.CANCELLED, "a manifest without Delay Reason took its place"),
    _row(Verb.CANCEL, "collecting delayed ready held failed", State.CANCELLED, "a person gave it up"),
    _row(Verb.EXPIRE, "failed", State.CANCELLED, "nobody tried it again within the time that the site set"),
)

WHO_ACTS: dict[State, str] = {
    State.COLLECTING: "the Export Selector: instances or manifests are missing",
    State.DELAYED: "the Export Selector: a new manifest without Delay Reason",
    State.READY: "nobody",
    State.WORKING: "nobody",
    State.HELD: "a coordinator: see the reasons",
    State.DELIVERING: "nobody",
    State.DELIVERED: "nobody",
    State.FAILED: "an operator: see the reasons, then retry",
    State.CANCELLED: "nobody",
}


def transition(verb: Verb) -> Transition:
    """Return the row of a verb."""
    return next(row for row in TRANSITIONS if row.verb is verb)
