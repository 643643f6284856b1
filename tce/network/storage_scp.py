"""Listens for C-STORE (RAD-50 to RAD-53) and C-ECHO, and hands on each instance as the bytes that come.

The caller's sink stores the instance and returns the status that goes back: Success is never sent before
it returns. Only AE titles that are allowed get an association; nothing but Verification, Storage and
what the caller adds is served. Decoding, indexing and deciding are not done here.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext, build_context

from tce.errors import PortInUse
from tce.network import quiet
from tce.network.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION
from tce.network.doorway import Contact, Doorway, Incident, Tell
from tce.network.store_reader import MAXIMUM_PDU, Arrival, Limits, Sink, Status, StoreReader, settle_each
from tce.network.tls import Certificates
from tce.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

quiet.silence()

_GRACE = 2.0  # seconds that a peer has to release after the listener was stopped


class Service(NamedTuple):
    """What a listener serves besides storage: presentation contexts, and handlers of pynetdicom for their messages."""

    contexts: tuple[PresentationContext, ...]
    handlers: tuple[tuple[Any, Callable[[Any], Any]], ...]


class StorageListener:
    """A Storage SCP. Use as a context manager: it listens inside the block.

    Port 0 takes a free one; :attr:`port` says which. ``open_sink`` is called from one thread for each
    association; when it or the sink raises, the peer is told that resources are out and may send again. ``settle``
    makes sinks durable together.
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        allowed: Collection[str],
        open_sink: Callable[[Arrival], Sink],
        limits: Limits | None = None,
        *,
        certificates: Certificates | None = None,
        tell: Tell = lambda contact: None,
        services: Sequence[Service] = (),
        settle: Callable[[Sequence[Any]], list[Status]] = settle_each,
    ) -> None:
        self.ae_title = ae_title
        self.host = host
        self.port = port
        self._open_sink = open_sink
        self._limits = limits or Limits()
        self._certificates = certificates
        self._tell = tell
        self._settle = settle
        self._ae = AE(ae_title=ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = sorted(allowed)
        self._nobody = not allowed
        self._ae.maximum_pdu_size = MAXIMUM_PDU
        self._ae.maximum_associations = self._limits.associations
        self._ae.network_timeout = self._limits.idle_seconds
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._contexts = [build_context(VERIFICATION, list(UNCOMPRESSED))] + [
            build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_SOP_CLASSES
        ]
        self._contexts += [context for service in services for context in service.contexts]
        self._handlers = [handler for service in services for handler in service.handlers]
        self._server: Any = None

    def start(self) -> None:
        """Start to listen. Raises PortInUse when somebody else does already."""
        if self._nobody:
            # An empty list would let pynetdicom answer everybody.
            raise ValueError("nobody is allowed to call this listener")
        context = self._certificates.for_listening() if self._certificates else None
        handlers = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ACCEPTED, lambda event: self._told(Incident.ACCEPTED, event)),
            (evt.EVT_REJECTED, lambda event: self._told(Incident.REJECTED, event)),
            (evt.EVT_RELEASED, lambda event: self._told(Incident.ENDED, event)),
            (evt.EVT_ABORTED, lambda event: self._told(Incident.ABORTED, event)),
            *self._handlers,
        ]
        try:
            self._server = self._ae.make_server(
                (self.host, self.port),
                contexts=self._contexts,
                evt_handlers=handlers,
                server_class=Doorway,
                most=self._limits.associations,
                context=context,
                tell=self._tell,
            )
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            raise PortInUse(
                f"{self.ae_title} cannot listen on {self.host}:{self.port}: {exc.strerror}",
                next_step="stop the other program, or set another port in tce.toml",
            ) from None
        self._server.contexts = _Shared(self._server.contexts)
        self._ae._servers.append(self._server)
        threading.Thread(target=self._server.serve_forever, name=self.ae_title, daemon=True).start()
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

    def _opened(self, event: Any) -> None:
        send_at_once(event)
        reader = StoreReader(event.assoc, self._open_sink, self._limits, self._settle)
        reader.attach()
        event.assoc.store_reader = reader

    def _requested(self, event: Any) -> None:
        """Reject who shows another certificate than the AE title has (PS3.8 table 9-21: calling AE not recognized)."""
        if self._certificates is None:
            return
        assoc = event.assoc
        calling = str(assoc.requestor.primitive.calling_ae_title).strip()
        if not self._certificates.has(calling, assoc.dul.socket.socket):
            self._told(Incident.WRONG_CERTIFICATE, event)
            assoc.acse.send_reject(0x01, 0x01, 0x03)
            assoc.is_rejected = True
            assoc.kill()

    def _told(self, incident: Incident, event: Any) -> None:
        requestor = event.assoc.requestor
        request = requestor.primitive
        self._tell(
            Contact(
                incident,
                str(requestor.address_info.address),
                _ae_title(request.calling_ae_title) if request else "",
                _ae_title(request.called_ae_title) if request else "",
                event.assoc.store_reader.taken,
            )
        )


class _Shared(list[PresentationContext]):
    """What a listener supports, the same for all associations.

    The toolkit copies it for each association, which takes longer than a study; negotiation only reads it.
    """

    def __deepcopy__(self, memo: object) -> list[PresentationContext]:
        return list(self)


def _ae_title(text: object) -> str:
    """Return an AE title as it may be written down: a stranger's may hold anything."""
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in str(text).strip()[:16])


def send_at_once(event: Any) -> None:
    """Set TCP_NODELAY: a response waits 40 ms for the peer's acknowledgement otherwise."""
    connection = event.assoc.dul.socket.socket
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
