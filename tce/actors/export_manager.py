"""The Export Manager: receives selections, de-identifies them as their case says, and delivers them.

One process: a listener takes instances and documents in, a worker takes complete exports down the road. Both
work on one durable spool and index, so a process that dies at any instant resumes when it is started again.
What to do with an instance is the business of the rooms that it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tce.arrivals import ArrivalDesk
from tce.documents.disposition import DocumentRules
from tce.exports import Exports
from tce.fetching import Archive, Fetcher
from tce.ledger import Observer
from tce.lulls import Lull, clear_leftovers
from tce.network.commitment import hearing
from tce.network.doorway import Contact, Incident
from tce.network.storage_scp import StorageListener
from tce.network.store_reader import Limits
from tce.network.tls import Certificates
from tce.retention import Rules
from tce.road import Auditor, Rooms
from tce.spool import Durability, Spool
from tce.worker import PATIENCE, Worker


@dataclass(frozen=True, slots=True, repr=False)
class ManagerSettings:
    """Where the Export Manager listens, whom it answers, and where its spool and index are."""

    ae_title: str
    host: str
    port: int
    allowed: tuple[str, ...]
    spool: Path
    exports_url: str
    settle_seconds: float = 2.0
    poll_seconds: float = 0.5
    stale_seconds: float = 86400.0
    retention: Callable[[], Rules] = Rules
    delivery_seconds: float = PATIENCE
    durability: Durability = Durability.POWER
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    certificates: Certificates | None = None
    archive: Archive | None = None
    documents: DocumentRules = DocumentRules()  # noqa: RUF009 - frozen


def run(
    settings: ManagerSettings,
    rooms: Rooms,
    stop: threading.Event,
    started: Callable[[int], None] = lambda port: None,
) -> None:
    """Be the Export Manager until ``stop`` is set. ``started`` is told the port once it listens.

    Raises PortInUse when the port is taken, ExportError when another process has the spool.
    """
    # 1. Own the spool: then whatever was leased or half written belongs to nobody.
    spool = Spool(settings.spool, settings.durability)
    spool.own()
    exports = Exports(
        settings.exports_url,
        settle_seconds=settings.settle_seconds,
        observer=audit_states(rooms.auditor),
    )
    try:
        desk = ArrivalDesk(spool, exports)
        desk.adopt()
        exports.recover()
        exports.tell_late(0.0)
        clear_leftovers(exports, spool)
        # 2. Take in (RAD-50, RAD-51, RAD-52) beside the work (RAD-53).
        listener = StorageListener(
            settings.ae_title,
            settings.host,
            settings.port,
            settings.allowed,
            desk.open,
            settings.limits,
            certificates=settings.certificates,
            settle=desk.settle,
            tell=audit_contacts(rooms.auditor),
            services=[hearing(exports.commitments.report)],
        )
        with desk.following(), listener:
            started(listener.port)
            if settings.archive is not None:
                fetcher = Fetcher(
                    exports,
                    spool,
                    desk,
                    rooms.auditor,
                    settings.ae_title,
                    settings.archive,
                    settings.limits,
                )
                # It may take long, and holds nothing that a process which ends would lose.
                work = (stop, settings.poll_seconds)
                threading.Thread(target=fetcher.run, args=work, name="fetch", daemon=True).start()
            lull = Lull(exports, spool, settings.stale_seconds, settings.retention)
            worker = Worker(
                exports, spool, rooms, settings.ae_title, settings.documents, settings.delivery_seconds
            )
            worker.run(stop, settings.poll_seconds, lull)
    finally:
        exports.close()
        spool.release()


def audit_states(auditor: Auditor) -> Observer:
    """Return an observer that records every transition of an export, and whatever else befell what has arrived."""
    return lambda notice: auditor.record(notice.event, success=notice.success, detail=notice.detail)


def audit_contacts(auditor: Auditor) -> Callable[[Contact], None]:
    """Return an observer that records who called, who was turned away, and what each brought."""

    def observe(contact: Contact) -> None:
        event = _CONTACTS.get(contact.incident, "association.refused")
        detail = {"address": contact.address, "incident": contact.incident.value}
        detail |= {name: said for name in ("calling_ae", "called_ae") if (said := getattr(contact, name))}
        if event == "association.ended":
            detail["instances"] = str(contact.instances)
        good = contact.incident in (Incident.ACCEPTED, Incident.ENDED)
        auditor.record(event, success=good, detail=detail)

    return observe


_CONTACTS = {
    Incident.ACCEPTED: "association.accepted",
    Incident.ENDED: "association.ended",
    Incident.ABORTED: "association.ended",
    Incident.PLAINTEXT: "association.plaintext",
}
