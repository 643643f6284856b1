"""The door of a listener: how many may come in at a time, who has a certificate, and what is told of each caller.

A TLS handshake runs in the caller's own thread and has its time, so that nobody who stalls stops the others. A
caller who speaks without TLS at a door that wants it is told of, and shut out.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pynetdicom.transport import ThreadedAssociationServer

from tce.network import quiet

quiet.silence()

_HANDSHAKE_SECONDS: Final = 10.0
_SPARE: Final = 8
"""Connections beyond the associations that may be open: enough to tell a few callers that there are too many."""
_ASSOCIATE_RQ: Final = 0x01


class Incident(StrEnum):
    """What can be told of a caller."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ENDED = "ended"
    ABORTED = "aborted"
    PLAINTEXT = "plaintext"
    NO_CERTIFICATE = "no certificate"
    WRONG_CERTIFICATE = "wrong certificate"
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True)
class Contact:
    """One incident at the door: who called, from which address, how many instances were taken in."""

    incident: Incident
    address: str
    calling_ae: str = ""
    called_ae: str = ""
    instances: int = 0


Tell = Callable[[Contact], None]


class Doorway(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts connections for a listener."""

    daemon_threads = True

    def __init__(
        self, *args: Any, most: int, context: ssl.SSLContext | None, tell: Tell, **kwargs: Any
    ) -> None:
        self._most = most + _SPARE
        self._context = context
        self._tell = tell
        self._coming_in = 0
        self._counting = threading.Lock()
        self._crowded = False
        super().__init__(*args, **kwargs)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Say whether there is room for one more connection; one that is turned away is closed at once."""
        with self._counting:
            room = self._coming_in + len(self.active_associations) < self._most
            if room:
                self._coming_in += 1
            told, self._crowded = self._crowded, not room
        if not room and not told:
            self._tell(Contact(Incident.CROWDED, str(client_address[0])))
        return room

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Let one caller in: handshake, then the association."""
        try:
            secured = self._secured(request, str(client_address[0])) if self._context else request
            if secured is None:
                self.shutdown_request(request)
                return
            self.finish_request(secured, client_address)
        except Exception:
            # What a caller did is no reason for a traceback on the operator's terminal.
            self.shutdown_request(request)
        finally:
            with self._counting:
                self._coming_in -= 1

    def _secured(self, connection: socket.socket, address: str) -> ssl.SSLSocket | None:
        assert self._context is not None, "asked only where TLS is wanted"
        connection.settimeout(_HANDSHAKE_SECONDS)
        try:
            first = connection.recv(1, socket.MSG_PEEK)
            if first[:1] == bytes((_ASSOCIATE_RQ,)):
                self._tell(Contact(Incident.PLAINTEXT, address))
                return None
            secured = self._context.wrap_socket(connection, server_side=True)
        except (ssl.SSLError, OSError):
            self._tell(Contact(Incident.NO_CERTIFICATE, address))
            return None
        secured.settimeout(None)
        return secured

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is closed already is no error."""
        with contextlib.suppress(OSError):
            super().shutdown_request(request)
