"""An Export Manager as a process of its own, to be killed: ``python -m … HOME PORT RECEIVER_PORT``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tce.actors.export_manager import ManagerSettings, run
from tce.road import Peer
from tests.tce.parts import CASE, MANAGER, RECEIVER, SELECTOR, CaseShelf, Log, ReleaseShelf, rooms, terms


def main(home: Path, port: int, receiver_port: int) -> None:
    """Run until killed; print a line once it listens."""
    settings = ManagerSettings(
        ae_title=MANAGER,
        host="127.0.0.1",
        port=port,
        allowed=(SELECTOR,),
        spool=home / "spool",
        exports_url=f"sqlite:///{home / 'exports.db'}",
        settle_seconds=0.0,
        poll_seconds=0.02,
    )
    home.mkdir(parents=True, exist_ok=True)
    cases = CaseShelf({CASE: terms(Peer(RECEIVER, "127.0.0.1", receiver_port))})
    parts = rooms(cases, Log(), ReleaseShelf())
    run(settings, parts, threading.Event(), lambda found: print(found, flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
