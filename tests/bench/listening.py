"""A listener of ours in a process of its own: ``python -m tests.bench.listening HOME DURABILITY``.

Spool and index as the Export Manager has them. It prints its port, and listens until its input ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tce.arrivals import ArrivalDesk
from tce.exports import Exports
from tce.network.storage_scp import StorageListener
from tce.spool import Durability, Spool

AE_TITLE = "MANAGER"
CALLER = "SELECTOR"


def main(home: Path, durability: str) -> None:
    """Listen."""
    spool = Spool(home / "spool", Durability(durability))
    desk = ArrivalDesk(spool, Exports(f"sqlite:///{home / 'exports.db'}"))
    listener = StorageListener(AE_TITLE, "127.0.0.1", 0, (CALLER,), desk.open, settle=desk.settle)
    with desk.following(), listener:
        print(listener.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
