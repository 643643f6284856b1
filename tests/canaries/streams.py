"""Channels of bytes: what a data set in memory does not show, or what no writer of DICOM would write.

Each function takes a data set that was built, plants, and returns the bytes of a file.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset, write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from policies.selftest.canary import Canary, Kind, Mint, Until

Stream = Callable[[Dataset, Mint], tuple[bytes, list[Canary]]]

_SHORT = (
    "AE",
    "AS",
    "AT",
    "CS",
    "DA",
    "DS",
    "DT",
    "FD",
    "FL",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "SL",
    "SS",
    "ST",
)


def written(ds: Dataset) -> bytes:
    """The data set as a file of DICOM Part 10."""
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def element(tag: int, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian, its value as it is, odd or not."""
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in _SHORT or vr in ("TM", "UI", "UL", "US"):
        return start + struct.pack("<H", len(value)) + value
    return start + struct.pack("<HI", 0, len(value)) + value


def _word(mint: Mint, channel: str, where: str, until: Until = Until.STAGE_1) -> Canary:
    return Canary(channel, mint.word(), Kind.WORD, until, where)


def _octets(canary: Canary) -> bytes:
    return canary.value if isinstance(canary.value, bytes) else canary.value.encode()


def preamble(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A name in the 128 bytes before DICM."""
    word = _word(mint, "preamble", "preamble")
    return _octets(word).ljust(128, b"\0") + written(ds)[128:], [word]


def file_meta(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Everything of the File Meta Information that a sender can fill."""
    planted = []
    meta = FileMetaDataset()
    meta.update(ds.file_meta)
    for tag, vr in (
        *((0x00020013, "SH"), (0x00020016, "AE"), (0x00020017, "AE"), (0x00020018, "AE"), (0x00020102, "OB")),
        *((0x00020026, "UR"), (0x00020027, "UR"), (0x00020028, "UR")),
    ):
        word = _word(mint, "file meta information", f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        meta.add_new(tag, vr, _octets(word) if vr == "OB" else str(word.value))
        planted.append(word)
    uid = mint.uid()
    meta.PrivateInformationCreatorUID = uid
    planted.append(Canary("file meta information", uid, Kind.UID, Until.STAGE_1, "(0002,0100)"))
    copy = between(ds, 0, 1 << 32)
    copy.file_meta = meta
    return written(copy), planted


def behind_the_end(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A name behind the last element."""
    word = _word(mint, "bytes behind the last element", "end of file")
    return written(ds) + b"\0\0\0\0" + _octets(word), [word]


def group_lengths(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Group lengths with four bytes of somebody's."""
    planted, parts = [], []
    for group in (0x0008, 0x0010):
        octets = mint.octets(4)
        planted.append(Canary("group lengths", octets, Kind.BYTES, Until.STAGE_1, f"({group:04X},0000)"))
        parts.append((group << 16, element(group << 16, "UL", octets)))
    return inserted(ds, parts), planted


def odd_lengths(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Values of an odd number of bytes, in attributes that go, stay and are cleaned."""
    planted, parts = [], []
    for tag, vr in ((0x00081030, "LO"), (0x00080090, "PN"), (0x00321060, "LO"), (0x00324000, "LT")):
        word = _word(mint, "odd lengths", f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        parts.append((tag, element(tag, vr, _octets(word) + b"x")))
        planted.append(word)
    return inserted(ds, parts), planted


def duplicates(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """The same attribute twice, each time with another name."""
    planted, parts = [], []
    for tag, vr in ((0x00100010, "PN"), (0x00081030, "LO"), (0x00080080, "LO")):
        for _ in range(2):
            until = Until.STAGE_2 if tag == 0x00080080 else Until.STAGE_1
            word = _word(mint, "duplicate elements", f"({tag >> 16:04X},{tag & 0xFFFF:04X})", until)
            parts.append((tag, element(tag, vr, _octets(word))))
            planted.append(word)
    return inserted(ds, parts, replace=False), planted


def out_of_order(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Names of the patient behind everything else."""
    planted = [
        _word(mint, "elements out of order", "PatientName"),
        _word(mint, "elements out of order", "StudyComments"),
    ]
    behind = element(0x00101001, "PN", _octets(planted[0])) + element(0x00324000, "LT", _octets(planted[1]))
    return written(ds) + behind, planted


def big_endian(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Explicit VR Big Endian, with cells of which everybody knows the order."""
    planted = _names_of(ds, mint, "big endian")
    ds["PixelData"].VR = "OW"
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True, little_endian=False, implicit_vr=False)
    return buffer.getvalue(), planted


def deflated(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Deflated Explicit VR Little Endian, with something behind the compressed stream."""
    planted = _names_of(ds, mint, "deflated")
    content = body(ds)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    behind = _word(mint, "deflated", "behind the compressed stream")
    return head(ds, DeflatedExplicitVRLittleEndian) + packed + b"\0" + _octets(behind), [*planted, behind]


def without_meta(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A bare data set in Implicit VR Little Endian, without preamble and File Meta Information."""
    planted = _names_of(ds, mint, "missing file meta")
    return body(ds, implicit=True), planted


def implicit_where_explicit_was_said(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A transfer syntax that the data set does not follow."""
    planted = _names_of(ds, mint, "implicit where explicit was said")
    return head(ds, ExplicitVRLittleEndian) + body(ds, implicit=True), planted


def un_sequences(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Sequences and texts of known attributes encoded as UN, of defined and undefined length."""
    planted, parts = [], []
    for tag, undefined in ((0x00400275, False), (0x00081115, True), (0x00081140, False), (0x00540016, True)):
        word = _word(mint, "UN-encoded sequences and texts", f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        name = _octets(word)
        inner = struct.pack("<HHI", 0x0010, 0x0010, len(name)) + name
        if undefined:
            item = (
                struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
                + inner
                + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            )
            value = item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            undefined_head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"UN", 0, 0xFFFFFFFF)
            parts.append((tag, undefined_head + value))
        else:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
            parts.append((tag, element(tag, "UN", item)))
        planted.append(word)
    for tag in (0x00081030, 0x00100010, 0x00181030):
        word = _word(mint, "UN-encoded sequences and texts", f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        parts.append((tag, element(tag, "UN", _octets(word))))
        planted.append(word)
    return inserted(ds, parts), planted


def names_in_other_vrs(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Attributes under a VR that is not theirs: PatientName as DS, Slice Thickness as LO, Rows as ST."""
    planted, parts = [], []
    for tag, vr in (
        *((0x00100010, "DS"), (0x00080090, "OB"), (0x00101010, "LO"), (0x00180050, "LO"), (0x00180060, "PN")),
        *((0x00280030, "UT"), (0x00200013, "ST"), (0x00080008, "LO"), (0x00200052, "LO"), (0x00280010, "SH")),
    ):
        word = _word(
            mint,
            "another VR than the dictionary's",
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) as {vr}",
            Until.STAGE_2,
        )
        parts.append((tag, element(tag, vr, _octets(word))))
        planted.append(word)
    return inserted(ds, parts), planted


def _names_of(ds: Dataset, mint: Mint, channel: str) -> list[Canary]:
    name, text, operator = (
        _word(mint, channel, what) for what in ("PatientName", "StudyDescription", "OperatorsName")
    )
    ds.PatientName, ds.StudyDescription, ds.OperatorsName = (
        f"{name.value}^Ann",
        str(text.value),
        str(operator.value),
    )
    return [name, text, operator]


def head(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """Preamble and File Meta Information for the instance."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = "1.2.3.4"
    meta.FileMetaInformationVersion = b"\0\1"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()


def body(ds: Dataset, *, implicit: bool = False) -> bytes:
    """The encoded data set alone."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    write_dataset(buffer, ds)
    return buffer.getvalue()


def inserted(ds: Dataset, parts: Sequence[tuple[int, bytes]], *, replace: bool = True) -> bytes:
    """The file of ``ds`` in Explicit VR Little Endian, with encoded elements of our own at their places."""
    rest, out, start = between(ds, 0, 1 << 32), [], 0
    for tag, _ in parts:
        if replace and tag in rest:
            del rest[tag]
    for tag, encoded in sorted(parts, key=lambda part: part[0]):
        out += [body(between(rest, start, tag + 1)), encoded]
        start = tag + 1
    out.append(body(between(rest, start, 1 << 32)))
    return head(ds, ExplicitVRLittleEndian) + b"".join(out)


def between(ds: Dataset, first: int, last: int) -> Dataset:
    """A data set with the elements from one tag to before another."""
    part = Dataset()
    for found in ds:
        if first <= found.tag < last:
            part.add(found)
    return part


STREAMS: tuple[Stream, ...] = (
    preamble,
    file_meta,
    behind_the_end,
    group_lengths,
    odd_lengths,
    duplicates,
    out_of_order,
    big_endian,
    deflated,
    without_meta,
    implicit_where_explicit_was_said,
    un_sequences,
    names_in_other_vrs,
)
