"""What all rooms' tests share: one real OpenBao, started, initialized and provisioned once a session.

Tests of the server's own life (crashes, initialization) start their own; everything else uses this one and keeps
to cases and databases of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vault.client import Client
from vault.credentials import Credentials
from vault.provision import provision_embedded
from vault.roles import Role, SitePlan
from vault.server import EmbeddedServer

# At the end of every run everything that it left behind is searched for secrets and originals.
pytest_plugins = ["tests.leaks.plugin"]

PEOPLE = {
    "alice": frozenset({Role.COORDINATOR}),
    "bob": frozenset({Role.APPROVER}),
    "carol": frozenset({Role.CUSTODIAN}),
    "dave": frozenset({Role.CUSTODIAN}),
    "erin": frozenset({Role.CUSTODIAN}),
    "grace": frozenset({Role.AUDITOR}),
}


@dataclass(frozen=True, slots=True, eq=False)
class SiteVault:
    """A provisioned embedded server with its people and services."""

    home: Path
    server: EmbeddedServer
    plan: SitePlan

    @property
    def url(self) -> str:
        return self.server.address().url

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.home)

    @property
    def custodians(self) -> tuple[str, ...]:
        return self.plan.holders(Role.CUSTODIAN)

    def person(self, name: str) -> Client:
        """A client with that person's own token."""
        return self.credentials.person(self.url, name)

    def service(self, name: str) -> Client:
        """A client with that service's own token: pseudonymizer, manager, operator or provisioner."""
        return self.credentials.service(self.url, name)


@pytest.fixture(scope="session")
def embedded_site_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteVault]:
    """alice (coordinator), bob (approver), carol, dave, erin (custodians), grace (auditor)."""
    home = tmp_path_factory.mktemp("site") / "vault"
    server, plan = EmbeddedServer(home), SitePlan(PEOPLE)
    try:
        provision_embedded(server, plan)
        yield SiteVault(home, server, plan)
    finally:
        server.stop()
