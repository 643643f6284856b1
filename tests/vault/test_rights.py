"""Tests of what roles may do, as the server tells it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import PEOPLE, SiteVault
from vault.rights import Rights, rights_of_person, rights_of_service
from vault.roles import Service, policy_text

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
