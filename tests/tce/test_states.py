"""The table of states and transitions: tce.states."""

from __future__ import annotations

import pytest

from tce.states import TRANSITIONS, WHO_ACTS, State, Verb, transition


def test_every_verb_has_one_row() -> None:
    """No verb is without a meaning, none has two."""
    assert sorted(row.verb for row in TRANSITIONS) == sorted(Verb)


@pytest.mark.parametrize("state", State, ids=str)
def test_every_state_says_who_must_act(state: State) -> None:
    """Whoever looks at an export learns whose turn it is."""
    assert WHO_ACTS[state]


@pytest.mark.parametrize("state", State, ids=str)
def test_every_state_is_reachable(state: State) -> None:
    """Nothing stands in the table that cannot happen."""
    reached = {State.COLLECTING}
    for _ in State:
        reached |= {row.after for row in TRANSITIONS if row.before & reached}
    assert state in reached


def test_only_delivered_and_cancelled_are_ends() -> None:
    """Every other state has a way on."""
    leavable = set().union(*(row.before for row in TRANSITIONS))
    assert set(State) - leavable == {State.DELIVERED, State.CANCELLED}


def test_nothing_is_delivered_that_was_not_worked_on() -> None:
    """A held, delayed or incomplete export has no way to be delivered that avoids the checks."""
    assert transition(Verb.DELIVER).before == {State.WORKING, State.DELIVERING}
    assert {row.verb for row in TRANSITIONS if row.after is State.WORKING} == {Verb.LEASE}
    assert transition(Verb.LEASE).before == {State.READY}
