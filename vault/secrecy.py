"""Types for what must not be printed, and the names that may become part of a Vault path.

A :class:`Secret` shows a placeholder wherever Python would print it (``repr``, ``str``, f-strings,
tracebacks with locals), cannot be pickled, and compares in constant time. It does not wipe memory: CPython
cannot promise that.
"""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from vault.errors import BadName

S = TypeVar("S", str, bytes)

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class Secret(Generic[S]):
    """A string or bytes that prints as a placeholder; :meth:`reveal` is the only way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: S) -> None:
        self._value: S = value

    def reveal(self) -> S:
        """The value itself. Never put it into a message, a log or a file name."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    __hash__ = None  # type: ignore[assignment]  # a secret as a dictionary key would be compared in variable time

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def safe_name(name: str, what: str) -> str:
    """Return ``name`` if it can be one segment of a Vault path and the name of a key; else raise BadName.

    Checked before any path is made, so that no configured name can reach into another part of the server.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadName(
            f"the name of a {what} is not usable as the name of a key",
            next_step="use 1 to 64 letters, digits, '.', '_' or '-', with a letter or digit at both ends",
        )
    return name


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, durable and all at once: after a crash it is the old one or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make what was written into a file survive a power failure."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make a rename or removal in ``directory`` survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
