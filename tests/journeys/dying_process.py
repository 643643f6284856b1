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


def before(owner: Any, name: str, count: int = 1) -> None:
    """Die when something is called for the so-manieth time."""
    around(owner, name, count, first=die)


def after(owner: Any, name: str, count: int = 1) -> None:
    """Die when something has been done for the so-manieth time."""
    around(owner, name, count, then=die)


def always(owner: Any, name: str, step: Callable[[], None]) -> None:
    """Do something before and after every call of something."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **more: Any) -> Any:
        step()
        result = original(*arguments, **more)
        step()
        return result

    setattr(owner, name, wrapped)


def around(
    owner: Any,
    name: str,
    count: int,
    first: Callable[[], None] = lambda: None,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Do something around one call of something."""
    original, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    @functools.wraps(original)
    def wrapped(*arguments: Any, **more: Any) -> Any:
        now = next(calls) == count
        if now:
            first()
        result = original(*arguments, **more)
        if now:
            then()
        return result

    setattr(owner, name, wrapped)


MOMENTS: dict[str, Callable[[], None]] = {
    "before anything is derived": lambda: before(Client, "hmac_batches"),
    "sealed, not written": lambda: before(MappingStore, "insert"),
    "written, not committed": lambda: after(MappingStore, "_insert_rows"),
    "committed, not told": lambda: after(MappingStore, "insert"),
    "the second batch written, not committed": lambda: after(MappingStore, "_insert_rows", 2),
    "told, no instance written": lambda: before(Engine, "write"),
    "some instances written": lambda: after(Engine, "write", 40),
}
PAUSE = "a pause between two batches"


if __name__ == "__main__":
    if sys.argv[1] == PAUSE:
        around(Engine, "write", 40, then=pause)
    else:
        MOMENTS[sys.argv[1]]()
    main(sys.argv[2:])
