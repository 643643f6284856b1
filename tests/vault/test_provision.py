"""Tests of provisioning; what each role may do with its own token is in test_separation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from tests.conftest import PEOPLE, SiteVault
from vault.client import Client, Sealable
from vault.errors import BadPlan, Forbidden, LoginFailed, VaultRoomError
from vault.keys import Mount, create_case_key, create_way_back, has_case_key
from vault.provision import provision, provision_embedded, write_policies
from vault.roles import Role, Service, SitePlan, policy_text
from vault.secrecy import Secret
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

EVERYBODY = [*PEOPLE, *Service]


@cache
def client_of(site: SiteVault, who: str) -> Client:
    return site.service(who) if who in list(Service) else site.person(who)


@pytest.fixture(scope="module")
def opened_case(embedded_site_vault: SiteVault) -> SiteVault:
    """The site with one open case."""
    create_case_key(embedded_site_vault.person("bob"), "C-open")
    create_way_back(embedded_site_vault.service("pseudonymizer"), "C-open")
    return embedded_site_vault


@pytest.mark.parametrize("who", EVERYBODY)
def test_everyone_can_verify_signatures(opened_case: SiteVault, who: str) -> None:
    """Public keys are for everyone."""
    client = client_of(opened_case, who)
    assert client.names(f"{Mount.APPROVAL}/keys") == ["bob"]
    assert len(client.public_keys(Mount.APPROVAL, "bob")[1]) == 32
    assert len(client.public_keys(Mount.RELEASE, "release")[1]) == 32


def test_a_share_goes_to_custodians_only(opened_case: SiteVault) -> None:
    """Sealing for somebody who has no key is refused, rather than making a key for him."""
    with pytest.raises(Forbidden):
        opened_case.service("pseudonymizer").encrypt_batch(
            Mount.CUSTODY, "mallory", [Sealable(Secret(b"x"), b"")]
        )


def test_a_case_has_a_key_once_an_approver_opened_it(opened_case: SiteVault) -> None:
    """A case that nobody approved derives nothing; opening it twice changes nothing."""
    manager = opened_case.service("manager")
    before = manager.hmac_batch(Mount.CASES, "C-open", [b"x"], version=1)
    create_case_key(opened_case.person("bob"), "C-open")
    assert manager.hmac_batch(Mount.CASES, "C-open", [b"x"], version=1) == before
    assert has_case_key(manager, Mount.CASES, "C-open")
    assert not has_case_key(manager, Mount.CASES, "C-never-approved")


def test_a_person_changes_the_own_password_only(opened_case: SiteVault) -> None:
    """Each person can become the only one who knows the password, and nobody sets another's."""
    erin = opened_case.person("erin")
    old = opened_case.credentials.password("erin")
    assert old is not None
    erin.write("auth/userpass/users/erin/password", {"password": "a new one of mine"})
    with pytest.raises(LoginFailed):
        opened_case.person("erin")
    erin.write("auth/userpass/users/erin/password", {"password": old.reveal()})
    with pytest.raises(Forbidden):
        erin.write("auth/userpass/users/dave/password", {"password": "mine now"})


def test_the_policies_at_the_server_are_those_of_the_project(embedded_site_vault: SiteVault) -> None:
    """Every file in access/ is what the server enforces; there is no right that cannot be reviewed there."""
    provisioner = embedded_site_vault.service("provisioner")
    names = sorted(path.name for path in files("vault").joinpath("access").iterdir())
    for name in (name.removesuffix(".hcl") for name in names):
        assert (provisioner.read(f"sys/policies/acl/tce-{name}") or {})["policy"] == policy_text(name)


def test_provisioning_twice_changes_nothing(embedded_site_vault: SiteVault) -> None:
    """A second run, by the provisioner, finds everything in place."""
    assert provision_embedded(embedded_site_vault.server, embedded_site_vault.plan) == []


def test_no_root_token_is_left(embedded_site_vault: SiteVault) -> None:
    """After provisioning the home holds the recovery key and no root token."""
    assert embedded_site_vault.server.root_token() is None
    assert "root_token" not in Path(embedded_site_vault.home, "init.json").read_text()


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server that is initialized and not provisioned."""
    server = EmbeddedServer(tmp_path_factory.mktemp("site") / "vault")
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_site_grows_and_shrinks_with_its_plan(new_server: EmbeddedServer) -> None:
    """A dry run tells and changes nothing; a cut run is finished; who leaves the plan loses every right."""
    plan, site = SitePlan(PEOPLE), SiteVault(new_server.home, new_server, SitePlan(PEOPLE))
    token = new_server.root_token()
    assert token is not None

    told = provision_embedded(new_server, plan, dry_run=True)
    root = Client(site.url, token=token)
    assert "identifiers/" not in (root.read("sys/mounts") or {})

    class CutError(Exception):
        """The process dies here."""

    class DyingClient(Client):
        written = 0

        def write(self, path: str, body: object) -> dict[str, object]:
            DyingClient.written += 1
            if DyingClient.written == 40:
                raise CutError
            return super().write(path, body)  # type: ignore[arg-type]

    with pytest.raises(CutError):
        provision(DyingClient(site.url, token=token), plan, site.credentials)
    done = provision_embedded(new_server, plan)
    assert {change.path for change in done} < {change.path for change in told}
    assert site.person("carol").whoami() == "carol"
    with pytest.raises(Forbidden):
        root.read("sys/mounts")

    more = SitePlan({**PEOPLE, "frank": frozenset({Role.APPROVER})})
    assert "approval/keys/frank" in {change.path for change in provision_embedded(new_server, more)}
    frank = site.person("frank")
    assert frank.sign(Mount.APPROVAL, "frank", b"x")
    assert [change.what for change in provision_embedded(new_server, plan)] == [
        "person without a role any more"
    ]
    with pytest.raises(Forbidden):
        frank.sign(Mount.APPROVAL, "frank", b"x")


def test_a_lost_login_of_a_service_is_replaced(new_server: EmbeddedServer) -> None:
    """A service whose secret was lost or damaged gets a new one by provisioning again."""
    site = SiteVault(new_server.home, new_server, SitePlan(PEOPLE))
    provision_embedded(new_server, site.plan)
    Path(site.home, "roles", "manager.json").unlink()
    assert [change.what for change in provision_embedded(new_server, site.plan)] == ["secret of a service"]
    assert site.service("manager").read("auth/token/lookup-self") is not None


BAD_PLANS = {
    "one custodian": (
        {**PEOPLE, "dave": frozenset({Role.AUDITOR}), "erin": frozenset({Role.AUDITOR})},
        "two custodians",
    ),
    "nobody approves": ({name: roles for name, roles in PEOPLE.items() if name != "bob"}, "approve"),
    "author and approver": (
        {**PEOPLE, "henry": frozenset({Role.COORDINATOR, Role.APPROVER})},
        "henry would be approver and coordinator",
    ),
    "approver and custodian": (
        {**PEOPLE, "henry": frozenset({Role.APPROVER, Role.CUSTODIAN})},
        "henry would be approver and custodian",
    ),
    "no role": ({**PEOPLE, "henry": frozenset()}, "henry has no role"),
    "capital letters": ({**PEOPLE, "Henry": frozenset({Role.AUDITOR})}, "capital"),
    "a path": ({**PEOPLE, "../henry": frozenset({Role.AUDITOR})}, "name"),
}


@pytest.mark.parametrize(("people", "words"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_plan_that_undoes_the_separation_is_refused(people: dict[str, frozenset[Role]], words: str) -> None:
    """Two custodians, and an approver for every author, are the least a site can have; nobody has two roles."""
    with pytest.raises(VaultRoomError, match=words) as refusal:
        SitePlan(people)
    assert refusal.value.next_step
    assert isinstance(refusal.value, BadPlan) or "name" in refusal.value.what


def test_one_human_under_two_names_is_refused() -> None:
    """Two names with one login would be one human in two roles; both names are told."""
    with pytest.raises(BadPlan, match="alice and bob have one login"):
        SitePlan(PEOPLE, login_names={"alice": "a.b", "bob": "a.b"})
    with pytest.raises(BadPlan, match="carol and dave have one login"):
        SitePlan(PEOPLE, login_names={"carol": "dave"})


# What somebody with rights of his own changed by hand, and what provisioning says of it.
DRIFTS: dict[str, tuple[str, dict[str, object], str, str]] = {
    "a policy was widened": (
        "sys/policies/acl/tce-manager",
        {"policy": policy_text("manager") + 'path "identifiers/*" { capabilities = ["update"] }\n'},
        "sys/policies/acl/tce-manager",
        '-path "identifiers/*" { capabilities = ["update"] }',
    ),
    "a policy was emptied": (
        "sys/policies/acl/tce-auditor",
        {"policy": "# nothing"},
        "sys/policies/acl/tce-auditor",
        '+path "sys/audit" { capabilities = ["read", "sudo"] }',
    ),
    "a service got another policy": (
        "auth/approle/role/tce-manager",
        {"token_policies": ["tce-manager", "tce-pseudonymizer"]},
        "auth/approle/role/tce-manager",
        "~ token_policies",
    ),
    "a service's token lasts for ever": (
        "auth/approle/role/tce-pseudonymizer",
        {"token_max_ttl": "9000h"},
        "auth/approle/role/tce-pseudonymizer",
        "~ token_max_ttl",
    ),
    "a person got another role": (
        "identity/entity/name/alice",
        {"policies": ["tce-everyone", "tce-coordinator", "tce-approver"]},
        "identity/entity/name/alice",
        "-tce-approver",
    ),
    "a login got rights beside the identity": (
        "auth/userpass/users/alice/policies",
        {"token_policies": ["tce-custodian"]},
        "auth/userpass/users/alice/policies",
        "",
    ),
}


@pytest.mark.parametrize(("path", "body", "told", "line"), DRIFTS.values(), ids=DRIFTS)
def test_what_was_changed_by_hand_is_shown_and_put_back(
    embedded_site_vault: SiteVault, path: str, body: dict[str, object], told: str, line: str
) -> None:
    """A dry run shows the difference and changes nothing; the next run puts it back, and the one after has no work."""
    site = embedded_site_vault
    site.service("provisioner").write(path, body)
    for dry_run in (True, False):
        changes = provision_embedded(site.server, site.plan, dry_run=dry_run)
        assert [change.path for change in changes] == [told]
        assert line in changes[0].difference
    assert provision_embedded(site.server, site.plan) == []


def test_a_second_way_into_a_person_is_taken_away(embedded_site_vault: SiteVault) -> None:
    """Who adds a login of his own to a custodian's identity has her rights until provisioning finds it."""
    site, provisioner = embedded_site_vault, embedded_site_vault.service("provisioner")
    provisioner.write("sys/auth/mine", {"type": "userpass"})
    accessor = (provisioner.read("sys/auth") or {})["mine/"]["accessor"]
    carol = provisioner.required("identity/entity/name/carol")["id"]
    body = {"name": "mallory", "canonical_id": carol, "mount_accessor": accessor}
    provisioner.write("identity/entity-alias", body)
    for dry_run in (True, False):
        [change] = provision_embedded(site.server, site.plan, dry_run=dry_run)
        assert change.what == "another way into a person"
    assert provision_embedded(site.server, site.plan) == []
    assert site.person("carol").whoami() == "carol"


def test_a_dry_run_of_a_new_site_makes_nothing(tmp_path: Path) -> None:
    """Before there is anything, a dry run lists all that would be made and leaves not even a folder."""
    server = EmbeddedServer(tmp_path / "vault")
    told = {change.path for change in provision_embedded(server, SitePlan(PEOPLE), dry_run=True)}
    assert {"sys/mounts/custody", "custody/keys/carol", "sys/policies/acl/tce-manager"} <= told
    assert not (tmp_path / "vault").exists()


def test_policies_can_be_reviewed_as_files(tmp_path: Path) -> None:
    """Every policy of the project is written under the name that it has at the server."""
    written = write_policies(tmp_path / "review")
    shipped = {f"tce-{path.name}" for path in files("vault").joinpath("access").iterdir()}
    assert {path.name for path in written} == shipped
    assert (tmp_path / "review" / "tce-manager.hcl").read_text() == policy_text("manager")
