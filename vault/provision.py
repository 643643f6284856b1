"""Makes a server into a site: mounts, keys, Vault policies, services and people, as often as one likes.

A run compares what is there with the plan and writes only what differs, so a run that was cut short is
finished by the next one, and what somebody changed by hand is shown and put back. What each role may do is written
in ``access/*.hcl``, for people to review; nothing here adds to it. design.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vault.changes import Change, Changes, Nothing, lines_that_differ
from vault.client import Client
from vault.credentials import AppRole, Credentials
from vault.errors import Forbidden, LoginFailed
from vault.identities import Identities
from vault.keys import ATTRIBUTE_KEY, KEY_FORMS, RELEASE_KEY, Kind, Mount
from vault.roles import (
    POLICIES,
    PREFIX,
    ROLE_KEYS,
    SERVICE_POLICIES,
    Service,
    SitePlan,
    at_server,
    policy_text,
)
from vault.secrecy import Secret
from vault.server import EmbeddedServer

_SERVICE_TOKEN = {"token_ttl": 3600, "token_max_ttl": 24 * 3600}


def provision(
    client: Client, plan: SitePlan, credentials: Credentials | None = None, *, dry_run: bool = False
) -> list[Change]:
    """Bring the server in line with the plan and return what was changed.

    With ``credentials`` (the embedded site) passwords and secrets are made where they are missing and kept
    there. Without, people are given identities and rights but no password, and services no secret: both are
    handed out by the site's own ways. Needs the token of the provisioner or of an administrator.
    """
    return _settled(Changes(client, None if dry_run else client), plan, credentials, client.url)


def provision_embedded(server: EmbeddedServer, plan: SitePlan, *, dry_run: bool = False) -> list[Change]:
    """Start and provision the embedded server; afterwards no root token exists any more.

    The root token is revoked only after the provisioner was seen to log in, so that a crash at any point
    leaves one of the two that can finish. A dry run at a server that was never started leaves it so.
    """
    credentials = Credentials(server.home)
    if dry_run and not server.status().initialized:
        return _settled(Changes(Nothing(), None), plan, credentials, "")
    url = server.start().url
    root = _first_client(server, url)
    client = root or credentials.service(url, Service.PROVISIONER)
    changes = provision(client, plan, credentials, dry_run=dry_run)
    if not dry_run:
        credentials.service(url, Service.PROVISIONER)
        if root is not None:
            root.revoke_own_token()
        server.forget_root_token()
    return changes


def write_policies(folder: Path) -> list[Path]:
    """Write every Vault policy as a file of the name that it has at the server, for review."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in POLICIES:
        written.append(folder / f"{PREFIX}{name}.hcl")
        written[-1].write_text(policy_text(name), encoding="utf-8")
    return written


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


def _settled(changes: Changes, plan: SitePlan, credentials: Credentials | None, url: str) -> list[Change]:
    run = _Run(changes, plan, credentials, url)
    run.mounts()
    run.policies()
    run.keys()
    run.services()
    Identities(changes, plan, credentials).settle()
    return changes.made


@dataclass(frozen=True, slots=True)
class _Run:
    """One comparison of plan and server, as far as it is not about people."""

    changes: Changes
    plan: SitePlan
    credentials: Credentials | None
    url: str

    def mounts(self) -> None:
        mounted = self.changes.read("sys/mounts")
        for mount in Mount:
            if f"{mount}/" not in mounted:
                self.changes.write("mount", f"sys/mounts/{mount}", {"type": "transit"})
        if "approle/" not in self.changes.read("sys/auth"):
            self.changes.write("way to log in", "sys/auth/approle", {"type": "approle"})

    def policies(self) -> None:
        for name in POLICIES:
            path, text = f"sys/policies/acl/{PREFIX}{name}", policy_text(name)
            found = self.changes.read(path).get("policy")
            if found != text:
                shown = "" if found is None else lines_that_differ(str(found), text)
                self.changes.write("policy", path, {"policy": text}, shown)

    def keys(self) -> None:
        for key in (*Kind, ATTRIBUTE_KEY):
            self._key(Mount.IDENTIFIERS, key)
        self._key(Mount.RELEASE, RELEASE_KEY)
        for role, mount in ROLE_KEYS.items():
            for name in self.plan.holders(role):
                self._key(mount, name)

    def services(self) -> None:
        for service, policies in SERVICE_POLICIES.items():
            path = f"auth/approle/role/{PREFIX}{service}"
            self.changes.settle(
                "service",
                path,
                {"token_policies": at_server(policies), "bind_secret_id": True, **_SERVICE_TOKEN},
            )
            if self.credentials is not None and not self._logs_in(service):
                self._hand_out(path, service, self.credentials)

    def _logs_in(self, service: Service) -> bool:
        try:
            if self.credentials is not None and self.url:
                self.credentials.service(self.url, service)
                return True
        except LoginFailed:
            pass
        return False

    def _hand_out(self, path: str, service: Service, credentials: Credentials) -> None:
        answer = self.changes.write("secret of a service", f"{path}/secret-id", {})
        if not self.changes.dry:
            role_id = str(self.changes.read(f"{path}/role-id").get("role_id", ""))
            credentials.keep_approle(service, AppRole(role_id, Secret(str(answer.get("secret_id", "")))))

    def _key(self, mount: Mount, key: str) -> None:
        path = f"{mount}/keys/{key}"
        if self.changes.reader.read(path) is None:
            self.changes.write("key", path, KEY_FORMS[mount].parameters())
