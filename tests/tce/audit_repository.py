"""An audit repository for tests: real sockets, real TLS, and a strict reading of RFC 5425 and RFC 5426.

It keeps every message in the order of arrival, and can be told to misbehave in the ways that repositories do.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from tce.network.tls import Certificates
from tests.tce.test_tls import Authority

_HEADER = re.compile(
    rb"<(?P<priority>[0-9]{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) - "
    rb"(?P<mark>\xef\xbb\xbf)?(?P<message><\?xml .*)",
    re.DOTALL,
)
_FRAME = re.compile(rb"([1-9][0-9]*) ")


class Manner(Enum):
    """How a repository ends a connection."""

    PROPER = auto()
    NO_ANSWER = auto()  # reads everything and closes, without the end of TLS
    RESET = auto()  # reads one message and dies


@dataclass(frozen=True, slots=True)
class Syslog:
    """A message as a repository reads it."""

    priority: int
    time: str
    host: str
    app: str
    process: str
    id: str
    marked: bool
    xml: bytes


def parsed(message: bytes) -> Syslog:
    """Read a syslog message (RFC 5424 section 6)."""
    found = _HEADER.fullmatch(message)
    assert found is not None, message[:80]
    words = {name: found[name].decode("ascii") for name in ("time", "host", "app", "process", "id")}
    return Syslog(
        **words, priority=int(found["priority"]), marked=found["mark"] is not None, xml=found["message"]
    )


def frames(stream: bytes) -> Iterator[bytes]:
    """Yield the messages of a stream (RFC 5425 section 4.3), the unfinished one at its end left out."""
    at = 0
    while found := _FRAME.match(stream, at):
        end = found.end() + int(found[1])
        if end > len(stream):
            return
        yield stream[found.end() : end]
        at = end
    assert at == len(stream) or stream[at:].isdigit(), "what follows a message is no length"


@dataclass
class TlsRepository:
    """Listens for RFC 5425 on a port of this machine while it is :meth:`open`."""

    folder: Path
    manner: Manner = Manner.PROPER
    got: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder)
        certificate, key, self.fingerprint = self.authority.issue("repository")
        self.own = Certificates(certificate, key, self.authority.ca)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def certificates(self, *fingerprints: str) -> Certificates:
        """Return what a site shows it, and how the site knows it."""
        certificate, key, _ = self.authority.issue("site")
        return Certificates(
            certificate, key, self.authority.ca, {"127.0.0.1": fingerprints} if fingerprints else {}
        )

    @property
    def messages(self) -> list[Syslog]:
        """What arrived."""
        return [parsed(one) for one in self.got]

    @contextmanager
    def open(self) -> Iterator[TlsRepository]:
        """Be there."""
        server = socket.create_server(("127.0.0.1", self.port))
        context = self.own.for_listening()
        thread = threading.Thread(target=self._serve, args=(server, context), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            server.close()

    def _serve(self, server: socket.socket, context: ssl.SSLContext) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.settimeout(10)
            self.connections += 1
            with contextlib.suppress(OSError):
                self._take(context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False))

    def _take(self, connection: ssl.SSLSocket) -> None:
        stream, kept = b"", 0
        try:
            while chunk := connection.recv(65536):
                stream += chunk
                whole = list(frames(stream))
                if self.manner is Manner.RESET and whole:
                    self.got.append(whole[0])
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()
                    return
                self.got += whole[kept:]
                kept = len(whole)
            if self.manner is Manner.PROPER:
                connection.unwrap()
        finally:
            connection.close()


@dataclass
class UdpRepository:
    """Listens for RFC 5426 on a port of this machine while it is :meth:`open`."""

    got: list[bytes] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def open(self) -> Iterator[UdpRepository]:
        """Be there; at the end everything that was sent has been read."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            server.bind(("127.0.0.1", self.port))
            self.port = server.getsockname()[1]
            try:
                yield self
            finally:
                server.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self.got.append(server.recv(65536))

    @property
    def messages(self) -> list[Syslog]:
        """What arrived."""
        return [parsed(one) for one in self.got]
