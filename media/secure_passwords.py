"""Passwords of secure media: what they may be, and how they open a content key (RFC 3211, RFC 2898; PS3.15 D.1.1).

A password is made into a key by PBKDF2 once for a medium, slowly; that key wraps the content key of each file. PS3.15
allows the characters of the Default Character Repertoire only, ISO-IR 6. A password is written nowhere.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass, field
from typing import Final

from asn1crypto import algos, cms, core

from media.errors import ProtectionRefused
from media.secure_ciphers import AES_256, CIPHERS, Kind
from media.secure_frames import INTEGER, OCTETS, SEQUENCE, value

ITERATIONS: Final = 600_000
FEWEST_ITERATIONS: Final = 100_000
"""Fewer are told of: such a password is found out too fast when a disc is lost."""
_MOST_ITERATIONS: Final = 10_000_000
_SHORTEST, _SHORTEST_OF_ONE_KIND, _LONGEST = 12, 16, 128
_FEWEST_DIFFERENT: Final = 6
_PBKDF2: Final = "1.2.840.113549.1.5.12"
_HMAC_SHA256: Final = "1.2.840.113549.2.9"
_KEY_WRAP: Final = "1.2.840.113549.1.9.16.3.9"  # id-alg-PWRI-KEK
_AES_256: Final = "2.16.840.1.101.3.4.1.42"
_PRFS: Final = {"sha1", "sha224", "sha256", "sha384", "sha512"}
PASSWORD_RULE: Final = (
    f"{_SHORTEST} to {_LONGEST} characters of US-ASCII with at least three of capital letters, small letters, digits "
    f"and others, or at least {_SHORTEST_OF_ONE_KIND} of any kind; at least {_FEWEST_DIFFERENT} different ones; "
    "no row like 12345678 and nothing said twice"
)


@dataclass(frozen=True, slots=True)
class Password:
    """A password of a medium, with the keys that were made from it so far."""

    text: str = field(repr=False)
    _made: dict[tuple[bytes, int, str, int], bytes] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ProtectionRefused for a password that PS3.15 does not allow."""
        if not self.text or not (self.text.isascii() and self.text.isprintable()):
            raise ProtectionRefused(
                "a password of a medium has characters of US-ASCII only (PS3.15 D.1.1)",
                next_step="take another password, without accents and line breaks",
            )

    def require_strong(self) -> None:
        """Raises ProtectionRefused for a password that may not close a medium (:data:`PASSWORD_RULE`)."""
        if not _is_strong(self.text):
            raise ProtectionRefused("the password is too weak", next_step=f"take one of {PASSWORD_RULE}")

    def key(self, salt: bytes, iterations: int, prf: str, octets: int) -> bytes:
        """Return the key of PBKDF2, worked out once."""
        named = (salt, iterations, prf, octets)
        if named not in self._made:
            self._made[named] = hashlib.pbkdf2_hmac(prf, self.text.encode("ascii"), salt, iterations, octets)
        return self._made[named]


def _is_strong(text: str) -> bool:
    kinds = sum(
        any(map(kind, text)) for kind in (str.isupper, str.islower, str.isdigit, lambda c: not c.isalnum())
    )
    shortest = _SHORTEST if kinds >= 3 else _SHORTEST_OF_ONE_KIND
    if not shortest <= len(text) <= _LONGEST or len(set(text.lower())) < _FEWEST_DIFFERENT:
        return False
    rising = [ord(b) - ord(a) for a, b in itertools.pairwise(text)]
    in_rows = sum(step in (1, -1, 0) for step in rising)
    return in_rows * 2 < len(rising) and text not in (text + text)[1:-1]


class PasswordRecipient:
    """Gives the same password to every file of one medium: one salt, one slow derivation, a wrapping for each."""

    def __init__(self, password: Password, *, iterations: int = ITERATIONS) -> None:
        """Raises ProtectionRefused for a weak password."""
        password.require_strong()
        self._salt = os.urandom(16)
        self._iterations = iterations
        self._key = password.key(self._salt, iterations, "sha256", 32)

    def __repr__(self) -> str:
        return "PasswordRecipient(…)"

    def info(self, content_key: bytes) -> bytes:
        """Return the PasswordRecipientInfo of a content key in DER."""
        vector = os.urandom(16)
        prf = value(SEQUENCE, _oid(_HMAC_SHA256), value(0x05))
        derived = value(SEQUENCE, value(OCTETS, self._salt), _integer(self._iterations), prf)
        cipher = value(SEQUENCE, _oid(_AES_256), value(OCTETS, vector))
        return value(
            0xA3,
            _integer(0),
            value(0xA0, _oid(_PBKDF2), derived),
            value(SEQUENCE, _oid(_KEY_WRAP), cipher),
            value(OCTETS, _wrap(content_key, self._key, vector)),
        )


def unwrap(info: cms.PasswordRecipientInfo, password: Password) -> tuple[bytes | None, int]:
    """Return the content key that a password opens, None where it does not; and the number of iterations.

    Raises ValueError for another scheme than PBKDF2 with AES or Triple DES.
    """
    derivation = info["key_derivation_algorithm"]
    if derivation["algorithm"].native != "pbkdf2" or info["key_encryption_algorithm"][0].dotted != _KEY_WRAP:
        raise ValueError("scheme")
    parameters = derivation["parameters"]
    iterations = int(parameters["iteration_count"].native)
    prf = str(parameters["prf"]["algorithm"].native)
    wrapping = algos.EncryptionAlgorithm.load(info["key_encryption_algorithm"][1].dump())
    cipher = CIPHERS.get(str(wrapping["algorithm"].native))
    if prf not in _PRFS or cipher is None or not 1 <= iterations <= _MOST_ITERATIONS:
        raise ValueError("scheme")
    block = cipher.block
    vector, wrapped = wrapping["parameters"].native, info["encrypted_key"].native
    if len(vector) != block or len(wrapped) < 2 * block or len(wrapped) % block or len(wrapped) > 256:
        raise ValueError("scheme")
    key = password.key(parameters["salt"].native, iterations, prf, cipher.key)
    return _unwrap(wrapped, cipher, key, vector), iterations


def _wrap(content_key: bytes, key: bytes, vector: bytes) -> bytes:
    """Wrap a key by encrypting it twice (RFC 3211 2.3.1)."""
    check = bytes(octet ^ 0xFF for octet in content_key[:3])
    plain = bytes((len(content_key),)) + check + content_key
    plain += os.urandom(-len(plain) % 16)
    once = AES_256.encryptor(key, vector).update(plain)
    return AES_256.encryptor(key, once[-16:]).update(once)


def _unwrap(wrapped: bytes, cipher: Kind, key: bytes, vector: bytes) -> bytes | None:
    """Undo the wrapping (RFC 3211 2.3.2); None where the check octets say that the key is another."""
    block = cipher.block
    last = cipher.decryptor(key, wrapped[-2 * block : -block]).update(wrapped[-block:])
    once = cipher.decryptor(key, last).update(wrapped[:-block]) + last
    plain = cipher.decryptor(key, vector).update(once)
    content_key = plain[4 : 4 + plain[0]]
    if len(content_key) != plain[0] or any(
        a ^ b != 0xFF for a, b in zip(plain[1:4], content_key, strict=False)
    ):
        return None
    return content_key


def _oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).dump())


def _integer(number: int) -> bytes:
    return value(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
