"""Media application profiles and bringing an instance into a transfer syntax that one allows (PS3.11 annex D).

What may stay is copied by the kernel. Other uncompressed encodings, and RLE, are rewritten as Explicit VR Little
Endian: the encoding changes, no value does. Everything else needs a profile that allows it.
"""

from __future__ import annotations

import os
import warnings
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.uid import UID

from media.dicomdir import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from media.errors import UnreadableInstance
from media.instances import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, META_VERSION

_JPEG = frozenset({f"1.2.840.10008.1.2.4.{code}" for code in (50, 51, 70)})
_JPEG_2000 = frozenset({f"1.2.840.10008.1.2.4.{code}" for code in (90, 91)})
_RLE = "1.2.840.10008.1.2.5"
_REWRITABLE = frozenset({"1.2.840.10008.1.2", EXPLICIT_VR_BIG_ENDIAN, "1.2.840.10008.1.2.1.99", _RLE})
_WORD_SIZES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_COPY_AT_ONCE = 1 << 30


class Profile(StrEnum):
    """The media application profiles that can be written, by their identifiers."""

    STD_GEN_CD = "STD-GEN-CD"
    STD_GEN_DVD_JPEG = "STD-GEN-DVD-JPEG"
    STD_GEN_DVD_J2K = "STD-GEN-DVD-J2K"
    STD_GEN_USB_JPEG = "STD-GEN-USB-JPEG"
    STD_GEN_USB_J2K = "STD-GEN-USB-J2K"

    @property
    def transfer_syntaxes(self) -> frozenset[str]:
        """The transfer syntaxes that instances may have on this profile's media."""
        plain = frozenset({EXPLICIT_VR_LITTLE_ENDIAN})
        if self.value.endswith("JPEG"):
            return plain | _JPEG
        return plain | _JPEG_2000 if self.value.endswith("J2K") else plain


class Handling(Enum):
    """How an instance comes onto the medium."""

    COPY = "copied as it is"
    REWRITE = "rewritten as Explicit VR Little Endian"


def handling_of(transfer_syntax_uid: str, profile: Profile) -> Handling | None:
    """Return how instances of a transfer syntax come onto a medium of a profile; None when they cannot."""
    if transfer_syntax_uid in profile.transfer_syntaxes:
        return Handling.COPY
    return Handling.REWRITE if transfer_syntax_uid in _REWRITABLE else None


def profiles_for(transfer_syntax_uid: str) -> list[Profile]:
    """Return the profiles whose media take a transfer syntax as it is."""
    return [profile for profile in Profile if transfer_syntax_uid in profile.transfer_syntaxes]


def transfer_syntax_name(transfer_syntax_uid: str) -> str:
    """Return the name of a registered transfer syntax, else ``unregistered transfer syntax``."""
    uid = UID(transfer_syntax_uid)
    return str(uid.name) if uid.is_transfer_syntax and not uid.is_private else "unregistered transfer syntax"


def place(source: Path, out: Path, handling: Handling) -> None:
    """Write an instance to a new file with a preamble of zeros. Raises :class:`UnreadableInstance`."""
    if handling is Handling.COPY:
        _copy(source, out)
    else:
        _rewrite(source, out)


def _copy(source: Path, out: Path) -> None:
    with source.open("rb") as reading, out.open("xb") as writing:
        left = os.fstat(reading.fileno()).st_size
        while left:
            done = os.copy_file_range(reading.fileno(), writing.fileno(), min(left, _COPY_AT_ONCE))
            if not done:
                raise UnreadableInstance("truncated", "a file became shorter while it was copied")
            left -= done
        # A preamble may hold anything, a TIFF header with a description as well.
        os.pwrite(writing.fileno(), bytes(128), 0)


def _rewrite(source: Path, out: Path) -> None:
    try:
        with warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            dataset = dcmread(source)
            if dataset.file_meta.TransferSyntaxUID == _RLE:
                dataset.decompress(as_rgb=False, generate_instance_uid=False)
            elif dataset.file_meta.TransferSyntaxUID == EXPLICIT_VR_BIG_ENDIAN:
                _swap_words(dataset)
            dataset.preamble = bytes(128)
            dataset.file_meta.FileMetaInformationVersion = META_VERSION
            dataset.file_meta.TransferSyntaxUID = EXPLICIT_VR_LITTLE_ENDIAN
            dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
            dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
            dcmwrite(
                out, dataset, little_endian=True, implicit_vr=False, enforce_file_format=True, overwrite=False
            )
    except OSError:
        raise
    except (
        Exception
    ) as fault:  # what a broken file does to the parser is not foreseeable; its text may quote values
        raise UnreadableInstance(
            "malformed",
            f"an instance cannot be rewritten as Explicit VR Little Endian ({type(fault).__name__})",
        ) from None


def _swap_words(dataset: Any) -> None:
    """Turn the words of bulk data round, at every depth; pydicom does so for all other values only."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _swap_words(item)
        elif element.VR in _WORD_SIZES and isinstance(element.value, bytes):
            words = np.frombuffer(element.value, dtype=f">u{_WORD_SIZES[element.VR]}")
            element.value = words.astype(f"<u{_WORD_SIZES[element.VR]}").tobytes()
