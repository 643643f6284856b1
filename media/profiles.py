"""The media application profiles that can be written, and what each takes (PS3.11 annexes D, H, J, L, M).

A profile is a medium and a set of transfer syntaxes. What may stay is copied; other encodings are rewritten as
Explicit VR Little Endian by :mod:`media.placing`, compressed images frame by frame. Video goes onto none of these
media.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from pydicom.uid import UID

from media.instances import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
_FAMILY = "1.2.840.10008.1.2.4."
_JPEG = frozenset(f"{_FAMILY}{code}" for code in (50, 51, 70))
_JPEG_2000 = frozenset(f"{_FAMILY}{code}" for code in (90, 91))
COMPRESSED = frozenset(
    {RLE, *(f"{_FAMILY}{code}" for code in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203))}
)
"""The transfer syntaxes that can be decompressed."""
_REWRITABLE = COMPRESSED | {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, DEFLATED}
_VIDEO = frozenset(f"{_FAMILY}{code}" for code in range(100, 109))

_MIB = 1 << 20
# Capacities of blank media as they are sold; FAT16, which PS3.12 asks for on MMC and SD, ends at 2 GiB.
_MEDIA = {
    "CD": ("CD-R", 700 * _MIB),
    "DVD": ("DVD", 4_700_000_000),
    "DVD-RAM": ("DVD-RAM", 4_700_000_000),
    "BD": ("Blu-ray disc", 25_000_000_000),
    "USB": ("USB stick", None),
    "CF": ("CompactFlash card", None),
    "MMC": ("MultiMedia card", 2_000_000_000),
    "SD": ("SD card", 2_000_000_000),
    "ZIP-MAIL": ("ZIP file for e-mail", None),
}
_DISCS = ("CD", "DVD", "DVD-RAM", "BD")


class Profile(StrEnum):
    """The media application profiles that can be written, by their identifiers."""

    STD_GEN_CD = "STD-GEN-CD"
    STD_GEN_DVD_RAM = "STD-GEN-DVD-RAM"
    STD_GEN_BD = "STD-GEN-BD"
    STD_GEN_DVD_JPEG = "STD-GEN-DVD-JPEG"
    STD_GEN_DVD_J2K = "STD-GEN-DVD-J2K"
    STD_GEN_BD_JPEG = "STD-GEN-BD-JPEG"
    STD_GEN_BD_J2K = "STD-GEN-BD-J2K"
    STD_GEN_USB_JPEG = "STD-GEN-USB-JPEG"
    STD_GEN_USB_J2K = "STD-GEN-USB-J2K"
    STD_GEN_CF_JPEG = "STD-GEN-CF-JPEG"
    STD_GEN_CF_J2K = "STD-GEN-CF-J2K"
    STD_GEN_MMC_JPEG = "STD-GEN-MMC-JPEG"
    STD_GEN_MMC_J2K = "STD-GEN-MMC-J2K"
    STD_GEN_SD_JPEG = "STD-GEN-SD-JPEG"
    STD_GEN_SD_J2K = "STD-GEN-SD-J2K"
    STD_GEN_ZIP_MAIL = "STD-GEN-ZIP-MAIL"

    @property
    def transfer_syntaxes(self) -> frozenset[str]:
        """The transfer syntaxes that instances may have on this profile's media.

        For STD-GEN-ZIP-MAIL the standard leaves them to the Conformance Statement (PS3.11 Table L.3-1).
        """
        plain = frozenset({EXPLICIT_VR_LITTLE_ENDIAN})
        if self is Profile.STD_GEN_ZIP_MAIL:
            return plain | _JPEG | _JPEG_2000
        if self.value.endswith("JPEG"):
            return plain | _JPEG
        return plain | _JPEG_2000 if self.value.endswith("J2K") else plain

    @property
    def medium(self) -> str:
        """What a person holds in the hand: ``CD-R``, ``USB stick``."""
        return _MEDIA[self._kind][0]

    @property
    def capacity(self) -> int | None:
        """The octets that one blank medium takes; None where media have any size."""
        return _MEDIA[self._kind][1]

    @property
    def is_disc(self) -> bool:
        """Whether the medium is an optical disc, which is written as an image."""
        return self._kind in _DISCS

    @property
    def _kind(self) -> str:
        return self.value.removeprefix("STD-GEN-").removesuffix("-JPEG").removesuffix("-J2K")


class Handling(Enum):
    """How an instance comes onto the medium."""

    COPY = "copied as it is"
    REWRITE = "rewritten as Explicit VR Little Endian"


def handling_of(transfer_syntax_uid: str, profile: Profile) -> Handling | None:
    """Return how instances of a transfer syntax come onto a medium of a profile; None when they cannot."""
    if transfer_syntax_uid in profile.transfer_syntaxes:
        return Handling.COPY
    return Handling.REWRITE if transfer_syntax_uid in _REWRITABLE else None


def why_not(transfer_syntax_uid: str) -> tuple[str, str]:
    """Return why instances of a transfer syntax go onto no medium, and what to do about it."""
    name = transfer_syntax_name(transfer_syntax_uid)
    if transfer_syntax_uid in _VIDEO:
        return f"{name} is video, which goes onto no medium of these profiles", "leave the videos out"
    return f"{name} cannot be decompressed here", "let whoever wrote these files write them uncompressed"


def transfer_syntax_name(transfer_syntax_uid: str) -> str:
    """Return the name of a registered transfer syntax, else ``unregistered transfer syntax``."""
    uid = UID(transfer_syntax_uid)
    return str(uid.name) if uid.is_transfer_syntax and not uid.is_private else "unregistered transfer syntax"
