"""The people of a site at the server: their identity with its rights, the ways into it, and the second factor.

An identity carries the rights; an alias is a way into it. A person has exactly one way, by the site's method of login:
any other alias would be a second door into the same rights, so it is taken away. Who leaves the plan keeps the
identity, for the trail, and loses every right.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from vault import second_factor
from vault.changes import Changes, lines_that_differ
from vault.credentials import Credentials
from vault.errors import BadAnswer, BadPlan
from vault.methods import OIDC_ROLE, TOKEN, Method, Type
from vault.roles import SitePlan
from vault.secrecy import Secret

_OURS = {"provisioned-by": "tce"}


@dataclass(frozen=True, slots=True)
class Identities:
    """Brings people in line with the plan."""

    changes: Changes
    plan: SitePlan
    credentials: Credentials | None

    def settle(self) -> None:
        """Compare and write, method first, people then, the second factor last."""
        self._method(self.plan.login)
        for name in sorted(self.plan.people):
            self._person(name)
        self._those_who_left()
        self._second_factor()

    def _method(self, method: Method) -> None:
        if f"{method.mount}/" not in self.changes.read("sys/auth"):
            if method.type is not Type.USERPASS and not method.settings:
                raise BadPlan(
                    f"the key server has no way to log in at auth/{method.mount}",
                    next_step=f"have it set up there, or write the settings of people.{method.type} in tce.toml",
                )
            try:
                self.changes.write("way to log in", f"sys/auth/{method.mount}", {"type": method.type})
            except BadAnswer:
                raise BadPlan(
                    f"the key server cannot check logins by {method.type}",
                    next_step="OpenBao has LDAP built in up to 2.6, later as a plugin, HashiCorp Vault always: "
                    "use such a server, or another people.login",
                ) from None
        if method.settings:
            self._settings(method, f"auth/{method.mount}/config")
        if method.role:
            path = f"auth/{method.mount}/role/{OIDC_ROLE}"
            self.changes.settle("settings of the way to log in", path, method.role)

    def _settings(self, method: Method, path: str) -> None:
        what = "settings of the way to log in"
        if method.secret is not None:
            # A secret cannot be read back and compared: where it is given, it is written.
            self.changes.write(what, path, {**method.settings, method.reads_with: method.secret.reveal()})
            return
        unequal = self.changes.unequal(path, method.settings)
        forgotten = method.type is Type.OIDC or (method.settings.get("binddn") and "binddn" in unequal)
        if unequal and forgotten and not self.changes.dry:
            raise BadPlan(
                f"the settings of {method.type} change, and the secret that belongs to them is not at hand",
                next_step="set TCE_LOGIN_SECRET to the client secret or to the password of bind_dn, and run it again",
            )
        self.changes.settle(what, path, method.settings)

    def _person(self, name: str) -> None:
        entity = self._entity(name)
        accessor = str(self.changes.read("sys/auth").get(f"{self.plan.login.mount}/", {}).get("accessor", ""))
        login_name = self.plan.login_name(name)
        known = False
        for alias in entity.get("aliases") or []:
            if alias.get("mount_accessor") == accessor and alias.get("name") == login_name:
                known = True
            else:
                self.changes.delete("another way into a person", f"identity/entity-alias/id/{alias['id']}")
        if not known:
            body = {"name": login_name, "canonical_id": entity.get("id", ""), "mount_accessor": accessor}
            self.changes.write("login name of a person", "identity/entity-alias", body)
        if self.plan.login.type is Type.USERPASS:
            self._password(login_name, name)

    def _entity(self, name: str) -> dict[str, Any]:
        path, policies = f"identity/entity/name/{name}", self.plan.policies(name)
        entity = self.changes.read(path)
        found = sorted(entity.get("policies") or [])
        if found != policies:
            shown = lines_that_differ("\n".join(found), "\n".join(policies)) if entity else ""
            self.changes.write("rights of a person", path, {"policies": policies, "metadata": _OURS}, shown)
            entity = self.changes.read(path)
        return entity

    def _password(self, login_name: str, name: str) -> None:
        path = f"auth/{self.plan.login.mount}/users/{login_name}"
        user = self.changes.reader.read(path)
        if user is not None:
            if user.get("token_policies"):
                # Rights come from the identity alone.
                self.changes.write("rights beside the identity", f"{path}/policies", {"token_policies": []})
            return
        if self.credentials is None:
            return
        if self.changes.dry:
            self.changes.write("person", path, {})
            return
        # The file comes first: a crash in between leaves a password that the next run sets, never a person
        # whose password nobody knows.
        password = self.credentials.password(name) or Secret(secrets.token_urlsafe(24))
        self.credentials.keep_password(name, password)
        self.changes.write("person", path, {"password": password.reveal(), **TOKEN})

    def _those_who_left(self) -> None:
        for name in self.changes.reader.names("identity/entity/name"):
            if name in self.plan.people:
                continue
            path = f"identity/entity/name/{name}"
            entity = self.changes.read(path)
            if entity.get("policies") and (entity.get("metadata") or {}).items() >= _OURS.items():
                self.changes.write(
                    "person without a role any more", path, {"policies": [], "metadata": _OURS}
                )

    def _second_factor(self) -> None:
        people = self.plan.needs_code()
        if not people:
            if self.changes.reader.read(second_factor.ENFORCEMENT) is not None:
                self.changes.delete("second factor, no longer asked for", second_factor.ENFORCEMENT)
            return
        method = second_factor.method_of(self.changes.reader)
        path = f"{second_factor.METHODS}/{method}" if method else second_factor.METHODS
        wanted = {"method_name": second_factor.NAME, **second_factor.SETTINGS}
        if method is None:
            method = str(self.changes.write("second factor", path, wanted).get("method_id", ""))
        else:
            self.changes.settle("second factor", path, second_factor.SETTINGS)
        ids = [str(self.changes.read(f"identity/entity/name/{name}").get("id", name)) for name in people]
        self.changes.settle(
            "people who need a second factor",
            second_factor.ENFORCEMENT,
            {"mfa_method_ids": [method], "identity_entity_ids": sorted(ids)},
        )
