"""Completes exports from an archive: instances that a manifest names and nobody has sent (C-GET or C-MOVE).

The archive has to hold them as the manifest names them: pseudonymized, since the Export Manager does stage 2 only. What
comes goes the way of everything that arrives; whether it is enough is seen by the index.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tce import counts
from tce.arrivals import ArrivalDesk
from tce.documents.content import Reference, flattened
from tce.documents.manifest import DocumentKind, parse
from tce.documents.reading import read_document
from tce.errors import TceError
from tce.exports import Exports
from tce.ledger import Export
from tce.members import Missing
from tce.network.query_retrieve import Method, Retrieved, Wanted, get, move
from tce.network.store_reader import Limits
from tce.road import Auditor, Peer
from tce.spool import Spool


@dataclass(frozen=True, slots=True)
class Archive:
    """Who is asked, how, and after how many seconds without being told to; None: never."""

    peer: Peer
    method: Method
    after: float | None = None


class Fetcher:
    """Fetches for the exports of one index, as one application entity."""

    def __init__(
        self,
        exports: Exports,
        spool: Spool,
        desk: ArrivalDesk,
        auditor: Auditor,
        ae_title: str,
        archive: Archive,
        limits: Limits,
    ) -> None:
        self._exports = exports
        self._fetches = exports.fetches
        self._spool = spool
        self._desk = desk
        self._auditor = auditor
        self._ae_title = ae_title
        self._archive = archive
        self._limits = limits

    def run(self, stop: threading.Event, poll_seconds: float) -> None:
        """Fetch until ``stop`` is set."""
        while not stop.is_set():
            try:
                busy = self.step()
            except Exception:
                busy = False  # the database is away: what was asked stays asked
            if not busy:
                stop.wait(poll_seconds)

    def step(self) -> bool:
        """Fetch for one export; False when there was none."""
        export = self._fetches.due(self._archive.after)
        if export is None:
            return False
        archive = self._archive.peer.ae_title
        try:
            said = self._fetch(export)
        except TceError as exc:
            said = exc.what
        except Exception as exc:
            # Of a foreign error only the kind is kept: its text may hold anything.
            said = f"it failed with {type(exc).__name__}"
        self._desk.index()
        left = self._exports.get(export.id).missing
        self._fetches.tried(export, f"{archive}: {said}; {counts.instances(left)} missing")
        detail = {"export": export.id, "archive": archive, "missing": str(left)}
        self._auditor.record("export.fetched", success=left == 0, detail=detail)
        return True

    def _fetch(self, export: Export) -> str:
        missing = self._exports.missing(export.id)
        wanted = _located(missing, self._references(export))
        if not wanted:
            return "no manifest that is here says where the missing ones belong"
        done = self._retrieve(wanted, sorted({one.sop_class_uid for one in missing}))
        unsent = f", {done.failed} could not be sent" if done.failed else ""
        return f"{counts.instances(done.sent)} sent{unsent}"

    def _retrieve(self, wanted: Sequence[Wanted], sop_classes: Sequence[str]) -> Retrieved:
        to = self._archive.peer
        if self._archive.method is Method.MOVE:
            return move(to, self._ae_title, wanted, self._ae_title)
        return get(to, self._ae_title, wanted, sop_classes, self._desk.open, self._limits)

    def _references(self, export: Export) -> list[Reference]:
        """Return what the manifests that have arrived name: content, and each other."""
        found: list[Reference] = []
        for member in self._exports.arrived(export, self._spool.path):
            if member.kind is DocumentKind.MANIFEST:
                ds = read_document(member.received.path)
                found += parse(ds).manifest.references
                found += flattened(ds.get("IdenticalDocumentsSequence") or ())
        return found


def _located(missing: Sequence[Missing], references: Sequence[Reference]) -> list[Wanted]:
    """Return what is missing by study and series, which an archive has to be told."""
    uids = {one.sop_instance_uid for one in missing}
    of_series: dict[tuple[str, str], dict[str, None]] = {}
    for one in references:
        if one.sop_instance_uid in uids:
            of_series.setdefault((one.study_uid, one.series_uid), {})[one.sop_instance_uid] = None
    return [Wanted(study, series, tuple(found)) for (study, series), found in of_series.items()]
