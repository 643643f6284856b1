"""What a process of the program does first, so that nothing it knows gets out on a way that nobody thinks of.

Keys of patients, tokens and originals are in its memory and on its temporary files. None of them may reach a core dump,
another process of the same user, a file that others can read, the environment of a child, or a line that Python or a
library prints by itself when something goes wrong. None of this stops somebody with the rights of root.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import logging
import os
import resource
import shutil
import stat
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from tce.errors import Refused

SECRET_VARIABLES = frozenset({"VAULT_TOKEN", "TCE_PASSWORD", "TCE_CODE", "TCE_LOGIN_SECRET", "TCE_WRAPPED"})
"""Variables of the environment that may hold a secret; no child process gets them."""

_PR_SET_DUMPABLE = 4  # prctl(2)
_ALIVE = "alive"

# Kept for as long as the process lives: its lock says that the temporary folder is in use.
_locks: list[int] = []


def begin() -> None:
    """Make this process discreet. Call it once, before anything else. Raises Refused where it has no place to work."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _forbid_looking()
    _say_no_values()
    _keep_temporary_files_apart(Path(tempfile.gettempdir()) / f"tce-{os.getuid()}")


def environment_of_children() -> dict[str, str]:
    """Return this process's environment without the secrets that a person gave to it."""
    return {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}


def frames_of(trace: TracebackType | None) -> list[str]:
    """Return where an exception came from: file, line and function of each frame, and nothing that they hold."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def _forbid_looking() -> None:
    """Forbid core dumps that are piped to a program, and other processes of this user to look in (prctl(2)).

    A limit on the size of core files does not count for those; memory, environment and open files of a process that
    is not dumpable belong to root. A started program is dumpable again, a forked process is not.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _say_no_values() -> None:
    """Let nothing print an exception's text, a warning's text or a log record: they quote what they are about."""
    sys.excepthook = lambda kind, exc, trace: _say(kind, trace)
    threading.excepthook = lambda told: _say(told.exc_type, told.exc_traceback)
    sys.unraisablehook = lambda told: _say(told.exc_type or Exception, told.exc_traceback)
    warnings.simplefilter("ignore")
    logging.lastResort = None
    logging.raiseExceptions = False


def _say(kind: type[BaseException], trace: TracebackType | None) -> None:
    if sys.stderr is None:
        return
    for frame in frames_of(trace):
        print(f"     {frame}", file=sys.stderr)
    print(f"tce: an unexpected error ended a part of the work ({kind.__name__})", file=sys.stderr)


def _keep_temporary_files_apart(mine: Path) -> None:
    """Put temporary files into a folder of this process, and remove what processes left that were killed."""
    with contextlib.suppress(FileExistsError):
        mine.mkdir(mode=0o700)
    status = mine.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Refused(
            f"{mine} is not a folder of this user alone",
            next_step="remove it, or set TMPDIR to another place",
        )
    for left in mine.iterdir():
        if not _is_alive(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=mine))
    lock = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    _locks.append(lock)
    tempfile.tempdir = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _is_alive(folder: Path) -> bool:
    """Whether the process of a temporary folder still runs: the kernel gives its lock up with it."""
    try:
        lock = os.open(folder / _ALIVE, os.O_RDWR)
    except OSError:
        # Just being made, or being removed: its process number tells.
        return Path(f"/proc/{folder.name.partition('-')[0]}").exists()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
