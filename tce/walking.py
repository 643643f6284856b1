"""Everything that lies under files and folders, in the order of names, one by one or in batches.

Links to folders are not followed. Whether a file is an instance is not asked here. Paths are plain text where this runs
for every file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tce.errors import TceError

_BATCH = 128
_BATCH_OCTETS = 1 << 25
"""A batch ends when its files hold as much, so that the workers share few large files alike."""


def files_under(sources: Iterable[Path]) -> Iterator[Path]:
    """Yield everything under the sources that is no folder, folder by folder; links to folders are not followed.

    A folder that cannot be read is yielded itself.

    Raises:
        TceError: a source does not exist.
    """
    return (Path(entry.path) for entry in _entries_under(sources))


class _Found(NamedTuple):
    path: str
    octets: int

    def __repr__(self) -> str:
        return "_Found(…)"


def _entries_under(sources: Iterable[Path]) -> Iterator[_Found]:
    for source in sources:
        if source.is_file():
            yield _Found(str(source), source.stat().st_size)
        elif source.is_dir():
            yield from _walk(str(source))
        else:
            raise TceError(f"There is no file or folder {source}.", next_step="Check the path.")


def _walk(folder: str) -> Iterator[_Found]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        # Passed on like a file, so that it is set aside by its name: what lies in it is not lost silently.
        yield _Found(folder, 0)
        return
    folders: list[str] = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield _Found(entry.path, _octets(entry))
        elif not _leads_to_folder(entry):
            yield _Found(entry.path, 0)
    for inner in folders:
        yield from _walk(inner)


def _octets(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def batches_under(sources: Iterable[Path]) -> Iterator[list[str]]:
    """Cut what lies under the sources into batches of bounded number and size.

    Raises:
        TceError: a source does not exist.
    """
    batch: list[str] = []
    octets = 0
    for found in _entries_under(sources):
        batch.append(found.path)
        octets += found.octets
        if len(batch) == _BATCH or octets >= _BATCH_OCTETS:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch
