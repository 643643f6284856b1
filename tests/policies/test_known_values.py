"""What the header knows of somebody does not stay anywhere else, however it is written and wherever it stands.

Each case writes one value of the subject, in one spelling, into one attribute that the policy keeps, and asks that the
result does not hold it, or that there is no result. Beside it stands a neighbour that names nobody, and stays.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRLittleEndian

from policies.elements import encode, encode_item, read_file_meta
from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import load_library
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

POLICIES = ("pseudonymization", "basic", "longitudinal-trial")

SUBJECT = {
    0x00080005: (b"CS", b"ISO_IR 192"),
    0x00080050: (b"SH", b"ACC-99-8877"),
    0x00080090: (b"PN", "Österreicher-Quast^Bär".encode()),
    0x00081070: (b"PN", b"Opperman^Kai"),
    0x00100010: (b"PN", "Brzęczyk-Zyx^Quy=王^小東=Бела^Κώστας".encode()),
    0x00100020: (b"LO", b"MRN-4455667"),
    0x00100030: (b"DA", b"19620304"),
    0x00101040: (b"LO", b"17 Kestrelgasse 70794 Zwitterheim"),
    0x00102154: (b"SH", b"+49 711 5550143"),
    0x0020000D: (b"UI", b"1.2.276.0.99.1962.4711.33"),
}

NAMES = [
    b"Brzeczyk",
    b"BRZECZYK ZYX",
    "brzęczyk".encode(),
    "BRZĘCZYK".encode("iso8859-2"),
    "Brzęczyk".encode("utf-16-le"),
    "Brzęczyk".encode("utf-16-be"),
    b"Quy",
    b"(Quy)",
    b"zyx",
    b"Q\0u\0y\0",
    "小東".encode(),
    "小東".encode("shift_jis"),
    "小東".encode("gb18030"),
    "小東".encode("euc_jp"),
    "小東".encode("iso2022_jp"),
    "бела".encode("iso8859-5"),
    "БЕЛА".encode("koi8-r"),
    "ΚΏΣΤΑΣ".encode("iso8859-7"),
    b"Oesterreicher",
    b"OSTERREICHER",
    "österreicher".encode("latin-1"),
    "Österreicher".encode().decode("latin-1").encode(),
    b"o\0p\0p\0e\0r\0m\0a\0n\0",
    b"Kai",
    b"OppermanKai",
]
NUMBERS = [b"MRN4455667", b"mrn 4455667", b"4455667", b"0004455667", b"ACC998877", b"acc_99_8877", b"998877"]
BIRTHS = [
    *(b"1962-03-04", b"4.3.1962", b"03/04/62", b"04.03.62", b"04031962", b"3 4 1962"),
    *(
        b"4 March 1962",
        b"04-MAR-1962",
        b"March 4th, 1962",
        b"Mar 4 62",
        "4. März 1962".encode(),
        b"4 mars 1962",
    ),
    *(b"620304", "1962年3月4日".encode()),
]
PLACES = [b"Kestrelgasse", b"zwitterheim", b"+497115550143", b"0711/5550143", b"49 711 555 01 43"]
UIDS = [b"1.2.276.0.99.1962.4711.33", b"x1.2.276.0.99.1962.4711.33y", b"1_2_276_0_99_1962_4711_33"]
WRITTEN = [*NAMES, *NUMBERS, *BIRTHS, *PLACES, *UIDS]

KEPT_TEXTS = {
    0x00181160: b"SH",  # Filter Type
    0x00181210: b"SH",  # Convolution Kernel
    0x00081090: b"LO",  # Manufacturer's Model Name
    0x0018106A: b"CS",  # Synchronization Trigger
    0x00180022: b"CS",  # Scan Options
}
"""Attributes that every shipped policy keeps, with their VR."""

KEPT_NUMBERS = {
    0x00180050: b"DS",  # Slice Thickness
    0x00181152: b"IS",  # Exposure
    0x00180060: b"DS",  # KVP
}

BINARY = {
    0x00281201: b"OW",  # Red Palette Color Lookup Table Data
    0x00281408: b"OW",  # Blending Lookup Table Data
    0x00280106: b"US",  # Smallest Image Pixel Value
    0x00189073: b"FD",  # Acquisition Duration
    0x00189417: b"FD",
    0x00180039: b"DS",
}

_NEIGHBOUR = encode(0x00181250, b"SH", b"HEAD COIL 8", explicit=True)  # Receive Coil Name
_LONG = {b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"}


@cache
def _base() -> tuple[bytes, dict[int, bytes]]:
    ds = a_ct_image()
    for tag in [
        element.tag for element in ds if element.tag.group not in (0x0008, 0x0020) or element.VR == "SQ"
    ]:
        del ds[tag]
    buffer = DicomBytesIO()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    offset = read_file_meta(content[: 1 << 16]).data_set_offset
    subject = [encode(tag, vr, value, explicit=True) for tag, (vr, value) in SUBJECT.items()]
    elements = (*_elements(content[offset:]), *subject, _NEIGHBOUR)
    return content[:offset], {_tag(element): element for element in elements}


def an_instance(element: bytes) -> bytes:
    """A CT image of the subject, with one element added or put in the place of the one that it has."""
    head, by_tag = _base()
    by_tag = {**by_tag, _tag(element): element}
    return head + b"".join(by_tag[tag] for tag in sorted(by_tag))


def _tag(element: bytes) -> int:
    group, number = struct.unpack_from("<HH", element)
    return int(group << 16 | number)


def _elements(data_set: bytes) -> list[bytes]:
    found, pos = [], 0
    while pos < len(data_set):
        if data_set[pos + 4 : pos + 6] in _LONG:
            end = pos + 12 + struct.unpack_from("<I", data_set, pos + 8)[0]
        else:
            end = pos + 8 + struct.unpack_from("<H", data_set, pos + 6)[0]
        found.append(data_set[pos:end])
        pos = end
    return found


@cache
def _engine(policy: str) -> Engine:
    return Engine(load_library(policy))


def carried(content: bytes, folder: Path, policy: str) -> bytes | str:
    """The result, or the reason why there is none."""
    path, out = folder / "in.dcm", folder / "out.dcm"
    path.write_bytes(content)
    out.unlink(missing_ok=True)
    engine = _engine(policy)
    try:
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    except Refusal as refusal:
        return refusal.reason
    return out.read_bytes()


def nested(element: bytes) -> bytes:
    """The element in an item of CT Exposure Sequence, which every shipped policy keeps."""
    return encode(0x00189321, b"SQ", encode_item(element), explicit=True)


def left_of(planted: Iterable[tuple[bytes, bytes]], folder: Path, policy: str) -> list[bytes]:
    """What is left of values, each given with the element that holds it."""
    left = []
    for written, element in planted:
        for content in (an_instance(element), an_instance(nested(element))):
            result = carried(content, folder, policy)
            if isinstance(result, str):
                gone = result == "names-the-patient"
            else:
                gone = written.strip(b" \0").lower() not in result.lower() and _NEIGHBOUR in result
            if not gone:
                left.append(written)
    return left


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tag", KEPT_TEXTS, ids=lambda tag: f"{tag:08X}")
def test_no_text_keeps_what_names_somebody(tag: int, policy: str, tmp_path: Path) -> None:
    """Names, numbers, births, places and UIDs go from every text that is kept, alone and among other words."""
    planted = [
        (written, encode(tag, KEPT_TEXTS[tag], value, explicit=True))
        for written in WRITTEN
        for value in (written, b"B30 " + written + b" v2")
    ]
    assert left_of(planted, tmp_path, policy) == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tag", KEPT_NUMBERS, ids=lambda tag: f"{tag:08X}")
def test_no_number_keeps_what_names_somebody(tag: int, policy: str, tmp_path: Path) -> None:
    """Letters do not stay in the place of a number, whoever they name, nor does a number that is somebody's."""
    numbers = (b"4455667", b"0004455667", b"19620304", b"+998877", b"1\\4455667")
    written = (*NAMES, b"Nobody Known", b"123-45-6789", *numbers)
    planted = [(value, encode(tag, KEPT_NUMBERS[tag], value, explicit=True)) for value in written]
    assert left_of(planted, tmp_path, policy) == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tag", BINARY, ids=lambda tag: f"{tag:08X}")
def test_no_binary_value_keeps_what_names_somebody(tag: int, policy: str, tmp_path: Path) -> None:
    """A binary value that is text, or has text in it, holds the instance when it names somebody."""
    planted = [
        (written, encode(tag, BINARY[tag], value + b"\0" * (-len(value) % 8), explicit=True))
        for written in (*NAMES, *BIRTHS[:3], *NUMBERS[:3], *PLACES[:3], UIDS[0])
        for value in (written, b"\1\2\xfe\3 name of patient: " + written + b" end of the note \4\5")
        # A short word of two bytes a letter is found in a text that is written so as a whole.
        if value is written or b"\0" not in written or len(written) > 6
    ]
    assert left_of(planted, tmp_path, policy) == []


@pytest.mark.parametrize("policy", POLICIES)
@given(
    written=st.sampled_from(WRITTEN),
    before=st.binary(max_size=12),
    after=st.binary(max_size=12),
    tag=st.sampled_from(sorted(KEPT_TEXTS)),
    cased=st.sampled_from([bytes, bytes.upper, bytes.title, bytes.swapcase]),
    deep=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_around_it_hides_a_value(
    written: bytes,
    before: bytes,
    after: bytes,
    tag: int,
    cased: Callable[[bytes], bytes],
    deep: bool,
    policy: str,
    tmp_path: Path,
) -> None:
    """Whatever stands around it, in whatever case: a value that names somebody does not stay."""
    written = cased(written) if written.isascii() else written
    value = before.rstrip(b"\x1b") + b" ; " + written + b" ; " + after
    element = encode(tag, KEPT_TEXTS[tag], value, explicit=True)
    assert left_of([(written, element)], tmp_path, policy) == []
