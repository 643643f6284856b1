"""The pseudonym scheme tce1 written a second time, from its description, with the standard library only.

Run as a script it writes pseudonyms.json anew; the tests compare that file with this code and with vault.scheme.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
import uuid
from fractions import Fraction
from pathlib import Path

VECTORS = Path(__file__).with_name("pseudonyms.json")
ALPHABETS = {
    "base32": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    "letters": "ABCDEFGHJKMNPQRSTUVWXYZ",
    "digits": "0123456789",
}
# The quasigroup of order 10 of H. Michael Damm's thesis (2004), as published.
DAMM = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
]

KEY = bytes(range(32))
INPUTS = [
    # kind, issuer, value, prefix, alphabet, length
    ("uid", "", "1.2.840.113619.2.55.3.604688119.971.1449749281.123", "", "base32", 16),
    ("uid", "", "2.25.1", "", "base32", 16),
    ("uid", "", "2.25.1", "AB", "digits", 16),
    ("patient", "HOSPITAL", "4711", "", "base32", 16),
    ("patient", "HOSPITAL", "  4711 \0", "", "base32", 16),
    ("patient", " HOSPITAL\0", "4711", "", "base32", 16),
    ("patient", "OTHER", "4711", "", "base32", 16),
    ("patient", "", "4711", "", "base32", 16),
    ("patient", "HOSPITAL", "4711", "TRI-1", "base32", 16),
    ("patient", "HOSPITAL", "4711", "", "base32", 9),
    ("patient", "HOSPITAL", "4711", "A", "base32", 10),
    ("patient", "HOSPITAL", "4711", "", "letters", 16),
    ("patient", "HOSPITAL", "4711", "TRI-1", "letters", 15),
    ("patient", "HOSPITAL", "4711", "", "letters", 10),
    ("patient", "HOSPITAL", "4711", "", "digits", 16),
    ("patient", "HOSPITAL", "4711", "S-", "digits", 16),
    ("patient", "HOSPITAL", "4711", "", "digits", 14),
    ("accession", "RIS", "A-2024-000123", "AB", "base32", 16),
    ("accession", "", "A-2024-000123", "", "letters", 12),
    ("study", "", "S1", "", "base32", 16),
    ("study", "", "S1", "", "digits", 15),
    ("device", "", "SN 0815", "", "base32", 16),
    ("device", "", "SN 0815", "", "letters", 16),
    ("person", "", "Müller^Jürgen", "", "base32", 16),
    ("person", "", "Mu\u0308ller^Ju\u0308rgen", "", "base32", 16),
    ("person", "", "Mu\u0308ller^Ju\u0308rgen", "", "digits", 16),
    ("person", "", "山田^太郎", "", "base32", 16),
    ("person", "", "山田^太郎", "", "letters", 16),
    ("patient", "Krankenhaus Süd", "Ä-1\t", "", "base32", 16),
    ("patient", "Krankenhaus Su\u0308d", "A\u0308-1", "", "base32", 16),
    ("free", "", "ward 7", "", "base32", 16),
    ("free", "", "ward  7", "", "digits", 16),
    ("days", "HOSPITAL", "4711", "", "base32", 16),
    ("days", "HOSPITAL", "4712", "", "base32", 16),
    ("days", "", "4712", "TRI", "letters", 16),
]


def digest_of(key: bytes, kind: str, issuer: str, value: str) -> bytes:
    """HMAC-SHA-256 over the canonical form."""
    parts = [
        "tce1",
        kind,
        *(unicodedata.normalize("NFC", text).strip(" \t\n\v\f\r\0") for text in (issuer, value)),
    ]
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).digest()


def pseudonym_of(kind: str, digest: bytes, prefix: str, alphabet: str, length: int) -> str:
    """The pseudonym of a digest."""
    if kind == "uid":
        raw = bytearray(digest[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return f"2.25.{uuid.UUID(bytes=bytes(raw)).int}"
    if kind == "days":
        return str(-1 - int(digest[:8].hex(), 16) % 3650)
    fraction, body = Fraction(int(digest.hex(), 16), 2**256), ""
    while len(prefix + body) < length - 1:
        fraction *= len(ALPHABETS[alphabet])
        body += ALPHABETS[alphabet][int(fraction)]
        fraction -= int(fraction)
    return prefix + body + check_of(body, alphabet)


def check_of(body: str, alphabet: str) -> str:
    """The check character by its definition: each value times x (or 2) to the power of its distance from the end."""
    values = [ALPHABETS[alphabet].index(character) for character in body]
    total = 0
    if alphabet == "digits":
        for value in values:
            total = DAMM[total][value]
    for distance, value in enumerate(reversed(values), start=1):
        if alphabet == "base32":
            total ^= times(value, power(2, distance))
        elif alphabet == "letters":
            total = (total + value * 2**distance) % 23
    return ALPHABETS[alphabet][total]


def times(a: int, b: int) -> int:
    """The product in GF(2)[x] / (x^5 + x^2 + 1), as on paper."""
    product = 0
    for bit in range(5):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(9, 4, -1):
        if product >> bit & 1:
            product ^= 0b100101 << bit - 5
    return product


def power(base: int, exponent: int) -> int:
    """A power in the same field."""
    return 1 if exponent == 0 else times(base, power(base, exponent - 1))


def vectors() -> list[dict[str, str | int]]:
    """All vectors, made anew."""
    made: list[dict[str, str | int]] = []
    for kind, issuer, value, prefix, alphabet, length in INPUTS:
        digest = digest_of(KEY, kind, issuer, value)
        made.append(
            {
                "kind": kind,
                "issuer": issuer,
                "value": value,
                "prefix": prefix,
                "alphabet": alphabet,
                "length": length,
                "digest": digest.hex(),
                "pseudonym": pseudonym_of(kind, digest, prefix, alphabet, length),
            }
        )
    return made


if __name__ == "__main__":
    content = {"scheme": "tce1", "key": KEY.hex(), "vectors": vectors()}
    VECTORS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
