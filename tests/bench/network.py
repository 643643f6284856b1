"""C-STORE over loopback: who receives and who sends how fast, beside DCMTK and Orthanc.

The sender of all receivers is ``storescu``, the receiver of all senders ``storescp``, and everybody sets TCP_NODELAY:
without it an acknowledgement that is delayed counts and not the program. Starts are left out: receivers run before the
clock does, and of a sender that is a process its time to start is measured with nothing to send. What a receiver has
in the end is counted.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tce.network.storage_scu import send
from tce.road import Peer
from tests.bench.laps import AbsentError
from tests.bench.listening import AE_TITLE, CALLER
from tests.bench.work_sets import WorkSet

_SECONDS = 30.0
_NO_DELAY = {**os.environ, "TCP_NODELAY": "1"}
_PDU = "131072"

Running = tuple[Peer, Callable[[], int]]
"""Where a receiver listens, and how many instances it has."""


def network_tables(sets: list[WorkSet], root: Path, repetitions: int) -> str:
    """Return who receives and who sends how many instances a second, as tables in Markdown."""
    lines = ["", "### Receiving, instances a second (sender: storescu)", ""]
    lines += ["| | " + " | ".join(f"{s.name}, {n} assoc." for s in sets for n in (1, 4)) + " |"]
    lines += ["|---" * (2 * len(sets) + 1) + "|"]
    for name, receiver in _RECEIVERS.items():
        print(f"receiving: {name}", file=sys.stderr, flush=True)
        cells = [
            _rate(receiver, partial(from_storescu, associations=count), one, root, repetitions)
            for one in sets
            for count in (1, 4)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for title, receivers, senders in (
        ("Receiving, instances a second (sender: ours, one association)", _RECEIVERS, {"": _ours_sends}),
        (
            "Sending, instances a second (receiver: storescp, one association)",
            {"": storescp},
            {"`storescu`": _storescu, "ours": _ours_sends},
        ),
    ):
        lines += ["", f"### {title}", ""]
        lines += ["| | " + " | ".join(one.name for one in sets) + " |", "|---" * (len(sets) + 1) + "|"]
        for receiver_name, receiver in receivers.items():
            for sender_name, sender in senders.items():
                print(f"{title}: {receiver_name or sender_name}", file=sys.stderr, flush=True)
                cells = [_rate(receiver, sender, one, root, repetitions) for one in sets]
                lines.append(f"| {receiver_name or sender_name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(
    receiver: Callable[[Path], AbstractContextManager[Running]],
    send_all: Callable[[Peer, list[Path]], float],
    work_set: WorkSet,
    root: Path,
    repetitions: int,
) -> str:
    """Return the median of how many instances a second go from a sender to a receiver, or who is absent."""
    files = sorted(work_set.folder.iterdir())
    rates = []
    try:
        for _ in range(repetitions):
            place = root / "receiver"
            place.mkdir()
            try:
                with receiver(place) as (peer, has):
                    seconds = send_all(peer, files)
                    await_that(lambda has=has: has() >= len(files), "it has not got everything")  # type: ignore[misc]
                rates.append(len(files) / seconds)
            finally:
                shutil.rmtree(place)
    except AbsentError as reason:
        return str(reason)
    return f"{statistics.median(rates):,.0f}"


def from_storescu(peer: Peer, files: list[Path], associations: int) -> float:
    """Send files by so many associations at a time; return the seconds, starting and negotiating left out."""
    command = [_program("storescu"), "-aet", CALLER, "-aec", peer.ae_title, "--max-pdu", _PDU]
    command += [peer.host, str(peer.port)]
    idle = _seconds([[*command, str(files[0])]])  # starting, negotiating, one instance
    shares = [[*command, *map(str, files[at::associations])] for at in range(associations)]
    return max(_seconds(shares) - idle, 1e-3)


def _storescu(peer: Peer, files: list[Path]) -> float:
    return from_storescu(peer, files, 1)


def _ours_sends(peer: Peer, files: list[Path]) -> float:
    send(files[:1], peer, CALLER)
    began = time.perf_counter()
    account = send(files, peer, CALLER)
    seconds = time.perf_counter() - began
    if len(account.sent) != len(files):
        raise RuntimeError(f"it sent {len(account.sent)} of {len(files)}")
    return seconds


def _seconds(commands: list[list[str]]) -> float:
    began = time.perf_counter()
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_NO_DELAY)
        for command in commands
    ]
    if max(one.wait() for one in running):
        raise RuntimeError("storescu failed")
    return time.perf_counter() - began


@contextmanager
def _listener(durability: str, place: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.bench.listening", str(place), durability]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None, "they are pipes"
        try:
            port = int(process.stdout.readline())
            arrived = place / "spool" / "arrived"
            yield Peer(AE_TITLE, "127.0.0.1", port), lambda: sum(1 for _ in arrived.glob("*/*"))
        finally:
            process.stdin.close()
            process.wait()


@contextmanager
def storescp(place: Path, *, bit_preserving: bool = True) -> Iterator[Running]:
    """DCMTK's receiver, which writes into ``place``: what comes as it comes, or as it does by itself, anew."""
    port = _free_port()
    command = [_program("storescp"), "--max-pdu", _PDU, "--fork", "-od", str(place)]
    command += ["--bit-preserving"] if bit_preserving else []
    process = subprocess.Popen(
        [*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_NO_DELAY
    )
    try:
        _await_port(port)
        yield Peer("STORESCP", "127.0.0.1", port), lambda: sum(1 for _ in place.iterdir())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def orthanc(place: Path, more: Mapping[str, object] | None = None) -> Iterator[Running]:
    """Orthanc as a receiver, with everything in ``place``; ``more`` are settings beside ours."""
    program = _program("Orthanc", "orthanc")
    port = _free_port()
    settings = {
        "StorageDirectory": str(place / "storage"),
        "IndexDirectory": str(place / "storage"),
        "HttpServerEnabled": False,
        "DicomServerEnabled": True,
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "DicomThreadsCount": 4,
        "TcpNoDelay": True,
        "Plugins": [],
        **(more or {}),
    }
    configuration = place / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    process = subprocess.Popen(
        [program, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_NO_DELAY
    )
    try:
        _await_port(port)
        # It answers when an instance is stored: those that were answered are there.
        yield Peer("ORTHANC", "127.0.0.1", port), lambda: sys.maxsize
    finally:
        process.terminate()
        process.wait()


def _program(name: str, package: str = "dcmtk") -> str:
    found = shutil.which(name)
    if not found:
        raise AbsentError(f"absent; apt-get install {package}")
    return found


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await_port(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", port)) == 0

    await_that(listens, "a receiver does not listen")


def await_that(holds: Callable[[], bool], otherwise: str, seconds: float = _SECONDS) -> None:
    """Wait until something holds; raise RuntimeError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.05)


_RECEIVERS: dict[str, Callable[[Path], AbstractContextManager[Running]]] = {
    "`storescp`": lambda place: storescp(place, bit_preserving=False),
    "`storescp --bit-preserving`": storescp,
    "Orthanc": orthanc,
    "ours, durable against the death of the process": lambda place: _listener("process", place),
    "ours, durable against loss of power": lambda place: _listener("power", place),
}
