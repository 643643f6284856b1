"""Walking the bytes: what no rule touches comes out as it went in, and broken input is refused by name."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from policies.elements import read_file_meta
from policies.errors import Refusal
from tests.policies.damage import ITEM_END, OPEN, SEQUENCE_END, element, implicit, item
from tests.policies.keep_all import through


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "rtplan.dcm",
        "rtdose.dcm",
        "JPEG2000.dcm",
        "reportsi.dcm",
        "test-SR.dcm",
        "waveform_ecg.dcm",
        "liver_1frame.dcm",
        "priv_SQ.dcm",
        "MR_small_RLE.dcm",
        "examples_rgb_color.dcm",
        "SC_rgb_small_odd.dcm",
    ],
)
def test_without_a_rule_the_bytes_are_the_same(name: str) -> None:
    """Reading and writing without any rule gives the same bytes back."""
    path = get_testdata_file(name, download=False)
    assert path is not None, "it comes with pydicom's wheel"
    with open(path, "rb") as file:
        content = file.read()
    meta = read_file_meta(content)
    data_set = content[meta.data_set_offset :]
    explicit = meta.transfer_syntax_uid != "1.2.840.10008.1.2"
    assert through(data_set, explicit=explicit) == data_set


_CODES = element(0x00080100, b"SH", b"T-1 ") + element(0x00080102, b"SH", b"SRT ")
_HIDDEN = implicit(0x00080100, b"T-1 ") + implicit(0x00080102, b"SRT ")
_FRAMES = item(b"ab") + item(b"") + item(b"cdef") + SEQUENCE_END


@pytest.mark.parametrize(
    "shape",
    [
        element(0x00082218, b"SQ", b""),
        element(0x00082218, b"SQ", item(b"") + item(_CODES)),
        element(0x00082218, b"SQ", item(_CODES + ITEM_END, length=OPEN)),
        element(0x00082218, b"SQ", item(_CODES) + SEQUENCE_END, length=OPEN),
        element(0x00082218, b"SQ", item(_CODES + ITEM_END, length=OPEN) * 2 + SEQUENCE_END, length=OPEN),
        element(0x00082218, b"UN", item(_HIDDEN) * 2),
        element(0x00082218, b"UN", item(_HIDDEN + ITEM_END, length=OPEN) + SEQUENCE_END, length=OPEN),
        element(0x00089215, b"SQ", item(element(0x00082218, b"SQ", item(_CODES) * 3)) * 3),
        element(0x7FE00010, b"OB", item(b"") + _FRAMES, length=OPEN),
        element(0x7FE00010, b"OB", item(b"\0\0\0\0\x0a\0\0\0") + _FRAMES, length=OPEN),
        element(0x7FE00001, b"OV", b"\0" * 8)
        + element(0x7FE00002, b"OV", b"\2" + b"\0" * 7)
        + element(0x7FE00010, b"OB", item(b"") + _FRAMES, length=OPEN),
        element(0x7FE00010, b"OW", b"\1\2" * 70_000) + element(0xFFFCFFFC, b"OB", b"\0" * 6),
        element(0x00091010, b"UN", b"abc ") + element(0x00100010, b"PN", b"Doe^John"),
    ],
    ids=lambda shape: f"{len(shape)}-octets",
)
def test_every_shape_comes_back(shape: bytes) -> None:
    """Sequences and items of either style of length, of VR UN, and every form of pixel data come back as they were."""
    assert through(shape) == shape


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    """Data sets of a few elements, nested in sequences of defined and undefined length."""
    ds = Dataset()
    if draw(st.booleans()):
        ds.StudyDescription = draw(st.text("abc ", max_size=20))
    if draw(st.booleans()):
        ds.Rows = draw(st.integers(0, 65535))
    if draw(st.booleans()):
        ds.add_new("EncapsulatedDocument", "OB", draw(st.binary(max_size=70)) + b"")
    if depth and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth - 1), max_size=3))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        ds.ReferencedStudySequence = items
        ds["ReferencedStudySequence"].is_undefined_length = draw(st.booleans())
    return ds


def encoded(ds: Dataset, *, explicit: bool = True) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, not explicit
    write_dataset(buffer, ds)
    return buffer.getvalue()


@given(data_sets(), st.booleans())
@settings(deadline=None)
def test_any_data_set_comes_back(ds: Dataset, explicit: bool) -> None:
    """Any nesting, in any style of length, in both encodings, comes back byte for byte."""
    content = encoded(ds, explicit=explicit)
    assert through(content, explicit=explicit) == content


@given(data_sets(), st.integers(0, 400), st.integers(0, 255))
@settings(deadline=None, max_examples=300)
def test_broken_input_is_refused_not_crashed(ds: Dataset, place: int, value: int) -> None:
    """One wrong byte anywhere gives the elements back or a named refusal, never another error."""
    content = bytearray(encoded(ds))
    if content:
        content[place % len(content)] = value
    try:
        through(bytes(content))
    except Refusal as refusal:
        assert refusal.reason in {"truncated", "malformed"}


@given(st.binary(max_size=200))
def test_noise_is_refused_not_crashed(noise: bytes) -> None:
    """Bytes that are no data set are refused by name or walked through, never an error of another kind."""
    try:
        through(noise)
    except Refusal as refusal:
        assert refusal.reason in {"truncated", "malformed"}


@given(st.binary(max_size=300))
def test_noise_for_meta_is_refused_not_crashed(noise: bytes) -> None:
    """File Meta Information of noise is refused by name."""
    try:
        read_file_meta(b"\0" * 128 + b"DICM" + noise)
    except Refusal as refusal:
        assert refusal.reason in {"truncated", "malformed"}


def test_endless_nesting_is_refused() -> None:
    """Sequences nested without end are refused before the stack is."""
    deep = b""
    for _ in range(100):
        deep = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + deep
    with pytest.raises(Refusal) as refusal:
        through(deep)
    assert refusal.value.reason in {"malformed", "truncated"}


def test_pydicom_reads_what_comes_out() -> None:
    """Another reader finds the same elements."""
    path = get_testdata_file("CT_small.dcm", download=False)
    assert path is not None
    with open(path, "rb") as file:
        content = file.read()
    offset = read_file_meta(content).data_set_offset
    again = pydicom.dcmread(BytesIO(content[:offset] + through(content[offset:])))
    assert again == pydicom.dcmread(path)
