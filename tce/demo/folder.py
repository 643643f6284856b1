"""The folder of a demo: recognized by its marker, used by one run at a time, made anew by each.

Only a folder with the marker is ever emptied; what an earlier run left running in it (actors, key server) is ended
first. A folder that is neither empty nor a demo's is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tce.demo.children import Children
from tce.errors import Refused
from vault.server import EmbeddedServer

MARKER = "tce-demo.json"
_LOCK = ".lock"
_FORMAT = "tce-demo-1"


class DemoFolder:
    """Where each thing of a demo lies."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.site = self.root / "site"
        self.identified = self.root / "1-identified"
        self.pseudonymized = self.root / "2-pseudonymized"
        self.medium = self.root / "3-medium"
        self.research = self.root / "4-research"
        self.received = self.root / "5-received"
        self.account = self.root / "account.json"
        self.children = Children(self.root / "run", self.root / "logs")

    @contextmanager
    def made_anew(self) -> Iterator[None]:
        """Take the folder for one run and empty it. Afterwards nothing that was started in it runs.

        Raises Refused for a folder that is not a demo's, or in which a demo runs now.
        """
        self._take()
        lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                # A record lock: unlike flock, no forked worker of a killed run can go on holding it.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused(
                    f"a demo runs in {self.root} now", next_step="wait for it, or name another folder"
                ) from None
            self.stop_everything()
            self._empty()
            try:
                yield
            finally:
                self.stop_everything()
        finally:
            os.close(lock)

    def stop_everything(self) -> None:
        """End the actors and the key server of this folder, of this run or an earlier one."""
        self.children.end_all()
        if (self.site / "vault").is_dir():
            EmbeddedServer(self.site / "vault").stop()

    def _take(self) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True)
        marker = self.root / MARKER
        if not self.root.is_dir() or (any(self.root.iterdir()) and not _is_marker(marker)):
            raise Refused(
                f"{self.root} is not empty and not the folder of a demo",
                next_step="name a folder that does not exist yet; nothing was touched",
            )
        marker.write_text(json.dumps({"format": _FORMAT, "what": "tce demo empties this folder"}), "utf-8")

    def _empty(self) -> None:
        for path in self.root.iterdir():
            if path.name in (MARKER, _LOCK):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_marker(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text("utf-8"))["format"] == _FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
