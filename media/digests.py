"""Digests of the files of a medium, and one over all of them, which anybody can repeat with ``sha256sum``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from media.errors import UnreadableMedium
from media.files import MediumFiles


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file: its name with ``/`` between the parts, its length, and its SHA-256 in hexadecimal."""

    name: str = field(repr=False)
    octets: int
    hash: str


def digests_of(files: MediumFiles) -> list[FileDigest]:
    """Return the digest of every file, by name. Raises :class:`UnreadableMedium` when a file cannot be read."""
    found = []
    for name, path in files.names.items():
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(FileDigest("/".join(name), file.tell(), digest))
        except OSError as fault:
            raise UnreadableMedium(
                f"a file of the medium cannot be read: {fault.strerror}",
                next_step="clean the disc, or read it in another drive",
            ) from None
    return sorted(found, key=lambda one: one.name.encode("utf-8", "surrogateescape"))


def digest_of_all(files: Sequence[FileDigest]) -> str:
    """Return the SHA-256 of the lines that ``sha256sum`` writes for the files in the order of their names."""
    digest = hashlib.sha256()
    for one in files:
        digest.update(f"{one.hash}  {one.name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
