"""Who runs: ``cp -r``, both stages of ours, and others' de-identifiers (:mod:`tests.bench.peers`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.bench.laps import Contender, Lap, timed
from tests.bench.ours import CASE, CUSTODIANS
from tests.bench.peers import peers
from vault.credentials import Credentials
from vault.keys import create_case_key, create_way_back
from vault.provision import provision_embedded
from vault.roles import Role, Service, SitePlan
from vault.server import EmbeddedServer


@contextmanager
def a_site(root: Path) -> Iterator[tuple[Path, str]]:
    """A provisioned key server with the keys of the case, running as long as the context lasts: home and address."""
    site = root / "site" / "vault"
    server = EmbeddedServer(site)
    try:
        people = {"bob": frozenset({Role.APPROVER}), "alice": frozenset({Role.COORDINATOR})}
        people |= {name: frozenset({Role.CUSTODIAN}) for name in CUSTODIANS}
        provision_embedded(server, SitePlan(people))
        url = server.address().url
        create_case_key(Credentials(site).person(url, "bob"), CASE)
        create_way_back(Credentials(site).service(url, Service.PSEUDONYMIZER), CASE)
        yield site, url
    finally:
        server.stop()


@contextmanager
def contenders(root: Path) -> Iterator[list[Contender]]:
    """Everybody, with a Vault running for ours as long as the context lasts."""
    with a_site(root) as (site, url):
        yield [
            Contender("`cp -r`", _copy),
            Contender("stage 2", _ours("2", site, url, root)),
            Contender("stage 1, fresh mapping", _ours("1", site, url, root)),
            *peers(root),
        ]


def _copy(source: Path, out: Path) -> Lap:
    return timed("cp", "-r", source, out)


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
