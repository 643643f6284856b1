"""The files that a person names on the command line: files as they are, folders with everything below them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tce.errors import Refused


def files_in(sources: Iterable[Path]) -> list[Path]:
    """Return every regular file below the given paths, in a stable order, each once.

    Links are not followed: what they lead to was not named. Raises Refused when a path does not exist or there
    is no file at all; the message names the path by its place, since its name may be a patient's.
    """
    found: dict[Path, None] = {}
    for place, source in enumerate(sources, 1):
        if source.is_dir():
            below = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
            found.update(dict.fromkeys(below))
        elif source.is_file():
            found[source] = None
        else:
            raise Refused(f"source {place} does not exist", next_step="check the path you gave")
    if not found:
        raise Refused("there is no file in what you named", next_step="name files or folders that hold some")
    return list(found)
