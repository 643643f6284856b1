"""``tce`` as a process that kills itself at a named moment, or pauses there: ``python -m … MOMENT tce-arguments``.

The moments are those between which a process that is killed at random seldom falls. Whichever worker comes there first
kills the job with -9, and itself. A pause lasts as long as the file ``TCE_PAUSED`` is there, which it makes.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policies.engine import Engine
from tce.cli import main
from vault.client import Client
from vault.mapping import MappingStore

_JOB = os.getpid()


def die() -> None:
    """kill -9, the whole job."""
    os.kill(_JOB, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def pause() -> None:
    """Let the test do something to what is around the job."""
    here = Path(os.environ["TCE_PAUSED"])
    here.touch()
    while here.exists():
        time.sleep(0.01)


def _before(owner: type, name: str, count: int = 1) -> None:
    _around(owner, name, count, before=die)


def _after(owner: type, name: str, count: int = 1) -> None:
    _around(owner, name, count, after=die)


def _around(
    owner: type,
    name: str,
    count: int,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    original, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    @functools.wraps(original)
    def wrapped(*arguments: Any, **more: Any) -> Any:
        now = next(calls) == count
        if now:
            before()
        result = original(*arguments, **more)
        if now:
            after()
        return result

    setattr(owner, name, wrapped)


MOMENTS: dict[str, Callable[[], None]] = {
    "before anything is derived": lambda: _before(Client, "hmac_batches"),
    "sealed, not written": lambda: _before(MappingStore, "insert"),
    "written, not committed": lambda: _after(MappingStore, "_insert_rows"),
    "committed, not told": lambda: _after(MappingStore, "insert"),
    "the second batch written, not committed": lambda: _after(MappingStore, "_insert_rows", 2),
    "told, no instance written": lambda: _before(Engine, "write"),
    "some instances written": lambda: _after(Engine, "write", 40),
}
PAUSE = "a pause between two batches"


if __name__ == "__main__":
    if sys.argv[1] == PAUSE:
        _around(Engine, "write", 40, after=pause)
    else:
        MOMENTS[sys.argv[1]]()
    main(sys.argv[2:])
