"""People log in by single sign-on: a real key server, a provider that speaks the protocol, a browser by script."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tce.audit.trail import Trail
from tce.config import Settings, Site, save
from tce.errors import NotAllowed
from tce.logins import Logins, plan_of
from tce.people import OidcSettings, PeopleSettings
from tests.provider import CLIENT_ID, CLIENT_SECRET, Provider, a_provider
from vault.client import Client
from vault.credentials import Credentials
from vault.enrolment import enrol_person
from vault.errors import BadPlan, Forbidden, LoginFailed
from vault.keys import Mount
from vault.methods import USERPASS, Proof, Type
from vault.provision import provision_embedded
from vault.rights import rights_of_person
from vault.roles import SitePlan
from vault.second_factor import code_at
from vault.secrecy import Secret
from vault.server import EmbeddedServer
from vault.single_sign_on import log_in

pytestmark = pytest.mark.vault

SECRET = Secret(CLIENT_SECRET)


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def people_of(provider: Provider, **changes: object) -> PeopleSettings:
    oidc = OidcSettings(
        discovery_url=provider.issuer, client_id=CLIENT_ID, port=a_free_port(), group="imaging"
    )
    settings: dict[str, object] = {
        "coordinators": ("alice",),
        "approvers": ("bob",),
        "custodians": ("carol", "dave"),
        "auditors": ("grace",),
        "login": Type.OIDC,
        "second_factor": (),
        "login_names": {"dave": "d.doe@hospital.example"},
        "oidc": oidc,
    }
    return PeopleSettings.model_validate(settings | changes)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with a_provider() as running:
        everybody = ("alice", "bob", "carol", "d.doe@hospital.example", "mallory")
        running.groups = {name: ["imaging"] for name in everybody}
        yield running


@pytest.fixture(scope="module")
def site(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose people sign on at the provider. It was a site with passwords before."""
    site = Site(tmp_path_factory.mktemp("sign-on"))
    save(Settings(people=people_of(provider)), site.settings_path)
    server = EmbeddedServer(site.vault_home)
    try:
        plan = plan_of(site, SECRET)
        provision_embedded(server, SitePlan(plan.people))
        provision_embedded(server, plan)
        yield site
    finally:
        server.stop()


def signed_on(site: Site, provider: Provider, name: str, *, as_: str = "") -> Client:
    provider.signs_on = as_ or site.settings.people.login_names.get(name, name)
    return Logins(site, {}, lambda prompt: "", provider.browser).person(name)


def test_who_signs_on_has_the_rights_of_the_own_role(site: Site, provider: Provider) -> None:
    """Rights are those of the role and of the own name, as with a password: also where the provider's name differs."""
    carol, plan = signed_on(site, provider, "carol"), plan_of(site)
    assert carol.whoami() == "carol"
    assert rights_of_person(carol, "carol", plan).as_meant
    bob, dave = signed_on(site, provider, "bob"), signed_on(site, provider, "dave")
    assert bob.sign(Mount.APPROVAL, "bob", b"x")
    assert dave.whoami() == "dave"
    with pytest.raises(Forbidden):
        dave.sign(Mount.APPROVAL, "bob", b"x")


def test_a_browser_of_somebody_else_is_not_taken_for_the_person(site: Site, provider: Provider) -> None:
    """Who says --as carol and signs on as bob is refused, on record."""
    with pytest.raises(NotAllowed, match="not carol"):
        signed_on(site, provider, "carol", as_="bob")
    assert [(one.event, one.actor) for one in Trail(site.audit_trail).records()][-1] == ("login", "carol")


def test_whom_the_site_does_not_name_gets_nothing(site: Site, provider: Provider) -> None:
    """A person whom the provider knows and tce.toml does not can do nothing at the key server."""
    with pytest.raises(NotAllowed):
        signed_on(site, provider, "mallory")
    oidc = site.settings.people.oidc
    provider.signs_on = "mallory"
    mallory = log_in(Logins(site).url(), oidc.mount, oidc.redirect_uri, show=provider.browser)
    plan = plan_of(site)
    stranger = SitePlan(plan.people | {"mallory": frozenset(plan.people["carol"])})
    found = rights_of_person(mallory, "mallory", stranger)
    assert found.may == ()


def test_who_is_not_in_the_group_does_not_get_in(site: Site, provider: Provider) -> None:
    """Who left the group at the provider is out at once, whatever tce.toml still says."""
    provider.groups["carol"] = []
    try:
        with pytest.raises(LoginFailed):
            signed_on(site, provider, "carol")
    finally:
        provider.groups["carol"] = ["imaging"]


@pytest.mark.parametrize("fault", ["refuses", "wrong_state"])
def test_a_sign_on_that_fails_is_told(site: Site, provider: Provider, fault: str) -> None:
    """A refusal of the provider, or an answer to another question than ours, is no login."""
    setattr(provider, fault, True)
    try:
        with pytest.raises(LoginFailed, match="not completed"):
            signed_on(site, provider, "carol")
    finally:
        setattr(provider, fault, False)


def test_nobody_signs_on_in_time(site: Site) -> None:
    """A browser that never comes back ends in a refusal, and the port is free again."""
    oidc = site.settings.people.oidc
    for _ in range(2):
        with pytest.raises(LoginFailed, match="not completed"):
            log_in(
                Logins(site).url(), oidc.mount, oidc.redirect_uri, show=lambda address: None, wait_seconds=0.1
            )


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    """The browser must not hand the code to a stranger who listens there."""
    oidc = site.settings.people.oidc
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", oidc.port))
        stranger.listen()
        with pytest.raises(LoginFailed, match="is taken") as refused:
            log_in(Logins(site).url(), oidc.mount, oidc.redirect_uri, show=lambda address: None)
    assert "people.oidc.port" in refused.value.next_step


def test_the_password_of_before_opens_nothing(site: Site) -> None:
    """When a site changes its way to log in, the old one no longer leads to anybody's rights."""

    password = Credentials(site.vault_home).password("carol")
    assert password is not None
    proof = Proof(USERPASS.login_path("carol"), {"password": password.reveal()})
    left = Client.login_person(Logins(site).url(), proof)
    with pytest.raises(Forbidden):
        left.read(f"{Mount.CUSTODY}/keys/carol")


def test_provisioning_again_changes_nothing_and_needs_no_secret(site: Site) -> None:
    """The client secret is given once; a change of settings asks for it, before anything is lost."""
    server, plan = EmbeddedServer(site.vault_home), plan_of(site)
    assert provision_embedded(server, plan) == []
    other = people_of(Provider("http://127.0.0.1:1"))
    home = site.home / "other"
    home.mkdir()
    save(Settings(people=other), home / "tce.toml")
    with pytest.raises(BadPlan, match="not at hand") as refused:
        provision_embedded(server, plan_of(Site(home)))
    assert "TCE_LOGIN_SECRET" in refused.value.next_step
    assert provision_embedded(server, plan) == []


def test_a_code_is_asked_for_after_the_sign_on_as_well(site: Site, provider: Provider) -> None:
    """The second factor belongs to the person, not to the way to log in."""
    server = EmbeddedServer(site.vault_home)
    plan = plan_of(site)
    with_codes = SitePlan(
        plan.people,
        login=plan.login,
        second_factor=frozenset(plan.people["carol"]),
        login_names=plan.login_names,
    )
    provision_embedded(server, with_codes)
    try:
        secret = enrol_person(Logins(site).provisioner(), "carol")
        with pytest.raises(LoginFailed, match="second factor"):
            signed_on(site, provider, "carol")
        environment = {"TCE_CODE": code_at(secret, int(time.time() // 30)).reveal()}
        provider.signs_on = "carol"
        assert (
            Logins(site, environment, lambda prompt: "", provider.browser).person("carol").whoami() == "carol"
        )
    finally:
        provision_embedded(server, plan)


def test_nothing_of_the_sign_on_stays(site: Site) -> None:
    """Neither the trail of the site nor the log and trail of the server hold the client secret."""
    for file in site.home.rglob("*"):
        if file.is_file():
            assert CLIENT_SECRET.encode() not in file.read_bytes(), file.name
