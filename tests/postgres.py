"""A real PostgreSQL server for tests and measures, in a folder of its own, reached through a socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)


def lacks() -> str:
    """What is missing here, with how to get it; nothing if a server can be started."""
    if _PROGRAMS is None or find_spec("psycopg") is None:
        return "needs PostgreSQL's server (apt-get install postgresql) and psycopg"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root"
    return ""


@contextmanager
def a_server(place: Path | None = None) -> Iterator[str]:
    """Start a server in ``place`` and end it; yields the address of its empty database."""
    assert _PROGRAMS is not None
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=place))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data, options = folder / "data", f"-k {folder} -c listen_addresses=''"
    quiet = {"check": True, "cwd": "/", "stdout": subprocess.DEVNULL}
    subprocess.run([*user, _PROGRAMS / "initdb", "-D", data, "-A", "trust", "-U", "tce"], **quiet)  # type: ignore[call-overload]
    start = [*user, _PROGRAMS / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"]
    subprocess.run(start, **quiet)  # type: ignore[call-overload]
    try:
        yield f"postgresql+psycopg://tce@/postgres?host={folder}"
    finally:
        stop = [*user, _PROGRAMS / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, **quiet)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)
