"""How the people and services of a site come to a session with its Vault.

People may bring ``VAULT_TOKEN`` from a login of their own; with a Vault of the site's own they must. Embedded,
role secrets and first passwords lie in the site's own files, and the server is started when it is needed; who has
removed the own password's file gives ``TCE_PASSWORD`` or is asked at the terminal. Every login of a person is
written to the audit trail, also one that failed. No secret leaves this module except inside a client.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tce.audit.journal import Journal
from tce.config import Site
from tce.errors import NotAllowed
from vault.client import Client
from vault.credentials import Credentials
from vault.enrolment import enrol
from vault.errors import LoginFailed, Unreachable, VaultRoomError
from vault.provision import Role, Service, SitePlan
from vault.secrecy import Secret
from vault.server import EmbeddedServer

TOKEN_VARIABLE = "VAULT_TOKEN"  # noqa: S105 (the name of a variable, no token)
ADDRESS_VARIABLE = "VAULT_ADDR"
CA_VARIABLE = "VAULT_CACERT"
NAMESPACE_VARIABLE = "VAULT_NAMESPACE"
PASSWORD_VARIABLE = "TCE_PASSWORD"  # noqa: S105 (likewise)
WRAPPED_VARIABLE = "TCE_WRAPPED"


def ask_at_terminal(prompt: str) -> str:
    """Ask for a password without showing it; empty where there is no terminal to ask at."""
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    return getpass.getpass(prompt)


class Logins:
    """Sessions with the Vault of one site."""

    def __init__(
        self,
        site: Site,
        environment: Mapping[str, str] = os.environ,
        ask: Callable[[str], str] = ask_at_terminal,
    ) -> None:
        self._site = site
        self._environment = environment
        self._ask = ask
        self._credentials = Credentials(site.vault_home)

    @property
    def embedded(self) -> bool:
        """Whether the site runs its own OpenBao server."""
        return self._site.settings.vault.mode == "embedded"

    @property
    def server(self) -> EmbeddedServer:
        """The embedded server. Raises NotAllowed where the site uses a Vault of its own."""
        if not self.embedded:
            raise NotAllowed(
                "this site uses a Vault of its own, which tce neither starts nor stops",
                next_step="use that server's own tools",
            )
        return EmbeddedServer(self._site.vault_home)

    def url(self) -> str:
        """Where the Vault answers. An embedded server is started when it does not run.

        Raises Unreachable where neither the settings nor the environment say where it is.
        """
        if self.embedded:
            return self.server.address().url
        address = self._site.settings.vault.address or self._environment.get(ADDRESS_VARIABLE, "")
        if not address:
            raise Unreachable(
                "nobody says where the Vault is",
                next_step=f"write vault.address in tce.toml, or set {ADDRESS_VARIABLE}",
            )
        return address

    def keeps(self, service: Service) -> bool:
        """Whether this site keeps the login of a service."""
        return self._credentials.approle(service) is not None

    def service(self, service: Service) -> Client:
        """Return a session of a service. Raises LoginFailed, Unreachable or Sealed."""
        login = self._credentials.approle(service)
        if login is None:
            raise LoginFailed(
                f"this site keeps no login of the service {service}",
                next_step="make it: tce vault provision"
                if self.embedded
                else f"enrol it with a wrapped secret: tce vault enrol {service} --role-id ID",
            )
        return Client.login_approle(
            self.url(), login.role_id, login.secret_id, ca=self._ca, namespace=self._space
        )

    def person(self, name: str) -> Client:
        """Return a session of a person, and write the login to the trail.

        Raises LoginFailed when the login is refused, NotAllowed when the token is another person's.
        """
        try:
            client = self._person(name)
        except (VaultRoomError, NotAllowed) as exc:
            Journal(self._site, name).refused("login", exc)
            raise
        Journal(self._site, name).record("login")
        return client

    def token_holder(self) -> str:
        """Return the name of the person whose token was brought along, or nothing. Raises Forbidden."""
        client = self._by_token()
        return client.whoami() if client else ""

    def _person(self, name: str) -> Client:
        client = self._by_token()
        if client is not None:
            if client.whoami() != name:
                raise NotAllowed(
                    f"the token in {TOKEN_VARIABLE} is not {name}'s",
                    next_step=f"log in as yourself, or unset {TOKEN_VARIABLE}",
                )
            return client
        if not self.embedded:
            raise LoginFailed(
                "you are not logged in", next_step=f"log in at your Vault and set {TOKEN_VARIABLE}"
            )
        return Client.login_userpass(self.url(), name, self._password(name))

    def _by_token(self) -> Client | None:
        token = self._environment.get(TOKEN_VARIABLE, "")
        return Client(self.url(), token=Secret(token), ca=self._ca, namespace=self._space) if token else None

    def _password(self, name: str) -> Secret[str]:
        kept = self._credentials.password(name)
        if kept is not None:
            return kept
        given = self._environment.get(PASSWORD_VARIABLE, "") or self._ask(f"Password of {name}: ")
        if not given:
            raise LoginFailed(
                f"no password of {name} is kept in the site",
                next_step=f"set {PASSWORD_VARIABLE} or {TOKEN_VARIABLE}, or work at a terminal; "
                f"a new person is set up by tce vault provision",
            )
        return Secret(given)

    def enrol(self, service: Service, role_id: str, wrapping: Secret[str]) -> None:
        """Open a service's wrapped secret and keep the login. Raises NotAllowed on an embedded site, LoginFailed."""
        if self.embedded:
            raise NotAllowed(
                "an embedded site makes the logins of its services itself",
                next_step="run: tce vault provision",
            )
        login = enrol(self.url(), service, role_id, wrapping, ca=self._ca, namespace=self._space)
        self._credentials.keep_approle(service, login)

    @property
    def _ca(self) -> Path | None:
        named = self._setting(self._site.settings.vault.ca, CA_VARIABLE)
        return Path(named) if named else None

    @property
    def _space(self) -> str | None:
        return self._setting(self._site.settings.vault.namespace, NAMESPACE_VARIABLE) or None

    def _setting(self, written: str, variable: str) -> str:
        # An embedded server is ours: what the environment says of another one does not concern it.
        return "" if self.embedded else written or self._environment.get(variable, "")


class ServiceSession:
    """The session of a service for a process that runs for long: it follows an embedded server that was restarted
    at another port, and never starts one. Raises LoginFailed, Unreachable or Sealed."""

    def __init__(self, logins: Logins, service: Service) -> None:
        self._logins = logins
        self._service = service
        self._client = logins.service(service)

    def client(self) -> Client:
        """Return a client of the server as it runs now, or of the one that ran last."""
        if self._logins.embedded:
            status = self._logins.server.status()
            if status.running and not status.sealed and status.url != self._client.url:
                self._client = self._logins.service(self._service)
        return self._client


def plan_of(site: Site) -> SitePlan:
    """Return who may be what at the Vault, from the site's settings. Raises BadPlan."""
    people: dict[str, frozenset[Role]] = {}
    for plural, name in site.settings.people.everyone():
        people[name] = people.get(name, frozenset()) | {Role(plural.removesuffix("s"))}
    return SitePlan(people)
