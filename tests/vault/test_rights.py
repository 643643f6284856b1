"""Tests of what roles may do, as the server tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PEOPLE, SiteVault
from vault.client import Client
from vault.credentials import Credentials
from vault.provision import provision
from vault.rights import Rights, loose_keys, rights_of_person, rights_of_service
from vault.roles import Service, SitePlan, policy_text
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault


def rights_of(site: SiteVault, who: str) -> Rights:
    if who in list(Service):
        return rights_of_service(site.service(who), Service(who), site.plan)
    return rights_of_person(site.person(who), who, site.plan)


@pytest.mark.parametrize("who", [*PEOPLE, *Service])
def test_a_provisioned_server_gives_what_the_project_means(embedded_site_vault: SiteVault, who: str) -> None:
    """Right after provisioning no role may do more or less than its policy file says."""
    assert rights_of(embedded_site_vault, who).as_meant


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("pseudonymizer", "derive pseudonyms of stage 1"),
        ("manager", "derive pseudonyms of a case"),
        ("provisioner", "change rights"),
        ("provisioner", "replace a second factor"),
        ("operator", "make a second factor"),
        ("alice", "sign as author alice"),
        ("bob", "approve as bob"),
        ("carol", "open the shares of carol"),
        ("grace", "see where the server's trail is"),
    ],
)
def test_what_a_role_is_for_is_told(embedded_site_vault: SiteVault, who: str, words: str) -> None:
    """The answer names each role's own work, in words."""
    assert words in rights_of(embedded_site_vault, who).may


@pytest.fixture
def loosened(embedded_site_vault: SiteVault) -> Iterator[SiteVault]:
    """The site after somebody gave the manager the keys of stage 1, and took the release key away."""
    path = "sys/policies/acl/tce-{}"
    provisioner = embedded_site_vault.service("provisioner")
    more = policy_text("manager") + '\npath "identifiers/hmac/+/sha2-256" { capabilities = ["update"] }\n'
    provisioner.write(path.format("manager"), {"policy": more})
    provisioner.write(path.format("releaser"), {"policy": "# nothing"})
    try:
        yield embedded_site_vault
    finally:
        for name in ("manager", "releaser"):
            provisioner.write(path.format(name), {"policy": policy_text(name)})


def test_what_administrators_added_or_took_is_found(loosened: SiteVault) -> None:
    """A right that the project does not give is too much, a missing one too little; both are named."""
    rights = rights_of(loosened, "manager")
    assert rights.too_much == ("derive pseudonyms of stage 1",)
    assert rights.too_little == ("sign releases",)


def test_a_key_that_could_leave_is_found(tmp_path: Path) -> None:
    """No role can loosen a key, but an administrator of the server can; what came of it is told by name."""
    server, plan = EmbeddedServer(tmp_path / "vault"), SitePlan(PEOPLE)
    try:
        url = server.start().url
        token = server.root_token()
        assert token is not None
        provision(Client(url, token=token), plan, Credentials(server.home))
        operator = Credentials(server.home).service(url, Service.OPERATOR)
        assert loose_keys(operator, plan) == []
        root = Client(url, token=token)
        root.write("custody/keys/carol/config", {"exportable": True})
        root.write("identifiers/keys/uid/config", {"deletion_allowed": True})
        assert loose_keys(operator, plan) == [
            "the key identifiers/uid can be deleted",
            "the key custody/carol can be read out",
        ]
    finally:
        server.stop()
