"""What compressed frames say beside their pictures: comments and application data, which may name somebody.

    fragments ──▶ JPEG, JPEG-LS: COM, APPn, behind EOI │ JPEG 2000: COM, behind EOC ──▶ does anything stand there?

The structure of the streams is read from ISO/IEC 10918-1, 14495-1 and 15444-1 without decoding them. Segments that a
decoder needs (JFIF, Adobe's colour transform, the SPIFF head) have a fixed form and may stay.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.layout import Element, Octets

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_WITHOUT_LENGTH = {0x01, _SOI, *range(0xD0, 0xD8)}
_FIXED = (
    (0xE0, b"JFIF\0", 14),
    (0xEE, b"Adobe", 12),
    (0xE8, b"mrfx", 5),
    (0xE8, b"SPIFF\0", 30),
    (0xE8, b"", 6),
)
_J2K_COMMENT, _J2K_TILE, _J2K_DATA, _J2K_END = 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_CHUNK = 1 << 20


def speaking(element: Element) -> Iterator[str]:
    """Yield a sentence for each kind of place in the streams of compressed pixel data where something stands."""
    told: set[str] = set()
    for start, length in (element.fragments or [])[1:]:
        end = start + length
        head = element.data[start : start + 2]
        if head == b"\xff\xd8":
            found = _jpeg(element.data, start, end)
        elif head == b"\xff\x4f":
            found = _jpeg_2000(element.data, start, end)
        else:
            continue
        for what in found:
            if what not in told:
                told.add(what)
                yield what


def _jpeg(data: Octets, pos: int, end: int) -> Iterator[str]:
    pos += 2
    while pos + 4 <= end:
        if data[pos] != 0xFF:
            return
        marker = data[pos + 1]
        if marker == 0xFF:
            pos += 1
            continue
        if marker == _EOI:
            if _anything(data, pos + 2, end):
                yield "something stands behind the end of a JPEG stream"
            return
        if marker in _WITHOUT_LENGTH:
            pos += 2
            continue
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        stop = min(pos + 2 + size, end)
        if marker == 0xFE and _anything(data, pos + 4, stop):
            yield "a comment in a JPEG stream"
        elif 0xE0 <= marker <= 0xEF and _anything(data, pos + 4, stop):
            fixed = any(
                marker == kind and size - 2 <= most and data[pos + 4 : pos + 4 + len(name)] == name
                for kind, name, most in _FIXED
            )
            if not fixed:
                yield "application data in a JPEG stream"
        pos = _behind_scan(data, stop, end) if marker == _SOS else stop


def _behind_scan(data: Octets, pos: int, end: int) -> int:
    """Return where the marker stands that ends coded data: FF, and no stuffing or restart behind it."""
    while pos + 1 < end:
        pos = data.find(b"\xff", pos, end)
        if pos < 0 or pos + 1 >= end:
            return end
        following = data[pos + 1]
        if following == 0xFF:
            pos += 1
        elif following < 0x80 or 0xD0 <= following <= 0xD7:
            pos += 2
        else:
            return pos
    return end


def _jpeg_2000(data: Octets, pos: int, end: int) -> Iterator[str]:
    pos += 2
    tile_begins, tile_ends = 0, 0
    while pos + 4 <= end:
        marker = int.from_bytes(data[pos : pos + 2], "big")
        if marker == _J2K_END:
            # One byte may pad the fragment to an even length.
            if _anything(data, pos + 2, end - 1):
                yield "something stands behind the end of a JPEG 2000 stream"
            return
        if marker == _J2K_DATA:
            if tile_ends <= tile_begins:
                return
            pos = tile_ends
            continue
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if marker == _J2K_COMMENT and _anything(data, pos + 6, min(pos + 2 + size, end)):
            yield "a comment in a JPEG 2000 stream"
        if marker == _J2K_TILE:
            tile_begins, part = pos, int.from_bytes(data[pos + 6 : pos + 10], "big")
            tile_ends = pos + part if part else 0
        pos += 2 + size


def _anything(data: Octets, begin: int, end: int) -> bool:
    return any(data[at : min(at + _CHUNK, end)].strip(b"\0") for at in range(begin, max(begin, end), _CHUNK))
