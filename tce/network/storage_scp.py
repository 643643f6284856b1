"""Listens for C-STORE (RAD-50 to RAD-53) and C-ECHO, and hands on each instance as the bytes that came.

The caller's function stores the instance and returns the status that goes back: Success is never sent before
it returns. Only AE titles that are allowed get an association; nothing but Verification and Storage is
served. Decoding, indexing and deciding are not done here.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from tce.errors import PortInUse
from tce.network import quiet
from tce.network.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION
from tce.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

quiet.silence()

MAXIMUM_PDU = 1 << 18  # large enough that framing does not count, small enough for any peer's memory
_GRACE = 2.0  # seconds that a peer has to release after the listener was stopped
_LEGAL_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class Status(IntEnum):
    """C-STORE response statuses that are used here (PS3.4 table B.2-1, PS3.7 annex C)."""

    SUCCESS = 0x0000
    INVALID_SOP_INSTANCE = 0x0117
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One C-STORE request. ``dataset`` is encoded as received and valid only until the answer is given."""

    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str
    dataset: memoryview = field(repr=False)


class StorageListener:
    """A Storage SCP. Use as a context manager: it listens inside the block.

    Port 0 takes a free one; :attr:`port` says which. ``on_instance`` is called from one thread for each
    association; when it raises, the peer is told that resources are out and may send again.
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        allowed: Collection[str],
        on_instance: Callable[[Arrival], Status],
    ) -> None:
        self.ae_title = ae_title
        self.host = host
        self.port = port
        self._on_instance = on_instance
        self._ae = AE(ae_title=ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = sorted(allowed)
        self._nobody = not allowed
        self._ae.maximum_pdu_size = MAXIMUM_PDU
        self._ae.maximum_associations = 64
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._contexts = [build_context(VERIFICATION, list(UNCOMPRESSED))] + [
            build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_SOP_CLASSES
        ]
        self._server: Any = None

    def start(self) -> None:
        """Start to listen. Raises PortInUse when somebody else does already."""
        if self._nobody:
            # An empty list would let pynetdicom answer everybody.
            raise ValueError("nobody is allowed to call this listener")
        handlers = [(evt.EVT_CONN_OPEN, send_at_once), (evt.EVT_C_STORE, self._store)]
        try:
            self._server = self._ae.start_server(
                (self.host, self.port), block=False, evt_handlers=handlers, contexts=self._contexts
            )
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            raise PortInUse(
                f"{self.ae_title} cannot listen on {self.host}:{self.port}: {exc.strerror}",
                next_step="stop the other program, or set another port in tce.toml",
            ) from None
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """Stop listening and end open associations. What was answered with Success stays stored."""
        if self._server is None:
            return
        self._server.shutdown()
        # An association that is about to end by itself must not be aborted as well: the toolkit would
        # write a traceback.
        deadline = time.monotonic() + _GRACE
        while (active := self._server.active_associations) and time.monotonic() < deadline:
            time.sleep(0.01)
        for assoc in active:
            if assoc.is_established:
                assoc.abort()
        self._server = None

    def __enter__(self) -> StorageListener:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _store(self, event: Any) -> int:
        request = event.request
        sop_instance_uid = str(request.AffectedSOPInstanceUID)
        if len(sop_instance_uid) > 64 or not _LEGAL_UID.fullmatch(sop_instance_uid):
            return Status.INVALID_SOP_INSTANCE
        with request.DataSet.getbuffer() as dataset:
            arrival = Arrival(
                calling_ae=event.assoc.requestor.ae_title.strip(),
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=str(event.context.transfer_syntax),
                dataset=dataset,
            )
            try:
                return int(self._on_instance(arrival))
            except Exception:
                # Whatever went wrong, these bytes are not known to be safe, and only the peer still has them.
                return Status.OUT_OF_RESOURCES


def send_at_once(event: Any) -> None:
    """Set TCP_NODELAY: a response waits 40 ms for the peer's acknowledgement otherwise."""
    connection = event.assoc.dul.socket.socket
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
