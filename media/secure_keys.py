"""Who opens a Secure DICOM File: certificates with RSA keys, and passwords (PS3.15 D.1.1, RFC 3370 4.2.1).

Closing: a recipient gives the content key of a file away, one RecipientInfo each. Opening: :class:`Keys` are all that a
person brought; they are tried on all that a file offers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from media.errors import ClosedFile, ProtectionRefused
from media.secure_frames import INTEGER, OCTETS, SEQUENCE, altered, value
from media.secure_passwords import FEWEST_ITERATIONS, Password, unwrap

FEWEST_BITS: Final = 2048
MOST_RECIPIENTS: Final = 64
_RSA: Final = bytes.fromhex("300d06092a864886f70d0101010500")
_RENEW = f"give a certificate in PEM with an RSA key of {FEWEST_BITS} bits or more, valid now"


class Recipient(Protocol):
    """One for whom files are closed."""

    def info(self, content_key: bytes) -> bytes:
        """Return the RecipientInfo of a content key in DER (RFC 5652 6.2)."""
        ...


@dataclass(frozen=True, slots=True)
class CertificateRecipient:
    """The holder of a certificate's key."""

    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def read(cls, pem: bytes, *, now: datetime | None = None) -> CertificateRecipient:
        """Raises ProtectionRefused for what is no certificate, not valid now, too weak or not for encryption."""
        return cls(certificate_for(pem, "key_encipherment", "a recipient", now))

    def info(self, content_key: bytes) -> bytes:
        """Return the KeyTransRecipientInfo of a content key."""
        public = self.certificate.public_key()
        assert isinstance(public, RSAPublicKey), "looked at when it was read"
        closed = public.encrypt(content_key, PKCS1v15())
        return value(
            SEQUENCE,
            value(INTEGER, b"\0"),
            issuer_and_serial(self.certificate),
            _RSA,
            value(OCTETS, closed),
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """What a person brought to open a medium with. ``content`` are content keys that are known already."""

    passwords: tuple[Password, ...] = ()
    private: tuple[RSAPrivateKey, ...] = field(default=(), repr=False)
    content: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.passwords or self.private or self.content)


def private_key(pem: bytes, ask: Callable[[], str] = lambda: "") -> RSAPrivateKey:
    """Return the RSA key of a PEM file; ``ask`` gives its passphrase where it has one. Raises ProtectionRefused."""
    try:
        passphrase = ask().encode() or None if b"ENCRYPTED" in pem else None
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ProtectionRefused(
            "the private key cannot be read, or its passphrase is another one",
            next_step="give an RSA key in PEM; a protected one asks for its passphrase on the terminal",
        )
    return key


def certificate_for(pem: bytes, usage: str, whose: str, now: datetime | None = None) -> x509.Certificate:
    """Return a certificate that may be used now. Raises ProtectionRefused."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ProtectionRefused("this is no certificate in PEM", next_step=_RENEW) from None
    now = now or datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ProtectionRefused(f"the certificate of {whose} is not valid at this time", next_step=_RENEW)
    if not isinstance(public, RSAPublicKey) or public.key_size < FEWEST_BITS:
        raise ProtectionRefused(
            f"the certificate of {whose} has no RSA key of {FEWEST_BITS} bits or more", next_step=_RENEW
        )
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return certificate
    if not getattr(allowed, usage):
        raise ProtectionRefused(
            f"the certificate of {whose} is not for this use",
            next_step=f"take one whose key usage has {usage.replace('_', ' ')}",
        )
    return certificate


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """Return the IssuerAndSerialNumber of a certificate in DER."""
    number = certificate.serial_number
    serial = value(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
    return value(SEQUENCE, certificate.issuer.public_bytes(), serial)


class Offer:
    """What an envelope offers to open it by: its RecipientInfos, looked through once."""

    def __init__(self, infos: bytes) -> None:
        """Raises ClosedFile ``altered`` for what cannot be read."""
        self.weak: tuple[str, ...] = ()
        self._passwords: list[cms.PasswordRecipientInfo] = []
        self._transports: list[bytes] = []
        try:
            for count, info in enumerate(cms.RecipientInfos.load(infos)):
                if count == MOST_RECIPIENTS:
                    raise altered()
                if info.name == "ktri":
                    self._transports.append(info.chosen["encrypted_key"].native)
                elif info.name == "pwri":
                    self._passwords.append(info.chosen)
        except (ValueError, TypeError, KeyError):
            raise altered() from None

    def content_key(self, keys: Keys, fits: Callable[[bytes], bool]) -> bytes:
        """Return the content key; ``fits`` tells whether the content opens with one.

        Raises ClosedFile: ``no-key``, ``wrong-password``, ``wrong-key``, ``unsupported`` or ``altered``.
        """
        if not keys:
            raise ClosedFile("no-key", "is encrypted", next_step=self._next_step())
        unwrapped = False
        for candidate in keys.content:
            if fits(candidate):
                return candidate
        for candidate in self._by_password(keys):
            unwrapped = True
            if fits(candidate):
                return candidate
        for candidate in self._by_private_key(keys):
            if fits(candidate):
                return candidate
        if unwrapped:
            raise altered()
        if self._passwords and keys.passwords:
            raise ClosedFile("wrong-password", "does not open: the password is another one", next_step=_ASK)
        raise ClosedFile(
            "wrong-key",
            "does not open: it was closed for others than the holder of this key"
            if self._transports and keys.private
            else "does not open: it was closed in another way than with what was given",
            next_step=self._next_step(),
        )

    def _next_step(self) -> str:
        ways = []
        if self._transports:
            ways.append("--key with the private key of one of the recipients")
        if self._passwords:
            ways.append("--password-file with the password of the medium")
        return f"give {' or '.join(ways)}" if ways else _ASK

    def _by_password(self, keys: Keys) -> Iterator[bytes]:
        for info in self._passwords:
            for password in keys.passwords:
                try:
                    key, iterations = unwrap(info, password)
                except (ValueError, TypeError, KeyError):
                    raise ClosedFile(
                        "unsupported",
                        "is closed with a password in a way that PS3.15 D does not know",
                        next_step="ask for a medium closed with PBKDF2 and AES",
                    ) from None
                if iterations < FEWEST_ITERATIONS:
                    self.weak = (
                        f"the password is guarded by {iterations} rounds of PBKDF2 only: it can be guessed",
                    )
                if key is not None:
                    yield key

    def _by_private_key(self, keys: Keys) -> Iterator[bytes]:
        for closed in self._transports:
            for private in keys.private:
                try:
                    yield private.decrypt(closed, PKCS1v15())
                except ValueError:
                    continue


_ASK = "ask whoever sent the medium"
