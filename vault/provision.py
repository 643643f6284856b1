"""Makes a server into a site: mounts, keys, Vault policies, services and people, as often as one likes.

A run compares what is there with the plan and writes only what differs, so a run that was cut short is
finished by the next one. What each role may do is written in ``access/*.hcl``, for people to review;
nothing here adds to it. People get their rights through their identity at the server, however they log in;
design.md section 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from typing import Any

from vault.client import Client
from vault.credentials import AppRole, Credentials
from vault.errors import BadPlan, Forbidden, LoginFailed
from vault.keys import ATTRIBUTE_KEY, KEY_FORMS, RELEASE_KEY, Kind, Mount
from vault.secrecy import Secret, safe_name
from vault.server import EmbeddedServer


class Role(StrEnum):
    """What a person may be; the value names the file in ``access/``."""

    COORDINATOR = "coordinator"
    APPROVER = "approver"
    CUSTODIAN = "custodian"
    AUDITOR = "auditor"


class Service(StrEnum):
    """The programs that log in by themselves."""

    PSEUDONYMIZER = "pseudonymizer"
    MANAGER = "manager"
    OPERATOR = "operator"


EVERYONE = "everyone"
SERVICE_POLICIES = {
    Service.PSEUDONYMIZER: (EVERYONE, "pseudonymizer", "releaser"),
    Service.MANAGER: (EVERYONE, "manager", "releaser"),
    Service.OPERATOR: (EVERYONE, "operator"),
}
_POLICIES = (EVERYONE, "releaser", *Role, *Service)
# A Vault that others use too has policies, services and people of its own: ours are told apart by these.
_PREFIX = "tce-"
_OURS = {"provisioned-by": "tce"}
_ROLE_KEYS = {
    Role.CUSTODIAN: Mount.CUSTODY,
    Role.COORDINATOR: Mount.AUTHORSHIP,
    Role.APPROVER: Mount.APPROVAL,
}
_PERSON_TOKEN = {"token_ttl": "1h", "token_max_ttl": "8h"}
_SERVICE_TOKEN = {"token_ttl": "1h", "token_max_ttl": "24h"}


@dataclass(frozen=True, slots=True)
class SitePlan:
    """The people of a site and what each of them may be. Raises BadPlan for what would undo the
    separation."""

    people: Mapping[str, frozenset[Role]]

    def __post_init__(self) -> None:
        for name, roles in self.people.items():
            safe_name(name, "person")
            if name != name.lower():
                raise BadPlan("a person's name has capital letters", next_step="write names in small letters")
            if not roles:
                raise BadPlan(
                    "a person has no role", next_step="give the person a role or leave the name out"
                )
        if len(self.holders(Role.CUSTODIAN)) < 2:
            raise BadPlan("custody needs at least two custodians", next_step="name two or more in tce.toml")
        if not any(a != b for a in self.holders(Role.COORDINATOR) for b in self.holders(Role.APPROVER)):
            raise BadPlan(
                "nobody could approve what another person wrote",
                next_step="name a coordinator and an approver who is another person in tce.toml",
            )

    def holders(self, role: Role) -> tuple[str, ...]:
        """The people with a role, sorted."""
        return tuple(sorted(name for name, roles in self.people.items() if role in roles))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was written, or that a dry run would write."""

    what: str
    path: str


def provision(
    client: Client, plan: SitePlan, credentials: Credentials | None = None, *, dry_run: bool = False
) -> list[Change]:
    """Bring the server in line with the plan and return what was changed.

    With ``credentials`` (the embedded site) passwords and secrets are made where they are missing and kept
    there. Without, people are given identities and rights but no password, and services no secret: both are
    handed out by the site's own ways. Needs the token of the operator, or the first root token.
    """
    run = _Run(client, plan, credentials, dry_run)
    run.mounts()
    run.policies()
    run.keys()
    run.services()
    run.people()
    return run.changes


def provision_embedded(server: EmbeddedServer, plan: SitePlan, *, dry_run: bool = False) -> list[Change]:
    """Start and provision the embedded server; afterwards no root token exists any more.

    The root token is revoked only after the operator was seen to log in, so that a crash at any point
    leaves one of the two that can finish.
    """
    credentials = Credentials(server.home)
    url = server.start().url
    root = _first_client(server, url)
    client = root or credentials.service(url, Service.OPERATOR)
    changes = provision(client, plan, credentials, dry_run=dry_run)
    if not dry_run:
        credentials.service(url, Service.OPERATOR)
        if root is not None:
            root.revoke_own_token()
        server.forget_root_token()
    return changes


def policy_text(name: str) -> str:
    """The Vault policy of a role as the project ships it."""
    return files("vault").joinpath("access", f"{name}.hcl").read_text(encoding="utf-8")


def _first_client(server: EmbeddedServer, url: str) -> Client | None:
    token = server.root_token()
    if token is None:
        return None
    client = Client(url, token=token)
    try:
        client.read("auth/token/lookup-self")
    except Forbidden:  # revoked by a run that died before it could forget the token
        return None
    return client


def _named(policies: Iterable[str]) -> list[str]:
    return sorted(f"{_PREFIX}{name}" for name in policies)


@dataclass(slots=True)
class _Run:
    """One comparison of plan and server."""

    client: Client
    plan: SitePlan
    credentials: Credentials | None
    dry_run: bool
    changes: list[Change] = field(default_factory=list)

    def mounts(self) -> None:
        mounted = self.client.read("sys/mounts") or {}
        for mount in Mount:
            if f"{mount}/" not in mounted:
                self._write("mount", f"sys/mounts/{mount}", {"type": "transit"})
        methods = self.client.read("sys/auth") or {}
        for method in ("approle", "userpass"):
            if f"{method}/" not in methods:
                self._write("way to log in", f"sys/auth/{method}", {"type": method})

    def policies(self) -> None:
        for name in _POLICIES:
            path, text = f"sys/policies/acl/{_PREFIX}{name}", policy_text(name)
            if (self.client.read(path) or {}).get("policy") != text:
                self._write("policy", path, {"policy": text})

    def keys(self) -> None:
        for key in (*Kind, ATTRIBUTE_KEY):
            self._key(Mount.IDENTIFIERS, key)
        self._key(Mount.RELEASE, RELEASE_KEY)
        for role, mount in _ROLE_KEYS.items():
            for name in self.plan.holders(role):
                self._key(mount, name)

    def services(self) -> None:
        for service, policies in SERVICE_POLICIES.items():
            path = f"auth/approle/role/{_PREFIX}{service}"
            wanted = {"token_policies": _named(policies), **_SERVICE_TOKEN}
            found = self.client.read(path) or {}
            if sorted(found.get("token_policies") or []) != wanted["token_policies"]:
                self._write("service", path, wanted)
            if self.credentials is not None and not self._logs_in(service):
                self._hand_out(service, self.credentials)

    def people(self) -> None:
        accessor = str((self.client.read("sys/auth") or {}).get("userpass/", {}).get("accessor", ""))
        for name in sorted(self.plan.people):
            policies = _named((EVERYONE, *self.plan.people[name]))
            entity = self._entity(name, policies)
            if not any(alias.get("mount_accessor") == accessor for alias in entity.get("aliases") or []):
                alias = {"name": name, "canonical_id": entity.get("id", ""), "mount_accessor": accessor}
                self._write("login name of a person", "identity/entity-alias", alias)
            self._user(name)
        # Who is no longer in the plan must not keep rights.
        for name in self.client.names("identity/entity/name"):
            path = f"identity/entity/name/{name}"
            if name in self.plan.people:
                continue
            entity = self.client.read(path) or {}
            if entity.get("policies") and (entity.get("metadata") or {}).items() >= _OURS.items():
                self._write("person without a role any more", path, {"policies": [], "metadata": _OURS})

    def _entity(self, name: str, policies: list[str]) -> dict[str, Any]:
        path = f"identity/entity/name/{name}"
        entity = self.client.read(path) or {}
        if sorted(entity.get("policies") or []) != policies:
            self._write("rights of a person", path, {"policies": policies, "metadata": _OURS})
            entity = self.client.read(path) or {}
        return entity

    def _user(self, name: str) -> None:
        path = f"auth/userpass/users/{name}"
        if self.credentials is None or self.client.read(path) is not None:
            return
        if self.dry_run:
            self._write("person", path, {})
            return
        # The file comes first: a crash in between leaves a password that the next run sets, never a person
        # whose password nobody knows.
        password = self.credentials.password(name) or Secret(secrets.token_urlsafe(24))
        self.credentials.keep_password(name, password)
        self._write("person", path, {"password": password.reveal(), **_PERSON_TOKEN})

    def _logs_in(self, service: Service) -> bool:
        try:
            if self.credentials is not None:
                self.credentials.service(self.client.url, service)
        except LoginFailed:
            return False
        return True

    def _hand_out(self, service: Service, credentials: Credentials) -> None:
        path = f"auth/approle/role/{_PREFIX}{service}"
        secret_id = Secret(
            str(self._write("secret of a service", f"{path}/secret-id", {}).get("secret_id", ""))
        )
        if not self.dry_run:
            role_id = str((self.client.read(f"{path}/role-id") or {}).get("role_id", ""))
            credentials.keep_approle(service, AppRole(role_id, secret_id))

    def _key(self, mount: Mount, key: str) -> None:
        path = f"{mount}/keys/{key}"
        if self.client.read(path) is None:
            self._write("key", path, KEY_FORMS[mount].parameters())

    def _write(self, what: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        self.changes.append(Change(what, path))
        return {} if self.dry_run else self.client.write(path, body)
