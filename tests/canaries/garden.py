"""Everything that is planted: which instance carries which channels, and where its file lies.

every SOP Class   x what nobody knows / what the header knows, in every attribute of its IOD
chosen families   x all channels together
one CT            x each channel alone, so that one that is refused hides no other
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pydicom.dataset import Dataset

from policies.loader import load_library
from policies.selftest.attributes import Known, Unknown
from policies.selftest.canary import Canary, Mint
from policies.selftest.channels import CHANNELS, every_attribute
from policies.selftest.families import a_plain_instance, an_instance, family_of, sop_classes
from policies.selftest.known import a_patient
from policies.standard.beyond import risks
from tests.canaries.broken import BROKEN
from tests.canaries.character_sets import CHARACTER_SETS
from tests.canaries.content import REPORTS
from tests.canaries.frames import FRAMES
from tests.canaries.road import Planted
from tests.canaries.streams import STREAMS, written

CT = "1.2.840.10008.5.1.4.1.1.2"
CHOSEN = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "CT": CT,
    "Enhanced CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "Enhanced MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "RF": "1.2.840.10008.5.1.4.1.1.12.2",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "PM": "1.2.840.10008.5.1.4.1.1.30",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
    "RTIMAGE": "1.2.840.10008.5.1.4.1.1.481.1",
    "REG": "1.2.840.10008.5.1.4.1.1.66.1",
    "FID": "1.2.840.10008.5.1.4.1.1.66.2",
    "DEFORM REG": "1.2.840.10008.5.1.4.1.1.66.3",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
    "COMPREHENSIVE SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "X-RAY DOSE SR": "1.2.840.10008.5.1.4.1.1.88.67",
    "GSPS": "1.2.840.10008.5.1.4.1.1.11.1",
    "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "RAW": "1.2.840.10008.5.1.4.1.1.66",
    "PDF": "1.2.840.10008.5.1.4.1.1.104.1",
    "RWV": "1.2.840.10008.5.1.4.1.1.67",
}
_BORDERS = (
    0x00080000,
    0x00100000,
    0x00180000,
    0x00200000,
    0x00400000,
    0x00700000,
    0x04000000,
    0x30040000,
    0x7FE00000,
)
"""Where the dictionary is cut, so that no instance holds more of it than one could."""


class Garden:
    """Plants files below a folder, reproducibly from a seed."""

    def __init__(self, folder: Path, *, seed: int = 0, every: int = 1) -> None:
        self._folder = folder
        self.mint = Mint(seed)
        self._every = every
        self.strict = load_library("basic")
        self._first = load_library("pseudonymization")
        folder.mkdir(parents=True, exist_ok=True)

    def all(self) -> list[Planted]:
        """Plant everything that is built."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [*self.families(), *self.together(), *self.alone(), *self.reports(), *self.dictionary()]

    def families(self) -> Iterator[Planted]:
        """Every SOP Class with every attribute, once with what nobody knows and once with what the header knows."""
        for number, uid in enumerate(sop_classes()[:: self._every]):
            implicit = bool(number % 2)
            unknown = Unknown(self.mint, self.strict)
            ds = an_instance(uid, unknown, uid=self.mint.uid(), implicit=implicit)
            at_risk = uid in risks()
            yield self.kept(written(ds), family_of(uid), unknown.planted, at_risk)
            patient = a_patient(self.mint)
            for vrs in (frozenset({"LO", "SH", "UC", "ST", "LT", "UT"}), frozenset({"CS"})):
                known = Known(patient, self._first, vrs)
                ds = an_instance(uid, known, uid=self.mint.uid(), implicit=implicit)
                patient.describe(ds)
                ds.StudyInstanceUID, ds.SeriesInstanceUID = self.mint.uid(), self.mint.uid()
                yield self.kept(written(ds), family_of(uid), [*known.planted, *patient.canaries()], at_risk)

    def bounded(self) -> list[Planted]:
        """Plant what a short run takes: every channel, some SOP Classes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [*self.families(), *self.together(), *self.alone(), *self.reports()]

    def together(self) -> Iterator[Planted]:
        """Chosen families with all channels of a data set at once."""
        for uid in list(CHOSEN.values())[:: self._every]:
            ds, planted = self._plain(uid), []
            for channel in CHANNELS:
                planted += channel(ds, self.mint)
            yield self.kept(written(ds), family_of(uid), planted, uid in risks())

    def alone(self) -> Iterator[Planted]:
        """Each channel alone in a CT image."""
        for channel in CHANNELS:
            ds = self._plain(CT)
            planted = channel(ds, self.mint)
            yield self.kept(written(ds), family_of(CT), planted)
        for stream in (*STREAMS, *FRAMES, *CHARACTER_SETS, *BROKEN):
            data, planted = stream(self._plain(CT), self.mint)
            yield self.kept(data, family_of(CT), planted)

    def reports(self) -> Iterator[Planted]:
        """Content trees with every value type and every concept of Table E.3.4-1."""
        for name in ("COMPREHENSIVE SR", "X-RAY DOSE SR", "KO"):
            for report in REPORTS:
                ds = self._plain(CHOSEN[name])
                planted = report(ds, self.mint)
                yield self.kept(written(ds), family_of(CHOSEN[name]), planted)

    def dictionary(self) -> Iterator[Planted]:
        """Every attribute of the dictionary at the top level, a part of them in each instance."""
        for uid in [CT, CHOSEN["COMPREHENSIVE SR"], CHOSEN["SEG"], CHOSEN["RTSTRUCT"]][:: self._every]:
            for first, last in pairwise(_BORDERS):
                ds = self._plain(uid)
                planted = every_attribute(first, last)(ds, self.mint)
                yield self.kept(written(ds), family_of(uid), planted)

    def _plain(self, uid: str) -> Dataset:
        return a_plain_instance(uid, study=self.mint.uid(), series=self.mint.uid(), uid=self.mint.uid())

    def kept(self, data: bytes, family: str, planted: Sequence[Canary], at_risk: bool = False) -> Planted:
        """Write a planted file; its name is a canary as well."""
        path = self._folder / f"{self.mint.word()}^{len(list(planted))}.dcm"
        path.write_bytes(data)
        return Planted(path, family, planted, at_risk, path.name)
