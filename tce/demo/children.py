"""Actors as processes of their own, started, watched and ended by the demo.

Each has a pid file with its command, so that a later run in the same folder finds and ends what a killed run
left behind, and never a process of somebody else that got the same number. What they print goes to a log file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tce.discretion import environment_of_children
from tce.errors import Refused

_ENDED_WITHIN = 15.0


class Children:
    """The processes of one folder. ``end_all`` also ends those of an earlier run."""

    def __init__(self, pids: Path, logs: Path) -> None:
        self._pids = pids
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: Sequence[str], *, port: int, ready_within: float = 60.0) -> int:
        """Start ``tce ARGUMENTS`` and wait until it listens on ``port`` of this machine; return its pid.

        Raises Refused when it ends or does not listen in time; its log says why.
        """
        self._pids.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        command = [sys.executable, "-m", "tce", *arguments]
        with log.open("ab") as out:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment_of_children()
            )
        (self._pids / f"{name}.pid").write_text(
            json.dumps({"pid": child.pid, "command": " ".join(command)}), "utf-8"
        )
        self._running[name] = child
        give_up = time.monotonic() + ready_within
        while not _listens(port):
            if child.poll() is not None or time.monotonic() > give_up:
                self.end(name)
                raise Refused(f"the {name} did not start", next_step=f"see why: {log}")
            time.sleep(0.05)
        return child.pid

    def check(self) -> None:
        """Raise Refused when a child has ended by itself."""
        for name, child in self._running.items():
            if child.poll() is not None:
                raise Refused(f"the {name} ended by itself", next_step=f"see why: {self._logs / name}.log")

    def end(self, name: str) -> None:
        """End one child: asked first, forced when it does not listen."""
        child = self._running.pop(name, None)
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(_ENDED_WITHIN)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        (self._pids / f"{name}.pid").unlink(missing_ok=True)

    def end_all(self) -> None:
        """End every child of this run and of earlier ones."""
        for name in list(self._running):
            self.end(name)
        for file in self._pids.glob("*.pid") if self._pids.is_dir() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = json.loads(file.read_text("utf-8"))
                _end_stranger(int(found["pid"]), str(found["command"]))
            file.unlink(missing_ok=True)


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _end_stranger(pid: int, command: str) -> None:
    """End a process that an earlier run started, if the number still belongs to that command."""
    if _command_of(pid) != command:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        give_up = time.monotonic() + _ENDED_WITHIN
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        while _command_of(pid) == command:
            if time.monotonic() > give_up:
                break
            time.sleep(0.05)
        else:
            return


def _command_of(pid: int) -> str:
    """Return the command line of a process, empty when there is none (or only its remains)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return (
                Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
            )
        except OSError:
            return ""
    found = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
