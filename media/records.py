"""The body of a directory record: the keys of one instance at one level, encoded as Explicit VR Little Endian.

Plain values are copied as bytes. Sequences are decoded, filtered and encoded anew: private elements have no place
in a DICOMDIR, and of a content tree only the concept modifiers of its root belong there (PS3.3 F.5).
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from media.attributes import BINARY_VRS, SPECIFIC_CHARACTER_SET, Attributes
from media.errors import UnreadableInstance
from media.record_types import Key, RecordType, Source

_VERIFYING_OBSERVERS = 0x0040A073
_ITEM = b"\xfe\xff\x00\xe0"
_NO_TIME = b"000000"


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """The encoded keys of a record.

    ``missing`` are the Type 1 keys without a value. Where one of them is a number that the File-set's creator may
    assign, ``gap`` is the place for it in ``data``.
    """

    data: bytes
    missing: tuple[Key, ...] = ()
    gap: tuple[int, Key] | None = None

    def numbered(self, number: int) -> bytes:
        """Return the data, with ``number`` in the gap if there is one."""
        if self.gap is None:
            return self.data
        place, key = self.gap
        return self.data[:place] + element(key.tag, key.vr, str(number).encode("ascii")) + self.data[place:]


def body_of(attributes: Attributes, record: RecordType, *, date_if_missing: str = "") -> Body:
    """Encode the keys that ``record`` takes from an instance.

    ``date_if_missing`` (DA) stands in for a Type 1 date without a value, and midnight for a time, if it is given.
    """
    parts = bytearray(_charset(attributes))
    missing: list[Key] = []
    gap: tuple[int, Key] | None = None
    for key in record.keys:
        value = key_value(attributes, key)
        if value:
            parts += element(key.tag, key.vr, value)
        elif key.type == "1" and date_if_missing and key.vr in ("DA", "TM"):
            stand_in = date_if_missing.encode("ascii") if key.vr == "DA" else _NO_TIME
            parts += element(key.tag, key.vr, stand_in)
        elif key.type == "1":
            missing.append(key)
            if key.source is Source.NUMBERED:
                gap = (len(parts), key)
        elif key.type == "2":
            parts += element(key.tag, key.vr, b"")
    return Body(bytes(parts), tuple(missing), gap)


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Encode one element, padded to an even length."""
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    if vr in ("SQ", "OB"):
        return head + struct.pack("<HI", 0, len(value)) + value
    if len(value) > 0xFFFE:
        raise UnreadableInstance("malformed", "a key of a directory record is longer than its VR allows")
    return head + struct.pack("<H", len(value)) + value


def key_value(attributes: Attributes, key: Key) -> bytes:
    """Return what a record says under ``key`` of an instance with these attributes; empty for nothing."""
    if key.source is Source.LATEST_VERIFICATION:
        return _latest_verification(attributes)
    if key.vr in BINARY_VRS:
        return attributes.words(key.tag)
    if key.vr != "SQ":
        return attributes.value(key.tag)
    items = attributes.items(key.tag)
    if key.source is Source.CONCEPT_MODIFIERS:
        items = [item for item in items if item.get("RelationshipType") == "HAS CONCEPT MOD"]
    return _encoded_items(items, attributes.encodings)


def _charset(attributes: Attributes) -> bytes:
    value = attributes.value(SPECIFIC_CHARACTER_SET)
    return element(SPECIFIC_CHARACTER_SET, "CS", value) if value else b""


def _latest_verification(attributes: Attributes) -> bytes:
    """Return the date and time of the last verification; empty for a document that nobody verified."""
    observers = attributes.items(_VERIFYING_OBSERVERS)
    try:
        times = [str(observer.get("VerificationDateTime", "")) for observer in observers]
    except Exception as fault:  # a broken item may break the parser anywhere; its text may quote values
        raise UnreadableInstance(
            "malformed", f"a verification breaks the parser ({type(fault).__name__})"
        ) from None
    return max(times, default="").encode("ascii", "replace")


def _encoded_items(items: Iterable[Any], encodings: list[str]) -> bytes:
    out = bytearray()
    for item in items:
        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                write_dataset(stream, _public(item), encodings)
            except Exception as fault:  # a broken value may break the encoder anywhere; its text may quote it
                raise UnreadableInstance(
                    "malformed", f"a sequence for its record cannot be encoded ({type(fault).__name__})"
                ) from None
        data = stream.getvalue()
        out += _ITEM + struct.pack("<I", len(data)) + data
    return bytes(out)


def _public(item: Any) -> Any:
    """Copy an item without its private elements, at every depth."""
    copy = Dataset()
    for attribute in item:
        if attribute.tag.is_private:
            continue
        if attribute.VR == "SQ":
            setattr(copy, attribute.keyword, Sequence([_public(inner) for inner in attribute.value]))
        else:
            copy.add(attribute)
    return copy
