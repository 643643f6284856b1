"""DICOM over TLS as PS3.15 B.12 has it (BCP 195): TLS 1.2 or newer, both sides with a certificate.

Who a peer is, is said twice: by a CA that the site trusts, and by the fingerprint that its AE title has in the
settings. A certificate of somebody else does not do, whoever signed it.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tce.errors import ConfigFault

# Key exchange with forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


@dataclass(frozen=True, slots=True)
class Certificates:
    """A site's own certificate and key, whom it trusts, and which certificates each AE title has (PEM files)."""

    certificate: Path
    key: Path
    ca: Path
    peers: Mapping[str, Collection[str]] = field(default_factory=lambda: MappingProxyType({}))

    def for_listening(self) -> ssl.SSLContext:
        """Return a context that wants a certificate of every peer. Raises ConfigFault when a file is no use."""
        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def for_calling(self, ae_title: str) -> ssl.SSLContext:
        """Return a context for calling a peer. Without a fingerprint its certificate must name its host."""
        context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname = ae_title not in self.peers
        return context

    def has(self, ae_title: str, connection: ssl.SSLSocket | ssl.SSLObject) -> bool:
        """Say whether a connected peer shows a certificate that this AE title has in the settings."""
        shown = connection.getpeercert(binary_form=True)
        return shown is not None and any(
            hmac.compare_digest(fingerprint(shown), known) for known in self.peers.get(ae_title, ())
        )

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.verify_mode = ssl.CERT_REQUIRED
        for what, path in (("certificate", self.certificate), ("key", self.key), ("ca", self.ca)):
            if not path.is_file():
                raise ConfigFault(
                    f"there is no file {path} (network.tls.{what})",
                    next_step="correct tce.toml, or put it there",
                )
        try:
            # A key with a passphrase would make the library ask on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
            context.load_verify_locations(self.ca)
        except (ssl.SSLError, OSError, ValueError):
            raise ConfigFault(
                "certificate, key or CA of network.tls cannot be used",
                next_step="give PEM files: a chain, its key without passphrase, and the CAs of your peers",
            ) from None
        return context


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in DER, as it stands in the settings."""
    return "sha256:" + hashlib.sha256(certificate).hexdigest()


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")
