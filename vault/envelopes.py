"""Closed for holders of certificates: CMS EnvelopedData (RFC 5652), AES-256, one key transport for each recipient.

What stage 1 keeps for a re-identifier beside the pseudonyms (PS3.15 E.1.1), and a revealed table on its way to a
custodian, are closed like this::

    seed + recipients + content ──HMAC-SHA-256──▶ key, initialization vector, padding ──▶ envelope

With one seed the same content for the same recipients gives the same bytes, as everything else that a stage writes.
That takes nothing from the secrecy: another content has another key, and without the seed nobody can say which. Where
nothing needs to be repeated the seed is random. An envelope proves neither its writer nor that it is unaltered; who
opens one checks what is in it. Opened are AES and Triple DES in all their lengths, as a re-identifier has to
(PS3.15 E.1.2), from any writer.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding as asymmetric_padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from vault import ber
from vault.client import Client
from vault.errors import BadCertificate, BadEnvelope
from vault.keys import ATTRIBUTE_KEY, Mount
from vault.secrecy import Secret, safe_name

FEWEST_BITS = 2048
MOST_RECIPIENTS = 16
_PEM_LABEL = "CMS"
_BLOCK = 16


_ENVELOPED = bytes.fromhex("2a864886f70d010703")  # 1.2.840.113549.1.7.3
_DATA = bytes.fromhex("2a864886f70d010701")  # 1.2.840.113549.1.7.1
_RSA = bytes.fromhex("2a864886f70d010101")  # 1.2.840.113549.1.1.1
_AES_256 = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42
_AES_192 = bytes.fromhex("608648016503040116")
_AES_128 = bytes.fromhex("608648016503040102")
_DES_EDE3 = bytes.fromhex("2a864886f70d0307")  # 1.2.840.113549.3.7
_CIPHERS: dict[bytes, tuple[Callable[[bytes], algorithms.AES | TripleDES], int, int]] = {
    _AES_256: (algorithms.AES, 32, 16),
    _AES_192: (algorithms.AES, 24, 16),
    _AES_128: (algorithms.AES, 16, 16),
    _DES_EDE3: (TripleDES, 24, 8),
}
"""By the name of the algorithm: cipher, octets of its key, octets of a block (RFC 3370, RFC 3565)."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A certificate for whose key something is closed."""

    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def read(cls, pem: bytes, *, now: datetime | None = None) -> Recipient:
        """The recipient of a certificate in PEM.

        Raises BadCertificate for what is none, is not valid at this time, has no RSA key of 2048 bits or more, or
        has a key that is not for encryption.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            public = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            raise BadCertificate("this is no certificate in PEM", next_step=_PEM_STEP) from None
        now = now or datetime.now(UTC)
        if now > certificate.not_valid_after_utc:
            raise BadCertificate("the certificate of a recipient has expired", next_step=_RENEW)
        if now < certificate.not_valid_before_utc:
            raise BadCertificate("the certificate of a recipient is not valid yet", next_step=_RENEW)
        if not isinstance(public, RSAPublicKey):
            raise BadCertificate("the certificate of a recipient has no RSA key", next_step=_RENEW)
        if public.key_size < FEWEST_BITS:
            raise BadCertificate(
                f"the key of a recipient is too weak: it has fewer than {FEWEST_BITS} bits", next_step=_RENEW
            )
        if not _may_encrypt(certificate):
            raise BadCertificate(
                "the certificate of a recipient is not for encryption", next_step="take one for encryption"
            )
        return cls(certificate)

    @property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the certificate, by which a case names it."""
        return "sha256:" + sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def transport(self) -> _Transport:
        """How keys get to this recipient."""
        public = self.certificate.public_key()
        assert isinstance(public, RSAPublicKey), "looked at when it was read"
        numbers = public.public_numbers()
        rsa = ber.write(ber.SEQUENCE, ber.write(ber.OID, _RSA), ber.write(ber.NULL))
        head = ber.integer(0) + _issuer_and_serial(self.certificate) + rsa
        return _Transport(head, numbers.n, numbers.e, (public.key_size + 7) // 8)


class _Transport(NamedTuple):
    """Key transport with RSA, PKCS #1 v1.5 (RFC 3370 4.2.1): what is the same for every key."""

    head: bytes
    modulus: int
    exponent: int
    octets: int

    def info(self, key: bytes, root: bytes, label: bytes) -> bytes:
        """The KeyTransRecipientInfo of a key; its padding, which has no zeros, is derived from ``root``."""
        padding, needed, block = b"", self.octets - 3 - len(key), 0
        while len(padding) < needed:
            padding += _derived(root, label + b" %d" % block).replace(b"\0", b"")
            block += 1
        message = int.from_bytes(b"\0\2" + padding[:needed] + b"\0" + key, "big")
        closed = pow(message, self.exponent, self.modulus).to_bytes(self.octets, "big")
        return ber.write(ber.SEQUENCE, self.head, ber.write(ber.OCTETS, closed))


class Envelope:
    """Closes contents for some recipients, each of whom opens them alone with the own key."""

    def __init__(self, recipients: Sequence[Recipient], seed: Secret[bytes] | None = None) -> None:
        """With ``seed`` the same content gives the same bytes. Raises BadCertificate for no recipient or too many."""
        by_digest = {recipient.digest: recipient for recipient in recipients}
        if not by_digest:
            raise BadCertificate("there is no recipient to encrypt for", next_step="name a certificate")
        if len(by_digest) > MOST_RECIPIENTS:
            raise BadCertificate(
                f"there are more than {MOST_RECIPIENTS} recipients", next_step="name fewer certificates"
            )
        digests = sorted(by_digest)
        self._transports = [by_digest[digest].transport() for digest in digests]
        self._label = b"\0".join([b"envelope", *(digest.encode() for digest in digests), b""])
        self._seed = seed or Secret(os.urandom(32))

    def __len__(self) -> int:
        return len(self._transports)

    def close(self, content: bytes) -> bytes:
        """The content as EnvelopedData in DER."""
        root = _derived(self._seed.reveal(), self._label + content)
        key, vector = _derived(root, b"key"), _derived(root, b"vector")[:_BLOCK]
        transports = [
            one.info(key, root, b"padding %d" % place) for place, one in enumerate(self._transports)
        ]
        padder, encryptor = PKCS7(8 * _BLOCK).padder(), _cipher(_AES_256, key, vector).encryptor()
        padded = padder.update(content) + padder.finalize()
        closed = encryptor.update(padded) + encryptor.finalize()
        algorithm = ber.write(ber.SEQUENCE, ber.write(ber.OID, _AES_256), ber.write(ber.OCTETS, vector))
        encrypted = ber.write(ber.SEQUENCE, ber.write(ber.OID, _DATA), algorithm, ber.write(0x80, closed))
        enveloped = ber.write(
            ber.SEQUENCE, ber.integer(0), ber.write(ber.SET, *sorted(transports)), encrypted
        )
        return ber.write(ber.SEQUENCE, ber.write(ber.OID, _ENVELOPED), ber.write(0xA0, enveloped))

    def close_as_text(self, content: bytes) -> bytes:
        """The content as EnvelopedData in PEM (RFC 7468), for a file that people handle."""
        return _text(self.close(content))


class Opener:
    """Opens what was closed for one certificate, with its private key."""

    def __init__(self, certificate: bytes, key: bytes, ask: Callable[[], str] = lambda: "") -> None:
        """Certificate and key in PEM; ``ask`` gives the passphrase of a protected key.

        An expired certificate still opens what was closed for it. Raises BadCertificate.
        """
        try:
            self._certificate = x509.load_pem_x509_certificate(certificate)
        except ValueError:
            raise BadCertificate("this is no certificate in PEM", next_step=_PEM_STEP) from None
        private = _private_key(key, ask)
        if not isinstance(private, RSAPrivateKey) or private.public_key() != self._certificate.public_key():
            raise BadCertificate(
                "the private key is not the one of the certificate",
                next_step="give the two that belong together",
            )
        self._key = private

    def __repr__(self) -> str:
        return "Opener(…)"

    def open(self, envelope: bytes) -> Secret[bytes]:
        """What is in an EnvelopedData, in DER (what follows it is ignored) or PEM.

        Raises BadEnvelope for what is none, is closed for others, or does not open.
        """
        [_, enveloped] = _two(ber.first(_der(envelope)))
        [inner] = enveloped.inside()
        parts = [part for part in inner.inside() if part.tag not in (0xA0, 0xA1)]
        if len(parts) != 3 or parts[1].tag != ber.SET:
            raise ber.broken()
        [_, algorithm, closed] = _three(parts[2])
        names = algorithm.inside()
        if len(names) != 2 or names[0].content not in _CIPHERS:
            raise BadEnvelope(
                "the envelope is encrypted with something else than AES or Triple DES",
                next_step="have it made with AES-256",
            )
        return self._opened(parts[1], names[0].content, names[1].content, closed.octets())

    def _opened(self, transports: ber.Value, name: bytes, vector: bytes, closed: bytes) -> Secret[bytes]:
        _, octets, block = _CIPHERS[name]
        key = self._content_key(transports)
        if len(key) != octets or len(vector) != block or not closed or len(closed) % block:
            raise _does_not_open()
        decryptor, unpadder = _cipher(name, key, vector).decryptor(), PKCS7(8 * block).unpadder()
        padded = decryptor.update(closed) + decryptor.finalize()
        try:
            return Secret(unpadder.update(padded) + unpadder.finalize())
        except ValueError:
            raise _does_not_open() from None

    def _content_key(self, transports: ber.Value) -> bytes:
        own = _issuer_and_serial(self._certificate)
        key_id = _subject_key_id(self._certificate)
        for info in transports.inside():
            if info.tag != ber.SEQUENCE:
                continue  # another way than key transport (RFC 5652 6.2)
            parts = info.inside()
            if len(parts) == 4 and (parts[1].whole == own or (key_id and parts[1].content == key_id)):
                try:
                    return self._key.decrypt(parts[3].octets(), asymmetric_padding.PKCS1v15())
                except ValueError:
                    raise _does_not_open() from None
        raise BadEnvelope(
            "the envelope is not closed for this certificate",
            next_step="ask one of those for whom it was made",
        )


def envelope_of_case(
    pseudonymizer: Client, case: str, recipients: Sequence[Recipient], *, key_version: int
) -> Envelope:
    """What stage 1 of a case closes its originals in; the seed is derived at the server, under the case's version
    of the site's keys.

    Raises BadCertificate, BadName and what the client raises.
    """
    label = f"tce1-envelope\0{safe_name(case, 'case')}".encode()
    [seed] = pseudonymizer.hmac_batch(Mount.IDENTIFIERS, ATTRIBUTE_KEY, [label], version=key_version)
    return Envelope(recipients, Secret(seed))


_PEM_STEP = "give a certificate in PEM (-----BEGIN CERTIFICATE-----)"
_RENEW = f"have a certificate with an RSA key of {FEWEST_BITS} bits or more, valid now"


def _private_key(pem: bytes, ask: Callable[[], str]) -> object:
    passphrase: bytes | None = None
    if b"ENCRYPTED" in pem:
        passphrase = ask().encode() or None
    try:
        return load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadCertificate(
            "the private key cannot be read, or its passphrase is another one",
            next_step="give an RSA key in PEM; a protected one asks for its passphrase on the terminal",
        ) from None


def _may_encrypt(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.key_encipherment or usage.data_encipherment


def _issuer_and_serial(certificate: x509.Certificate) -> bytes:
    return ber.write(ber.SEQUENCE, certificate.issuer.public_bytes(), ber.integer(certificate.serial_number))


def _subject_key_id(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return b""


def _cipher(name: bytes, key: bytes, vector: bytes) -> Cipher[modes.CBC]:
    return Cipher(_CIPHERS[name][0](key), modes.CBC(vector))


def _derived(root: bytes, label: bytes) -> bytes:
    return hmac.digest(root, label, "sha256")


def _two(value: ber.Value) -> list[ber.Value]:
    parts = value.inside()
    if len(parts) != 2 or parts[0].content != _ENVELOPED:
        raise ber.broken()
    return parts


def _three(value: ber.Value) -> list[ber.Value]:
    parts = value.inside()
    if len(parts) != 3:
        raise ber.broken()
    return parts


def _does_not_open() -> BadEnvelope:
    return BadEnvelope("the envelope does not open with this key", next_step="check that it was not altered")


def _der(envelope: bytes) -> bytes:
    """An envelope in DER, out of PEM where it is in PEM."""
    begin, end = f"-----BEGIN {_PEM_LABEL}-----".encode(), f"-----END {_PEM_LABEL}-----".encode()
    if begin not in envelope:
        return envelope
    try:
        return base64.b64decode(envelope.split(begin, 1)[1].split(end, 1)[0])
    except ValueError:
        raise ber.broken() from None


def _text(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
    return b"".join(
        (f"-----BEGIN {_PEM_LABEL}-----\n".encode(), lines, f"-----END {_PEM_LABEL}-----\n".encode())
    )
