"""Encrypted Attributes: what stage 1 took out or replaced, beside the rest, for who holds a recipient's key.

    source ──┬── elements that the result has otherwise, or not at all ──▶ Modified Attributes ──closed──▶ (0400,0500)
    result ──┘

PS3.15 E.1.1: a data set with one Modified Attributes Sequence (0400,0550) of one item, encoded in Explicit VR Little
Endian, encrypted. An element goes in as a whole where anything in it changed. Who closes it is handed in; this package
sees no key and no certificate. Left out are private elements, group lengths, binary values, overlays, digital
signatures, and what was encrypted before: a re-identifier need not restore the whole original (PS3.15 E.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from policies.elements import (
    BULK_VRS,
    EXPLICIT_LITTLE_ENDIAN,
    LONG_VRS,
    UNDEFINED_LENGTH,
    Style,
    encode,
    encode_item,
)
from policies.errors import Refusal
from policies.heads import vr_of
from policies.mending import mend
from policies.nesting import item_head, skip, u32
from policies.pieces import Copy, Facts
from policies.source import Source
from policies.writing import Part

ENCRYPTED_ATTRIBUTES: Final = 0x04000500
_CONTENT_SYNTAX: Final = 0x04000510
_CONTENT: Final = 0x04000520
_MODIFIED_ATTRIBUTES: Final = 0x04000550
_CHARACTER_SET: Final = 0x00080005
_NOT_IN_IT: Final = frozenset(
    {
        _CHARACTER_SET,
        ENCRYPTED_ATTRIBUTES,
        0x4FFE0001,  # MAC Parameters Sequence
    }
)
_PIXELS: Final = 0x7FE00000
_PIXEL_DATA: Final = 0x7FE00010
_HEADER_LIMIT: Final = 1 << 28


class Envelope(Protocol):
    """Closes a content for recipients that this package does not know."""

    def __len__(self) -> int:
        """Return how many recipients there are."""
        ...

    def close(self, content: bytes) -> bytes:
        """Return the content as EnvelopedData in DER (RFC 5652); the same bytes for the same content."""
        ...


class _Element(NamedTuple):
    tag: int
    vr: bytes
    whole: bytes

    def __repr__(self) -> str:
        return "_Element(…)"


def with_encrypted_attributes(
    parts: list[Part], source: Source, offset: int, facts: Facts, envelope: Envelope
) -> list[Part]:
    """Return the parts of a result with Encrypted Attributes Sequence in its place.

    ``offset`` is where the data set of the ``source`` begins. Where nothing was changed the parts are returned as
    they are.

    Raises:
        Refusal: ``malformed`` when what would have to be read is larger than 256 MiB.
    """
    result = _Result(parts, source, facts)
    originals = _changed(source, offset, facts, result.elements)
    if not originals:
        return parts
    modified = encode(_MODIFIED_ATTRIBUTES, b"SQ", encode_item(originals), explicit=True)
    syntax = EXPLICIT_LITTLE_ENDIAN.encode()
    item = encode(_CONTENT_SYNTAX, b"UI", syntax, explicit=facts.explicit)
    item += encode(_CONTENT, b"OB", envelope.close(modified), explicit=facts.explicit)
    whole = encode(ENCRYPTED_ATTRIBUTES, b"SQ", encode_item(item), explicit=facts.explicit)
    place, at = result.place
    part = parts[place] if place < len(parts) else b""
    if isinstance(part, bytes):
        return [*parts[:place], part[:at] + whole + part[at:], *parts[place + 1 :]]
    return [*parts[:place], whole, *parts[place:]]


class _Result:
    """The elements of a result by tag, None for one that is copied as it was; and where the sequence has its place."""

    def __init__(self, parts: list[Part], source: Source, facts: Facts) -> None:
        self.elements: dict[int, bytes | None] = {}
        self.place = (len(parts), 0)
        """Which part, and how many bytes into it: elements stand in the order of their tags (PS3.5 7.1)."""
        for place, part in enumerate(parts):
            at = 0
            for tag, whole in _of_part(part, source, facts):
                if tag > ENCRYPTED_ATTRIBUTES and self.place[0] == len(parts):
                    self.place = (place, at)
                self.elements[tag] = whole
                at += 0 if whole is None else len(whole)


def _of_part(part: Part, source: Source, facts: Facts) -> Iterator[tuple[int, bytes | None]]:
    if isinstance(part, bytes):
        yield from ((element.tag, element.whole) for element in _elements(part, explicit=facts.explicit))
    elif isinstance(part, Copy):
        group, element, _ = item_head(source.read(part.offset, 8), 0)
        yield group << 16 | element, None
    else:
        yield _PIXEL_DATA, None  # made anew; nothing else is


def _changed(source: Source, offset: int, facts: Facts, remaining: dict[int, bytes | None]) -> bytes:
    """Return the elements that the result has otherwise than the source, or not, in Explicit VR Little Endian."""
    end = facts.pixels.copy.offset if facts.pixels is not None else source.size
    if end - offset > _HEADER_LIMIT:
        raise Refusal("malformed", "What would have to be encrypted is larger than 256 MiB.")
    header = source.read(offset, end - offset)
    elements = list(_elements(header, explicit=facts.explicit))
    changed = [
        element.whole
        for element in elements
        if remaining.get(element.tag, b"") not in (None, element.whole) and _may_go_in(element)
    ]
    if any(b"\x1b" in whole or not whole.isascii() for whole in changed):
        # What is in it is read by the item alone.
        changed[:0] = [element.whole for element in elements if element.tag == _CHARACTER_SET]
    together = b"".join(changed)
    return together if facts.explicit else mend(together, Style(explicit=False))


def _may_go_in(element: _Element) -> bool:
    tag = element.tag
    if tag >> 16 & 1 or tag & 0xFFFF == 0 or tag in _NOT_IN_IT or not 0x00080000 <= tag < _PIXELS:
        return False
    vr = element.vr if element.vr not in (b"", b"UN") else vr_of(tag).encode()[:2]
    return bool(vr) and vr not in BULK_VRS and tag >> 24 != 0x60


def _elements(buf: bytes, *, explicit: bool) -> Iterator[_Element]:
    """Yield the elements of the top level, which the scan has found to be conforming."""
    pos, end = 0, len(buf)
    while pos + 8 <= end:
        group, element, length = item_head(buf, pos)
        start, vr = pos + 8, b""
        if explicit:
            vr, length = buf[pos + 4 : pos + 6], length >> 16
            if vr in LONG_VRS:
                length, start = u32(buf, start)[0], start + 4
        if length == UNDEFINED_LENGTH:
            after = skip(buf, start, length, end, explicit and vr != b"UN", 0)
        else:
            after = start + length
        yield _Element(group << 16 | element, vr, buf[pos:after])
        pos = after
