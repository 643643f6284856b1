"""Certificates with their keys, made when a test asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes

    def save(self, folder: Path, name: str = "holder") -> tuple[Path, Path]:
        """Write both and return where they are."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


def a_holder(
    name: str = "Re-identifier",
    *,
    bits: int = 2048,
    begins: int = -1,
    ends: int = 30,
    passphrase: str = "",
    signs_only: bool = False,
) -> Holder:
    """A holder of a certificate that is valid from ``begins`` to ``ends``, in days from now; no bits: not RSA.

    The same holder whenever the same is asked for.
    """
    return _made(name, bits, begins, ends, passphrase, signs_only)


@cache
def _made(name: str, bits: int, begins: int, ends: int, passphrase: str, signs_only: bool) -> Holder:
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if signs_only:
        others = "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
        uses = dict.fromkeys([*others.split(), "encipher_only", "decipher_only"], False)
        builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **uses), critical=True)
    closing = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return Holder(
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closing),
    )
