"""The pseudonym scheme ``tce1``: from an identifier to what is hashed, and from the HMAC to the pseudonym.

Pure functions; they see no key. Anyone who holds one can check them with a standard library
(``tests/vectors/pseudonyms.json``)::

    canonical form   "tce1" 00 label 00 issuer 00 value        UTF-8; the label is the kind
    digest           HMAC-SHA-256(key, canonical form)
    UID              "2.25." + the decimal of a UUID version 8 made of digest bytes 0 to 15
    days             -(1 + (digest bytes 0 to 7, big endian) mod 3650)
    other kinds      prefix + base 32 of the digest's first bits + check character, 16 characters in all

The value is normalized to NFC and trimmed of white space and NUL, as padding differs between writers. Base
32 is Crockford's: no I, L, O and U, so that it can be read out on the telephone; the check character finds
every single wrong character and every two that changed places.
"""

from __future__ import annotations

import re
import unicodedata

from vault.errors import BadIdentifier
from vault.keys import Kind

SCHEME = "tce1"
LENGTH = 16  # fits SH, the shortest VR that holds such a pseudonym
LONGEST_PREFIX = 5
MOST_DAYS = 3650

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
# Every element times x, in GF(2)[x] / (x^5 + x^2 + 1).
_TIMES_GENERATOR = [(element << 1) ^ (0b100101 if element & 0b10000 else 0) for element in range(32)]
PADDING = " \t\n\v\f\r\0"
_KINDS = {str(kind): kind for kind in Kind}
_PREFIX = re.compile(rf"(?:[A-Z0-9][A-Z0-9-]{{0,{LONGEST_PREFIX - 1}}})?")


def canonical(label: str, issuer: str, value: str) -> bytes:
    """The bytes that are hashed. Raises BadIdentifier when nothing is left of the value."""
    issuer, value = (unicodedata.normalize("NFC", text).strip(PADDING) for text in (issuer, value))
    if not value:
        raise BadIdentifier(
            f"an identifier of kind {label} is empty, and two of them would become one",
            next_step="set the instance aside, or give it an identifier first",
        )
    if "\0" in issuer:
        raise BadIdentifier(
            f"the issuer of an identifier of kind {label} holds a NUL", next_step="set the instance aside"
        )
    # A character that UTF-8 cannot write stands for an undecodable byte; it must not stop or merge anything.
    return "\0".join((SCHEME, label, issuer, value)).encode("utf-8", "surrogatepass")


def known_kind(kind: str) -> Kind:
    """The kind of that name. Raises BadIdentifier for any other."""
    try:
        return _KINDS[kind]
    except KeyError:
        raise BadIdentifier(
            "an identifier is of a kind that has no key", next_step=f"use one of: {', '.join(Kind)}"
        ) from None


def checked_prefix(prefix: str) -> str:
    """Return a case's prefix if it is usable; else raise BadIdentifier."""
    if not _PREFIX.fullmatch(prefix):
        raise BadIdentifier(
            "the prefix of the case's pseudonyms is not usable",
            next_step=f"use at most {LONGEST_PREFIX} capital letters, digits and '-', not beginning with '-'",
        )
    return prefix


def pseudonym(kind: Kind, digest: bytes, prefix: str) -> str:
    """The pseudonym of a kind, made of a digest of 32 bytes."""
    if kind is Kind.UID:
        return f"2.25.{_uuid8(digest)}"
    if kind is Kind.DATE_OFFSET:
        return str(-(1 + int.from_bytes(digest[:8], "big") % MOST_DAYS))
    return _readable(digest, prefix)


def fingerprint(digest: bytes) -> bytes:
    """What recognizes an original in the mapping: the half of its digest that no UID shows."""
    return digest[16:]


def check_character(body: str) -> str:
    """The check character: the sum over GF(32) of each character times its own power of the generator."""
    total = 0
    for character in body:
        total = _TIMES_GENERATOR[total ^ _VALUES[character]]
    return _ALPHABET[total]


def _uuid8(digest: bytes) -> int:
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version, RFC 9562
    return number & ~(0b11 << 62) | 0b10 << 62  # variant


def _readable(digest: bytes, prefix: str) -> str:
    number, bits = int.from_bytes(digest, "big"), len(digest) * 8
    count = LENGTH - len(prefix) - 1
    body = "".join(_ALPHABET[number >> bits - 5 * place & 31] for place in range(1, count + 1))
    return prefix + body + check_character(body)
