"""``tce`` as an actor that kills itself at a named moment: ``python -m … ACTOR MOMENT tce-arguments``.

The moments of an actor are listed in the order in which an export comes to them. A number in place of a name is the
so-manieth step of a delivery, storage commitment included. At a moment that is not listed the actor lives on.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tce import delivering, ledger
from tce.arrivals import ArrivalDesk
from tce.cli import main
from tce.commitments import Commitments
from tce.exports import Exports
from tce.network import commitment
from tce.network.store_writer import StoreWriter
from tce.releasing import SignedReleases
from tce.road_auditor import RoadAuditor
from tce.spool import Incoming, Spool
from tests.journeys.dying_process import after, always, before, die


def late(owner: Any, name: str) -> None:
    """Die before something that comes only when everything has been sent."""
    delivering._NOTE_SECONDS = 3600.0
    before(owner, name)


MANAGER: dict[str, Callable[[], None]] = {
    "while an instance comes": lambda: after(Incoming, "write"),
    "an instance is whole and has no name": lambda: before(Spool, "drawer", 3),
    "spooled, not answered": lambda: after(Spool, "finish"),
    "answered, not indexed": lambda: before(ArrivalDesk, "_enter"),
    "indexed, the trail not told": lambda: before(ledger, "tell"),
    "told, not struck out": lambda: after(RoadAuditor, "record"),
    "leased": lambda: before(Exports, "arrived"),
    "verified, not sealed": lambda: before(Exports, "seal"),
    "sealed": lambda: after(Exports, "seal"),
    "a receiver has everything, and nothing of that is recorded": lambda: late(Exports, "delivered"),
    "a receiver has it, and that is not recorded": lambda: before(Exports, "delivered", 2),
    "that is recorded, and the next one is not sent": lambda: after(Exports, "delivered", 3),
    "the request for commitment is noted, and not made": lambda: after(Commitments, "ask"),
    "commitment is asked for, and not reported": lambda: before(Commitments, "report"),
    "commitment is reported": lambda: after(Commitments, "report"),
    "everything is delivered, nothing signed": lambda: before(SignedReleases, "close"),
    "signed, not closed": lambda: before(Exports, "close_export"),
    "closed, not tidied": lambda: before(Spool, "clear"),
}
RECEIVER: dict[str, Callable[[], None]] = {
    "answered, not indexed": lambda: before(ArrivalDesk, "_enter"),
    "taken in, no medium": lambda: before(Exports, "arrived"),
    "the medium is written and has no name": lambda: before(Path, "rename"),
    "the medium has its name": lambda: before(Exports, "close_export"),
}
# It commits itself while it writes the medium: of these and those nobody knows which come first.
COMMITTING: dict[str, Callable[[], None]] = {
    "asked for commitment, nothing said": lambda: before(ArrivalDesk, "commitment"),
    "committed, and that is not reported": lambda: before(commitment, "_send_report"),
}


MOMENTS = {
    ("manager", "exporting"): MANAGER,
    ("receiver", "importing"): RECEIVER,
    ("receiver", "committing"): COMMITTING,
}
STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "manager": (
        (StoreWriter, "store"),
        (Exports, "delivered"),
        (Commitments, "ask"),
        (delivering, "request"),
        (Commitments, "report"),
    ),
    "receiver": (
        (Spool, "finish"),
        (ArrivalDesk, "_enter"),
        (ArrivalDesk, "commitment"),
        (commitment, "_send_report"),
    ),
}
"""What a delivery does over and over: before each and after each is a step."""


def at_step(steps: Iterable[tuple[Any, str]], number: int) -> None:
    """Die at the so-manieth step."""
    count = itertools.count(1)

    def step() -> None:
        if next(count) == number:
            die()

    for owner, name in steps:
        always(owner, name, step)


if __name__ == "__main__":
    # A receiver that died with a report of commitment is asked again after minutes; not so here. And each instance that
    # was answered is written down at once, so that a kill makes no more than one of them go twice.
    for pause, seconds in (("_LONGEST_SILENCE", 1.0), ("_LOOK_AGAIN_SECONDS", 1.0), ("_NOTE_SECONDS", 0.0)):
        assert hasattr(delivering, pause)
        setattr(delivering, pause, seconds)
    if sys.argv[2].isdigit():
        at_step(STEPS[sys.argv[1]], int(sys.argv[2]))
    else:
        for (actor, _), moments in MOMENTS.items():
            if actor == sys.argv[1] and sys.argv[2] in moments:
                moments[sys.argv[2]]()
    main(sys.argv[3:])
