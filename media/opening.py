"""Opening a medium: a folder, a mounted disc, the device or image of one, or a ZIP file, as one folder to read.

::

    folder, mounted disc ──────────────────────────▶ as it is
    image, device, ZIP ──▶ files copied to a private folder ──▶ gone when the medium is closed

The private folder may hold identified data: only its owner can read it, and what a process that died left behind is
removed by the next one. Everything else here reads folders, and only :class:`media.files.MediumFiles` finds files in
them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from media.errors import UnreadableMedium
from media.volume import Extent, Volume, VolumeFile, is_image, read_volume
from media.zip_mail import is_zip, unpack_zip

_PREFIX = "tce-medium-"
_CHUNK = 1 << 20
_SETTLED = 60.0  # seconds after which a private folder without a lock is one that was left behind

Unlock = Callable[[Path, Path], Path]
"""What makes a secured medium readable: given the folder of the medium and an empty private one, it returns the one in
which the plain files lie; the first where nothing is enciphered."""


@dataclass(frozen=True, slots=True)
class OpenMedium:
    """A medium that can be read as a folder. ``volume`` is what an image says of itself; None for a folder."""

    root: Path = field(repr=False)
    source: Path = field(repr=False)
    volume: Volume | None = None

    def deviations(self) -> list[str]:
        """Return what is wrong with the image, one sentence for each kind."""
        if self.volume is None:
            return []
        return [f"of the image, {what} ({count})" for what, count in self.volume.faults.items()]


@contextmanager
def open_medium(
    medium: Path, *, scratch: Path | None = None, unlock: Unlock | None = None
) -> Iterator[OpenMedium]:
    """Give a medium as a folder for as long as it is needed.

    ``scratch`` is where private folders are made (default: the system's place for such things). Raises
    :class:`UnreadableMedium` when there is neither a folder nor an image nor a ZIP file.
    """
    with private_folder(scratch) as private:
        if medium.is_dir():
            opened = OpenMedium(medium, medium)
        elif is_image(medium):
            opened = _unpacked(medium, private() / "FILES")
        elif is_zip(medium):
            unpack_zip(medium, private() / "FILES")
            opened = OpenMedium(private() / "FILES", medium)
        else:
            raise UnreadableMedium(
                "there is no medium: neither a folder nor an ISO 9660 image nor a ZIP file",
                next_step="insert or mount the medium and name its folder, or name the image or ZIP file",
            )
        if unlock is not None:
            opened = OpenMedium(unlock(opened.root, private() / "PLAIN"), medium, opened.volume)
        yield opened


def _unpacked(medium: Path, root: Path) -> OpenMedium:
    try:
        with medium.open("rb") as image:
            volume = read_volume(image)
            _unpack(image, volume, root)
    except OSError as fault:
        raise UnreadableMedium(
            f"the image cannot be read, or not be unpacked: {fault.strerror}",
            next_step="see to the disc, and to space for its files in the folder for temporary files (TMPDIR)",
        ) from None
    return OpenMedium(root, medium, volume)


def _unpack(image: BinaryIO, volume: Volume, root: Path) -> None:
    """Copy the files of a volume; those that share their bytes are one file with several names.

    The files of an honest image do not overlap otherwise: what is copied is never more than the image holds.
    """
    root.mkdir()
    left = image.seek(0, os.SEEK_END)
    copied: dict[tuple[Extent, ...], Path] = {}
    for folder in volume.folders:
        root.joinpath(*folder).mkdir(parents=True, exist_ok=True)
    for file in volume.files:
        target = root.joinpath(*file.name)
        first = copied.get(file.extents)
        if first is not None and file.extents:
            os.link(first, target)
            continue
        left -= file.length
        if left < 0:
            raise UnreadableMedium(
                "the image cannot be read: its files hold more than it does",
                next_step="read the disc again into a new image, or mount the disc",
            )
        if _copied(image, file, target):
            copied[file.extents] = target
        else:
            what = "files cannot be read where they lie and were left alone"
            volume.faults[what] = volume.faults.get(what, 0) + 1


def _copied(image: BinaryIO, file: VolumeFile, target: Path) -> bool:
    """Copy a file of a disc; False for one on a scratch, of which nothing is left."""
    try:
        with target.open("xb") as out:
            for extent in file.extents:
                _copy(image, extent, out)
    except OSError as fault:
        if fault.errno != errno.EIO:
            raise
        target.unlink(missing_ok=True)
        return False
    return True


def _copy(image: BinaryIO, extent: Extent, out: BinaryIO) -> None:
    image.seek(extent.offset)
    left = extent.length
    while left and (chunk := image.read(min(left, _CHUNK))):
        out.write(chunk)
        left -= len(chunk)


@contextmanager
def private_folder(scratch: Path | None) -> Iterator[Callable[[], Path]]:
    """Give what makes a private folder, once it is asked for; it is locked while it is used, and gone afterwards."""
    place = scratch if scratch is not None else Path(tempfile.gettempdir())
    made: list[tuple[Path, int]] = []

    def private() -> Path:
        if not made:
            _sweep(place)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            made.append((folder, handle))
        return made[0][0]

    try:
        yield private
    finally:
        for folder, handle in made:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _sweep(place: Path) -> None:
    """Remove private folders of processes that died: the locks died with them."""
    for left in place.glob(f"{_PREFIX}*"):
        try:
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            state = os.fstat(handle)
            if state.st_uid == os.getuid() and time.time() - state.st_mtime > _SETTLED:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # in use
        finally:
            os.close(handle)
