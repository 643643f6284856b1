"""The pseudonym scheme tce1 written a second time, from its description, with the standard library only.

Run as a script it writes pseudonyms.json anew; the tests compare that file with this code and with vault.scheme.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
import uuid
from pathlib import Path

VECTORS = Path(__file__).with_name("pseudonyms.json")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

KEY = bytes(range(32))
INPUTS = [
    ("uid", "", "1.2.840.113619.2.55.3.604688119.971.1449749281.123", ""),
    ("uid", "", "2.25.1", ""),
    ("patient", "HOSPITAL", "4711", ""),
    ("patient", "HOSPITAL", "  4711 \0", ""),
    ("patient", "OTHER", "4711", ""),
    ("patient", "HOSPITAL", "4711", "TRI-1"),
    ("accession", "RIS", "A-2024-000123", "AB"),
    ("study", "", "S1", ""),
    ("device", "", "SN 0815", ""),
    ("person", "", "Müller^Jürgen", ""),
    ("person", "", "Mu\u0308ller^Ju\u0308rgen", ""),
    ("person", "", "山田^太郎", ""),
    ("free", "", "ward 7", ""),
    ("days", "HOSPITAL", "4711", ""),
    ("days", "HOSPITAL", "4712", ""),
]


def digest_of(key: bytes, kind: str, issuer: str, value: str) -> bytes:
    """HMAC-SHA-256 over the canonical form."""
    parts = [
        "tce1",
        kind,
        *(unicodedata.normalize("NFC", text).strip(" \t\n\v\f\r\0") for text in (issuer, value)),
    ]
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).digest()


def pseudonym_of(kind: str, digest: bytes, prefix: str) -> str:
    """The pseudonym of a digest."""
    if kind == "uid":
        raw = bytearray(digest[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return f"2.25.{uuid.UUID(bytes=bytes(raw)).int}"
    if kind == "days":
        return str(-1 - int(digest[:8].hex(), 16) % 3650)
    bits = "".join(f"{byte:08b}" for byte in digest)
    body = "".join(ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, 5 * (15 - len(prefix)), 5))
    return prefix + body + check_of(body)


def check_of(body: str) -> str:
    """The check character by its definition: each value times x to the power of its distance from the end."""
    total = 0
    for distance, character in enumerate(reversed(body), start=1):
        total ^= times(ALPHABET.index(character), power(2, distance))
    return ALPHABET[total]


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


def vectors() -> list[dict[str, str]]:
    """All vectors, made anew."""
    made = []
    for kind, issuer, value, prefix in INPUTS:
        digest = digest_of(KEY, kind, issuer, value)
        made.append(
            {
                "kind": kind,
                "issuer": issuer,
                "value": value,
                "prefix": prefix,
                "digest": digest.hex(),
                "pseudonym": pseudonym_of(kind, digest, prefix),
            }
        )
    return made


if __name__ == "__main__":
    content = {"scheme": "tce1", "key": KEY.hex(), "vectors": vectors()}
    VECTORS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
