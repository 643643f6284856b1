"""Tests of provisioning, and of the separation of roles with each role's own token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from tests.conftest import PEOPLE, SiteVault
from vault.client import Client, Sealable, Sealing
from vault.errors import BadPlan, Forbidden, LoginFailed, VaultRoomError
from vault.keys import Kind, Mount, create_case_key, create_way_back, has_case_key, ways_back
from vault.provision import provision, provision_embedded
from vault.roles import Role, Service, SitePlan, policy_text
from vault.secrecy import Secret
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

EVERYBODY = [*PEOPLE, *Service]


@cache
def client_of(site: SiteVault, who: str) -> Client:
    return site.service(who) if who in list(Service) else site.person(who)


def a_share_for(site: SiteVault, custodian: str) -> Sealing:
    sealable = Sealable(Secret(b"share"), b"context")
    [closed] = site.service("pseudonymizer").encrypt_batch(Mount.CUSTODY, custodian, [sealable])
    return Sealing(closed, b"context")


# What each may do with keys. Everything that is not here must be refused; the server is asked by doing it.
DEEDS: dict[str, Callable[[SiteVault, Client], object]] = {
    "derive identifiers": lambda _, c: c.hmac_batch(Mount.IDENTIFIERS, Kind.UID, [b"x"], version=1),
    "derive in a case": lambda _, c: c.hmac_batch(Mount.CASES, "C-open", [b"x"], version=1),
    "make a way back": lambda _, c: create_way_back(c, "C-open"),
    "use a way back": lambda _, c: ways_back(c, "C-open", ["x"]),
    "close a share": lambda _, c: c.encrypt_batch(Mount.CUSTODY, "carol", [Sealable(Secret(b"x"), b"")]),
    "open carol's share": lambda s, c: c.decrypt_batch(Mount.CUSTODY, "carol", [a_share_for(s, "carol")]),
    "open dave's share": lambda s, c: c.decrypt_batch(Mount.CUSTODY, "dave", [a_share_for(s, "dave")]),
    "sign as author alice": lambda _, c: c.sign(Mount.AUTHORSHIP, "alice", b"x"),
    "sign as approver bob": lambda _, c: c.sign(Mount.APPROVAL, "bob", b"x"),
    "sign a release": lambda _, c: c.sign(Mount.RELEASE, "release", b"x"),
    "open a case": lambda _, c: create_case_key(c, "C-open"),
    "see where the trail is": lambda _, c: _known(c.read("sys/audit")),
    "write policies": lambda _, c: c.write(
        "sys/policies/acl/tce-manager", {"policy": policy_text("manager")}
    ),
}
MAY = {
    "pseudonymizer": {
        "derive identifiers",
        "make a way back",
        "use a way back",
        "close a share",
        "sign a release",
    },
    "manager": {"derive in a case", "sign a release"},
    "operator": set(),
    "provisioner": {"write policies"},
    "alice": {"sign as author alice"},
    "bob": {"sign as approver bob", "open a case"},
    "carol": {"use a way back", "close a share", "open carol's share"},
    "dave": {"use a way back", "close a share", "open dave's share"},
    "erin": {"use a way back", "close a share"},
    "grace": {"see where the trail is"},
}


def _known(answer: object) -> None:
    assert answer is not None


@pytest.fixture(scope="module")
def opened_case(embedded_site_vault: SiteVault) -> SiteVault:
    """The site with one open case."""
    create_case_key(embedded_site_vault.person("bob"), "C-open")
    create_way_back(embedded_site_vault.service("pseudonymizer"), "C-open")
    return embedded_site_vault


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("who", EVERYBODY)
def test_each_role_can_do_its_part_and_nothing_else(opened_case: SiteVault, who: str, deed: str) -> None:
    """With its own token each person and service does exactly what the role is for."""
    client = client_of(opened_case, who)
    if deed in MAY[who]:
        DEEDS[deed](opened_case, client)
    else:
        with pytest.raises(Forbidden):
            DEEDS[deed](opened_case, client)


EXPORTS = [
    "identifiers/export/hmac-key/uid",
    "cases/export/hmac-key/C-open",
    "ways-back/export/hmac-key/C-open",
    "custody/export/encryption-key/carol",
    "custody/backup/carol",
    "authorship/export/signing-key/alice",
    "approval/export/signing-key/bob",
    "release/export/signing-key/release",
    "identifiers/backup/uid",
]


@pytest.mark.parametrize("path", EXPORTS)
@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_can_export_a_key(opened_case: SiteVault, who: str, path: str) -> None:
    """No role reads a key out of the server."""
    with pytest.raises(Forbidden):
        client_of(opened_case, who).read(path)


@pytest.mark.parametrize(
    "mount", [Mount.IDENTIFIERS, Mount.WAYS_BACK, Mount.CASES, Mount.CUSTODY, Mount.RELEASE]
)
@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_can_loosen_a_key(opened_case: SiteVault, who: str, mount: Mount) -> None:
    """No role makes a key exportable, at its birth or later, or deletes one; the operator rotates the site's own."""
    client = client_of(opened_case, who)
    name = {"identifiers": "uid", "custody": "carol", "release": "release"}.get(mount, "C-open")
    for path, body in [
        (f"{mount}/keys/{name}/config", {"exportable": True}),
        (f"{mount}/keys/{name}/config", {"deletion_allowed": True, "allow_plaintext_backup": True}),
        (f"{mount}/keys/loose", {"type": "hmac", "key_size": 32, "exportable": True}),
        (f"{mount}/keys/{name}/rotate", {}),
        (f"{mount}/datakey/plaintext/{name}", {}),
        (f"{mount}/rewrap/{name}", {"ciphertext": "vault:v1:AAAA"}),
    ]:
        if path.endswith("/rotate") and who == "operator" and mount in (Mount.IDENTIFIERS, Mount.CUSTODY):
            continue
        with pytest.raises(Forbidden):
            client.write(path, body)


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
    "one custodian": {**PEOPLE, "dave": frozenset({Role.AUDITOR}), "erin": frozenset({Role.AUDITOR})},
    "one person for both": {
        name: roles - {Role.COORDINATOR} | ({Role.COORDINATOR} if name == "bob" else set())
        for name, roles in PEOPLE.items()
        if name != "alice"
    },
    "no role": {**PEOPLE, "henry": frozenset()},
    "capital letters": {**PEOPLE, "Henry": frozenset({Role.AUDITOR})},
    "a path": {**PEOPLE, "../henry": frozenset({Role.AUDITOR})},
}


@pytest.mark.parametrize("people", BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_plan_that_undoes_the_separation_is_refused(people: dict[str, frozenset[Role]]) -> None:
    """Two custodians, and an approver for every author, are the least a site can have."""
    with pytest.raises(VaultRoomError) as refusal:
        SitePlan(people)
    assert refusal.value.next_step
    assert isinstance(refusal.value, BadPlan) or "name" in refusal.value.what
