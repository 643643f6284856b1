"""The Receiver: stores what an Export Manager delivers, and writes one portable medium for each export.

It waits, like the Export Manager, until everything that a manifest references is here, in whatever order it
came (RAD-53, RAD-47). How a medium looks is the business of the medium writer that it is given.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tce.actors.export_manager import audit_contacts, audit_states
from tce.arrivals import ArrivalDesk
from tce.documents.manifest import DocumentKind
from tce.errors import IndexAway
from tce.exports import Exports
from tce.ledger import Export
from tce.lulls import Lull
from tce.network.commitment import committing
from tce.network.storage_scp import StorageListener
from tce.network.store_reader import Limits
from tce.network.tls import Certificates
from tce.retention import Rules
from tce.road import Auditor, Hold, MediumWriter, Reason, manifest_mark
from tce.spool import Durability, Spool

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, repr=False)
class ReceiverSettings:
    """Where the Receiver listens, whom it answers, where its spool and index are, where its media go."""

    ae_title: str
    host: str
    port: int
    allowed: tuple[str, ...]
    spool: Path
    exports_url: str
    out: Path
    settle_seconds: float = 0.0
    poll_seconds: float = 0.5
    stale_seconds: float = 86400.0
    retention: Callable[[], Rules] = Rules
    durability: Durability = Durability.POWER
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    certificates: Certificates | None = None


@dataclass(frozen=True, slots=True)
class MediumReport:
    """One medium that was written: where, how many instances it holds, and the mark of its manifests."""

    path: Path
    instances: int
    manifest: str


def run(
    settings: ReceiverSettings,
    write_medium: MediumWriter,
    auditor: Auditor,
    stop: threading.Event,
    started: Callable[[int], None] = lambda port: None,
    reported: Callable[[MediumReport], None] = lambda report: None,
) -> None:
    """Be the Receiver until ``stop`` is set; ``reported`` is told of every medium.

    Raises PortInUse when the port is taken, ExportError when another process has the spool.
    """
    spool = Spool(settings.spool, settings.durability)
    spool.own()
    exports = Exports(
        settings.exports_url, settle_seconds=settings.settle_seconds, observer=audit_states(auditor)
    )
    try:
        desk = ArrivalDesk(spool, exports)
        desk.adopt()
        exports.recover()
        exports.tell_late(0.0)
        listener = StorageListener(
            settings.ae_title,
            settings.host,
            settings.port,
            settings.allowed,
            desk.open,
            settings.limits,
            certificates=settings.certificates,
            settle=desk.settle,
            tell=audit_contacts(auditor),
            services=[committing(desk.commitment)],
        )
        lull = Lull(exports, spool, settings.stale_seconds, settings.retention)
        with desk.following(), listener:
            started(listener.port)
            away = False
            while not stop.is_set():
                try:
                    if away:
                        exports.recover()
                    away = False
                    export = exports.lease()
                    if export is not None:
                        _complete(export, exports, spool, settings.out, write_medium, auditor, reported)
                        continue
                    lull()
                except IndexAway:
                    away = True
                stop.wait(settings.poll_seconds)
    finally:
        exports.close()
        spool.release()


def _complete(
    export: Export,
    exports: Exports,
    spool: Spool,
    out: Path,
    write_medium: MediumWriter,
    auditor: Auditor,
    reported: Callable[[MediumReport], None],
) -> None:
    """Write the medium of one export as ``out/<number>``; a folder of that name is a complete medium."""
    try:
        members = exports.arrived(export, spool.path)
        paths = [member.received.path for member in members]
        manifest = manifest_mark(
            member.received.sop_instance_uid for member in members if member.kind is DocumentKind.MANIFEST
        )
        medium = out / str(export.number)
        if not medium.exists():
            unfinished = out / f".unfinished-{export.number}"
            shutil.rmtree(unfinished, ignore_errors=True)
            out.mkdir(parents=True, exist_ok=True)
            write_medium(paths, unfinished)
            unfinished.rename(medium)
    except Hold as exc:
        exports.hold(export.id, exc.reasons)
        return
    except Exception as exc:
        reason = Reason("medium", str(getattr(exc, "what", f"writing failed with {type(exc).__name__}")))
        if export.attempts + 1 >= _ATTEMPTS:
            exports.fail(export, [reason])
        else:
            exports.give_back(export, [reason], wait=2.0**export.attempts)
        return
    # The trail first: if this process dies in between, it has the import twice rather than never.
    detail = {"export": export.id, "sender": export.calling_ae}
    detail |= {"medium": str(export.number), "manifest": manifest, "instances": str(len(paths))}
    auditor.record("import", success=True, detail=detail)
    exports.close_export(export)
    reported(MediumReport(medium, len(paths), manifest))
