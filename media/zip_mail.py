"""A File-set in a ZIP file, as it goes by e-mail (PS3.11 annex L STD-GEN-ZIP-MAIL, PS3.12 annexes V and W).

One File-set with the DICOMDIR in the root of the ZIP, stored or deflated (ISO/IEC 21320-1), with no date and no name of
a machine in it: the same medium gives the same ZIP. A ZIP is not encrypted by being one; it hides nothing. What came
by mail is the most hostile medium there is: everything its directory says is looked at before a byte is unpacked.
"""

from __future__ import annotations

import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from media.errors import MediumUnproven, OutputRefused, UnreadableMedium
from media.files import walk_medium
from media.secure_files import is_closed

MAIL_NAME: Final = "DICOM.ZIP"
MAIL_SUBJECT: Final = "DICOM-ZIP"
"""How the attachment is named, and what the subject of the mail holds (PS3.11 L.3.2)."""
_FIRST: Final = ("README.TXT", "DICOMDIR")
_NO_DATE: Final = (1980, 1, 1, 0, 0, 0)
_CHUNK: Final = 1 << 20
_MOST_FILES: Final = 200_000
_DEEPEST: Final = 16
_LONGEST_NAME: Final = 200
_MOST_TIMES_LARGER: Final = 200
_ALWAYS_ALLOWED: Final = 1 << 30
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_MIB: Final = 1 << 20


def write_zip(medium: Path, out: Path, *, limit: int = 0) -> int:
    """Write the medium in a folder as a ZIP file and return its size in bytes; the file is there whole or not at all.

    Raises OutputRefused when ``out`` exists or the ZIP would be larger than ``limit`` bytes (0: any size), and
    MediumUnproven when it does not read again as it was written.
    """
    if out.exists() or out.is_symlink():
        raise OutputRefused("the ZIP file exists", next_step="name a file that does not exist yet")
    partial = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(medium, partial, limit)
        with zipfile.ZipFile(partial) as archive:
            if archive.testzip() is not None:
                raise MediumUnproven(
                    "the ZIP file does not read again as it was written; it was not kept",
                    next_step="try again on another disk",
                )
        size = partial.stat().st_size
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.link(partial, out)
    except OSError as fault:
        raise OutputRefused(
            f"the ZIP file cannot be written: {fault.strerror}",
            next_step="see to the space and the rights there, or name another file",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return size


def is_zip(path: Path) -> bool:
    """Whether a file begins as a ZIP file does. A file that cannot be read does not, nor does a pipe."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except OSError:
        return False


def unpack_zip(source: Path, root: Path) -> None:
    """Unpack a ZIP file into a folder that does not exist yet.

    Raises UnreadableMedium for one that is broken, encrypted, larger than it says or than is sensible, or that names
    a file twice, outside of the folder, or as a link.
    """
    root.mkdir()
    try:
        with zipfile.ZipFile(source) as archive:
            entries = list(_looked_at(archive, source.stat().st_size, shutil.disk_usage(root).free))
            for info, name in entries:
                target = root.joinpath(*name)
                if info.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as reading, target.open("xb") as writing:
                    shutil.copyfileobj(reading, writing, _CHUNK)
                if target.stat().st_size != info.file_size:
                    raise _refused("a file in it is not as long as the ZIP file says")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        raise _refused("it is damaged") from None
    except OSError as fault:
        raise UnreadableMedium(
            f"the ZIP file cannot be unpacked: {fault.strerror}",
            next_step="see to space in the folder for temporary files (TMPDIR)",
        ) from None


def _write(medium: Path, out: Path, limit: int) -> None:
    files = walk_medium(medium).names
    first = {name: place for place, name in enumerate(_FIRST)}
    with zipfile.ZipFile(out, "w", allowZip64=True) as archive:
        for name in sorted(files, key=lambda name: (first.get("/".join(name), len(first)), name)):
            info = zipfile.ZipInfo("/".join(name), _NO_DATE)
            info.create_system, info.external_attr = 0, 0
            # What is encrypted gets no smaller.
            info.compress_type = zipfile.ZIP_STORED if is_closed(files[name]) else zipfile.ZIP_DEFLATED
            with files[name].open("rb") as reading, archive.open(info, "w", force_zip64=False) as writing:
                shutil.copyfileobj(reading, writing, _CHUNK)
            if limit and archive.fp is not None and archive.fp.tell() > limit:
                break
    if limit and out.stat().st_size > limit:
        raise OutputRefused(
            f"the ZIP file would be larger than {limit // _MIB} MiB",
            next_step="select fewer studies, raise the limit, or use another medium",
        )


def _looked_at(
    archive: zipfile.ZipFile, size: int, free: int
) -> Iterator[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    infos = archive.infolist()
    if len(infos) > _MOST_FILES:
        raise _refused(f"it has more than {_MOST_FILES:,} files")
    total = sum(info.file_size for info in infos)
    if total > max(size * _MOST_TIMES_LARGER, _ALWAYS_ALLOWED):
        raise _refused(f"it would be more than {_MOST_TIMES_LARGER} times larger when unpacked")
    if sum(info.compress_size for info in infos) > size:
        raise _refused("its files hold more than it does")
    if total > free:
        raise UnreadableMedium(
            "there is no space to unpack the ZIP file",
            next_step="make space in the folder for temporary files, or name another one (TMPDIR)",
        )
    seen: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for info in infos:
        name = _name(info)
        folded = tuple(unicodedata.normalize("NFKC", part).casefold().rstrip(". ") for part in name)
        if not info.is_dir():
            if folded in seen or folded in folders:
                raise _refused("it names a file twice")
            seen.add(folded)
            folders.update(folded[:depth] for depth in range(1, len(folded)))
        else:
            folders.update(folded[:depth] for depth in range(1, len(folded) + 1))
        yield info, name
    if seen & folders:
        raise _refused("it names a file twice")


def _name(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return the parts of a name that leads nowhere but into the folder."""
    if info.flag_bits & _ENCRYPTED:
        raise _refused(
            "it is encrypted as a ZIP file, which is no DICOM medium", "unpack it with its password first"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused("it is compressed in another way than by deflate")
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused("it has links or devices in it")
    text = info.orig_filename
    parts = text.rstrip("/").split("/")
    if (
        text.startswith("/")
        or not text.isprintable()
        or any(character in text for character in '\\:*?"<>|')
        or any(part.strip(". ") == "" for part in parts)
        or len(parts) > _DEEPEST
        or any(len(part.encode()) > _LONGEST_NAME for part in parts)
    ):
        raise _refused("it names a file outside of its folder, or in a way that no medium does")
    return tuple(parts)


def _refused(why: str, next_step: str = "") -> UnreadableMedium:
    return UnreadableMedium(
        f"the ZIP file was not unpacked: {why}",
        next_step=next_step or "ask whoever sent it for another one",
    )
