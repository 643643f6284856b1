"""The cohort of a case in the index: one row an export, joined to one patient by the pseudonym.

A row says what an export releases of its patient. Whether it is out is never written down: it is what the states and
deliveries of the export say, so that a retry counts nobody twice and a cancelled export counts nobody. Everything is
decided in the transaction that seals, so that two workers cannot each count on the other's patient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa

from tce import cohort as cohorts
from tce.cohort import CohortRule, Joining, Share, Traits, in_words
from tce.ledger import Transaction, undump
from tce.road import Reason
from tce.states import State, Verb
from tce.tables import cohort, deliveries, exports

REASON = "cohort"
_OUT = (State.DELIVERING.value, State.DELIVERED.value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an export may go: the reason if it has to wait, else what the cohort then is in numbers."""

    reason: Reason | None
    figures: Mapping[str, int]


def join(tx: Transaction, number: int, case_id: str, policy_digest: str, joining: Joining | None) -> Verdict:
    """Enter what an export would release, and decide whether it may go; those that wait for it are let go with it.

    Without ``joining`` nothing is asked, and nothing is kept. What a receiver has of an earlier try stays told.
    """
    tx.alone()
    sent = _sent(tx, number)
    if joining is None:
        if sent is None:
            tx.db.execute(cohort.delete().where(cohort.c.export == number))
        return Verdict(None, {})
    tx.db.execute(cohort.delete().where(cohort.c.export == number))
    told = joining.traits if sent is None else cohorts.joined(sent, joining.traits)
    traits = json.dumps({name: list(values) for name, values in told.items()}, sort_keys=True)
    row = {"export": number, "case_id": case_id, "patient": joining.patient, "traits": traits}
    tx.db.execute(cohort.insert().values(**row))
    going, verdict = _settled(tx, case_id, policy_digest, joining.rule, number)
    if verdict.reason is None:
        _admit(tx, going - {number}, verdict.figures)
    return verdict


def admit(tx: Transaction, number: int, rule: CohortRule) -> Verdict:
    """Decide again about an export that waits for its cohort; if it may go, it is let go with all that go with it."""
    tx.alone()
    export = tx.export(exports.c.number == number)
    going, verdict = _settled(tx, export.case_id, export.policy_digest, rule, number)
    if verdict.reason is None:
        _admit(tx, going, verdict.figures)
    return verdict


def shares(tx: Transaction, case_id: str, policy_digest: str = "", asking: int = -1) -> list[Share]:
    """Return what the exports of a case have released; and those that wait under a policy, and ``asking``, would."""
    sent = sa.exists().where(deliveries.c.export == exports.c.number)
    of = exports.c
    rows = tx.db.execute(
        sa.select(of.number, of.state, of.reasons, of.policy_digest, cohort.c.patient, cohort.c.traits)
        .add_columns(sent.label("sent"))
        .join(cohort, cohort.c.export == of.number)
        .where(cohort.c.case_id == case_id)
        .order_by(of.number)
    )
    parsed = cache(_parsed)  # very many patients have the same few values
    found = []
    for row in rows:
        out = row.number != asking and (row.state in _OUT or row.sent)
        together = row.state == State.HELD.value and row.policy_digest == policy_digest
        if out or row.number == asking or (together and waits(undump(row.reasons))):
            found.append(Share(row.number, row.patient, parsed(row.traits), out))
    return found


def forget(tx: Transaction, case_id: str) -> int:
    """Remove what is kept of the patients of a case; return how many rows that were."""
    return int(tx.db.execute(cohort.delete().where(cohort.c.case_id == case_id)).rowcount)


def waits(reasons: tuple[Reason, ...]) -> bool:
    """Whether an export that is held waits for its cohort and for nothing else."""
    return bool(reasons) and all(reason.code == REASON for reason in reasons)


def _sent(tx: Transaction, number: int) -> Traits | None:
    """Return what an earlier try told of the patient, if a receiver has any of it."""
    something = sa.exists().where(deliveries.c.export == number)
    told = tx.db.scalar(sa.select(cohort.c.traits).where(cohort.c.export == number, something))
    return None if told is None else _parsed(told)


def _parsed(traits: str) -> Traits:
    return {name: tuple(values) for name, values in json.loads(traits).items()}


def _settled(
    tx: Transaction, case_id: str, policy_digest: str, rule: CohortRule, number: int
) -> tuple[frozenset[int], Verdict]:
    settled = cohorts.settle(shares(tx, case_id, policy_digest, number), rule)
    if number in settled.going:
        return settled.going, Verdict(None, cohorts.figures(settled.report))
    what = in_words(settled.lonely[number], rule, case_id)
    return settled.going, Verdict(Reason(REASON, what), {})


def _admit(tx: Transaction, going: frozenset[int], figures: Mapping[str, int]) -> None:
    """Let exports go that waited: what they send is sealed, and is sent as it is."""
    for number in sorted(going):
        tally = {**tx.export(exports.c.number == number).tally, **figures}
        tx.change(
            number,
            Verb.ADMIT,
            reasons="[]",
            attempts=0,
            not_before=0.0,
            tally=json.dumps(tally, sort_keys=True),
        )
