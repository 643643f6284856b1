"""Tests of the embedded server's life: crashes at every point, and what it tells about itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vault.client import Client
from vault.errors import InitializationLost, NotStarted
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

STARTER = """import sys
from pathlib import Path
from vault.server import EmbeddedServer
EmbeddedServer(Path(sys.argv[1])).start()
"""
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a server that was initialized once; tests leave it in a state from which it starts."""
    home = tmp_path_factory.mktemp("a site") / "vault"
    server = EmbeddedServer(home)
    try:
        server.start()
        yield home
    finally:
        server.stop()


def a_starter(home: Path) -> subprocess.Popen[bytes]:
    """Another process that starts the server of ``home``."""
    return subprocess.Popen([sys.executable, "-c", STARTER, str(home)], cwd=REPOSITORY)


def pid_of(home: Path) -> int:
    return int((home / "server.pid").read_text())


def root_client(server: EmbeddedServer) -> Client:
    token = server.root_token()
    assert token is not None
    return Client(server.address().url, token=token)


def kill(home: Path) -> None:
    os.kill(pid_of(home), signal.SIGKILL)
    lock_is_free(home)


def lock_is_free(home: Path) -> None:
    for _ in range(500):
        if not EmbeddedServer(home).status().running:
            return
        time.sleep(0.02)
    raise AssertionError("a killed server still counts as running")


def test_it_runs_once_however_often_it_is_started(home: Path) -> None:
    """Starting again, from here or from several other processes at once, finds the server that runs."""
    server = EmbeddedServer(home)
    first, pid = server.start(), pid_of(home)
    starters = [a_starter(home) for _ in range(3)]
    assert [starter.wait(60) for starter in starters] == [0, 0, 0]
    assert (server.start(), server.address(), pid_of(home)) == (first, first, pid)


def test_several_starters_of_a_stopped_server_start_one(home: Path) -> None:
    """Processes that find the server stopped at the same time start one server, and all find it."""
    server = EmbeddedServer(home)
    server.stop()
    starters = [a_starter(home) for _ in range(3)]
    assert [starter.wait(60) for starter in starters] == [0, 0, 0]
    assert server.status().running


def test_killed_it_comes_back_with_its_data(home: Path) -> None:
    """After kill -9 the next who asks for the address has a running server with the same content."""
    server = EmbeddedServer(home)
    root_client(server).write("sys/policies/acl/kept", {"policy": 'path "x" { capabilities = ["read"] }'})
    kill(home)
    assert not server.status().running
    assert (root_client(server).read("sys/policies/acl/kept") or {})["name"] == "kept"


def test_a_moved_home_opens_with_its_data(home: Path, tmp_path: Path) -> None:
    """A home that was restored at another place, under another name, has the same keys; the first one goes
    on."""
    server = EmbeddedServer(home)
    root_client(server).write("sys/policies/acl/moved", {"policy": 'path "x" { capabilities = ["read"] }'})
    server.stop()
    elsewhere = tmp_path / "restored" / "key server"
    shutil.copytree(home, elsewhere)
    written = (elsewhere / "audit.log").stat().st_size
    restored = EmbeddedServer(elsewhere)
    try:
        assert server.start().url != restored.start().url
        assert (root_client(restored).read("sys/policies/acl/moved") or {})["name"] == "moved"
        assert (elsewhere / "audit.log").stat().st_size > written
    finally:
        restored.stop()


def test_it_outlives_its_starter(home: Path) -> None:
    """A starter that is killed, with all of its group, leaves the server running."""
    server = EmbeddedServer(home)
    server.stop()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER + "import time; print('up', flush=True); time.sleep(60)", str(home)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    assert starter.stdout.read() == b"", "the server must not hold the starter's output open"
    assert server.status().running


def test_a_recycled_pid_is_left_alone(home: Path) -> None:
    """A leftover pid that now belongs to another process is neither believed nor killed."""
    server = EmbeddedServer(home)
    server.start()
    kill(home)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (home / "server.pid").write_text(f"{stranger.pid}\n")
        server.stop()
        assert server.status().running is False
        assert server.start().url
        assert stranger.poll() is None
        stranger.terminate()


def test_a_stranger_at_the_old_port_is_not_spoken_to(home: Path) -> None:
    """When another program took the port of a dead server, the server moves and nobody talks to the
    stranger."""
    server = EmbeddedServer(home)
    port = urlsplit(server.start().url).port
    kill(home)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port or 0))
        stranger.listen()
        stranger.setblocking(False)
        assert urlsplit(server.address().url).port != port
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_nothing_of_the_starter_goes_along(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's environment holds nothing of ours, its input is nothing, and it is the leader of its own session."""
    server = EmbeddedServer(home)
    server.stop()
    monkeypatch.setenv("VAULT_TOKEN", "a-secret-of-the-starter")
    server.start()
    process = Path("/proc") / str(pid_of(home))
    assert process.joinpath("environ").read_bytes() == b"GOGC=400\0"
    assert os.readlink(process / "fd" / "0") == "/dev/null"
    assert os.getsid(pid_of(home)) == pid_of(home)


def test_its_files_are_the_owners_only(home: Path) -> None:
    """No file in the server's home can be read by another user."""
    EmbeddedServer(home).start()
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"seal.key", "init.json", "audit.log", "server.log"} <= {path.name for path in files}
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_its_hmac_is_the_hmac(home: Path) -> None:
    """What the server derives is plain HMAC-SHA-256 under the key's bytes, as the vectors take it to be."""
    client = root_client(EmbeddedServer(home))
    client.write("sys/mounts/open", {"type": "transit"})
    client.write("open/keys/known", {"type": "hmac", "key_size": 32, "exportable": True})
    exported = (client.read("open/export/hmac-key/known") or {})["keys"]["1"]
    digest = hmac.new(b64decode(exported), b"abc", hashlib.sha256).digest()
    assert client.hmac_batch("open", "known", [b"abc"], version=1) == [digest]


def test_a_missing_seal_key_is_not_replaced(home: Path) -> None:
    """Without its seal key the server's data is not thrown away or locked up: the key is asked for by
    name."""
    server = EmbeddedServer(home)
    server.stop()
    key = home / "seal.key"
    hidden = key.rename(home / "elsewhere")
    with pytest.raises(InitializationLost, match=r"seal\.key"):
        server.start()
    hidden.rename(key)
    assert server.start().url


def test_a_recovery_key_that_was_put_away_is_not_missed(home: Path) -> None:
    """A site may keep the recovery key elsewhere: the server starts, and nothing is made anew."""
    server = EmbeddedServer(home)
    server.stop()
    hidden = (home / "init.json").rename(home / "safe")
    server.start()
    assert server.root_token() is None
    assert server.status().initialized
    hidden.rename(home / "init.json")
    assert root_client(server).read("auth/token/lookup-self") is not None


def test_a_starter_that_is_killed_while_initializing_locks_nobody_out(tmp_path: Path) -> None:
    """Killed in the middle of the first initialization, the next start has a server and its root token."""
    home = tmp_path / "vault"
    starter = a_starter(home)
    while not (home / "initializing").exists():
        assert starter.poll() is None
        time.sleep(0.005)
    starter.kill()
    starter.wait()
    server = EmbeddedServer(home)
    try:
        server.start()
        assert root_client(server).read("auth/token/lookup-self") is not None
    finally:
        server.stop()


def test_an_initialization_whose_token_was_never_saved_is_made_again(tmp_path: Path) -> None:
    """If the starter died after the server was initialized and before the token was saved, nothing is
    lost."""
    home = tmp_path / "vault"
    server = EmbeddedServer(home)
    try:
        server.start()
        (home / "init.json").unlink()
        (home / "initializing").touch()
        server.start()
        assert root_client(server).read("auth/token/lookup-self") is not None
        assert not (home / "initializing").exists()
    finally:
        server.stop()


def test_lost_data_is_not_replaced_by_an_empty_server(tmp_path: Path) -> None:
    """When the data of an initialized server is gone, that is said, and no new keys are made in its place."""
    home = tmp_path / "vault"
    home.mkdir()
    (home / "init.json").write_text(json.dumps({"recovery_key": "x"}))
    server = EmbeddedServer(home)
    try:
        with pytest.raises(InitializationLost) as fault:
            server.start()
        assert "backup" in fault.value.next_step
    finally:
        server.stop()


def test_a_home_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A server that ends at once is reported with the log to look into."""
    home = tmp_path / "vault"
    home.mkdir()
    (home / "raft").mkdir()
    (home / "raft" / "vault.db").mkdir()
    (home / "seal.key").write_bytes(secrets.token_bytes(32))
    with pytest.raises(NotStarted) as fault:
        EmbeddedServer(home).start()
    assert "server.log" in fault.value.next_step


def test_nothing_is_said_of_a_server_that_never_was(tmp_path: Path) -> None:
    """Asking for the state of a new home starts and makes nothing."""
    home = tmp_path / "vault"
    server = EmbeddedServer(home)
    assert server.status().running is False
    server.stop()
    assert not home.exists()
