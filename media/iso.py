"""Writing the folder of a medium as an ISO 9660 level 1 image (ECMA-119; PS3.12 annex F, IHE PDI).

The volume identifier is the File-set ID. It has neither Joliet nor Rock Ridge, and no clock or machine: the same
folder gives the same bytes. What was written is read again by :mod:`media.volume`, which shares no code with this.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from pycdlib import PyCdlib
from pycdlib.dates import DirectoryRecordDate

from media.dicomdir import IMPLEMENTATION_VERSION_NAME
from media.errors import LabelFault, MediumUnproven
from media.fileset import require_legal_fileset_id
from media.volume import VolumeFile, read_volume

BLOCK = 2048
_LARGEST_FILE = 0xFFFFFFFF
# 1 January 1980, where FAT begins to count: a date that everybody sees to be none.
_NO_DATE = struct.pack("=BBBBBBb", 80, 1, 1, 0, 0, 0, 0)
_VOLUME_DATES = 16 * BLOCK + 813  # creation, modification, expiration, effective (ECMA-119 8.4)
_UNSPECIFIED = b"0" * 16 + b"\0"
_CHUNK = 1 << 20
_SYSTEM_AREA = 19 * BLOCK  # 16 sectors of the system, the primary descriptor, the terminator, a spare one
_RECORD = 48  # octets of a directory record with a name of level 1, at most


def write_iso(folder: Path, out: Path, *, volume_id: str) -> None:
    """Write the files below a folder as an image to an empty file.

    What lies in the root comes first, then the pages, then the instances. Raises :class:`LabelFault` for an illegal
    volume identifier or a file of 4 GB and more, which level 1 cannot hold.
    """
    require_legal_fileset_id(volume_id)
    image = PyCdlib()
    image.new(interchange_level=1, vol_ident=volume_id, app_ident_str=IMPLEMENTATION_VERSION_NAME)
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).parts
            if path.is_dir():
                image.add_directory("/" + "/".join(name))
                continue
            if path.stat().st_size > _LARGEST_FILE:
                raise LabelFault(
                    "a file is too large for an ISO 9660 image", next_step="write the medium without an image"
                )
            file_name = name[-1] if "." in name[-1] else name[-1] + "."
            image.add_file(str(path), "/" + "/".join((*name[:-1], f"{file_name};1")))
        _take_away_dates(image)
        with out.open("wb") as file:
            image.write_fp(file)
            file.seek(_VOLUME_DATES)  # the library writes the time at which it writes
            file.write(_UNSPECIFIED * 4)
    finally:
        image.close()


def prove_iso(folder: Path, image: Path, *, volume_id: str) -> None:
    """Read an image again and compare it with the folder, file by file. Raises :class:`MediumUnproven`."""
    with image.open("rb") as file:
        volume = read_volume(file)
        held = {one.name: one for one in volume.files}
        expected = {path.relative_to(folder).parts: path for path in folder.rglob("*") if path.is_file()}
        same = (
            volume.volume_id == volume_id
            and not volume.faults
            and not volume.further
            and held.keys() == expected.keys()
            and all(_same(file, held[name], path) for name, path in expected.items())
        )
    if not same:
        raise MediumUnproven(
            "the image does not hold what the folder of the medium holds, and was not kept",
            next_step="try again on another disk; if it stays so, report it with this message",
        )


def octets_on_medium(folder: Path, *, block: int = BLOCK) -> int:
    """Return how much of a medium the files below a folder take, at least: each a number of whole blocks."""
    octets = _SYSTEM_AREA
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            octets += in_blocks(_RECORD * (2 + sum(1 for _ in path.iterdir())), block) + block
        else:
            octets += in_blocks(path.stat().st_size, block)
    return octets


def in_blocks(octets: int, block: int = BLOCK) -> int:
    """Return what so many octets take on a medium."""
    return -(-octets // block) * block


def _take_away_dates(image: Any) -> None:
    root = image.pvd.root_directory_record()
    waiting = [root]
    while waiting:
        record = waiting.pop()
        record.date = DirectoryRecordDate()
        record.date.parse(_NO_DATE)
        if record is root or not (record.is_dot() or record.is_dotdot()):
            waiting += record.children


def _same(image: BinaryIO, held: VolumeFile, path: Path) -> bool:
    if held.length != path.stat().st_size:
        return False
    with path.open("rb") as file:
        for extent in held.extents:
            image.seek(extent.offset)
            left = extent.length
            while left:
                octets = min(left, _CHUNK)
                if image.read(octets) != file.read(octets):
                    return False
                left -= octets
    return True
