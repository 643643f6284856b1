"""Audit messages on their way to a repository: syslog messages (RFC 5424) over TLS (RFC 5425) or UDP (RFC 5426).

Syslog has no acknowledgement. Over TLS a repository nevertheless says that it has read everything: it answers the
end of the connection with an end of its own (RFC 5425 section 4.4), which nobody but it can write. So each batch
has a connection, and counts as delivered when that answer came. Over UDP nobody says anything.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tce.audit.repository import Form
from tce.audit.trail import Record
from tce.errors import RepositoryAway
from tce.network.tls import Certificates

PRIORITY: Final = 10 * 8 + 5
"""Facility 10 (security and authorization), severity 5 (notice): PS3.15 A.6 and ITI-20."""

LARGEST_DATAGRAM: Final = 32768
"""Octets that a repository has to take (PS3.15 A.6.2); a larger datagram may arrive cut off."""

_MESSAGE_ID: Final = {Form.IHE: "IHE+RFC-3881", Form.DICOM: "DICOM+RFC3881"}
# RFC 5424 section 6.4 marks UTF-8 by this; ITI-20 discourages it.
_MARK: Final = {Form.IHE: b"", Form.DICOM: b"\xef\xbb\xbf"}
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>'
_PROCESS: Final = re.compile(r"tce/([0-9]{1,10})")
_SECONDS: Final = 10.0
_CHUNK: Final = 16384


class Sender(Protocol):
    """Brings messages to a repository."""

    @property
    def largest(self) -> int | None:
        """Octets that a message may have at most; None: as many as it likes."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Send a batch in order; when this returns it is delivered. Raises RepositoryAway."""


def message_of(record: Record, host: str, form: Form) -> bytes:
    """Return the syslog message of a record that has an audit message: the same octets whenever it is made."""
    name = "".join(sign for sign in host if "!" <= sign <= "~")[:255] or "-"
    process = _PROCESS.fullmatch(record.actor)
    header = f"<{PRIORITY}>1 {record.time} {name} tce {process[1] if process else '-'} {_MESSAGE_ID[form]} - "
    return header.encode("ascii") + _MARK[form] + _DECLARATION + record.message.encode("utf-8")


def framed(message: bytes) -> bytes:
    """Return a message with the number of its octets in front (RFC 5425 section 4.3)."""
    return b"%d %s" % (len(message), message)


@dataclass(frozen=True, slots=True)
class TlsSender:
    """Sends over TLS, both sides with a certificate. ``certificates`` hold the repository's under its host."""

    host: str
    port: int
    certificates: Certificates
    largest: int | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send a batch; returns when the repository has read it all. Raises RepositoryAway, ConfigFault."""
        context = self.certificates.for_calling(self.host)
        try:
            with socket.create_connection((self.host, self.port), timeout=_SECONDS) as connection:
                call = _Call(connection, context, self.host)
                call.handshake()
                if self.certificates.peers and not self.certificates.has(self.host, call.tls):
                    raise RepositoryAway(
                        "the audit repository shows another certificate than the settings name",
                        next_step="ask its administrators; a new one goes into audit.fingerprints in tce.toml",
                    )
                call.send(b"".join(framed(message) for message in messages))
                call.confirm()
        except ssl.SSLCertVerificationError:
            raise RepositoryAway(
                "the certificate of the audit repository is not trusted, or names another host",
                next_step="correct network.tls.ca or audit.fingerprints in tce.toml",
            ) from None
        except TimeoutError:
            raise RepositoryAway("the audit repository does not answer") from None
        except ssl.SSLError:
            raise RepositoryAway("the audit repository ended TLS without a confirmation") from None
        except OSError as exc:
            raise RepositoryAway(_words(exc)) from None


class _Call:
    """One connection to a repository.

    The TLS is kept apart from the socket, because OpenSSL's own way to end a connection takes a fatal alert, such as
    that of a repository that does not know our certificate, for the orderly end that it waits for.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._connection = connection
        self._ended = False
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=host)

    def handshake(self) -> None:
        """Agree on keys; both sides show their certificates."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._take()
            else:
                self._flush()
                return

    def send(self, content: bytes) -> None:
        """Encrypt and send."""
        self.tls.write(content)
        self._flush()

    def confirm(self) -> None:
        """End our side and read until the other side has ended its own; any other end is an exception."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            self._flush()
        else:
            raise RepositoryAway("the audit repository ended TLS before it had read everything")
        while True:
            self._take()
            try:
                while self.tls.read(_CHUNK):
                    pass  # a repository has nothing to say; if it does, it is not for us
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLZeroReturnError:
                return

    def _flush(self) -> None:
        if self._out.pending:
            self._connection.sendall(self._out.read())

    def _take(self) -> None:
        if self._ended:
            # Some versions of OpenSSL go on asking for more behind the end of the connection.
            raise RepositoryAway("the audit repository ended TLS without a confirmation")
        content = self._connection.recv(_CHUNK)
        if content:
            self._in.write(content)
        else:
            self._ended = True
            self._in.write_eof()


@dataclass(frozen=True, slots=True)
class UdpSender:
    """Sends each message as one datagram. What is lost on the way, nobody learns."""

    host: str
    port: int
    largest: int | None = LARGEST_DATAGRAM

    def send(self, messages: Sequence[bytes]) -> None:
        """Send a batch. Raises RepositoryAway when this machine is told that nobody is there."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_DGRAM
            )[0]
            with socket.socket(family, kind, protocol) as connection:
                connection.connect(address)
                for message in messages:
                    connection.send(message)
                refused = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as exc:
            raise RepositoryAway(_words(exc)) from None
        if refused:
            raise RepositoryAway("nobody takes datagrams at the audit repository's address")


def _words(exc: OSError) -> str:
    return f"the audit repository cannot be reached: {exc.strerror or type(exc).__name__}"
