"""The few forms of ASN.1 that an envelope is made of: written in DER, read in BER (ITU-T X.690).

Values are read where they stand, with defined or indefinite length; strings may come in parts, as streaming writers
send them. It knows no names and no meaning (:mod:`vault.envelopes` does).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vault.errors import BadEnvelope

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31
_CONSTRUCTED = 0x20
_DEEPEST = 16
_NEXT_STEP = "check that it is a CMS EnvelopedData, in DER or PEM, and that it is whole"


@dataclass(frozen=True, slots=True, repr=False)
class Value:
    """One value: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes

    def inside(self) -> list[Value]:
        """The values that it holds. Raises BadEnvelope unless it is constructed and whole."""
        if not self.tag & _CONSTRUCTED:
            raise broken()
        return list(values(self.content))

    def octets(self, depth: int = 0) -> bytes:
        """The content of a string, also of one that stands in parts."""
        if not self.tag & _CONSTRUCTED:
            return self.content
        if depth == _DEEPEST:
            raise broken()
        return b"".join(part.octets(depth + 1) for part in values(self.content))


def write(tag: int, *parts: bytes) -> bytes:
    """One value in DER."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(number: int) -> bytes:
    """A non-negative INTEGER in DER."""
    return write(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def first(data: bytes) -> Value:
    """The first value of ``data``; what follows it, such as the octet that makes a length even, is left alone."""
    value, _ = _value(data, 0, 0)
    return value


def values(data: bytes) -> Iterator[Value]:
    """All values of ``data``, one behind the other. Raises BadEnvelope when the last is not whole."""
    at = 0
    while at < len(data):
        value, at = _value(data, at, 0)
        yield value


def broken() -> BadEnvelope:
    """What is raised for data that cannot be read."""
    return BadEnvelope("what should be an encrypted envelope cannot be read as one", next_step=_NEXT_STEP)


def _value(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The value that begins at ``at``, and where it ends."""
    if at + 2 > len(data) or data[at] & 0x1F == 0x1F or depth == _DEEPEST:
        raise broken()
    tag, size, start = data[at], data[at + 1], at + 2
    if size == 0x80:
        return _indefinite(data, at, tag, depth)
    if size > 0x80:
        more = size & 0x7F
        size = int.from_bytes(data[start : start + more], "big")
        start += more
    end = start + size
    if end > len(data):
        raise broken()
    return Value(tag, data[start:end], data[at:end]), end


def _indefinite(data: bytes, at: int, tag: int, depth: int) -> tuple[Value, int]:
    if not tag & _CONSTRUCTED:
        raise broken()
    start = end = at + 2
    while data[end : end + 2] != b"\0\0":
        _, end = _value(data, end, depth + 1)
    return Value(tag, data[start:end], data[at : end + 2]), end + 2
