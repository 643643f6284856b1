"""Back to an identified instance: the re-identifier of PS3.15 E.1.2, and what custody reveals put in its place.

    Encrypted Attributes ──opened by whoever holds the key──▶ Modified Attributes ──▶ the data set
    pseudonyms ──originals that a grant opened──▶ the same places, and every reference

What an instance then says of itself is true again: Patient Identity Removed is NO, and no method is claimed. Neither
keys nor the mapping are known here; both are handed in. Off the hot path, so it works on pydicom's data sets.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from policies.elements import (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    Style,
    deflate,
    file_head,
    style_of,
)
from policies.errors import Refusal
from policies.operations import dummy
from policies.unheard import unheard

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
STUDY_ID: Final = 0x00200010
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_TEMPORAL: Final = 0x00280303
_EQUIPMENT: Final = 0x0018A001
_ENCRYPTED: Final = 0x04000500
_PIXELS: Final = 0x7FE00000
_TRIAL: Final = 0x0012
"""The group of the Clinical Trial modules, and of what a de-identifier says of itself."""
_TEXT: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT"})
_WORD: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{6,62}[0-9A-Za-z]")
_LONGEST: Final = 64
_SHORTEST: Final = 8
"""A pseudonym of fewer characters, which a trial brought along, may stand in a text or a number by chance."""
_UTF_8: Final = "ISO_IR 192"
_DE_IDENTIFYING: Final = "109104"
_NOT_UNDERSTOOD: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    NotImplementedError,
    OverflowError,
    struct.error,
)
"""What pydicom raises of an instance that is not what it should be."""
_STAGE_TWO: Final = (
    "What stage 2 made cannot be led back: the case's own key is one way. "
    "Ask for the pseudonymized instances."
)


def read(path: Path) -> FileDataset:
    """Return an instance as a data set.

    Raises:
        Refusal: ``not-dicom``, ``directory`` or ``malformed``.
        OSError: it cannot be opened.
    """
    with _understood():
        ds = pydicom.dcmread(path)
        directory = ds.get("SOPClassUID", ds.file_meta.get("MediaStorageSOPClassUID")) == _DIRECTORY
    if directory:
        raise Refusal("directory", "A DICOMDIR is no instance.", next_step="Give the instances beside it.")
    return ds


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Turn what pydicom says of an instance that it does not understand, which may quote values, into a refusal."""
    try:
        with unheard():
            yield
    except InvalidDicomError:
        raise Refusal("not-dicom", "This is no DICOM file.", next_step="Leave it out.") from None
    except _NOT_UNDERSTOOD:
        raise Refusal(
            "malformed", "The instance cannot be read or written.", next_step="Leave it out."
        ) from None


def patient_id(ds: Dataset) -> str:
    """Return the Patient ID of an instance, empty where it has none."""
    with _understood():
        return str(ds.get("PatientID", "") or "")


def open_encrypted(ds: FileDataset, open_envelope: Callable[[bytes], bytes | None]) -> int:
    """Put the originals in Encrypted Attributes Sequence back, and return how many attributes these are.

    ``open_envelope`` returns what is in an EnvelopedData, or None for one that is closed for others.

    Raises:
        Refusal: ``not-encrypted`` without such a sequence, ``not-opened`` when no item of it can be opened,
            ``malformed`` when what is in it is not what the standard says.
    """
    with _understood():
        return _open_encrypted(ds, open_envelope)


def _open_encrypted(ds: FileDataset, open_envelope: Callable[[bytes], bytes | None]) -> int:
    items = ds.get(_ENCRYPTED)
    if items is None or not items.value:
        raise Refusal(
            "not-encrypted",
            "The instance holds no Encrypted Attributes.",
            next_step="Lead it back through the mapping: tce reidentify request.",
        )
    for item in items.value:
        content = open_envelope(bytes(item.get("EncryptedContent", b"")))
        if content is None:
            continue
        originals = _modified_attributes(content, str(item.get("EncryptedContentTransferSyntaxUID", "")))
        if originals.get("SOPClassUID", ds.SOPClassUID) != ds.SOPClassUID:
            raise _malformed()
        _take_over(ds, originals)
        _identified(ds)
        return len(originals)
    raise Refusal(
        "not-opened",
        "The originals are encrypted for others, or do not open with this key.",
        next_step="Ask one of those for whom the case has them encrypted.",
    )


def _modified_attributes(content: bytes, syntax: str) -> Dataset:
    """Return the one item of the sequence that was encrypted (PS3.15 E.1.2)."""
    if syntax not in (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN):
        raise _malformed()
    try:
        data_set = read_dataset(BytesIO(content), syntax == IMPLICIT_LITTLE_ENDIAN, True)
        [originals] = data_set.ModifiedAttributesSequence
        originals.decode()
    except _NOT_UNDERSTOOD:
        raise _malformed() from None
    if not originals or not all(0x00080000 <= element.tag < _PIXELS for element in originals):
        raise _malformed()
    return originals


def _malformed() -> Refusal:
    return Refusal(
        "malformed",
        "What is encrypted in the instance is not one set of modified attributes.",
        next_step="Have who wrote it look at it.",
    )


def _take_over(ds: FileDataset, originals: Dataset) -> None:
    """Put elements into a data set whose character set may be another one."""
    own = ds.get("SpecificCharacterSet", "")
    texts = originals.get("SpecificCharacterSet", own)
    ds.decode()
    for element in originals:
        ds[element.tag] = element
    if texts != own:
        _in_utf_8(ds)


@dataclass(frozen=True, slots=True)
class Identity:
    """What was revealed of one patient. Never print it.

    ``originals`` are those of his pseudonyms that the grant covers; ``attributes`` by keyword. ``pseudonyms`` are all
    that he has.
    """

    pseudonym: str
    issuer: str = field(repr=False)
    originals: Mapping[str, str] = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)
    pseudonyms: frozenset[str] = field(repr=False)


def words_of(ds: Dataset) -> frozenset[str]:
    """Return every value and every word of an instance that might be a pseudonym.

    What goes anyway is not among them: Study ID, and the group of the Clinical Trial modules.
    """
    with _understood():
        texts = [text for element in _telling(ds) for text in _texts(element)]
    short = (text for text in texts if 0 < len(text) <= _LONGEST)
    return frozenset(short).union(word for text in texts for word in _WORD.findall(text))


def put_back(ds: FileDataset, identity: Identity) -> None:
    """Put a patient's originals in the place of his pseudonyms, wherever in the data set they stand.

    Raises:
        Refusal: ``dates-moved`` when its dates are not the original ones; ``pseudonym-left`` when a pseudonym stands
            where it cannot be replaced.
    """
    with _understood():
        _put_back(ds, identity)


def _put_back(ds: FileDataset, identity: Identity) -> None:
    if ds.get("LongitudinalTemporalInformationModified", "") == "MODIFIED":
        raise Refusal(
            "dates-moved",
            "The dates of the instance were moved, and by how many days is not in the mapping.",
            next_step="Ask for the patients' identifiers instead: tce reidentify reveal without --instances.",
        )
    ds.decode()
    for element in _telling(ds):
        _replace(element, identity)
    ds.PatientID = identity.originals[identity.pseudonym]
    if identity.issuer:
        ds.IssuerOfPatientID = identity.issuer
    for keyword, value in identity.attributes.items():
        setattr(ds, keyword, value)
    if STUDY_ID in ds:
        # It was made of the study's UID; the original one is not in the mapping, and it is Type 2.
        ds[STUDY_ID].value = ""
    for element in ds.group_dataset(_TRIAL):
        # Beside the name they would tell everybody in the archive who the trial's subject is.
        del ds[element.tag]
    _identified(ds)
    inserted = (*identity.originals.values(), *identity.attributes.values(), identity.issuer)
    if not all(text.isascii() for text in inserted):
        _in_utf_8(ds)


def require_no_pseudonym(content: bytes, identity: Identity) -> None:
    """Raise Refusal (``pseudonym-left``) when a pseudonym of the patient stands anywhere in an instance's bytes."""
    telling = (one.encode() for one in identity.pseudonyms if len(one) >= _SHORTEST)
    if any(pseudonym in content for pseudonym in telling):
        raise Refusal(
            "pseudonym-left",
            "A pseudonym stands in a place where it cannot be replaced, for instance in a private element.",
            next_step="Leave the instance out, or have the private elements taken out of it first.",
        )


def no_reference() -> Refusal:
    """Return what is raised for an instance in which nothing leads back."""
    return Refusal(
        "no-reference",
        f"Nothing in the instance is a pseudonym of stage 1 in this case. {_STAGE_TWO}",
        next_step="Check the case of the request, and that these are instances of stage 1 or refer to such.",
    )


class Encoded(NamedTuple):
    """An instance as the bytes of a file, and those of its data set that stand before the pixels."""

    file: bytes
    header: bytes

    def __repr__(self) -> str:
        return "Encoded(…)"


def encoded(ds: FileDataset) -> Encoded:
    """Return an instance as a new file; its preamble is empty and no Application Entity is named.

    Raises:
        Refusal: ``malformed``, or ``unsupported-transfer-syntax``.
    """
    with _understood():
        syntax = str(ds.file_meta.TransferSyntaxUID)
        style = style_of(syntax)
        data_set = _written(ds, style)
        header = _written(ds[:_PIXELS], style)
        head = file_head(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax)
        return Encoded(head + (deflate(data_set) if style.deflated else data_set), header)


def _written(ds: Dataset, style: Style) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = not style.explicit, not style.big_endian
    write_dataset(file, ds)
    return bytes(file.getvalue())


def _identified(ds: Dataset) -> None:
    """Let the instance say what is true now: identified, and not de-identified by any method (PS3.15 E.1.2)."""
    ds.PatientIdentityRemoved = "NO"
    for keyword in (
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "EncryptedAttributesSequence",
    ):
        if keyword in ds:
            delattr(ds, keyword)
    if ds.get("LongitudinalTemporalInformationModified", "") == "UNMODIFIED":
        del ds[_TEMPORAL]
    equipment = [item for item in ds.get("ContributingEquipmentSequence", []) if not _de_identifies(item)]
    if equipment:
        ds.ContributingEquipmentSequence = equipment
    elif _EQUIPMENT in ds:
        del ds[_EQUIPMENT]


def _de_identifies(item: Dataset) -> bool:
    purposes: Sequence[Dataset] = item.get("PurposeOfReferenceCodeSequence", [])
    return any(code.get("CodeValue", "") == _DE_IDENTIFYING for code in purposes)


def _telling(ds: Dataset) -> Iterator[DataElement]:
    """Yield every element of every level that holds text, but for those that go anyway."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _telling(item)
        elif element.VR in _TEXT and element.tag.group != _TRIAL and element.tag != STUDY_ID:
            yield element


def _texts(element: DataElement) -> list[str]:
    value = element.value
    if value is None:
        return []
    return [str(one) for one in value] if element.VM > 1 else [str(value)]


def _replace(element: DataElement, identity: Identity) -> None:
    def original(found: re.Match[str]) -> str:
        return identity.originals.get(found[0], found[0])

    texts = _texts(element)
    whole = identity.originals
    if element.VR == "PN":
        # In the place of his name stands the pseudonym of his identifier. Patient's Name may be empty, others not.
        unnamed = "" if element.tag == PATIENT_NAME else dummy(element.tag, b"PN").decode()
        whole = {**whole, identity.pseudonym: identity.attributes.get("PatientName", unnamed)}
    new = [whole[text] if text in whole else _WORD.sub(original, text) for text in texts]
    if new != texts:
        element.value = new if len(new) > 1 else new[0]


def _in_utf_8(ds: FileDataset) -> None:
    """Have all text of a decoded data set written in UTF-8, which has every character (PS3.3 C.12.1.1.2)."""
    for item in _items(ds):
        if "SpecificCharacterSet" in item:
            del item.SpecificCharacterSet
    ds.SpecificCharacterSet = _UTF_8


def _items(ds: Dataset) -> Iterator[Dataset]:
    """Yield every item at every depth."""
    for element in ds:
        for item in (element.value or ()) if element.VR == "SQ" else ():
            yield item
            yield from _items(item)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, durably. Raises FileExistsError or OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
