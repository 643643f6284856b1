"""How much memory an arrival desk holds, measured in a process of its own: ``python -m … WHAT FOLDER COUNT``.

What is counted is what cannot be freed: rubbish is collected before each look, so that neither what else the process
holds nor the moment at which Python collects has a part in it. The looks are where most is held: when everything
waits, and at each question to the index while files are taken up.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from tce.arrivals import ArrivalDesk
from tce.collecting import Entry, Intake
from tce.exports import Exports
from tce.network.store_reader import Arrival
from tce.spool import Durability, Spool

WAITING, TAKEN_UP = "waiting", "taken-up"
_CT = "1.2.840.10008.5.1.4.1.1.2"


class Held:
    """The most memory in bytes that was held at any look, beyond what was held at the first."""

    def __init__(self) -> None:
        self.most = 0
        tracemalloc.start()
        self._before = self._now()

    def look(self) -> None:
        self.most = max(self.most, self._now() - self._before)

    @staticmethod
    def _now() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]


class WatchedExports(Exports):
    """An index that has a look at the memory whenever it is asked."""

    held: Held | None = None

    def known(self, names: Sequence[str]) -> dict[str, bool]:
        if self.held:
            self.held.look()
        return super().known(names)

    def arrive(self, entries: Sequence[Entry]) -> list[Intake]:
        if self.held:
            self.held.look()
        return super().arrive(entries)


def uid(number: int) -> str:
    """A UID of the length that UIDs have."""
    return f"1.2.826.0.1.3680043.10.1234.5678.20260101120000.{number:010d}"


def spooled(desk: ArrivalDesk, numbers: range) -> None:
    """Let instances arrive that are not indexed."""
    for number in numbers:
        # New strings for each, as they come from a socket.
        texts = (bytes(text, "ascii").decode() for text in ("SELECTOR", _CT, uid(number)))
        arriving = desk.open(Arrival(*texts, "1.2.840.10008.1.2.1"))
        arriving.write(b"%d" % number)
        arriving.finish()


def waiting(place: Path, count: int) -> dict[str, int]:
    """Bytes held while so many instances wait for the index."""
    desk = ArrivalDesk(
        Spool(place / "spool", Durability.PROCESS), Exports(f"sqlite:///{place / 'exports.db'}")
    )
    spooled(desk, range(1))
    held = Held()
    spooled(desk, range(1, count + 1))
    held.look()
    return {"held": held.most}


def taken_up(place: Path, count: int) -> dict[str, int]:
    """The most bytes held while so many are taken up that a dead process left, and once more when all are known."""
    spool = Spool(place / "spool", Durability.PROCESS)
    index = WatchedExports(f"sqlite:///{place / 'exports.db'}")
    spooled(ArrivalDesk(spool, index), range(count))
    desk = ArrivalDesk(spool, index)
    held = index.held = Held()
    taken = desk.adopt()
    again = index.held = Held()
    return {"taken": taken, "held": held.most, "taken again": desk.adopt(), "held again": again.most}


def measured(what: str, place: Path, count: int) -> dict[str, int]:
    """Measure in a fresh process."""
    place.mkdir()
    command = [sys.executable, "-m", __name__, what, str(place), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, int] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    MEASURES = {WAITING: waiting, TAKEN_UP: taken_up}
    sys.stdout.write(json.dumps(MEASURES[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
