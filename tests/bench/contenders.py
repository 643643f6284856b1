"""Who runs: ``cp -r``, both stages of ours, and others' de-identifiers as their users would call them.

Each contender is a command from a folder to a folder. One that is not installed is skipped and says why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.bench.ours import CASE, CUSTODIANS
from vault.credentials import Credentials
from vault.keys import create_case_key
from vault.provision import Role, SitePlan, provision_embedded
from vault.server import EmbeddedServer


class AbsentError(Exception):
    """A contender that is not installed here."""


@dataclass(frozen=True, slots=True)
class Lap:
    """Seconds of one run; ``start`` is the part spent on starting the process, where it is known."""

    seconds: float
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Contender:
    """``run`` takes the source and a folder that does not exist yet; it raises AbsentError before the first lap."""

    name: str
    run: Callable[[Path, Path], Lap]


@contextmanager
def contenders(root: Path) -> Iterator[list[Contender]]:
    """Everybody, with a Vault running for ours as long as the context lasts."""
    site = root / "site" / "vault"
    server = EmbeddedServer(site)
    try:
        people = {"bob": frozenset({Role.APPROVER}), "alice": frozenset({Role.COORDINATOR})}
        people |= {name: frozenset({Role.CUSTODIAN}) for name in CUSTODIANS}
        provision_embedded(server, SitePlan(people))
        url = server.address().url
        create_case_key(Credentials(site).person(url, "bob"), CASE)
        yield [
            Contender("`cp -r`", _copy),
            Contender("stage 2", _ours("2", site, url, root)),
            Contender("stage 1, fresh mapping", _ours("1", site, url, root)),
            Contender("gdcmanon", _gdcmanon(root)),
            Contender("dicom-anonymizer", _dicom_anonymizer),
        ]
    finally:
        server.stop()


def _timed(*command: str | Path) -> Lap:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"{command[0]} failed with status {done.returncode}: {' / '.join(tail)}")
    return Lap(seconds)


def _copy(source: Path, out: Path) -> Lap:
    return _timed("cp", "-r", source, out)


def _ours(stage: str, site: Path, url: str, root: Path) -> Callable[[Path, Path], Lap]:
    mappings = count()

    def run(source: Path, out: Path) -> Lap:
        mapping = root / f"mapping-{next(mappings)}.db"
        arguments = (stage, site, url, source, out, f"sqlite:///{mapping}")
        command = [sys.executable, "-m", "tests.bench.ours", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode:
            raise RuntimeError(f"stage {stage} failed: {done.stderr[-2000:]}")
        told = json.loads(done.stdout)
        if told["written"] != sum(1 for _ in source.iterdir()):
            raise RuntimeError(f"stage {stage} wrote {told['written']} instances only")
        return Lap(told["job"], told["start"])

    return run


def _gdcmanon(root: Path) -> Callable[[Path, Path], Lap]:
    key, certificate = root / "key.pem", root / "certificate.pem"

    def run(source: Path, out: Path) -> Lap:
        if not shutil.which("gdcmanon") or not shutil.which("openssl"):
            raise AbsentError("gdcmanon (libgdcm-tools) or openssl is not installed")
        if not certificate.exists():
            request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench"]
            _timed("openssl", *request, "-keyout", key, "-out", certificate)
        out.mkdir()
        return _timed("gdcmanon", "-e", "-c", certificate, "-r", "-i", source, "-o", out)

    return run


def _dicom_anonymizer(source: Path, out: Path) -> Lap:
    program = os.environ.get("DICOM_ANONYMIZER") or shutil.which("dicom-anonymizer")
    if not program:
        raise AbsentError(
            "dicom-anonymizer is not installed; name it in DICOM_ANONYMIZER (a venv of its own)"
        )
    out.mkdir()
    return _timed(program, source, out)
