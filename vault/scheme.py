"""The pseudonym scheme ``tce1``: from an identifier to what is hashed, and from the HMAC to the pseudonym.

Pure functions; they see no key. Anyone who holds one can check them with a standard library
(``tests/vectors/pseudonyms.json``)::

    canonical form   "tce1" 00 label 00 issuer 00 value        UTF-8; the label is the kind
    digest           HMAC-SHA-256(key, canonical form)
    UID              "2.25." + the decimal of a UUID version 8 made of digest bytes 0 to 15
    days             -(1 + (digest bytes 0 to 7, big endian) mod 3650)
    other kinds      prefix + the first digits of the digest, read as a fraction, in the base of the
                     alphabet + check character; in the length of the case's :class:`Form`

The value is normalized to NFC and trimmed of white space and NUL, as padding differs between writers. Where a case
has its pseudonyms drawn, a random digest takes the place of the HMAC, and the UUID is one of version 4.
"""

from __future__ import annotations

import math
import re
import secrets
import unicodedata
from dataclasses import dataclass

from vault.alphabets import Alphabet, characters, check_character
from vault.errors import BadIdentifier
from vault.keys import Kind

SCHEME = "tce1"
LONGEST = 16  # fits SH, the shortest VR that holds such a pseudonym
SHORTEST = 8
LONGEST_PREFIX = 5
LEAST_BITS = 40  # of ten thousand subjects, two get one pseudonym once in 20,000 cases
MOST_DAYS = 3650

PADDING = " \t\n\v\f\r\0"
_KINDS = {str(kind): kind for kind in Kind}
_PREFIX = re.compile(rf"(?:[A-Z0-9][A-Z0-9-]{{0,{LONGEST_PREFIX - 1}}})?")
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Form:
    """What the readable pseudonyms of a case look like. Raises BadIdentifier for what cannot be, or is too short."""

    prefix: str = ""
    alphabet: Alphabet = Alphabet.BASE32
    length: int = LONGEST

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise BadIdentifier(
                "the prefix of the case's pseudonyms is not usable",
                next_step=f"use at most {LONGEST_PREFIX} capital letters, digits and '-', not beginning with '-'",
            )
        if not SHORTEST <= self.length <= LONGEST:
            raise BadIdentifier(
                f"pseudonyms cannot have {self.length} characters",
                next_step=f"choose a length from {SHORTEST} to {LONGEST}, which fits the VR SH",
            )
        if self.bits < LEAST_BITS:
            raise BadIdentifier(
                f"{self.body} characters of the alphabet {self.alphabet}, beside prefix and check character, are "
                f"{math.floor(self.bits)} bits, and with fewer than {LEAST_BITS} two subjects may get one pseudonym",
                next_step="choose a greater length, a shorter prefix or the alphabet base32",
            )

    @property
    def body(self) -> int:
        """How many characters stand between prefix and check character."""
        return self.length - len(self.prefix) - 1

    @property
    def bits(self) -> float:
        """By how many bits two pseudonyms can differ."""
        return self.body * math.log2(len(characters(self.alphabet)))

    def holds(self, text: str) -> bool:
        """Whether a text can be a pseudonym of this form; with one wrong character, or two exchanged, it cannot."""
        body, check = text[len(self.prefix) : -1], text[-1:]
        return (
            len(text) == self.length
            and text.startswith(self.prefix)
            and set(body) <= set(characters(self.alphabet))
            and check_character(body, self.alphabet) == check
        )


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


def pseudonym(kind: Kind, digest: bytes, form: Form) -> str:
    """The pseudonym of a kind, made of a digest of 32 bytes."""
    if kind is Kind.UID:
        return f"2.25.{_uuid(digest, version=8)}"
    return _other(kind, digest, form)


def drawn(kind: Kind, form: Form) -> str:
    """A pseudonym of the same form that nothing but chance decides. A UID is of a UUID of version 4."""
    digest = secrets.token_bytes(_DIGEST_BYTES)
    if kind is Kind.UID:
        return f"2.25.{_uuid(digest, version=4)}"
    return _other(kind, digest, form)


def fingerprint(digest: bytes) -> bytes:
    """What recognizes an original in the mapping: the half of its digest that no UID shows."""
    return digest[16:]


def _uuid(digest: bytes, *, version: int) -> int:
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | version << 76  # RFC 9562
    return number & ~(0b11 << 62) | 0b10 << 62  # variant


def _other(kind: Kind, digest: bytes, form: Form) -> str:
    if kind is Kind.DATE_OFFSET:
        return str(-(1 + int.from_bytes(digest[:8], "big") % MOST_DAYS))
    signs = characters(form.alphabet)
    number = int.from_bytes(digest, "big") * len(signs) ** form.body >> len(digest) * 8
    body = ""
    for _ in range(form.body):
        number, sign = divmod(number, len(signs))
        body = signs[sign] + body
    return form.prefix + body + check_character(body, form.alphabet)
