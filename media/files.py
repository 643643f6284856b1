"""The files of a medium, found by walking it, never by following what a medium says about itself.

A File ID only ever selects among the files found here. So no ``..``, no absolute name and no link leads out of the
medium: links, devices and pipes are counted and left alone.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from media.errors import UnreadableMedium


@dataclass(frozen=True, slots=True, repr=False)
class MediumFiles:
    """The regular files of a medium by their names, and what else was met."""

    root: Path
    names: dict[tuple[str, ...], Path]
    folded: dict[tuple[str, ...], list[Path]]
    folders: list[tuple[str, ...]]
    irregular: int
    unreadable_folders: int

    def find(self, file_id: Iterable[str]) -> Path | None:
        """Return the file of a File ID, or None.

        Where no name is exactly right, one that differs only as media do is taken if it is the only one: lower
        case, the version number and the final period of ISO 9660, or the ending ``.dcm``.
        """
        name = tuple(file_id)
        exact = self.names.get(name)
        if exact is not None or not name:
            return exact
        folded = _fold(name)
        alike = self.folded.get(folded) or self.folded.get((*folded[:-1], f"{folded[-1]}.DCM")) or []
        return alike[0] if len(alike) == 1 else None


def walk_medium(root: Path) -> MediumFiles:
    """Walk a medium. Raises :class:`UnreadableMedium` when there is no folder at ``root``."""
    if not root.is_dir():
        raise UnreadableMedium(
            "there is no folder with a medium", next_step="insert or mount the medium and name its folder"
        )
    names: dict[tuple[str, ...], Path] = {}
    folded: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    folders: list[tuple[str, ...]] = []
    irregular = unreadable = 0
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        above = waiting.pop()
        try:
            entries = sorted(os.scandir(root.joinpath(*above)), key=lambda entry: entry.name)
        except OSError:
            unreadable += 1
            continue
        for entry in entries:
            name = (*above, entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                waiting.append(name)
            elif entry.is_file(follow_symlinks=False):
                names[name] = root.joinpath(*name)
                folded[_fold(name)].append(names[name])
            else:
                irregular += 1
    return MediumFiles(root, dict(sorted(names.items())), dict(folded), folders, irregular, unreadable)


def is_part_10(path: Path) -> bool:
    """Whether a file begins as a DICOM file does: 128 bytes, then ``DICM``. A file that cannot be read does not."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _fold(name: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.upper().split(";")[0].rstrip(".") for part in name)
