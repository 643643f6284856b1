"""The desk at which instances arrive: bytes to the spool, recognise, index, and only then Success.

Serves Export Manager and Receiver alike (RAD-50 to RAD-53). What an instance is, is decided by SOP Class and
document title and nothing else; a document that cannot be read is taken in and held, never turned away, since
the peer has done its part.
"""

from __future__ import annotations

from pydicom import dcmread

from tce.collecting import Intake
from tce.documents.manifest import DOCUMENT_CLASSES, DocumentKind, ParsedManifest, parse, recognise
from tce.exports import Exports
from tce.network.storage_scp import Arrival, Status
from tce.road import Hold, Reason
from tce.spool import Header, Spool, Spooled


class ArrivalDesk:
    """Takes instances in for one spool and its index."""

    def __init__(self, spool: Spool, exports: Exports) -> None:
        self._spool = spool
        self._exports = exports

    def take_in(self, arrival: Arrival) -> Status:
        """Store and index one instance; when this returns Success, it survives whatever happens."""
        header = Header(
            arrival.sop_class_uid,
            arrival.sop_instance_uid,
            arrival.transfer_syntax_uid,
            arrival.calling_ae,
        )
        try:
            spooled = self._spool.put(header, arrival.dataset)
        except OSError:
            return Status.OUT_OF_RESOURCES
        self._index(spooled)
        return Status.SUCCESS

    def adopt(self) -> int:
        """Index every spooled file that the index does not know; return how many.

        A process that died between storing and indexing leaves such a file. Nobody was answered Success for
        it, but its bytes are whole.
        """
        unknown = set(self._spool.names()) - self._exports.files()
        for name in sorted(unknown):
            self._index(self._spool.examine(name))
        return len(unknown)

    def _index(self, spooled: Spooled) -> None:
        kind, manifest, faults = self._recognise(spooled)
        if self._exports.arrive(spooled, kind, manifest, faults) is Intake.DUPLICATE:
            self._spool.remove(spooled.name)

    def _recognise(self, spooled: Spooled) -> tuple[DocumentKind, ParsedManifest | None, list[Reason]]:
        sop_class_uid = spooled.header.sop_class_uid
        if sop_class_uid not in DOCUMENT_CLASSES:
            return DocumentKind.INSTANCE, None, []
        try:
            ds = dcmread(self._spool.path(spooled.name))
            kind = recognise(sop_class_uid, ds)
        except Exception:  # a peer's bytes may fail in any way; unreadable here, refused when it is worked on
            return DocumentKind.INSTANCE, None, []
        if kind is not DocumentKind.MANIFEST:
            return kind, None, []
        try:
            manifest = parse(ds)
        except Hold as exc:
            return kind, None, list(exc.reasons)
        if manifest.sop_instance_uid != spooled.header.sop_instance_uid:
            wrong = Reason("uid-mismatch", "the manifest is not the one its C-STORE request named")
            return kind, None, [wrong]
        return kind, manifest, []
