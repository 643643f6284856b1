"""Other people's archives for tests: DCMTK's dcmqrscp and Orthanc, started as their users start them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tce.network.calling import PeerUnavailable
from tce.network.storage_scu import echo
from tce.network.tls import Certificates
from tce.road import Peer

PACS = "PACS"

needs_dcmqrscp = pytest.mark.skipif(
    shutil.which("dcmqrscp") is None, reason="DCMTK's dcmqrscp is not installed"
)
needs_orthanc = pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")


def a_free_port() -> int:
    """A port of this machine on which nobody listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def a_dcmqrscp(home: Path, known: Sequence[Peer] = (), *, calling: str = "SELECTOR") -> Iterator[Peer]:
    """DCMTK's archive; it can move to the peers that it knows."""
    port = a_free_port()
    (home / "database").mkdir(parents=True)
    hosts = [f"peer{place} = ({one.ae_title}, {one.host}, {one.port})" for place, one in enumerate(known)]
    settings = [
        f"NetworkTCPPort = {port}",
        "MaxPDUSize = 65536",
        "MaxAssociations = 16",
        "HostTable BEGIN",
        *hosts,
        "HostTable END",
        "VendorTable BEGIN",
        "VendorTable END",
        "AETable BEGIN",
        f"{PACS} {home / 'database'} RW (200, 1024mb) ANY",
        "AETable END",
    ]
    (home / "dcmqrscp.cfg").write_text("\n".join(settings) + "\n")
    command = ["dcmqrscp", "-c", home / "dcmqrscp.cfg", "-q"]
    with _running(command, home, Peer(PACS, "127.0.0.1", port), calling) as peer:
        yield peer


@contextmanager
def an_orthanc(
    home: Path,
    known: Sequence[Peer] = (),
    *,
    calling: str = "SELECTOR",
    certificates: Certificates | None = None,
    **settings: Any,
) -> Iterator[Peer]:
    """Orthanc without its web server; it can move to the peers that it knows, and reports to them.

    With ``certificates``, those with which it is called, it is told its own by ``settings``.
    """
    port = a_free_port()
    home.mkdir(parents=True)
    everything = {
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpServerEnabled": False,
        "DicomServerEnabled": True,
        "DicomAet": PACS,
        "DicomPort": port,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFind": True,
        "DicomModalities": {one.ae_title: [one.ae_title, one.host, one.port] for one in known},
        "Plugins": [],
    }
    (home / "orthanc.json").write_text(json.dumps(everything | settings))
    called = Peer(PACS, "127.0.0.1", port, certificates)
    with _running(["Orthanc", home / "orthanc.json"], home, called, calling) as peer:
        yield peer


@contextmanager
def _running(command: Sequence[str | Path], home: Path, peer: Peer, calling: str) -> Iterator[Peer]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                echo(peer, calling)
                break
            except PeerUnavailable:
                assert server.poll() is None and time.monotonic() < deadline, "the archive did not start"
                time.sleep(0.1)
        yield peer
    finally:
        server.terminate()
        server.wait()
