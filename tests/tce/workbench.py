"""A worker on its own: nothing listens here, instances are handed in as a listener would, and the clock stands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from tce.arrivals import ArrivalDesk
from tce.exports import Exports
from tce.ledger import Export
from tce.network.store_reader import Arrival, Status
from tce.road import Peer
from tce.spool import Spool
from tce.worker import Worker
from tests.tce.parts import SELECTOR, CaseShelf, Log, ReleaseShelf

NOWHERE = Peer("RECEIVER", "127.0.0.1", 1)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A worker with its spool, index and rooms; instances are handed in as a listener would."""

    home: Path
    spool: Spool
    exports: Exports
    desk: ArrivalDesk
    worker: Worker
    cases: CaseShelf
    releases: ReleaseShelf
    log: Log
    clock: Clock

    def hand_in(self, *paths: Path, calling: str = SELECTOR, uid: str = "") -> None:
        for path in paths:
            meta = read_file_meta_info(path)
            data = path.read_bytes()
            arrival = Arrival(
                calling_ae=calling,
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=uid or str(meta.MediaStorageSOPInstanceUID),
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
            )
            arriving = self.desk.open(arrival)
            arriving.write(memoryview(data)[144 + int.from_bytes(data[140:144], "little") :])
            assert arriving.finish() is Status.SUCCESS
        self.desk.index()

    def work(self) -> Export:
        """Let the worker do everything that can be done now; return the newest export."""
        steps = sum(1 for _ in itertools.takewhile(lambda _: self.worker.step(), range(1000)))
        assert steps < 1000, "the worker finds work for ever"
        return self.exports.listing()[-1]
