"""Is an Encrypted Attributes Sequence really encrypted, for as many as it has to be (PS3.15 E.1.1)?

    (0400,0500) ──▶ one item: syntax, content ──▶ EnvelopedData (RFC 5652): recipients, AES-256, blocks ──▶ complaint

Nobody here can open it; so it is looked at from outside: it has the form of an envelope to its last byte, and what is
in it looks like chance, as nothing does that can be read. That no original value stands in it is searched for as in
all other bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from policies.layout import Element

ENCRYPTED_ATTRIBUTES = 0x04000500
_SYNTAX, _CONTENT = 0x04000510, 0x04000520
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")
_DATA = bytes.fromhex("06092a864886f70d010701")
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_AES_256 = bytes.fromhex("060960864801650304012a")
_SEQUENCE, _SET, _INTEGER, _OCTETS = 0x30, 0x31, 0x02, 0x04
_BLOCK = 16
_FEWEST_KEY_OCTETS = 256


class _Form(Exception):
    """It has another form."""


def complaint(element: Element | None, recipients: int) -> str:
    """Say in one sentence what is wrong, nothing where nothing is. ``recipients`` are at least one."""
    if element is None:
        return "missing, although originals are to be encrypted"
    items = element.items or []
    if len(items) != 1 or set(items[0]) != {_SYNTAX, _CONTENT}:
        return "not one item with its transfer syntax and its content"
    item = items[0]
    if item[_SYNTAX].text() != _EXPLICIT_LITTLE:
        return "encoded in another transfer syntax than Explicit VR Little Endian"
    try:
        found, closed = _read(item[_CONTENT].raw())
    except _Form:
        return "no envelope encrypted with AES-256"
    if found != recipients:
        return "encrypted for more recipients or fewer than the case names"
    if len(zlib.compress(closed, 9)) < len(closed):
        return "what is in the envelope is not encrypted"
    return ""


def _read(content: bytes) -> tuple[int, bytes]:
    """Return the number of recipients and the encrypted octets."""
    [(kind, whole, end)] = list(_values(content, 1))
    if kind != _SEQUENCE or content[end:] not in (b"", b"\0"):
        raise _Form
    (_, _, at), (kind, explicit, _) = _exactly(whole, 2)
    if whole[:at] != _ENVELOPED or kind != 0xA0:
        raise _Form
    [(_, enveloped, _)] = _exactly(explicit, 1)
    (_, version, _), (kind, infos, _), (_, encrypted, _) = _exactly(enveloped, 3)
    if version != b"\0" or kind != _SET:
        raise _Form
    recipients = [_is_key_transport(info) for _, info, _ in _values(infos)]
    (_, _, at), (_, algorithm, _), (kind, closed, _) = _exactly(encrypted, 3)
    (_, _, named), (_, vector, _) = _exactly(algorithm, 2)
    if encrypted[:at] != _DATA or kind != 0x80 or algorithm[:named] != _AES_256 or len(vector) != _BLOCK:
        raise _Form
    if not all(recipients) or not closed or len(closed) % _BLOCK:
        raise _Form
    return len(recipients), closed


def _is_key_transport(info: bytes) -> bool:
    (_, version, _), (_, _, named), (_, _, by), (kind, key, _) = _exactly(info, 4)
    return version == b"\0" and info[named:by] == _RSA and kind == _OCTETS and len(key) >= _FEWEST_KEY_OCTETS


def _exactly(data: bytes, count: int) -> list[tuple[int, bytes, int]]:
    found = list(_values(data))
    if len(found) != count:
        raise _Form
    return found


def _values(data: bytes, most: int = 1 << 10) -> Iterator[tuple[int, bytes, int]]:
    """Yield tag, content and end of each value in DER (ITU-T X.690)."""
    at = 0
    while at < len(data) and most:
        start, size = at + 2, data[at + 1] if at + 1 < len(data) else 0x80
        if size > 0x80:
            start, size = start + (size & 0x7F), int.from_bytes(data[start : start + (size & 0x7F)], "big")
        elif size == 0x80:
            raise _Form
        if start + size > len(data):
            raise _Form
        yield data[at], data[start : start + size], start + size
        at, most = start + size, most - 1
