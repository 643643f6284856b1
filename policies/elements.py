"""DICOM elements as bytes: Part 10 file headers read, single elements written (PS3.5 section 7, PS3.10 section 7).

The engine decodes only what a rule touches, so this module knows encodings, not meanings. It reads the File Meta
Information, says how the data set is encoded, and encodes elements; walking a data set is :mod:`policies.scan`.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from policies.errors import Refusal, Unconforming

LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""Value Representations with a 32-bit length field in explicit encodings (PS3.5 Table 7.1-1)."""

KNOWN_VRS: Final = LONG_VRS | frozenset(
    {
        b"AE",
        b"AS",
        b"AT",
        b"CS",
        b"DA",
        b"DS",
        b"DT",
        b"FD",
        b"FL",
        b"IS",
        b"LO",
        b"LT",
        b"PN",
        b"SH",
        b"SL",
        b"SS",
        b"ST",
        b"TM",
        b"UI",
        b"UL",
        b"US",
    }
)

_PADDED_WITH_SPACE: Final = frozenset(
    {
        b"AE",
        b"AS",
        b"CS",
        b"DA",
        b"DS",
        b"DT",
        b"IS",
        b"LO",
        b"LT",
        b"PN",
        b"SH",
        b"ST",
        b"TM",
        b"UC",
        b"UR",
        b"UT",
    }
)

TEXT_VRS: Final = frozenset({b"LO", b"LT", b"SH", b"ST", b"UC", b"UT"})
NUMBER_VRS: Final = frozenset({b"AT", b"FD", b"FL", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"})
BULK_VRS: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"})

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD

IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

IMPLEMENTATION_CLASS_UID: Final = "2.25.285714604921327836409826871146374127361"
IMPLEMENTATION_VERSION: Final = "TCE_1"

_INFLATE_LIMIT: Final = 1 << 28

_implicit_head = struct.Struct("<HHI").pack
_short_head = struct.Struct("<HH2sH").pack
_long_head = struct.Struct("<HH2sHI").pack
_meta_element = struct.Struct("<HH2sH").unpack_from
_u32 = struct.Struct("<I").unpack_from


@dataclass(frozen=True, slots=True)
class Style:
    """How a data set is encoded. ``words_swapped``: little endian, but for the 16-bit words of Pixel Data."""

    explicit: bool
    big_endian: bool = False
    deflated: bool = False
    encapsulated: bool = False
    words_swapped: bool = False


_STYLES: Final = {
    IMPLICIT_LITTLE_ENDIAN: Style(explicit=False),
    EXPLICIT_LITTLE_ENDIAN: Style(explicit=True),
    EXPLICIT_BIG_ENDIAN: Style(explicit=True, big_endian=True),
    DEFLATED_LITTLE_ENDIAN: Style(explicit=True, deflated=True),
    "1.2.840.10008.1.2.1.98": Style(explicit=True, encapsulated=True),  # Encapsulated Uncompressed
    "1.2.840.10008.1.2.5": Style(explicit=True, encapsulated=True),  # RLE Lossless
    "1.2.840.10008.1.2.8.1": Style(explicit=True, encapsulated=True),  # Deflated Image Frame Compression
    "1.2.840.10008.1.2.4.94": Style(explicit=True),  # JPIP Referenced: no Pixel Data in the file
    "1.2.840.10008.1.2.4.95": Style(explicit=True, deflated=True),
    "1.2.840.10008.1.2.4.204": Style(explicit=True),
    "1.2.840.10008.1.2.4.205": Style(explicit=True, deflated=True),
    "1.2.840.113619.5.2": Style(explicit=False, words_swapped=True),  # GE, before there was a standard for it
}
_COMPRESSED: Final = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.[1-9][0-9]{1,2}(?:\.1)?")


def style_of(transfer_syntax_uid: str) -> Style:
    """Return how the data set of a transfer syntax is encoded.

    Encapsulated (compressed) syntaxes encode their data set in explicit little endian (PS3.5 A.4).

    Raises:
        Refusal: ``unsupported-transfer-syntax`` for private ones, and for what is no transfer syntax of DICOM.
    """
    style = _STYLES.get(transfer_syntax_uid)
    if style is not None:
        return style
    # It is written into the result, so that what only begins like a transfer syntax is none.
    if _COMPRESSED.fullmatch(transfer_syntax_uid):
        return _ENCAPSULATED
    raise Refusal(
        "unsupported-transfer-syntax",
        "The file is encoded in a transfer syntax that is not read here.",
        next_step="Convert it to Explicit VR Little Endian (for example with dcmconv +te) and try again.",
    )


_ENCAPSULATED: Final = Style(explicit=True, encapsulated=True)


@dataclass(frozen=True, slots=True, repr=False)
class FileMeta:
    """What the File Meta Information says, and where the data set begins (byte offset in the file)."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int


_READ_OF_META: Final = frozenset({0x0002, 0x0003, 0x0010})
"""Elements of group 0002 that are read: SOP Class, SOP Instance and transfer syntax."""


def read_file_meta(head: bytes) -> FileMeta:
    """Read the File Meta Information from the first bytes of a file (PS3.10 section 7.1).

    What it does not say is empty.

    Raises:
        Unconforming: ``not-dicom`` when the prefix is missing, ``truncated`` or ``malformed`` when it cannot be read.
    """
    if len(head) < 132 or head[128:132] != b"DICM":
        raise Unconforming("not-dicom", "The file is not a DICOM Part 10 file.")
    values: dict[int, str] = {}
    pos, end = 132, len(head)
    while pos + 8 <= end:
        group, element, vr, length = _meta_element(head, pos)
        if group != 0x0002:
            break
        if vr not in KNOWN_VRS:
            raise Unconforming("malformed", "The File Meta Information is not in Explicit VR Little Endian.")
        start = pos + 8
        if vr in LONG_VRS:
            if pos + 12 > end:
                break
            start, length = pos + 12, _u32(head, pos + 8)[0]
        pos = start + length
        if pos > end:
            raise Unconforming("truncated", "The file ends inside its File Meta Information.")
        if element in _READ_OF_META:
            values[element] = text_of(head[start:pos])
    if 0x0010 not in values:
        raise Unconforming("malformed", "The File Meta Information names no transfer syntax.")
    return FileMeta(values.get(0x0002, ""), values.get(0x0003, ""), values[0x0010], pos)


PADDING: Final = " \t\n\v\f\r\0"
"""What different writers pad a value with; an identifier of nothing else is no identifier."""


def text_of(value: bytes) -> str:
    """Return a value of the default character repertoire as text, padding removed; never raises."""
    return value.decode("latin-1").strip(PADDING)


def inflate(compressed: bytes) -> bytes:
    """Return the data set of a deflated file (PS3.5 A.5).

    Raises:
        Refusal: ``malformed`` when the stream is broken, or it or what it holds is larger than 256 MiB.
    """
    if len(compressed) > _INFLATE_LIMIT:
        raise Refusal("malformed", "The deflated data set is larger than 256 MiB.")
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(compressed, _INFLATE_LIMIT)
    except zlib.error as broken:
        raise Refusal("malformed", "The deflated data set cannot be read.") from broken
    if not stream.eof:
        raise Refusal("malformed", "The deflated data set is incomplete, or larger than 256 MiB.")
    return inflated


def deflate(data_set: bytes) -> bytes:
    """Return a data set as a deflated stream of even length (PS3.5 A.5); the same bytes for the same input."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = stream.compress(data_set) + stream.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def tag_bytes(tag: int) -> bytes:
    """Return the four bytes of a tag in little endian."""
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def padding_of(vr: bytes) -> bytes:
    """Return the octet that makes a value of odd length even (PS3.5 section 6.2)."""
    return b" " if vr in _PADDED_WITH_SPACE else b"\0"


def encode(tag: int, vr: bytes, value: bytes, *, explicit: bool) -> bytes:
    """Return one element of defined length; a value of odd length is padded as its VR asks (PS3.5 section 6.2)."""
    length = len(value)
    if length & 1:
        value += padding_of(vr)
        length += 1
    if not explicit:
        return _implicit_head(tag >> 16, tag & 0xFFFF, length) + value
    if vr in LONG_VRS:
        return _long_head(tag >> 16, tag & 0xFFFF, vr, 0, length) + value
    if length > 0xFFFF:
        raise Refusal("malformed", f"A value of {tag_text(tag)} is too long for its VR.")
    return _short_head(tag >> 16, tag & 0xFFFF, vr, length) + value


def encode_item(content: bytes) -> bytes:
    """Return a sequence item of defined length."""
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def tag_text(tag: int) -> str:
    """Return a tag as ``(gggg,eeee)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def require_order(tag: int, last: int, length: int) -> None:
    """Raise Unconforming when an element does not follow the one before it, or its length is odd (PS3.5 7.1)."""
    if tag <= last:
        raise Unconforming("malformed", f"The element {tag_text(tag)} is out of order.")
    if length != UNDEFINED_LENGTH:
        raise Unconforming("malformed", f"The length of {tag_text(tag)} is odd.")


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and File Meta Information of a new file (PS3.10 7.1; PS3.15 E.1.1 asks for new ones).

    The preamble is empty and no Application Entity is named: neither may tell where the instance came from.
    """
    before, after = _meta_around(sop_class_uid, transfer_syntax_uid)
    instance = encode(0x00020003, b"UI", sop_instance_uid.encode(), explicit=True)
    size = struct.pack("<I", len(before) + len(instance) + len(after))
    return b"".join((_PREFIX, encode(0x00020000, b"UL", size, explicit=True), before, instance, after))


_PREFIX: Final = b"\0" * 128 + b"DICM"


@lru_cache(maxsize=64)
def _meta_around(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[bytes, bytes]:
    """Return what stands before and after Media Storage SOP Instance UID."""
    before = encode(0x00020001, b"OB", b"\0\1", explicit=True)
    before += encode(0x00020002, b"UI", sop_class_uid.encode(), explicit=True)
    after = encode(0x00020010, b"UI", transfer_syntax_uid.encode(), explicit=True)
    after += encode(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode(), explicit=True)
    after += encode(0x00020013, b"SH", IMPLEMENTATION_VERSION.encode(), explicit=True)
    return before, after


def copy_range(source: int, offset: int, length: int, target: int) -> None:
    """Copy bytes between two open files inside the kernel; the target's position moves on.

    Raises:
        Refusal: ``truncated`` when the source ends early (somebody is changing it).
        OSError: when the target cannot be written.
    """
    while length:
        try:
            moved = os.copy_file_range(source, target, length, offset)
        except OSError:
            # Some file systems refuse the call between each other; plain reads always work.
            block = os.pread(source, min(length, 1 << 20), offset)
            moved = os.write(target, block) if block else 0
        if not moved:
            raise Refusal(
                "truncated", "The file became shorter while it was read.", next_step="Try again later."
            )
        offset += moved
        length -= moved
