"""``tce`` as an actor that kills itself at a named moment: ``python -m … ACTOR MOMENT tce-arguments``.

The moments of an actor are listed in the order in which an export comes to them; at a moment that is not listed
it lives on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tce import delivering, ledger
from tce.arrivals import ArrivalDesk
from tce.cli import main
from tce.exports import Exports
from tce.releasing import SignedReleases
from tce.road_auditor import RoadAuditor
from tce.spool import Incoming, Spool
from tests.journeys.dying_process import after, before

MANAGER: dict[str, Callable[[], None]] = {
    "while an instance comes": lambda: after(Incoming, "write"),
    "an instance is whole and has no name": lambda: before(Spool, "drawer", 3),
    "spooled, not answered": lambda: after(Incoming, "finish", 3),
    "answered, not indexed": lambda: before(ArrivalDesk, "_enter"),
    "indexed, the trail not told": lambda: before(ledger, "tell"),
    "told, not struck out": lambda: after(RoadAuditor, "record"),
    "leased": lambda: before(Exports, "arrived"),
    "verified, not sealed": lambda: before(Exports, "seal"),
    "sealed": lambda: after(Exports, "seal"),
    "a receiver has it, and that is not recorded": lambda: before(Exports, "delivered", 2),
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


MOMENTS = {"manager": MANAGER, "receiver": RECEIVER}


if __name__ == "__main__":
    # A receiver that died with a report of commitment is asked again after minutes; not so here.
    for pause in ("_LONGEST_SILENCE", "_LOOK_AGAIN_SECONDS"):
        assert hasattr(delivering, pause)
        setattr(delivering, pause, 1.0)
    MOMENTS[sys.argv[1]].get(sys.argv[2], lambda: None)()
    main(sys.argv[3:])
