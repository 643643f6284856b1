"""Tests of what roles may do, as the server tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PEOPLE, SiteVault
from tests.vault.test_separation import CASE, TABLE
from vault.client import Client
from vault.credentials import Credentials
from vault.deeds import deeds
from vault.keys import CASE_MOUNTS, Mount
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


_ANEW = "derive pseudonyms of stage 1 in another form"
WIDER = {
    'path "identifiers/hmac/accession/sha2-512" { capabilities = ["update"] }': _ANEW,
    'path "identifiers/hmac/person" { capabilities = ["update"] }': _ANEW,
    'path "identifiers/hmac/device/sha2-256" { capabilities = ["update"] }': "derive pseudonyms of stage 1",
    'path "identifiers/verify/study/sha2-256" { capabilities = ["update"] }': "find out by comparing (identifiers)",
    'path "identifiers/backup/patient" { capabilities = ["read"] }': "copy a key in the clear (identifiers)",
    'path "identifiers/export/hmac-key/days/1" { capabilities = ["read"] }': "read a key out (identifiers)",
    'path "custody/rewrap/erin" { capabilities = ["update"] }': "close shares of erin anew, unseen",
    'path "custody/datakey/+/dave" { capabilities = ["update"] }': "get a data key of dave",
    'path "cases/restore/*" { capabilities = ["update"] }': "put an old copy of a key in (cases)",
    'path "ways-back/restore" { capabilities = ["update"] }': "put an old copy of a key in (ways-back)",
    'path "auth/token/create" { capabilities = ["update"] }': "make tokens for others",
    'path "auth/userpass/users/grace" { capabilities = ["update"] }': "set the password of grace",
    'path "auth/userpass/users/erin/password" { capabilities = ["update"] }': "change the password of erin",
    'path "sys/raw/*" { capabilities = ["read", "sudo"] }': "read the server's storage",
}  # fmt: skip


@pytest.fixture
def widened(embedded_site_vault: SiteVault) -> Iterator[SiteVault]:
    """The site after somebody added a line for each of these to the manager."""
    path, provisioner = "sys/policies/acl/tce-manager", embedded_site_vault.service("provisioner")
    provisioner.write(path, {"policy": "\n".join([policy_text("manager"), *WIDER])})
    try:
        yield embedded_site_vault
    finally:
        provisioner.write(path, {"policy": policy_text("manager")})


def test_what_was_added_for_one_key_or_person_is_found(widened: SiteVault) -> None:
    """Also a right at one key, at one person's login or in an unusual form of a request is too much, by name."""
    rights = rights_of(widened, "manager")
    assert sorted(rights.too_much) == sorted(set(WIDER.values()))
    assert rights.too_little == ()


_NAMES = {
    **dict.fromkeys(("brought", "kv", "cert", "mine", "nobody-yet"), "other"),
    **{f"born-{mount}": "any" if mount in CASE_MOUNTS else "other" for mount in Mount},
    **dict.fromkeys((CASE, "C-none"), "any"),
}


def test_every_request_of_the_separation_is_looked_at() -> None:
    """What the separation is tried out with at a server is also asked about at a site."""
    asked = {deed.path for deed in deeds(SitePlan(PEOPLE))}
    tried = {"/".join(_NAMES.get(part, part) for part in row.path.split("/")) for row in TABLE}
    assert tried - asked == set()


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
