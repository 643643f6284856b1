"""A place beside the output where a medium grows, and from which it gets its name in one step.

Whoever looks at the output finds nothing or the whole. What a process that died left in the place is removed by the
next one, because its lock died with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from media.errors import OutputRefused


@contextmanager
def staging_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder beside ``out`` to write in, which is gone afterwards.

    Raises :class:`OutputRefused` when ``out`` is not empty, another process is writing it, or the disk is full.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise OutputRefused(
            "the output folder is not empty", next_step="name a folder that is empty or does not exist"
        )
    place_of_out = out.absolute()
    place_of_out.parent.mkdir(parents=True, exist_ok=True)
    staging = place_of_out.parent / f".{place_of_out.name}.partial"
    staging.mkdir(exist_ok=True)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _lock(handle)
        empty(staging)
        try:
            yield staging
        except OSError as fault:
            raise cannot_write(fault) from None
        finally:
            if staging.exists():
                shutil.rmtree(staging)
    finally:
        os.close(handle)


@contextmanager
def draft_beside(image: Path) -> Iterator[Path]:
    """Give an empty file beside an image to be; it is gone afterwards unless it was renamed.

    Raises :class:`OutputRefused` when there is something of that name, or another process is writing it.
    """
    if image.is_symlink() or image.exists():
        raise OutputRefused("the image is there already", next_step="name an image that does not exist")
    image.parent.mkdir(parents=True, exist_ok=True)
    draft = image.with_name(f".{image.name}.partial")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        _lock(handle)
        os.ftruncate(handle, 0)
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)
    finally:
        os.close(handle)


def give_names(images: Mapping[Path, Path], folder: Path, out: Path) -> None:
    """Rename the drafts of images, then the folder. When the last of it fails, nothing has its name."""
    given: list[Path] = []
    try:
        for draft, image in images.items():
            draft.rename(image)
            given.append(image)
        folder.rename(out)
    except OSError:
        for image in given:
            image.unlink()
        raise


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputRefused(
            "another process is writing this medium", next_step="wait for it, or name another folder"
        ) from None


def empty(folder: Path) -> None:
    """Remove everything from a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def cannot_write(fault: OSError) -> OutputRefused:
    """Return the refusal for a fault of the disk, in the words that help."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputRefused(
            "the medium cannot be written: the disk is full, and nothing was left on it",
            next_step="make room for the instances and, with --iso, for the image as well, or name another place",
        )
    return OutputRefused(
        f"the medium cannot be written: {fault.strerror}",
        next_step="see to the space and the rights there, or name another folder",
    )
