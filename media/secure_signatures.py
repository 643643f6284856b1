"""Who wrote a Secure DICOM File: RSA signatures in SignedData, and digests alone in DigestedData (PS3.15 D.1.1).

A signature is good when the content has the digest that was signed and the certificate's key signed it. Whether the
signer is one whom the site trusts is a second question; the answer needs certificates that the site was given before,
never the ones that came with the medium.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from media.errors import ProtectionRefused
from media.secure_frames import SET, altered, value
from media.secure_keys import FEWEST_BITS, certificate_for

DIGESTS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - PS3.15 D has readers know it; it is told of as weak
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
WEAK_DIGEST: Final = "sha1"
_RSA_SIGNATURES: Final = {"rsassa_pkcs1v15", "sha1_rsa", "sha256_rsa", "sha384_rsa", "sha512_rsa"}
_MOST_SIGNERS: Final = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs what goes onto a medium."""

    key: RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def of(cls, key: RSAPrivateKey, certificate: bytes, *, now: datetime | None = None) -> Signer:
        """Take a key and its certificate in PEM. Raises ProtectionRefused unless they may sign now."""
        signer = cls(key, certificate_for(certificate, "digital_signature", "the signer", now))
        if key.public_key() != signer.certificate.public_key():
            raise ProtectionRefused(
                "the private key is not the one of the signer's certificate",
                next_step="give the two that belong together",
            )
        return signer

    def trailer(self, digest: bytes, when: datetime) -> bytes:
        """Return certificates and SignerInfos, which follow the content in SignedData; its length is always one."""
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["data"]},
                {"type": "signing_time", "values": [cms.Time({"utc_time": when.replace(microsecond=0)})]},
                {"type": "message_digest", "values": [digest]},
            ]
        )
        signature = self.key.sign(attributes.dump(force=True), PKCS1v15(), hashes.SHA256())
        named = cms.Certificate.load(self.certificate.public_bytes(Encoding.DER))
        info = cms.SignerInfo(
            {
                "version": "v1",
                "sid": {
                    "issuer_and_serial_number": {
                        "issuer": named.issuer,
                        "serial_number": named.serial_number,
                    }
                },
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
                "signature": signature,
            }
        )
        return value(0xA0, named.dump()) + value(SET, info.dump())


@dataclass(frozen=True, slots=True)
class Signed:
    """A good signature: by which certificate, and when as the signer says."""

    certificate: x509.Certificate = field(repr=False)
    when: datetime | None = field(repr=False)

    @property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the certificate."""
        return certificate_digest(self.certificate)

    @property
    def is_weak(self) -> bool:
        """Whether the key is shorter than keys of signers are today."""
        public = self.certificate.public_key()
        return not isinstance(public, RSAPublicKey) or public.key_size < FEWEST_BITS


def certificate_digest(certificate: x509.Certificate) -> str:
    """Return ``sha256:`` and the SHA-256 of a certificate, as a site names it."""
    return "sha256:" + hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def verified(
    infos: bytes, certificates: bytes, digests: Mapping[str, bytes], known: Iterable[x509.Certificate]
) -> tuple[list[Signed], set[str]]:
    """Verify every signature of SignedData and return them with the digest algorithms that they use.

    ``digests`` has the digest of the content by algorithm; ``known`` are certificates that the site has. Raises
    ClosedFile ``altered`` when one signature is not good, or its certificate is not there.
    """
    try:
        signers = list(cms.SignerInfos.load(infos))
        there = [x509.load_der_x509_certificate(one.chosen.dump()) for one in _certificates(certificates)]
        if not 0 < len(signers) <= _MOST_SIGNERS:
            raise altered()
        found = [_verified(info, [*there, *known], digests) for info in signers]
        used = {str(info["digest_algorithm"]["algorithm"].native) for info in signers}
    except (ValueError, TypeError, KeyError, InvalidSignature, UnsupportedAlgorithm):
        raise altered() from None
    return found, used


def is_trusted(signed: Signed, trusted: Iterable[x509.Certificate], *, now: datetime | None = None) -> bool:
    """Whether a site trusts a signer: its certificate, or the one that issued it, is among the site's.

    It must have been valid when it signed.
    """
    when = signed.when or now or datetime.now(UTC)
    own = signed.certificate
    if not own.not_valid_before_utc <= when <= own.not_valid_after_utc:
        return False
    return any(own == one or _issued(own, one) for one in trusted)


def _certificates(der: bytes) -> Iterable[cms.CertificateChoices]:
    return cms.CertificateSet.load(b"\x31" + der[1:]) if der else ()


def _verified(
    info: cms.SignerInfo, certificates: list[x509.Certificate], digests: Mapping[str, bytes]
) -> Signed:
    name = str(info["digest_algorithm"]["algorithm"].native)
    if str(info["signature_algorithm"]["algorithm"].native) not in _RSA_SIGNATURES:
        raise ValueError("no signature of PS3.15 D")
    algorithm, digest = DIGESTS[name], digests[name]
    attributes, when = info["signed_attrs"], None
    if attributes:
        held = {str(one["type"].native): one["values"] for one in attributes}
        if held["message_digest"].native != [digest] or held["content_type"].native != ["data"]:
            raise InvalidSignature
        if "signing_time" in held:
            [when] = held["signing_time"].native
        # What is signed is the SET itself, not the tag that it has inside of SignerInfo (RFC 5652 5.4).
        digest = hashlib.new(name, b"\x31" + attributes.dump()[1:]).digest()
    certificate = _of_signer(info["sid"], certificates)
    public = certificate.public_key()
    if not isinstance(public, RSAPublicKey):
        raise ValueError("no key of PS3.15 D")
    public.verify(info["signature"].native, digest, PKCS1v15(), Prehashed(algorithm))
    return Signed(certificate, when)


def _of_signer(sid: cms.SignerIdentifier, certificates: list[x509.Certificate]) -> x509.Certificate:
    for certificate in certificates:
        if sid.name == "issuer_and_serial_number":
            named = (sid.chosen["issuer"].dump(), sid.chosen["serial_number"].native)
            if named == (certificate.issuer.public_bytes(), certificate.serial_number):
                return certificate
        else:
            try:
                held = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            except x509.ExtensionNotFound:
                continue
            if held.key_identifier == sid.chosen.native:
                return certificate
    raise ValueError("no certificate of the signer")


def _issued(own: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        own.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return constraints.ca
