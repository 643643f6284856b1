"""Malformed files whose bytes hold canaries: what is said of them, in exceptions, warnings and logs, quotes nothing."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from policies.selftest.canary import Canary, Kind, Mint, Until
from tests.canaries.streams import Stream, between, body, element, head, inserted, written

_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)


def _word(mint: Mint, where: str) -> Canary:
    return Canary("malformed files", mint.word(), Kind.WORD, Until.STAGE_2, where)


def _octets(canary: Canary) -> bytes:
    return str(canary.value).encode()


def _with(tag: int, vr: str, where: str) -> Stream:
    """A name as the value of an attribute that says how to read the others, or what they are."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        word = _word(mint, where)
        return inserted(ds, [(tag, element(tag, vr, _octets(word)))]), [word]

    return plant


def _cut(share: float) -> Stream:
    """A file that ends somewhere in its middle."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        word = _word(mint, f"cut at {share:.0%}")
        ds.PatientName = ds.StudyDescription = ds.InstitutionName = str(word.value)
        whole = written(ds)
        first = whole.index(_octets(word)) + len(_octets(word))
        return whole[: first + int((len(whole) - first) * share)], [word]

    return plant


def transfer_syntax(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A name as Transfer Syntax UID."""
    word = _word(mint, "TransferSyntaxUID")
    return head(ds, str(word.value)) + body(ds), [word]


def sop_class_of_the_meta(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A name as Media Storage SOP Class UID."""
    word = _word(mint, "MediaStorageSOPClassUID")
    copy = between(ds, 0, 1 << 32)
    copy.SOPClassUID = str(word.value)
    return head(copy, ExplicitVRLittleEndian) + body(ds), [word]


def illegal_vr(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Letters of a name where a VR should be."""
    word = _word(mint, "an element's VR and length")
    return inserted(ds, [(0x00081030, struct.pack("<HH", 0x0008, 0x1030) + _octets(word))]), [word]


def length_beyond(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """An element that claims more bytes than there are."""
    word = _word(mint, "an element of too great a length")
    lying = struct.pack("<HH2sHI", 0x0008, 0x0119, b"UC", 0, 0x7FFFFFF0) + _octets(word)
    return inserted(ds, [(0x00080119, lying)]), [word]


def open_sequence(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A sequence without its end."""
    word = _word(mint, "a sequence without end")
    start = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    return inserted(ds, [(0x00400275, start + _ITEM + element(0x00400007, "LO", _octets(word)))]), [word]


def no_item_in_a_sequence(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A sequence with something else than items."""
    word = _word(mint, "a sequence without items")
    return inserted(ds, [(0x00400275, element(0x00400275, "SQ", _octets(word)))]), [word]


def nested_too_deep(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Two thousand sequences inside each other, with a name in the last."""
    word = _word(mint, "a sequence too deep")
    start = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + _ITEM
    return inserted(ds, [(0x0040A730, start * 2000 + element(0x0040A160, "UT", _octets(word)))]), [word]


def no_dicom(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """A letter."""
    word = _word(mint, "a letter")
    return b"Dear colleague, thank you for sending us " + _octets(word), [word]


BROKEN: tuple[Stream, ...] = (
    _with(0x00080005, "CS", "SpecificCharacterSet"),
    _with(0x00080016, "UI", "SOPClassUID"),
    _with(0x00280008, "IS", "NumberOfFrames"),
    _with(0x00280004, "CS", "PhotometricInterpretation"),
    _with(0x00280301, "CS", "BurnedInAnnotation"),
    _with(0x00080008, "CS", "ImageType"),
    _with(0x0020000D, "UI", "StudyInstanceUID"),
    _with(0x00080018, "UI", "SOPInstanceUID"),
    _with(0x00101010, "AS", "PatientAge"),
    _with(0x00080020, "DA", "StudyDate"),
    _with(0x00080201, "SH", "TimezoneOffsetFromUTC"),
    *(_cut(share) for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99)),
    transfer_syntax,
    sop_class_of_the_meta,
    illegal_vr,
    length_beyond,
    open_sequence,
    no_item_in_a_sequence,
    nested_too_deep,
    no_dicom,
)
