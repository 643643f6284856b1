"""Others' de-identifiers, called as their users would call them, each from a folder to a folder.

One that is absent is left out and says how to get it. None is a dependency: Debian's programs are looked up, Python's
live in a virtual environment of their own in the user's cache, which ``--peers`` makes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.bench.laps import AbsentError, Contender, Lap, timed

_PACKAGES = ("dicom-anonymizer", "deid")
_AT_ONCE = 4
_START_SECONDS = 30.0


def peers(root: Path) -> list[Contender]:
    """Everybody but ours; ``root`` is where keys and servers of a run may lie."""
    return [
        Contender("gdcmanon", lambda source, out: _gdcmanon(root, source, out)),
        Contender("dicom-anonymizer", _dicom_anonymizer),
        Contender("deid", _deid),
        Contender("Orthanc", lambda source, out: _orthanc(root, source, out)),
    ]


def environment() -> Path:
    """Where the peers written in Python are installed."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "tce-bench-peers"


def install() -> None:
    """Make or renew the environment of the peers written in Python, from the package index."""
    place = environment()
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "pip", "install", "--quiet", "--upgrade", *_PACKAGES], check=True)


def _program(name: str, how: str, among: Path | None = None) -> str:
    found = shutil.which(name, path=str(among) if among else None)
    if not found:
        raise AbsentError(f"absent; {how}")
    return found


def _of_python(name: str) -> str:
    return _program(name, "--peers installs it", environment() / "bin")


def _gdcmanon(root: Path, source: Path, out: Path) -> Lap:
    program = _program("gdcmanon", "apt-get install libgdcm-tools")
    key, certificate = root / "key.pem", root / "certificate.pem"
    if not certificate.exists():
        openssl = _program("openssl", "apt-get install openssl")
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench"]
        timed(openssl, *request, "-keyout", key, "-out", certificate)
    out.mkdir()
    return timed(program, "-e", "-c", certificate, "-r", "-i", source, "-o", out)


def _dicom_anonymizer(source: Path, out: Path) -> Lap:
    program = _of_python("dicom-anonymizer")
    out.mkdir()
    return timed(program, source, out)


def _deid(source: Path, out: Path) -> Lap:
    program = _of_python("deid")
    out.mkdir()
    return timed(program, "--quiet", "--outfolder", out, "identifiers", "--action", "all", "--input", source)


def _orthanc(root: Path, source: Path, out: Path) -> Lap:
    """Files to files with a server in between: upload, anonymize study by study, download. Its start is left out."""
    program = _program("Orthanc", "apt-get install orthanc")
    out.mkdir()
    with _server(program, root / "orthanc") as port:
        began = time.perf_counter()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = sorted(path for path in source.iterdir() if path.is_file())
            for part in [pool.submit(_upload, port, files[at::_AT_ONCE]) for at in range(_AT_ONCE)]:
                part.result()
            studies = json.loads(asked(HTTPConnection("127.0.0.1", port), "GET", "/studies"))
            made = list(pool.map(lambda study: _anonymized(port, study), studies))
            instances = [instance for study in made for instance in study]
            for part in [
                pool.submit(_download, port, instances[at::_AT_ONCE], out) for at in range(_AT_ONCE)
            ]:
                part.result()
        return Lap(time.perf_counter() - began)


@contextmanager
def _server(program: str, home: Path) -> Iterator[int]:
    home.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    configuration = home / "orthanc.json"
    settings = {
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "ConcurrentJobs": os.cpu_count() or 1,
        "Plugins": [],
    }
    configuration.write_text(json.dumps(settings))
    server = subprocess.Popen(
        [program, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home
    )
    try:
        _await(port, server)
        yield port
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            asked(HTTPConnection("127.0.0.1", port), "GET", "/system")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("Orthanc did not start")


def asked(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> bytes:
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"Orthanc answered {answer.status} to {method} {path.split('/')[1]}")
    return content


def _upload(port: int, files: list[Path]) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    for file in files:
        asked(connection, "POST", "/instances", file.read_bytes())


def _anonymized(port: int, study: str) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port)
    made = json.loads(asked(connection, "POST", f"/studies/{study}/anonymize", b"{}"))
    found = json.loads(asked(connection, "GET", f"/studies/{made['ID']}/instances"))
    return [str(instance["ID"]) for instance in found]


def _download(port: int, instances: list[str], out: Path) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    for instance in instances:
        (out / f"{instance}.dcm").write_bytes(asked(connection, "GET", f"/instances/{instance}/file"))
