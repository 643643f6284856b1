"""Value Representations: which the dictionary gives an attribute, and what a file's own may stand for (PS3.5 6.2)."""

from __future__ import annotations

from functools import cache

from pydicom.datadict import dictionary_VR

from policies.elements import BULK_VRS, NUMBER_VRS, TEXT_VRS
from policies.standard.tables import row_of


@cache
def legal_vrs(tag: int) -> tuple[bytes, ...]:
    """Return the VRs that the standard gives a tag, empty when it knows none."""
    try:
        return tuple(part.encode() for part in dictionary_VR(tag).replace(",", " ").split() if part != "or")
    except KeyError:
        row = row_of(tag)
        return (row.vr.encode(),) if row is not None and row.vr else ()


def treated_as(file_vr: bytes, legal: tuple[bytes, ...]) -> bytes | None:
    """Return the VR by which a value is treated, or None where the file's is none that the value can have.

    Text in a number's place is not. Where it is hidden (implicit encoding, or UN) it is what it should be.
    """
    if file_vr in legal or (file_vr in NUMBER_VRS - {b"AT"} and legal[0] in (b"DS", b"IS")):
        return file_vr
    return legal[0] if not file_vr or file_vr == b"UN" or _compatible(file_vr, legal[0]) else None


def _compatible(file_vr: bytes, legal: bytes) -> bool:
    text = TEXT_VRS | {b"CS"}
    if legal in BULK_VRS or legal in NUMBER_VRS:
        return file_vr in BULK_VRS or file_vr in NUMBER_VRS
    if legal in (b"DS", b"IS"):
        return file_vr in (b"DS", b"IS")
    return legal in text and file_vr in text
