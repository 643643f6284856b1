"""Where the values of a Secure DICOM File begin and end (ITU-T X.690), without reading what is in them.

A file may be larger than memory; so only tags and lengths are looked at here, in a buffer that may be a mapped file.
Lengths are defined or indefinite, and strings whole or in parts, as streaming writers send them. What the small values
mean is asn1crypto's; the large one, the DICOM file, is never a Python object.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

from media.errors import ClosedFile

INTEGER, OCTETS, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
CONSTRUCTED = 0x20
_DEEPEST = 16
_LARGEST_SMALL = 1 << 20

Buffer = bytes | mmap.mmap


class Frame(NamedTuple):
    """One value: its tag, where it begins, where its content begins and ends, and where the next value begins."""

    tag: int
    start: int
    content: int
    end: int
    after: int


def frame_at(buffer: Buffer, at: int, limit: int, depth: int = 0) -> Frame:
    """Return the value at an offset. Raises ClosedFile (``truncated`` or ``altered``)."""
    if at + 2 > limit:
        raise _cut()
    tag, size, content = buffer[at], buffer[at + 1], at + 2
    if tag & 0x1F == 0x1F or depth == _DEEPEST:
        raise altered()
    if size == 0x80:
        return _indefinite(buffer, at, limit, depth)
    if size > 0x80:
        octets = size & 0x7F
        if octets > 8:
            raise altered()
        size = int.from_bytes(buffer[content : content + octets], "big")
        content += octets
    if content + size > limit:
        raise _cut()
    return Frame(tag, at, content, content + size, content + size)


def inside(buffer: Buffer, frame: Frame, depth: int = 0) -> Iterator[Frame]:
    """Yield the values that a constructed value holds."""
    if not frame.tag & CONSTRUCTED:
        raise altered()
    at = frame.content
    while at < frame.end:
        value = frame_at(buffer, at, frame.end, depth + 1)
        yield value
        at = value.after


def parts_of(buffer: Buffer, frame: Frame, depth: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where the octets of a string begin and end, also of one that stands in parts."""
    if depth == _DEEPEST:
        raise altered()
    if frame.tag & CONSTRUCTED:
        for part in inside(buffer, frame):
            yield from parts_of(buffer, part, depth + 1)
    else:
        yield frame.content, frame.end


def whole(buffer: Buffer, frame: Frame) -> bytes:
    """Return all bytes of a small value."""
    if frame.after - frame.start > _LARGEST_SMALL:
        raise altered()
    return buffer[frame.start : frame.after]


def content_of(buffer: Buffer, frame: Frame) -> bytes:
    """Return the content of a small value."""
    if frame.end - frame.content > _LARGEST_SMALL:
        raise altered()
    return buffer[frame.content : frame.end]


def head(tag: int, size: int) -> bytes:
    """Return tag and length of a value in DER."""
    if size < 0x80:
        return bytes((tag, size))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def value(tag: int, *parts: bytes) -> bytes:
    """Return a whole small value in DER."""
    content = b"".join(parts)
    return head(tag, len(content)) + content


def altered() -> ClosedFile:
    """Return what is raised for an envelope that has another form than it was given."""
    return ClosedFile(
        "altered",
        "is no whole envelope any more: it was altered, or badly written",
        next_step="ask whoever wrote it for another copy",
    )


def _cut() -> ClosedFile:
    return ClosedFile(
        "truncated",
        "ends before its envelope does: it was cut off",
        next_step="copy the medium again, or ask whoever wrote it for another copy",
    )


def _indefinite(buffer: Buffer, at: int, limit: int, depth: int) -> Frame:
    if not buffer[at] & CONSTRUCTED:
        raise altered()
    end = at + 2
    while buffer[end : end + 2] != b"\0\0":
        end = frame_at(buffer, end, limit, depth + 1).after
    return Frame(buffer[at], at, at + 2, end, end + 2)
