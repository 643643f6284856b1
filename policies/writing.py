"""An instance on its way to the disk: bytes, ranges that the kernel copies, and what is written over them.

A file gets its name only when every byte is there; on any failure nothing is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from policies.elements import copy_range, deflate
from policies.errors import Refusal
from policies.pieces import Copy, Made
from policies.source import FileSource, MemorySource, Source

Part: TypeAlias = bytes | Copy | Made

_LOOK: Final = 1 << 20
_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
"""rename(2) that does not replace: one call where a link and an unlink are two. Linux 3.15 and glibc 2.28 have it."""
_SMALL: Final = 1 << 16
"""A range of so few bytes is read and written with its neighbours, which takes less time than a call of its own."""


def looked_at(parts: list[Part], data: Source) -> Iterator[bytes]:
    """Yield what may hold text of the ranges that are copied unread, a part at a time, with some overlap."""
    for part in parts:
        if isinstance(part, Copy):
            for offset, length in part.looked_at:
                for at in range(offset, offset + length, _LOOK):
                    yield data.read(at, min(_LOOK + 64, offset + length - at))


def alike(parts: list[Part], others: list[Part]) -> bool:
    """Say whether two lists of parts are the same bytes, however these are cut."""
    return _runs(parts) == _runs(others)


def _runs(parts: list[Part]) -> list[Part]:
    """Return the parts with neighbouring bytes joined."""
    runs: list[Part] = []
    together: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            together.append(part)
        else:
            runs += [b"".join(together), part]
            together.clear()
    return [*runs, b"".join(together)]


def write_file(
    out: str | Path,
    scratch: str | Path,
    head: bytes,
    parts: list[Part],
    source: FileSource,
    data: Source,
    *,
    deflated: bool,
) -> None:
    """Write ``head`` and ``parts`` to ``out``, which gets its name when every byte is there.

    ``data`` is where the ranges of the parts lie: the file ``source`` itself, or what was read from it into memory.

    Raises:
        FileExistsError: ``out`` exists.
        Refusal: the source changed since it was opened.
    """
    temporary = f"{scratch}/{os.getpid()}-{source.descriptor}.part"
    target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    named = False
    try:
        if isinstance(data, MemorySource):
            whole = [_in_memory(part, data) for part in parts]
            if deflated:
                whole = [deflate(b"".join(whole))]
            for octets in (head, *whole):
                _write_all(target, octets)
        else:
            run = [head]
            for part in parts:
                if isinstance(part, bytes):
                    run.append(part)
                elif isinstance(part, Copy) and part.length <= _SMALL and part.overwriting is None:
                    run.append(_read_whole(part, source))
                else:
                    _write_all(target, b"".join(run))
                    run.clear()
                    _write_part(target, part, source)
            _write_all(target, b"".join(run))
        source.require_unchanged()
        named = _give_name(temporary, str(out))
    finally:
        os.close(target)
        if not named:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108 - a plain call: this runs for every instance


def _give_name(temporary: str, out: str) -> bool:
    """Give a finished file its name, which must be free, in one step; say whether it has left its temporary one.

    Raises FileExistsError when the name is taken.
    """
    if _renameat2 is not None:
        if _renameat2(_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(out), _NOREPLACE) == 0:
            return True
        if ctypes.get_errno() == errno.EEXIST:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), out)
    # A file system that knows no such renaming, or another reason, which this call tells by its name.
    os.link(temporary, out)
    return False


def _write_part(target: int, part: Copy | Made, source: FileSource) -> None:
    if isinstance(part, Made):
        for block in part.blocks():
            _write_all(target, block)
        return
    copy_range(source.descriptor, part.offset, part.length, target)
    if part.overwriting is not None:
        begin = os.lseek(target, 0, os.SEEK_CUR) - part.length
        for offset, block in part.overwriting.blocks(source):
            os.pwrite(target, block, begin + offset - part.offset)


def _read_whole(part: Copy, source: FileSource) -> bytes:
    content = source.read(part.offset, part.length)
    if len(content) != part.length:
        raise Refusal("truncated", "The file became shorter while it was read.", next_step="Try again later.")
    return content


def _in_memory(part: Part, data: MemorySource) -> bytes | memoryview:
    if isinstance(part, bytes):
        return part
    if isinstance(part, Made):
        return b"".join(part.blocks())
    if part.overwriting is None:
        return data.view(part.offset, part.length)
    content = bytearray(data.view(part.offset, part.length))
    for offset, block in part.overwriting.blocks(data):
        content[offset - part.offset : offset - part.offset + len(block)] = block
    return bytes(content)


def _write_all(target: int, content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(target, view) :]
