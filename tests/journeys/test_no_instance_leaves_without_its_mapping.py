"""Whatever dies in the middle of stage 1 — the process, the key server, the database, the disk's last byte —
each instance that lies there has its mapping, none is half-written, and the same command again ends as if nothing
had happened.

``TCE_KILLS=200`` kills a running job that many times at random moments, in place of a few.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread

from tce.cli import main
from tce.config import Site
from tce.demo.children import free_ports
from tce.logins import Logins
from tests.builders import a_ct_image
from tests.journeys.dying_process import MOMENTS, PAUSE
from vault.client import Client
from vault.mapping import MappingStore
from vault.mapping_check import check
from vault.roles import Service
from vault.row_tags import server_tags
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

CASE = "lung-1"
KILLS = int(os.environ.get("TCE_KILLS", "3"))
PATIENTS, IMAGES = 3, 100
A_DISK_OF = 300_000
"""Bytes that a file may have at most where the disk is full: less than the log of the mapping needs."""


@dataclass
class Hospital:
    """A site of its own with a source, and the processes that were started on it."""

    home: Path
    source: Path
    root: Client
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def server(self) -> EmbeddedServer:
        return EmbeddedServer(self.home / "vault")

    def with_mapping(self, file: Path) -> Path:
        """Let the site keep its mapping in a file of its own from now on."""
        settings = self.home / "tce.toml"
        lines = settings.read_text().splitlines()
        lines = [f'mapping = "sqlite:///{file}"' if one.startswith("mapping = ") else one for one in lines]
        settings.write_text("\n".join(lines) + "\n")
        return file

    def pseudonymize(
        self,
        out: Path,
        moment: str = "",
        *,
        workers: int = 2,
        limits: Callable[[], None] | None = None,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start ``tce pseudonymize`` as a process of its own, which dies or pauses at a moment if one is named."""
        command = ["tests.journeys.dying_process", moment] if moment else ["tce"]
        arguments = ["--home", self.home, "pseudonymize", self.source, "--case", CASE, "--out", out]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *map(str, arguments), "--workers", str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limits,
            env=os.environ | environment,
        )
        self.running.append(process)
        return process

    def to_the_end(self, out: Path) -> None:
        """The same command again, undisturbed."""
        process = self.pseudonymize(out)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def command(home: Path, line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), *line.split()])
    assert ended.value.code == 0, line


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A site with an approved policy of stage 1, a case, and a few hundred images of some patients."""
    home = tmp_path_factory.mktemp("hospital") / "site"
    source = tmp_path_factory.mktemp("source")
    for patient in range(1, PATIENTS + 1):
        image = a_ct_image(patient=patient)
        image.PixelData, image.Rows, image.Columns = b"\0\1" * 64, 8, 8
        stem = str(image.SOPInstanceUID)[:58].rstrip(".")
        for number in range(IMAGES):
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{stem}.{number}"
            image.InstanceNumber = str(number)
            image.save_as(source / f"{patient}-{number}.dcm", enforce_file_format=True)
    server = EmbeddedServer(home / "vault")
    server.start()
    token = server.root_token()
    assert token is not None
    (receiver,) = free_ports(1)
    try:
        root = Client(server.address().url, token=token)
        # The site revokes its root token; sealing the server needs another.
        answer = root._answer("post", "auth/token/create-orphan", {"policies": ["root"], "ttl": "2h"})
        people = "--coordinator carla --approver ann --auditor otto --custodian kim --custodian lee"
        command(home, f"init --no-second-factor --name test {people}")
        command(home, "--as carla policy submit pseudonymization")
        command(home, "--as ann policy approve pseudonymization")
        command(home, "policy new bands --like longitudinal-trial")
        case = f"case new {CASE} --title Lung --purpose Trial --stage2 bands --prefix LU"
        command(home, f"{case} --receiver TCE_RECEIVER@127.0.0.1:{receiver}")
        root._adapter.token = answer["auth"]["client_token"]
        yield Hospital(home, source, root)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def undisturbed(
    hospital: Hospital, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], set[tuple[str, ...]]]:
    """What comes out, and what the mapping holds, when nothing dies."""
    home = tmp_path_factory.mktemp("undisturbed")
    mapping = hospital.with_mapping(home / "mapping.db")
    hospital.to_the_end(home / "out")
    found = contents(home / "out")
    assert len(found) == PATIENTS * IMAGES
    return found, places(mapping)


@dataclass
class Job:
    """One job on a fresh mapping, and what it should come to."""

    hospital: Hospital
    out: Path
    mapping: Path
    wanted: dict[str, bytes]
    wanted_places: set[tuple[str, ...]]

    def require_nothing_half_done(self) -> None:
        """What lies there now is whole, and its way back stands in the mapping."""
        found = contents(self.out)
        assert {name: self.wanted.get(name) for name in found} == found
        if found:
            store = MappingStore(f"sqlite:///{self.mapping}")
            identifiers = {text for name in found for text in identifiers_in(self.out / name)}
            assert set(store.patients(CASE, identifiers)) == identifiers
            store.close()
            self.require_sound()

    def require_sound(self) -> None:
        tags = server_tags(Logins(Site(self.hospital.home)).service(Service.PSEUDONYMIZER))
        checked = check(f"sqlite:///{self.mapping}", tags)
        assert checked.sound, checked

    def require_the_same_in_the_end(self) -> None:
        """The same command again ends as if nothing had happened: the same bytes, the same rows, nothing left."""
        self.hospital.to_the_end(self.out)
        assert contents(self.out) == self.wanted
        assert places(self.mapping) == self.wanted_places
        assert not [path for path in self.out.iterdir() if path.name.startswith(".")]
        self.require_sound()


@pytest.fixture
def job(
    hospital: Hospital, undisturbed: tuple[dict[str, bytes], set[tuple[str, ...]]], tmp_path: Path
) -> Iterator[Job]:
    """A job that was not begun."""
    mapping = hospital.with_mapping(tmp_path / "mapping.db")
    yield Job(hospital, tmp_path / "out", mapping, *undisturbed)
    for process in hospital.running:
        process.kill()
        process.communicate()
    hospital.running.clear()


def contents(out: Path) -> dict[str, bytes]:
    """Every instance that has its name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.glob("[!.]*/**/*.dcm")}


def identifiers_in(path: Path) -> set[str]:
    ds = dcmread(path, stop_before_pixels=True)
    return {
        str(ds[name].value)
        for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }


def places(mapping: Path) -> set[tuple[str, ...]]:
    """Every row of the mapping by its place and original; keys and nonces differ from run to run."""
    with closing(sqlite3.connect(mapping)) as database:
        question = "SELECT case_id, patient, pseudonym, kind, hex(fingerprint) FROM mappings"
        return set(database.execute(question).fetchall())


def wait_until(met: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def in_the_middle(job: Job) -> Iterator[subprocess.Popen[str]]:
    """A job that pauses in the middle of its first batch, and goes on when the block ends."""
    paused = job.mapping.with_name("paused")
    process = job.hospital.pseudonymize(job.out, PAUSE, workers=1, TCE_PAUSED=str(paused))
    wait_until(paused.exists, process)
    assert 0 < len(contents(job.out)) < len(job.wanted)
    yield process
    paused.unlink()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment(job: Job, moment: str) -> None:
    """kill -9 between deriving, sealing, writing, committing, telling and passing on."""
    process = job.hospital.pseudonymize(job.out, moment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err
    job.require_nothing_half_done()
    job.require_the_same_in_the_end()


def test_killed_again_and_again(job: Job) -> None:
    """kill -9 at random moments of its work, each time going on where the one before was cut."""
    chance = random.Random(2031)
    for _ in range(KILLS):
        process = job.hospital.pseudonymize(job.out)
        wait_until(job.out.exists, process)  # its start takes longer than its work
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        process.communicate()
        job.require_nothing_half_done()
    job.require_the_same_in_the_end()


def test_the_key_server_dies_and_stays_dead(job: Job) -> None:
    """kill -9 of the server: the job ends with an error that says so."""
    with in_the_middle(job) as process:
        kill_server(job.hospital)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "does not answer" in err
    assert len(contents(job.out)) < len(job.wanted)
    job.require_the_same_in_the_end()  # which starts the server again


def test_the_key_server_dies_and_comes_back(job: Job) -> None:
    """A server that is started again: the job ends well by itself."""
    with in_the_middle(job) as process:
        kill_server(job.hospital)
        job.hospital.server.start()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert contents(job.out) == job.wanted


def test_the_key_server_is_sealed(job: Job) -> None:
    """Sealed in the middle: the job ends with an error that says so, until the server is unsealed."""
    with in_the_middle(job) as process:
        job.hospital.root.write("sys/seal", {})
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "sealed" in err
    job.hospital.server.stop()  # it unseals itself when it starts
    job.require_nothing_half_done()
    job.require_the_same_in_the_end()


def test_the_mapping_is_locked_for_a_while(job: Job) -> None:
    """The job waits for whoever has the database, and passes nothing on meanwhile."""
    MappingStore(f"sqlite:///{job.mapping}").close()
    with closing(sqlite3.connect(job.mapping, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = job.hospital.pseudonymize(job.out)
        wait_until(job.out.exists, process)
        time.sleep(2)
        assert process.poll() is None
        assert contents(job.out) == {}
        other.execute("ROLLBACK")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert contents(job.out) == job.wanted


def test_the_disk_is_full(job: Job) -> None:
    """The log of the mapping cannot grow: the job ends with an error, and what lies there has its mapping."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (A_DISK_OF, A_DISK_OF))

    process = job.hospital.pseudonymize(job.out, limits=limits)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "mapping database cannot be used" in err
    job.require_nothing_half_done()
    job.require_the_same_in_the_end()


def kill_server(hospital: Hospital) -> None:
    """kill -9 of this site's own server."""
    os.kill(int((hospital.home / "vault" / "server.pid").read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while hospital.server.status().running:  # the kernel takes a moment to take it down
        assert time.monotonic() < deadline
        time.sleep(0.01)
