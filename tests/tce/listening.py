"""What a listener hands on, kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from tce.network.store_reader import Arrival, Status
from tce.spool import Header, part10_header


@dataclass
class Kept:
    """One instance as it arrived."""

    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes

    def read(self) -> Dataset:
        """Decode it."""
        header = Header(self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid, self.calling_ae)
        return dcmread(BytesIO(part10_header(header) + self.dataset))


@dataclass
class Keeping:
    """A sink that keeps what comes in memory."""

    arrival: Arrival
    kept: list[Kept]
    answer: Status
    dataset: bytearray = field(default_factory=bytearray)

    def write(self, fragment: memoryview) -> None:
        self.dataset += fragment

    def finish(self) -> Status:
        of = self.arrival
        self.kept.append(
            Kept(
                of.calling_ae,
                of.sop_class_uid,
                of.sop_instance_uid,
                of.transfer_syntax_uid,
                bytes(self.dataset),
            )
        )
        return self.answer

    def discard(self) -> None:
        self.dataset.clear()
