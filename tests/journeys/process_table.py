"""What anybody at the machine sees of processes: command lines, and to whom it is open the environment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 0.05  # seconds


@dataclass
class ProcessTable:
    """Looks again and again, in a thread, at a process and all that descend from it, and keeps what it saw."""

    root: int
    commands: dict[int, set[bytes]] = field(default_factory=dict)
    environments: dict[int, set[bytes]] = field(default_factory=dict)
    _family: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[ProcessTable]:
        """Look for as long as the block runs."""
        self._family.add(self.root)
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def seen(self) -> bytes:
        """Everything that was seen, of all processes."""
        every = [*self.commands.values(), *self.environments.values()]
        return b"\n".join(one for ones in every for one in sorted(ones))

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, ValueError):
                    self._look(int(process.name), process)

    def _look(self, pid: int, process: Path) -> None:
        # A process keeps belonging to the family when its parent has ended: the key server outlives who started it.
        parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        if pid not in self._family and parent not in self._family:
            return
        self._family.add(pid)
        self.commands.setdefault(pid, set()).add(process.joinpath("cmdline").read_bytes())
        self.environments.setdefault(pid, set()).add(process.joinpath("environ").read_bytes())
