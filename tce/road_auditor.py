"""How the road's events come onto the audit trail of a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tce.audit.journal import Journal, peer_of
from tce.audit.media import by_patient
from tce.audit.messages import Study
from tce.config import Site
from tce.exports import Exports
from tce.spool import Spool


class RoadAuditor:
    """Writes the road's events to the trail; transfers become messages with studies and patients."""

    def __init__(self, site: Site, actor: str, ae_title: str) -> None:
        self._site = site
        self._journal = Journal(site, actor, ae_title=ae_title)
        self._self = self._journal.participant
        self._last: tuple[str, Mapping[str, Sequence[Study]]] = "", {}

    def record(self, event: str, *, success: bool, detail: Mapping[str, str]) -> None:
        """Write one event."""
        studies: Mapping[str, Sequence[Study]] = {}
        sender = receiver = self._self
        if success and event in ("begin transfer", "export") and "receiver" in detail:
            receiver = peer_of(detail["receiver"], detail.get("receiver_address", ""))
            studies = self._studies_of(detail.get("export", ""))
        elif success and event == "import" and "sender" in detail:
            sender = peer_of(detail["sender"])
            studies = by_patient(self._received(detail.get("export", "")))
        if studies:
            self._journal.transferred(event, sender, receiver, studies, detail)
        else:
            self._journal.record(event, success=success, detail=detail)

    def _studies_of(self, export_id: str) -> Mapping[str, Sequence[Study]]:
        """Return what an export holds, read once for the beginning and the end of its transfers."""
        if self._last[0] != export_id:
            self._last = export_id, by_patient(self._sealed(export_id))
        return self._last[1]

    def _received(self, export_id: str) -> list[Path]:
        index, spool = Exports(self._site.receiver_url), Spool(self._site.receiver_spool_dir)
        try:
            arrived = index.arrived(index.get(export_id), spool.path)
            return [one.received.path for one in arrived if one.received.path.exists()]
        finally:
            index.close()

    def _sealed(self, export_id: str) -> list[Path]:
        index = Exports(self._site.exports_url)
        try:
            return [one.path for one in index.sealed(index.get(export_id)) if one.path.exists()]
        finally:
            index.close()
