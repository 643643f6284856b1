"""Names of a File-set: File IDs, the File-set ID and the File-set's UID (PS3.10 section 8, PS3.12 annex F).

Names are counted, never derived from an instance: a name on a medium must not identify anybody.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from media.errors import LabelFault

FILE_ID_ROOT = "DICOM"
DEEPEST_FILE_ID = 8
LONGEST_FILESET_ID = 16
_COMPONENT = re.compile(r"[A-Z0-9_]{1,8}")
_FILESET_ID = re.compile(rf"[A-Z0-9_]{{1,{LONGEST_FILESET_ID}}}")
_LARGEST_NUMBER = 999_999


def is_legal_file_id(components: Iterable[str]) -> bool:
    """Whether a File ID has 1 to 8 components of 1 to 8 characters A-Z, 0-9 and underscore."""
    parts = list(components)
    return 0 < len(parts) <= DEEPEST_FILE_ID and all(_COMPONENT.fullmatch(part) for part in parts)


def component(prefix: str, number: int) -> str:
    """Return one File ID component, like ``IM000012``. Raises :class:`LabelFault` past 999,999."""
    if number > _LARGEST_NUMBER:
        raise LabelFault(
            f"a medium holds at most {_LARGEST_NUMBER:,} entries of one kind in one folder",
            next_step="write the instances to several media",
        )
    return f"{prefix}{number:06d}"


def require_legal_fileset_id(fileset_id: str) -> None:
    """Raise :class:`LabelFault` unless a File-set ID is also legal as ISO 9660 volume identifier."""
    if not _FILESET_ID.fullmatch(fileset_id):
        raise LabelFault(
            "the File-set ID is not legal",
            next_step="use 1 to 16 characters of A-Z, 0-9 and _; media.fileset.fileset_id_from makes one from a text",
        )


def fileset_id_from(text: str) -> str:
    """Return the File-set ID that comes closest to a text. Raises :class:`LabelFault` when nothing of it is usable."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").upper()
    fileset_id = re.sub(r"[^A-Z0-9]+", "_", plain).strip("_")[:LONGEST_FILESET_ID].strip("_")
    require_legal_fileset_id(fileset_id)
    return fileset_id


def fileset_uid(sop_instance_uids: Iterable[str]) -> str:
    """Return the SOP Instance UID of the DICOMDIR of these instances, in whatever order they come.

    It is 2.25 with a UUID version 8 out of the SHA-256 of the sorted UIDs. These are pseudonyms already, so that
    nothing is to be hidden: the same instances make the same File-set.
    """
    digest = hashlib.sha256()
    for uid in sorted(sop_instance_uids):
        digest.update(uid.encode("ascii") + b"\n")
    octets = bytearray(digest.digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(octets, 'big')}"
