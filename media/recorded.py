"""The files that the DICOMDIR of a medium names, those that are there and those that are not (PS3.10 section 8).

For who wants the File-set and nothing else that lies on the medium: web pages, a viewer, what another program left.
What is in a file is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from media.directory import read_directory
from media.errors import UnreadableMedium
from media.files import walk_medium
from media.reader import DICOMDIR


@dataclass(frozen=True, slots=True)
class RecordedFiles:
    """The files of a File-set in the order of its directory, each once, and the places where one is missing."""

    files: tuple[Path, ...] = field(repr=False)
    missing: tuple[Path, ...] = field(repr=False)


def is_medium(folder: Path) -> bool:
    """Say whether a folder has a DICOMDIR of its own, however the system that mounted it writes the name."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return False
    return any(is_directory_file(name) for name in names)


def is_directory_file(name: str) -> bool:
    """Say whether a file's name is that of a DICOMDIR."""
    return name.upper().split(";")[0].rstrip(".") == DICOMDIR[0]


def recorded_files(medium: Path) -> RecordedFiles:
    """Return what the DICOMDIR of a medium names.

    Raises :class:`UnreadableMedium` when there is none, it cannot be read to its end, or it names nothing.
    """
    files = walk_medium(medium)
    path = files.find(DICOMDIR)
    if path is None:
        raise UnreadableMedium(
            "there is no DICOMDIR", next_step="see whether this is the folder of the medium"
        )
    found: dict[Path, None] = {}
    missing: dict[Path, None] = {}
    for record in read_directory(path).records():
        if record.file_id:
            named = files.find(record.file_id)
            if named is None:
                missing[medium.joinpath(*(_plain(part) for part in record.file_id))] = None
            else:
                found[named] = None
    if not found and not missing:
        raise UnreadableMedium(
            "the DICOMDIR names no file", next_step="name the folders of the medium that hold its instances"
        )
    return RecordedFiles(tuple(found), tuple(missing))


def _plain(part: str) -> str:
    """Return a word of a File ID as a person may see it: whoever wrote the medium may have put anything there."""
    return "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-.") else "_" for sign in part[:16]
    )
