"""kill -9 in the middle of receiving, working and delivering: what comes out is as if nothing had happened."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tce.actors.receiver import MediumReport
from tce.exports import Exports
from tce.network.storage_scu import send
from tce.network.store_reader import WINDOW
from tce.road import Peer
from tce.states import State
from tests.tce.parts import (
    CASE,
    MANAGER,
    SELECTOR,
    CaseShelf,
    a_manager,
    a_receiver,
    a_request,
    documents,
    pseudonymized_ct,
    terms,
)


def manager_command(home: Path, port: int, receiver: Peer) -> list[str]:
    """The command that starts an Export Manager."""
    return [sys.executable, "-m", "tests.journeys.manager_process", str(home), str(port), str(receiver.port)]


class Manager:
    """The process, which can be killed and started again on the same spool and port."""

    def __init__(self, home: Path, receiver: Peer) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.peer = Peer(MANAGER, "127.0.0.1", port)
        self.exports_url = f"sqlite:///{home / 'exports.db'}"
        self._command = manager_command(home, port, receiver)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == str(self.peer.port)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def state(self) -> State | None:
        """The state of its one export, as the database has it."""
        index = Exports(self.exports_url)
        try:
            found = index.listing()
        finally:
            index.close()
        assert len(found) <= 1
        return found[0].state if found else None


@contextmanager
def a_process(home: Path, receiver: Peer) -> Iterator[Manager]:
    manager = Manager(home, receiver)
    try:
        yield manager
    finally:
        manager.kill()


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A pseudonymized study of some size and its documents, in the order of sending."""
    home = tmp_path_factory.mktemp("selection")
    instances = pseudonymized_ct(home / "ct", slices=25)
    return [*instances, *documents(instances, home / "documents", request=a_request())]


def content(media: list[MediumReport]) -> list[bytes]:
    (report,) = media
    return sorted(path.read_bytes() for path in report.path.iterdir())


@pytest.fixture(scope="module")
def undisturbed(selection: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What comes out when nobody is killed."""
    home, media = tmp_path_factory.mktemp("undisturbed"), []
    with a_receiver(home / "receiver", media) as receiver:
        with a_manager(home / "manager", CaseShelf({CASE: terms(receiver.peer)})) as manager:
            assert send(selection, manager.peer, SELECTOR).failed == ()
            manager.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    return content(media)


def send_until_killed(manager: Manager, files: list[Path], *, kill_after: int) -> set[Path]:
    """Send, and kill the manager once it has answered ``kill_after`` times; return what it answered."""
    answered: set[Path] = set()

    def count(place: int) -> None:
        answered.add(files[place])
        if len(answered) == kill_after:
            manager.kill()

    send(files, manager.peer, SELECTOR, progress=count)
    return answered


def test_a_manager_killed_again_and_again_delivers_the_same(
    tmp_path: Path, selection: list[Path], undisturbed: list[bytes]
) -> None:
    """Killed while receiving, then at ever later moments of working and delivering: one export, same bytes.

    What was answered with Success is not sent again: it must have survived.
    """
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "receiver", media) as receiver:
        with a_process(tmp_path / "manager", receiver.peer) as manager:
            waiting = list(selection)
            for kill_after in (1, 4, 9):
                manager.start()
                answered = send_until_killed(manager, waiting, kill_after=kill_after)
                # Answers of one asynchronous operations window come together.
                assert kill_after <= len(answered) < kill_after + WINDOW
                waiting = [path for path in waiting if path not in answered]
            manager.start()
            assert send(waiting, manager.peer, SELECTOR).failed == ()
            for pause in (0.05, 0.2, 0.4, 0.7, 1.0):
                time.sleep(pause)
                manager.kill()
                manager.start()
            deadline = time.monotonic() + 60
            while manager.state() is not State.DELIVERED:
                assert time.monotonic() < deadline, manager.state()
                time.sleep(0.05)
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    assert content(media) == undisturbed


def test_a_receiver_that_is_away_gets_everything_later(
    tmp_path: Path, selection: list[Path], undisturbed: list[bytes]
) -> None:
    """The manager waits for a receiver that is down, outlives its own death, and delivers when it is back."""
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "receiver", media) as receiver:
        port = receiver.peer.port
    with a_process(tmp_path / "manager", receiver.peer) as manager:
        manager.start()
        assert send(selection, manager.peer, SELECTOR).failed == ()
        deadline = time.monotonic() + 60
        while manager.state() is not State.DELIVERING:
            assert time.monotonic() < deadline, manager.state()
            time.sleep(0.05)
        manager.kill()
        with a_receiver(tmp_path / "receiver", media, port=port) as receiver:
            manager.start()
            receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    assert content(media) == undisturbed


def test_a_second_manager_on_one_port_is_turned_away(tmp_path: Path) -> None:
    """A busy port ends the second process with an error that names the port."""
    with a_receiver(tmp_path / "receiver", []) as receiver, a_process(tmp_path / "one", receiver.peer) as one:
        one.start()
        command = manager_command(tmp_path / "two", one.peer.port, receiver.peer)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("tce.errors.PortInUse")
        assert str(one.peer.port) in last
