"""Instances that are not conforming, in every way that was met in real files: what is wrong, and what becomes of it.

Each damage is done to the bytes of one conforming instance, so that what must come out is known. ``whole`` says how a
damaged instance is to be read: as if it were whole, or not at all.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from policies.elements import LONG_VRS
from tests.builders import a_ct_image

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
PREFIX = b"\0" * 128 + b"DICM"
REGION = 0x00082218
MANUFACTURER, MODEL, PIXEL_SPACING, ROWS, PIXELS = 0x00080070, 0x00081090, 0x00280030, 0x00280010, 0x7FE00010


def base() -> Dataset:
    """A small identified CT image with a coded region."""
    ds = a_ct_image()
    ds.Rows = ds.Columns = 8
    ds.PixelData = bytes(range(128))
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Thorax"
    ds.AnatomicRegionSequence = [region]
    return ds


def data_set(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    """``ds`` without File Meta Information."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != BIG_ENDIAN, syntax == IMPLICIT
    ds = copied(ds)
    if syntax == BIG_ENDIAN:
        # pydicom leaves the order of octets in words to its caller.
        ds.PixelData = struct.pack(f">{len(ds.PixelData) // 2}H", *array("H", ds.PixelData))
    write_dataset(buffer, ds)
    return buffer.getvalue()


def copied(ds: Dataset) -> Dataset:
    """The same instance, read anew: what is written in another byte order is changed on the way."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    again = pydicom.dcmread(BytesIO(buffer.getvalue()))
    again.walk(lambda _, element: element.value)
    return again


def element(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """One element in Explicit VR Little Endian, its length as given and its value as it is."""
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in LONG_VRS:
        return head + b"\0\0" + struct.pack("<I", size) + value
    return head + struct.pack("<H", size) + value


def implicit(tag: int, value: bytes) -> bytes:
    """One element in Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def item(content: bytes, *, length: int | None = None) -> bytes:
    """An item of defined length."""
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content) if length is None else length) + content


ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
CODE = element(0x00080100, b"SH", b"51185008")
SCHEME = element(0x00080102, b"SH", b"SCT ")
MEANING = element(0x00080104, b"LO", b"Thorax")
REGION_ITEM = CODE + SCHEME + MEANING
OPEN = 0xFFFFFFFF


def meta(syntax: str = EXPLICIT, *, without: int = 0, wrong_length: int = 0) -> bytes:
    """File Meta Information for the instance of :func:`base`, as a whole or ``without`` one element."""
    ds = base()
    elements = {
        0x00020001: element(0x00020001, b"OB", b"\0\1"),
        0x00020002: element(0x00020002, b"UI", _even(ds.SOPClassUID)),
        0x00020003: element(0x00020003, b"UI", _even(ds.SOPInstanceUID)),
        0x00020010: element(0x00020010, b"UI", _even(syntax)),
        0x00020012: element(0x00020012, b"UI", b"1.2.3.4\0"),
    }
    elements.pop(without, None)
    content = b"".join(elements.values())
    size = struct.pack("<I", wrong_length or len(content))
    return (b"" if without == 0x00020000 else element(0x00020000, b"UL", size)) + content


def _even(uid: str) -> bytes:
    return str(uid).encode() + b"\0" * (len(str(uid)) % 2)


def elements_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The top-level elements of a conforming explicit data set without sequences of undefined length."""
    pos = 0
    while pos < len(content):
        group, number, vr, length = struct.unpack_from("<HH2sH", content, pos)
        start = pos + 8
        if vr in LONG_VRS:
            start, length = pos + 12, struct.unpack_from("<I", content, pos + 8)[0]
        yield group << 16 | number, content[pos : start + length]
        pos = start + length


def with_element(tag: int, *replacement: bytes) -> bytes:
    """The instance of :func:`base` with other bytes in the place of one element."""
    parts = (b"".join(replacement) if at == tag else whole for at, whole in elements_of(data_set(base())))
    return PREFIX + meta() + b"".join(parts)


def moved(tag: int, before: int) -> bytes:
    """The instance of :func:`base` with one element out of its place."""
    elements = dict(elements_of(data_set(base())))
    away = elements.pop(tag)
    parts = (away + whole if at == before else whole for at, whole in elements.items())
    return PREFIX + meta() + b"".join(parts)


def as_it_is(tag: int) -> bytes:
    """One element of the instance of :func:`base`."""
    return dict(elements_of(data_set(base())))[tag]


def region(value: bytes, *, vr: bytes = b"SQ", length: int | None = None) -> bytes:
    """The instance with other bytes as its sequence."""
    return with_element(REGION, element(REGION, vr, value, length=length))


def _value(tag: int) -> bytes:
    whole = as_it_is(tag)
    return whole[12 if whole[4:6] in LONG_VRS else 8 :]


@dataclass(frozen=True)
class Damage:
    """One way of not being conforming. ``reason`` is empty where the instance is read as if it were whole."""

    what: str
    build: Callable[[], bytes]
    reason: str = ""

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


def _ds(syntax: str = EXPLICIT) -> bytes:
    return data_set(base(), syntax)


DAMAGES = [
    # Heads.
    Damage("no preamble and prefix", lambda: meta() + _ds()),
    Damage("no meta", lambda: _ds()),
    Damage("no meta, implicit", lambda: _ds(IMPLICIT)),
    Damage("no meta, big endian", lambda: _ds(BIG_ENDIAN)),
    Damage("prefix and no meta", lambda: PREFIX + _ds()),
    Damage("prefix and no meta, implicit", lambda: PREFIX + _ds(IMPLICIT)),
    Damage("meta without length", lambda: PREFIX + meta(without=0x00020000) + _ds()),
    Damage("meta with a wrong length", lambda: PREFIX + meta(wrong_length=4) + _ds()),
    Damage("meta without SOP Class", lambda: PREFIX + meta(without=0x00020002) + _ds()),
    Damage(
        "meta without SOP Class, implicit",
        lambda: PREFIX + meta(IMPLICIT, without=0x00020002) + _ds(IMPLICIT),
    ),
    Damage("meta without SOP Instance", lambda: PREFIX + meta(without=0x00020003) + _ds()),
    Damage("meta without transfer syntax", lambda: PREFIX + meta(without=0x00020010) + _ds()),
    Damage(
        "meta without transfer syntax, implicit", lambda: PREFIX + meta(without=0x00020010) + _ds(IMPLICIT)
    ),
    Damage(
        "implicit meta",
        lambda: (
            PREFIX
            + implicit(0x00020002, _even(base().SOPClassUID))
            + implicit(0x00020010, _even(EXPLICIT))
            + _ds()
        ),
    ),
    Damage("only a meta", lambda: PREFIX + meta(), "no-sop-instance-uid"),
    Damage("only half a meta", lambda: PREFIX + meta()[:40], "truncated"),
    # Encodings.
    Damage("big endian", lambda: PREFIX + meta(BIG_ENDIAN) + _ds(BIG_ENDIAN)),
    Damage("little endian where big was said", lambda: PREFIX + meta(BIG_ENDIAN) + _ds()),
    Damage("big endian where little was said", lambda: PREFIX + meta() + _ds(BIG_ENDIAN)),
    Damage("implicit where explicit was said", lambda: PREFIX + meta() + _ds(IMPLICIT)),
    Damage("explicit where implicit was said", lambda: PREFIX + meta(IMPLICIT) + _ds()),
    Damage("one implicit element", lambda: with_element(MODEL, implicit(MODEL, _value(MODEL)))),
    Damage(
        "one implicit sequence",
        lambda: with_element(
            REGION,
            implicit(
                REGION,
                item(
                    implicit(0x00080100, b"51185008")
                    + implicit(0x00080102, b"SCT ")
                    + implicit(0x00080104, b"Thorax")
                ),
            ),
        ),
    ),
    Damage(
        "no word of Pixel Data's compression",
        lambda: with_element(
            PIXELS, element(PIXELS, b"OB", item(b"") + item(b"12") + SEQUENCE_END, length=OPEN)
        ),
        "malformed",
    ),
    Damage(
        "deflated, but no stream",
        lambda: PREFIX + meta("1.2.840.10008.1.2.1.99") + _ds(),
        "malformed",
    ),
    Damage(
        "a private transfer syntax", lambda: PREFIX + meta("1.2.3.4") + _ds(), "unsupported-transfer-syntax"
    ),
    # Value Representations.
    Damage("a VR of question marks", lambda: with_element(MODEL, as_it_is(MODEL).replace(b"LO", b"??", 1))),
    Damage("a VR of zeros", lambda: with_element(MODEL, as_it_is(MODEL).replace(b"LO", b"\0\0", 1))),
    Damage(
        "a VR of the future",
        lambda: with_element(
            MODEL, as_it_is(MODEL)[:4] + b"ZZ\0\0" + struct.pack("<I", len(_value(MODEL))) + _value(MODEL)
        ),
    ),
    Damage("Pixel Data of VR OX", lambda: with_element(PIXELS, as_it_is(PIXELS).replace(b"OW", b"OX", 1))),
    Damage(
        "reserved octets in use",
        lambda: with_element(PIXELS, as_it_is(PIXELS).replace(b"OW\0\0", b"OWab", 1)),
    ),
    # Lengths and order.
    Damage(
        "a text of odd length", lambda: with_element(MODEL, element(MODEL, b"LO", _value(MODEL).rstrip()))
    ),
    Damage(
        "a text of odd length in an item", lambda: region(item(CODE + SCHEME[:6] + b"\x03\0SCT" + MEANING))
    ),
    Damage("an element that stands twice", lambda: with_element(MODEL, as_it_is(MODEL), as_it_is(MODEL))),
    Damage("an element that stands twice in an item", lambda: region(item(CODE + CODE + SCHEME + MEANING))),
    Damage(
        "an element with two values",
        lambda: with_element(MODEL, as_it_is(MODEL), element(MODEL, b"LO", b"Another ")),
        "duplicate-elements",
    ),
    Damage(
        "an element with two values in an item",
        lambda: region(item(CODE + element(0x00080100, b"SH", b"1234") + SCHEME + MEANING)),
        "duplicate-elements",
    ),
    Damage("an element that comes too late", lambda: moved(MODEL, before=PIXELS)),
    Damage("an element that comes too early", lambda: moved(ROWS, before=MANUFACTURER)),
    Damage("Pixel Data first", lambda: moved(PIXELS, before=0x00080008)),
    Damage("an item out of order", lambda: region(item(MEANING + CODE + SCHEME))),
    # Sequences.
    Damage(
        "a sequence without lengths",
        lambda: region(item(REGION_ITEM + ITEM_END, length=OPEN) + SEQUENCE_END, length=OPEN),
    ),
    Damage("an item without length", lambda: region(item(REGION_ITEM + ITEM_END, length=OPEN))),
    Damage("a sequence that is too short", lambda: region(item(REGION_ITEM), length=16)),
    Damage("a delimiter too many in an item", lambda: region(item(REGION_ITEM + ITEM_END))),
    Damage("a delimiter too many in a sequence", lambda: region(item(REGION_ITEM) + SEQUENCE_END)),
    Damage(
        "delimiters of a length",
        lambda: region(
            item(REGION_ITEM + ITEM_END[:4] + b"\2\0\0\0", length=OPEN) + SEQUENCE_END, length=OPEN
        ),
    ),
    Damage("an item that is too long", lambda: region(item(REGION_ITEM, length=1 << 20)), "truncated"),
    Damage("a sequence that is too long", lambda: region(item(REGION_ITEM), length=1 << 20), "truncated"),
    Damage("a sequence without end", lambda: region(item(REGION_ITEM), length=OPEN), "malformed"),
    Damage(
        "an item without end",
        lambda: region(item(REGION_ITEM, length=OPEN) + SEQUENCE_END, length=OPEN),
        "malformed",
    ),
    Damage("a sequence of no items", lambda: region(REGION_ITEM), "malformed"),
    Damage(
        "an element longer than its item",
        lambda: region(item(CODE + SCHEME + MEANING[:6] + b"\x80\0Thorax")),
        "malformed",
    ),
    # Unknown.
    Damage("a text of VR UN", lambda: with_element(MODEL, element(MODEL, b"UN", _value(MODEL)))),
    Damage(
        "a sequence of VR UN without length",
        lambda: region(
            item(
                implicit(0x00080100, b"51185008")
                + implicit(0x00080102, b"SCT ")
                + implicit(0x00080104, b"Thorax")
                + ITEM_END,
                length=OPEN,
            )
            + SEQUENCE_END,
            vr=b"UN",
            length=OPEN,
        ),
    ),
    Damage(
        "an explicit sequence of VR UN",
        lambda: region(item(REGION_ITEM + ITEM_END, length=OPEN) + SEQUENCE_END, vr=b"UN", length=OPEN),
    ),
    # The end.
    Damage("zeros behind the end", lambda: PREFIX + meta() + _ds() + b"\0" * 1000),
    Damage("a few zeros behind the end", lambda: PREFIX + meta() + _ds() + b"\0" * 3),
    Damage("something behind the end", lambda: PREFIX + meta() + _ds() + b"JOHN", "truncated"),
    Damage("no padding", lambda: with_element(0xFFFCFFFC)),
    Damage("something behind Pixel Data", lambda: with_element(0xFFFCFFFC, b"DOE^JOHN^WALKS"), "truncated"),
]
"""Every way, by name."""
