"""Who may do what at the key server: one table, tried out with each role's own token at a real server.

Each row is a request. Whoever is not named in it must be answered with *permission denied* (403), whatever the
request says, or with *unsupported* (405) where the server offers it to nobody. Whoever is named gets past the Vault
policies, also where the server then refuses for another reason, such as a deletion that nobody allowed. ``{case}`` is
an open case.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import NamedTuple

import pytest
import requests

from tests.conftest import PEOPLE, SiteVault
from vault.keys import create_case_key, create_way_back
from vault.roles import Service, policy_text

pytestmark = pytest.mark.vault

NOBODY: frozenset[str] = frozenset()
CASE = "C-separation"
X = base64.b64encode(b"x").decode()
EVERYBODY = (*PEOPLE, *Service)
CUSTODIANS = frozenset({"carol", "dave", "erin"})
COORDINATOR, APPROVER, AUDITOR = "alice", "bob", "grace"
STAGE_1, STAGE_2, OPERATOR, PROVISIONER = Service


class Row(NamedTuple):
    """A request, and who may make it."""

    words: str
    method: str
    path: str
    body: dict[str, object] | None
    may: frozenset[str]


def row(words: str, request: str, body: dict[str, object] | None = None, *may: str) -> Row:
    method, path = request.split(" ")
    return Row(words, method, path.replace("{case}", CASE), body, frozenset(may))


HMAC: dict[str, object] = {"input": X}
SIGN: dict[str, object] = {"input": X}
OPEN: dict[str, object] = {"ciphertext": "vault:v1:AAAA"}
POLICY: dict[str, object] = {"policy": 'path "*" { capabilities = ["sudo", "read", "update"] }'}

USES = [
    row("derive pseudonyms of stage 1", "POST identifiers/hmac/uid/sha2-256", HMAC, STAGE_1),
    row("compare with a pseudonym of stage 1", "POST identifiers/verify/uid/sha2-256", HMAC),
    row("derive pseudonyms of a case", "POST cases/hmac/{case}/sha2-256", HMAC, STAGE_2),
    row("use the way back of a case", "POST ways-back/hmac/{case}/sha2-256", HMAC, STAGE_1, *CUSTODIANS),
    row("close a share", "POST custody/encrypt/carol", {"plaintext": X}, STAGE_1, *CUSTODIANS),
    row("open a share of carol", "POST custody/decrypt/carol", OPEN, "carol"),
    row("open a share of dave", "POST custody/decrypt/dave", OPEN, "dave"),
    row("close carol's share anew, unseen", "POST custody/rewrap/carol", OPEN),
    row("get a data key of a custodian", "POST custody/datakey/plaintext/carol", {}),
    row("sign as author alice", "POST authorship/sign/alice", SIGN, COORDINATOR),
    row("sign as an author who is approver", "POST authorship/sign/bob", SIGN),
    row("approve as bob", "POST approval/sign/bob", SIGN, APPROVER),
    row("approve what alice wrote, as alice", "POST approval/sign/alice", SIGN),
    row("approve as a custodian", "POST approval/sign/carol", SIGN),
    row("sign releases", "POST release/sign/release", SIGN, STAGE_1, STAGE_2),
]

LIVES = [
    row("open a case", "POST cases/keys/{case}", {"type": "hmac", "key_size": 32}, APPROVER),
    row("make a way back", "POST ways-back/keys/{case}", {"type": "hmac", "key_size": 32}, STAGE_1),
    row(
        "allow that a case is forgotten",
        "POST cases/keys/C-none/config",
        {"deletion_allowed": True},
        APPROVER,
    ),
    row(
        "allow that its way back is forgotten",
        "POST ways-back/keys/C-none/config",
        {"deletion_allowed": True},
        APPROVER,
    ),
    row("forget a case", "DELETE cases/keys/C-none", None, *CUSTODIANS),
    row("forget its way back", "DELETE ways-back/keys/C-none", None, *CUSTODIANS),
    row("rotate keys of stage 1", "POST identifiers/keys/attribute/rotate", {}, OPERATOR),
    row("rotate keys of custodians", "POST custody/keys/erin/rotate", {}, OPERATOR),
    row("rotate the key of a case", "POST cases/keys/{case}/rotate", {}),
    row("rotate a way back", "POST ways-back/keys/{case}/rotate", {}),
    row("rotate the release key", "POST release/keys/release/rotate", {}),
    row("rotate an author's key", "POST authorship/keys/alice/rotate", {}),
    row("rotate an approver's key", "POST approval/keys/bob/rotate", {}),
    row("read what is public of authors", "GET authorship/keys/alice", None, *EVERYBODY),
    row("read what is public of approvers", "GET approval/keys/bob", None, *EVERYBODY),
    row("read what is public of releases", "GET release/keys/release", None, *EVERYBODY),
]

KEYS = {
    "identifiers": ("uid", "hmac-key", "hmac"),
    "ways-back": (CASE, "hmac-key", "hmac"),
    "cases": (CASE, "hmac-key", "hmac"),
    "custody": ("carol", "encryption-key", "aes256-gcm96"),
    "authorship": ("alice", "signing-key", "ed25519"),
    "approval": ("bob", "signing-key", "ed25519"),
    "release": ("release", "signing-key", "ed25519"),
}

# Nobody, at no mount: a key that leaves the server, or one that could.
OUT = [
    one
    for mount, (key, part, kind) in KEYS.items()
    for one in (
        row(f"read a key out ({mount})", f"GET {mount}/export/{part}/{key}"),
        row(f"copy a key in the clear ({mount})", f"GET {mount}/backup/{key}"),
        row(f"wrap a key for elsewhere ({mount})", f"GET {mount}/byok-export/{key}/{key}"),
        row(f"make a key exportable ({mount})", f"POST {mount}/keys/{key}/config", {"exportable": True}),
        row(
            f"allow copies of a key ({mount})",
            f"POST {mount}/keys/{key}/config",
            {"allow_plaintext_backup": True},
        ),
        row(
            f"allow copies behind an allowed setting ({mount})",
            f"POST {mount}/keys/{key}/config",
            {"deletion_allowed": True, "allow_plaintext_backup": True},
        ),
        row(
            f"bring old versions back ({mount})",
            f"POST {mount}/keys/{key}/config",
            {"min_decryption_version": 1},
        ),
        row(f"cut versions off ({mount})", f"POST {mount}/keys/{key}/trim", {"min_available_version": 1}),
        row(
            f"be born exportable ({mount})",
            f"POST {mount}/keys/born-{mount}",
            {"type": kind, "exportable": True},
        ),
        row(
            f"be born with copies ({mount})",
            f"POST {mount}/keys/born-{mount}",
            {"type": kind, "allow_plaintext_backup": True},
        ),
        row(f"be born of another form ({mount})", f"POST {mount}/keys/born-{mount}", {"type": "rsa-2048"}),
        row(
            f"be brought along ({mount})",
            f"POST {mount}/keys/brought/import",
            {"type": kind, "ciphertext": X},
        ),
        row(f"put an own copy in ({mount})", f"POST {mount}/restore/other", {"backup": X}),
    )
]
# Of the site's own keys nobody allows the deletion, and nobody deletes.
LAST = [
    one
    for mount, (key, _, _) in KEYS.items()
    if mount not in ("cases", "ways-back")
    for one in (
        row(f"allow deletion ({mount})", f"POST {mount}/keys/{key}/config", {"deletion_allowed": True}),
        row(f"delete ({mount})", f"DELETE {mount}/keys/{key}"),
    )
]

SERVER = [
    row("see where the trail is", "GET sys/audit", None, AUDITOR),
    row("turn the trail off", "DELETE sys/audit/trail"),
    row("make another trail", "POST sys/audit/other", {"type": "file", "options": {"file_path": "x"}}),
    row("read the storage", "GET sys/raw/logical"),
    row("take a snapshot", "GET sys/storage/raft/snapshot"),
    row("put a snapshot in", "POST sys/storage/raft/snapshot", {}),
    row("seal the server", "POST sys/seal", {}),
    row("see the mounts", "GET sys/mounts", None, PROVISIONER),
    row("mount a room for secrets", "POST sys/mounts/kv", {"type": "kv"}),
    row("tune a mount", "POST sys/mounts/custody/tune", {"description": "x"}),
    row("unmount", "DELETE sys/mounts/custody"),
    row("move a mount", "POST sys/remount", {"from": "custody", "to": "elsewhere"}),
    row("make a way to log in", "POST sys/auth/cert", {"type": "cert"}),
    row("see the ways to log in", "GET sys/auth", None, PROVISIONER),
    row("read a policy", "GET sys/policies/acl/tce-manager", None, PROVISIONER),
    row(
        "write a policy of the project",
        "POST sys/policies/acl/tce-manager",
        {"policy": policy_text("manager")},
        PROVISIONER,
    ),
    row("write another policy", "POST sys/policies/acl/mine", POLICY),
    row("write everybody's policy", "POST sys/policies/acl/default", POLICY),
    row("delete a policy", "DELETE sys/policies/acl/tce-manager"),
    row("make a root token", "POST sys/generate-root/attempt", {}),
    row("make a token for others", "POST auth/token/create", {"policies": ["tce-custodian"]}),
    row("make a token without parent", "POST auth/token/create-orphan", {}),
    row("look at others' tokens", "LIST auth/token/accessors"),
]

PERSONS = [
    row("read a person", "GET identity/entity/name/carol", None, "carol", OPERATOR, PROVISIONER),
    row("change a person's rights", "POST identity/entity/name/nobody-yet", {}, PROVISIONER),
    row("make an identity", "POST identity/entity", {"name": "nobody-yet"}, PROVISIONER),
    row("make a way into a person", "POST identity/entity-alias", {}, PROVISIONER),
    row("join two persons", "POST identity/entity/merge", {}),
    row("give rights by a group", "POST identity/group", {"name": "mine", "policies": ["tce-custodian"]}),
    row("delete a person", "DELETE identity/entity/name/carol"),
    row("set carol's password, where hers is", "POST auth/userpass/users/carol", {"password": "mine now"}),
    row("change carol's password", "POST auth/userpass/users/carol/password", {}, "carol"),
    row("give a login rights of its own", "POST auth/userpass/users/carol/policies", {}, PROVISIONER),
    row("delete a login", "DELETE auth/userpass/users/carol"),
    row("hand out a service's secret", "POST auth/approle/role/tce-manager/secret-id", {}, PROVISIONER),
    row("change a service", "POST auth/approle/role/tce-manager", {}, PROVISIONER),
    row("make a second factor", "POST identity/mfa/method/totp/admin-generate", {}, OPERATOR, PROVISIONER),
    row("make the own second factor", "POST identity/mfa/method/totp/generate", {}, PROVISIONER),
    row("take a second factor away", "POST identity/mfa/method/totp/admin-destroy", {}, PROVISIONER),
    row("end the demand for codes", "DELETE identity/mfa/login-enforcement/tce-people", None, PROVISIONER),
    row("change where logins are checked", "POST auth/ldap/config", {}, PROVISIONER),
]

TABLE = [*USES, *LIVES, *OUT, *LAST, *SERVER, *PERSONS]


@pytest.fixture(scope="module")
def site(embedded_site_vault: SiteVault) -> SiteVault:
    """The site with one open case."""
    create_case_key(embedded_site_vault.person(APPROVER), CASE)
    create_way_back(embedded_site_vault.service(STAGE_1), CASE)
    return embedded_site_vault


@cache
def token_of(site: SiteVault, who: str) -> str:
    client = site.service(who) if who in list(Service) else site.person(who)
    return client.token().reveal()


def gets_past(site: SiteVault, token: str, asked: Row) -> bool:
    return status(site, token, asked) not in (403, 405)


def status(site: SiteVault, token: str, asked: Row) -> int:
    answer = requests.request(
        asked.method,
        f"{site.url}/v1/{asked.path}",
        json=asked.body,
        headers={"X-Vault-Token": token},
        timeout=30,
    )
    return answer.status_code


@pytest.mark.parametrize("asked", TABLE, ids=lambda asked: asked.words)
def test_each_role_does_its_part_and_nothing_else(site: SiteVault, asked: Row) -> None:
    """Each request gets past the policies of exactly those who are meant to make it."""
    found = {who for who in EVERYBODY if gets_past(site, token_of(site, who), asked)}
    assert found == asked.may


def test_nothing_is_left_of_what_was_tried(site: SiteVault) -> None:
    """What was tried above made no key, no mount and no policy, and no key can leave the server."""
    provisioner = site.service(PROVISIONER)
    assert not {"kv/", "elsewhere/"} & set(provisioner.read("sys/mounts") or {})
    for mount in ("identifiers", "custody", "authorship", "approval"):
        key = KEYS[mount][0]
        found = provisioner.required(f"{mount}/keys/{key}")
        assert (found["exportable"], found["allow_plaintext_backup"], found["deletion_allowed"]) == (
            False,
            False,
            False,
        )
        assert provisioner.read(f"{mount}/keys/born-{mount}") is None


def test_who_has_no_role_may_do_nothing(site: SiteVault) -> None:
    """A login without a role, such as that of somebody who left, gets past no row of the table."""
    provisioner = site.service(PROVISIONER)
    provisioner.write("auth/userpass/users/mallory", {"password": "a password of hers"})
    answer = requests.post(
        f"{site.url}/v1/auth/userpass/login/mallory", json={"password": "a password of hers"}, timeout=30
    )
    token = answer.json()["auth"]["client_token"]
    assert [asked.words for asked in TABLE if gets_past(site, token, asked)] == []


def test_neither_of_two_forgets_a_case_alone(site: SiteVault) -> None:
    """A custodian deletes nothing that an approver has not allowed, and the approver deletes nothing."""
    forget = row("forget", "DELETE cases/keys/{case}")
    assert status(site, token_of(site, "carol"), forget) == 400
    allow = row("allow", "POST cases/keys/{case}/config", {"deletion_allowed": True})
    assert status(site, token_of(site, APPROVER), allow) == 200
    assert status(site, token_of(site, APPROVER), forget) == 403
    assert status(site, token_of(site, "carol"), forget) == 204
    create_case_key(site.person(APPROVER), CASE)
