"""Which SOP Classes and transfer syntaxes are accepted, as tables: every Storage SOP Class of the standard.

Private SOP Classes are not among them, so a peer is told at negotiation that they will not be taken: how to
de-identify a private SOP Class is not defined (PS3.15 E.1). Explicit VR Big Endian is retired and left out.
"""

from __future__ import annotations

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UID_dictionary,
)
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class

from tce.network import quiet

quiet.silence()

VERIFICATION = UID("1.2.840.10008.1.1")
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
COMPRESSED = tuple(
    UID(f"1.2.840.10008.1.2.{tail}")
    for tail in (
        "4.50",  # JPEG Baseline
        "4.51",  # JPEG Extended
        "4.57",  # JPEG Lossless
        "4.70",  # JPEG Lossless SV1
        "4.80",  # JPEG-LS Lossless
        "4.81",  # JPEG-LS Near-Lossless
        "4.90",  # JPEG 2000 Lossless
        "4.91",  # JPEG 2000
        "4.92",  # JPEG 2000 Part 2 Lossless
        "4.93",  # JPEG 2000 Part 2
        "4.100",  # MPEG2 Main Level
        "4.100.1",
        "4.101",  # MPEG2 High Level
        "4.101.1",
        "4.102",  # MPEG-4 AVC High 4.1
        "4.102.1",
        "4.103",
        "4.103.1",
        "4.104",
        "4.104.1",
        "4.105",
        "4.105.1",
        "4.106",
        "4.106.1",
        "4.107",  # HEVC Main
        "4.108",  # HEVC Main 10
        "4.201",  # HTJ2K Lossless
        "4.202",  # HTJ2K Lossless RPCL
        "4.203",  # HTJ2K
        "5",  # RLE Lossless
    )
)
TRANSFER_SYNTAXES = UNCOMPRESSED + COMPRESSED

# Part of the standard's "Storage" names, but no storage of instances by C-STORE.
_NOT_INSTANCES = ("Commitment", "Directory")


def _storage_sop_classes() -> tuple[UID, ...]:
    """Return every Storage SOP Class that the dictionary of UIDs names, retired ones included."""
    return tuple(
        UID(uid)
        for uid, entry in sorted(UID_dictionary.items())
        if entry[1] == "SOP Class"
        and "Storage" in entry[0]
        and not any(n in entry[0] for n in _NOT_INSTANCES)
    )


STORAGE_SOP_CLASSES = _storage_sop_classes()

# Protocols, radiotherapy records of the second generation, baggage and materials, eye measurements, templates.
_SELDOM = (
    "104.3",
    "104.4",
    "104.5",
    "68.",
    "79.",
    "200.",
    "201.",
    "481.1",
    "481.2",
    "501.",
    "601.",
    "78.",
    "80.",
    "81.",
    "82.",
    "9.7.",
    "9.8.",
)
_COMMON_ROOT = "1.2.840.10008.5.1.4.1.1."

LIKELY_SOP_CLASSES = tuple(
    uid
    for uid in STORAGE_SOP_CLASSES
    if uid.startswith(_COMMON_ROOT)
    and not UID(uid).is_retired
    and (uid == f"{_COMMON_ROOT}481.1" or uid == f"{_COMMON_ROOT}481.2" or not uid[24:].startswith(_SELDOM))
)
"""What may come from an archive of which it is not known what it holds; few enough for one association."""


def _register() -> None:
    """Tell pynetdicom that the Storage SOP Classes it does not know are stored like all others."""
    for uid in STORAGE_SOP_CLASSES:
        if uid_to_service_class(uid) is ServiceClass:
            register_uid(uid, f"Storage_{uid.replace('.', '_')}", StorageServiceClass)


_register()
