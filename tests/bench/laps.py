"""What a contender is, and how its run is timed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class AbsentError(Exception):
    """A contender that is not installed here; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Lap:
    """Seconds of one run; ``start`` are further seconds that starting the process took, where they are known."""

    seconds: float
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Contender:
    """``run`` takes the source and a folder that does not exist yet; it raises AbsentError before the first lap."""

    name: str
    run: Callable[[Path, Path], Lap]


def timed(*command: str | Path) -> Lap:
    """Run a command and say how long it took. Raises RuntimeError with the end of what it said when it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(
            f"{Path(command[0]).name} failed with status {done.returncode}: {' / '.join(tail)}"
        )
    return Lap(seconds)
