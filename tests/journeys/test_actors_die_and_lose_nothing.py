"""kill -9 of the real Export Manager and Receiver, at named moments and at random ones, and a disk that is full.

Whatever was answered with Success is there afterwards, and is not sent again by the test; what comes out in the
end is what comes out when nobody dies. ``TCE_KILLS=200`` kills at random that many times, ``TCE_SEED`` sets the
moments.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread

from tce import cases
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.demo.children import free_ports
from tce.documents.teaching_file_info import PolicyRequest
from tce.exports import Exports
from tce.network.storage_scu import send
from tce.network.store_reader import WINDOW
from tce.road import Peer
from tce.spool import Spool
from tce.states import State
from tests.journeys.dying_actor import MOMENTS, STEPS
from tests.tce.parts import documents, pseudonymized_ct
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

CASE = "c1"
KILLS = int(os.environ.get("TCE_KILLS", "3"))
SEED = int(os.environ.get("TCE_SEED", "2026"))
SELECTOR = "TCE_SELECTOR"
PATIENCE = 120.0


@dataclass
class World:
    """A site with both actors as processes of their own, and what the Export Selector still has to send."""

    home: Path
    waiting: list[Path]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)

    @property
    def site(self) -> Site:
        return Site(self.home)

    @property
    def media(self) -> Path:
        return self.home / "received"

    def start(self, actor: str, moment: str = "") -> None:
        """Start an actor and wait until it listens; the one with a moment will die there."""
        arguments = ["--home", str(self.home), actor, "run"]
        arguments += ["--out", str(self.media)] if actor == "receiver" else []
        command = [sys.executable, "-m", "tests.journeys.dying_actor", actor, moment, *arguments]
        with (self.home / f"{actor}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.running[actor] = process
        port = getattr(self.site.settings.network, actor).port
        # An actor may come to its moment before it listens: what a predecessor had begun is done first.
        self.until(lambda: process.poll() is not None or listens(port), f"{actor} listens")
        if process.poll() is not None:
            assert process.returncode == -signal.SIGKILL, self.said(actor)
        elif actor == "manager":
            assert self.answered <= self.indexed(), "the index lacks what was answered with Success"

    def kill(self, actor: str) -> None:
        """kill -9."""
        self.running[actor].kill()
        self.running[actor].wait()

    def kill_all(self) -> int:
        """kill -9 of whoever lives, and might yet die at a moment of its own; return how many."""
        living = [actor for actor in self.running if self.alive(actor)]
        for actor in living:
            self.kill(actor)
        return len(living)

    def stop(self, actor: str) -> None:
        """SIGTERM, as a service manager sends it."""
        self.running[actor].terminate()
        assert self.running[actor].wait(PATIENCE) in (0, -signal.SIGTERM), self.said(actor)

    def end(self) -> None:
        for actor in self.running:
            self.kill(actor)

    def alive(self, actor: str) -> bool:
        return self.running[actor].poll() is None

    def said(self, actor: str) -> str:
        return (self.home / f"{actor}.log").read_text()

    def send(self) -> None:
        """Send what was not answered yet, in order; what was answered is never sent again."""
        if not self.waiting:
            return
        peer = Peer("TCE_MANAGER", "127.0.0.1", self.site.settings.network.manager.port)
        batch, done = list(self.waiting), set()
        try:
            send(batch, peer, SELECTOR, progress=done.add, stop_at_failure=True)
        except Exception as away:  # nobody is there, or nobody any more
            assert type(away).__name__ == "PeerUnavailable", away
        self.answered |= {uid_of(batch[place]) for place in done}
        self.waiting = [path for place, path in enumerate(batch) if place not in done]

    def indexed(self) -> set[str]:
        """Every SOP Instance UID that the Export Manager's index has."""
        with closing(sqlite3.connect(self.home / "exports.db", timeout=30)) as database:
            return {uid for (uid,) in database.execute("SELECT sop_instance_uid FROM instances")}

    def state(self, actor: str) -> State | None:
        """The state of the only export of an actor; one that failed because its receiver was away is retried."""
        site = self.site
        index = Exports(site.exports_url if actor == "manager" else site.receiver_url)
        try:
            found = index.listing()
            assert len(found) <= 1, "there is one selection"
            if found and found[0].state is State.FAILED:
                assert {reason.code for reason in found[0].reasons} <= {"delivery", "failed"}, found
                return index.retry(found[0].id).state
            assert not found or found[0].state not in (State.HELD, State.CANCELLED), found[0].reasons
            return found[0].state if found else None
        finally:
            index.close()

    def until(self, met: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not met():
            logs = {actor: self.said(actor)[-2000:] for actor in self.running}
            assert time.monotonic() < deadline, (what, logs)
            time.sleep(0.02)

    def to_the_end(self) -> None:
        """Let both actors finish undisturbed."""
        for actor in ("receiver", "manager"):
            if actor not in self.running or not self.alive(actor):
                self.start(actor)

        def everything() -> bool:
            self.send()
            return not self.waiting and self.state("manager") is State.DELIVERED

        self.until(everything, "the export is delivered")
        self.until(lambda: self.state("receiver") is State.DELIVERED, "the medium is written")

    def result(self) -> Counter[bytes]:
        """The bytes of every instance on the media."""
        found = (path for path in self.media.rglob("*") if path.is_file() and path.name != "DICOMDIR")
        return Counter(path.read_bytes() for path in found if path.read_bytes()[128:132] == b"DICM")

    def delivered(self) -> bool:
        """Whether the Export Manager has nothing left to deliver."""
        return not self.waiting and self.state("manager") is State.DELIVERED

    def live_and_die(self, moments: dict[str, str]) -> int:
        """Run the actors until one of them has died at its moment, or there is nothing left to deliver; who has died is
        started again, with another moment. Return how many died."""
        for actor, moment in moments.items():
            if actor not in self.running or not self.alive(actor):
                self.start(actor, moment)

        def over() -> bool:
            if not all(map(self.alive, moments)):
                return True
            self.send()
            return self.delivered()

        self.until(over, "somebody dies")
        return sum(not self.alive(actor) for actor in moments)

    def require_order(self) -> None:
        """Nothing is there twice, nothing is left over, and the trail says each transition."""
        for actor in ("manager", "receiver"):  # what a dead one left is cleared when the next one starts
            self.stop(actor)
            self.start(actor)
            self.stop(actor)
        site = self.site
        for home, url in ((site.spool_dir, site.exports_url), (site.receiver_spool_dir, site.receiver_url)):
            index = Exports(url)
            lying = set(Spool(home).names())
            assert index.known(sorted(lying)) == dict.fromkeys(lying, True)
            assert Spool(home).workplaces() == []
            (export,) = index.listing()
            assert len(lying) == len(index.arrived(export, Path)), "one file an instance"
            index.close()
        trail = Trail(site.audit_trail)
        trail.verify()
        told = Counter(
            (record.actor, record.detail["after"], record.detail.get("before"), record.detail["export"])
            for record in trail.records()
            if record.event == "export state" and record.detail.get("told") != "late"
        )
        late = {
            (record.actor, record.detail["after"], record.detail.get("before"), record.detail["export"])
            for record in trail.records()
            if record.detail.get("told") == "late"
        }
        ends = {(actor, after) for actor, after, *_ in {*told, *late}}
        assert {("export-manager", "delivered"), ("receiver", "delivered")} <= ends


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def uid_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def tce(home: Path, line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), *line.split()])
    assert ended.value.code == 0, line


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with an approved case, on which no actor has run."""
    home = tmp_path_factory.mktemp("prepared") / "site"
    home.mkdir()
    settings = Settings().model_dump()
    settings["people"]["second_factor"] = ()
    settings["exports"] |= {"settle_seconds": 0.05, "poll_seconds": 0.05}
    manager, receiver = free_ports(2)
    settings["network"]["manager"]["port"], settings["network"]["receiver"]["port"] = manager, receiver
    save(Settings.model_validate(settings), home / "tce.toml")
    try:
        tce(home, "init")
        tce(home, "policy new basic")
        called = f"TCE_RECEIVER@127.0.0.1:{receiver}"
        tce(home, f"case new {CASE} --title T --purpose P --stage2 basic --receiver {called}")
        for what in ("policy submit basic", f"case submit {CASE}"):
            tce(home, f"--as coordinator {what}")
        for what in ("policy approve basic", f"case approve {CASE}"):
            tce(home, f"--as approver {what}")
        yield home
    finally:
        EmbeddedServer(home / "vault").stop()


@pytest.fixture(scope="module")
def selection(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A pseudonymized study and its documents, in the order of sending."""
    home = tmp_path_factory.mktemp("selection")
    instances = pseudonymized_ct(home / "ct", slices=15)
    ref = cases.load(prepared / "cases", CASE).stage2
    request = PolicyRequest(name=ref.name, version=ref.version, digest=ref.digest, case=CASE)
    return [*instances, *documents(instances, home / "documents", request=request)]


def a_world(prepared: Path, home: Path, selection: list[Path]) -> World:
    """The prepared site again, with the same keys."""
    shutil.copytree(prepared, home, ignore=shutil.ignore_patterns("vault"))
    (home / "vault").symlink_to(prepared / "vault")
    return World(home, list(selection))


@pytest.fixture
def world(prepared: Path, tmp_path: Path, selection: list[Path]) -> Iterator[World]:
    world = a_world(prepared, tmp_path / "site", selection)
    yield world
    world.end()


@pytest.fixture(scope="module")
def undisturbed(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory, selection: list[Path]
) -> Counter[bytes]:
    """What comes out when nobody dies."""
    world = a_world(prepared, tmp_path_factory.mktemp("undisturbed") / "site", selection)
    try:
        world.to_the_end()
        world.require_order()
    finally:
        world.end()
    assert len(world.result()) == len(selection)
    return world.result()


@pytest.mark.parametrize(("actor", "doing"), MOMENTS)
def test_an_actor_dies_at_every_moment_of_an_export(
    world: World, undisturbed: Counter[bytes], actor: str, doing: str
) -> None:
    """kill -9 between receiving, naming, answering, indexing, telling, sealing, delivering, asking for commitment and
    reporting it, signing and closing, one after the other for the same export: the same bytes come out, once.
    """
    other = "receiver" if actor == "manager" else "manager"
    world.start(other)
    for moment in MOMENTS[actor, doing]:
        world.start(actor, moment)

        def died() -> bool:
            if world.alive("manager"):
                world.send()
                world.state("manager")
            return not world.alive(actor)

        world.until(died, moment)
        assert world.running[actor].returncode == -signal.SIGKILL, world.said(actor)
    world.to_the_end()
    assert world.result() == undisturbed
    world.require_order()


def test_actors_die_again_and_again(world: World, undisturbed: Counter[bytes]) -> None:
    """kill -9 of either or both at random moments: the same bytes come out, once."""
    print(f"TCE_SEED={SEED} TCE_KILLS={KILLS}")  # shown when it fails
    chance = random.Random(SEED)
    for actor in ("receiver", "manager"):
        world.start(actor)
    for _ in range(KILLS):
        pause, actors = chance.uniform(0.0, 1.5), chance.choice((["manager"], ["receiver"], [*STEPS]))
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline:
            world.send()
            time.sleep(0.01)
        for actor in actors:
            world.kill(actor)
        for actor in actors:
            world.start(actor)
    world.to_the_end()
    assert world.result() == undisturbed
    world.require_order()


def received(world: World) -> int:
    """How many instances the Receiver was sent, those that it had already included."""
    return sum(
        int(record.detail["instances"])
        for record in Trail(world.site.audit_trail).records()
        if record.event == "association.ended" and record.actor == "receiver"
    )


def test_delivery_dies_again_and_again_and_goes_on_with_what_is_missing(
    prepared: Path, tmp_path: Path, selection: list[Path], undisturbed: Counter[bytes]
) -> None:
    """kill -9 of either or both at random steps of delivery and storage commitment: nothing is lost, nothing is there
    twice, and of what the Receiver has nothing is sent again but what was under way when somebody was killed."""
    print(f"TCE_SEED={SEED} TCE_KILLS={KILLS}")  # shown when it fails
    chance, left = random.Random(SEED), KILLS
    while left > 0:
        world = a_world(prepared, tmp_path / f"site-{left}", selection)
        try:
            killed = 0
            while killed < left and not world.delivered():
                killed += world.live_and_die({actor: str(chance.randint(1, 30)) for actor in STEPS})
            left -= max(killed, 1)
            killed += world.kill_all()
            world.to_the_end()
            assert received(world) <= len(selection) + killed * WINDOW
            assert world.result() == undisturbed
            world.require_order()
        finally:
            world.end()


def room(world: World, *, there: bool) -> None:
    """Let no file of the Export Manager grow any more, or let them grow again; the kernel sees to it."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(world.running["manager"].pid, resource.RLIMIT_FSIZE, (most if there else 0, most))


def test_a_full_disk_loses_nothing(world: World, undisturbed: Counter[bytes]) -> None:
    """Full while it receives: nothing is answered with Success. Full while it works: it goes on when there is room.

    The process survives both.
    """
    for actor in ("receiver", "manager"):
        world.start(actor)
    everything = world.waiting
    world.waiting = everything[:5]
    world.send()
    assert world.waiting == []
    room(world, there=False)
    world.waiting = everything[5:]
    for _ in range(2):
        world.send()
        assert world.waiting == everything[5:]
    time.sleep(0.5)
    room(world, there=True)
    world.send()
    assert world.waiting == []
    world.until(lambda: world.state("manager") in (State.WORKING, State.DELIVERING), "it works")
    room(world, there=False)
    time.sleep(1.0)
    room(world, there=True)
    assert world.alive("manager"), world.said("manager")
    world.to_the_end()
    assert world.result() == undisturbed
    world.require_order()
