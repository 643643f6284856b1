"""What was selected with a Delay Reason and selected again without one is exported once."""

from __future__ import annotations

from pathlib import Path

from tce.actors.export_selector import select
from tce.documents.codes import DelayReason
from tce.states import State
from tests.tce.parts import SELECTOR, CaseShelf, a_manager, a_receiver, a_request, pseudonymized_ct, terms


def test_a_selection_without_delay_takes_the_place_of_the_delayed_one(tmp_path: Path) -> None:
    """The delayed export is cancelled by the new selection of the same instances, which is delivered."""
    pseudonymized_ct(tmp_path / "in")
    with a_receiver(tmp_path / "receiver", []) as receiver:
        approved = terms(receiver.peer)
        with a_manager(tmp_path / "manager", CaseShelf({approved.id: approved})) as manager:
            for delay in ([DelayReason.FINAL_REPORT], []):
                select([tmp_path / "in"], a_request(), manager.peer, SELECTOR, delay=delay)
            first, second = manager.wait_for(lambda found: found[-1].state is State.DELIVERED)
    assert (first.state, second.state) == (State.CANCELLED, State.DELIVERED)
    assert [reason.code for reason in first.reasons] == ["superseded"]
