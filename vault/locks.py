"""A lock on a file that the kernel drops when its last holder dies, however it dies.

It serves :mod:`vault.server` only: one starter at a time, and the proof that the server process lives. It is
held by an open file description, so a child that inherits the descriptor keeps it after its parent let go.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_POLL_SECONDS = 0.03


class FileLock:
    """An exclusive advisory lock (``flock``) on ``path``, which is created and never removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The descriptor that holds the lock, to be inherited by a child. Only while it is held."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def acquire(self, *, wait_seconds: float) -> bool:
        """Take the lock, or return False when somebody else kept it for ``wait_seconds``."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_seconds
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return False
            time.sleep(_POLL_SECONDS)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go of it here. A child that inherited the descriptor goes on holding the lock."""
        os.close(self.descriptor)
        self._descriptor = None

    def held_elsewhere(self) -> bool:
        """Whether any other descriptor holds the lock now."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
