"""How the people and services of a site come to a session with its Vault.

People may bring ``VAULT_TOKEN`` from a login of their own. Else they log in as ``people.login`` says: by a password,
that of the key server or of a directory, which is taken from the embedded site's file, from ``TCE_PASSWORD`` or from
the terminal; or by single sign-on in a browser. Where the server wants a second factor, its code comes from
``TCE_CODE`` or the terminal. Every login of a person is written to the audit trail, also one that failed. No secret
leaves this module except inside a client.
"""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tce.audit.journal import Journal
from tce.config import Site
from tce.errors import ConfigFault, NotAllowed
from tce.people import PeopleSettings
from vault import methods, single_sign_on
from vault.client import Client
from vault.credentials import Credentials
from vault.enrolment import enrol
from vault.errors import LoginFailed, Unreachable, VaultRoomError
from vault.methods import OIDC_ROLE, Method, Proof, Type
from vault.roles import Role, Service, SitePlan
from vault.secrecy import Secret
from vault.server import EmbeddedServer

TOKEN_VARIABLE = "VAULT_TOKEN"  # noqa: S105 (the name of a variable, no token)
ADDRESS_VARIABLE = "VAULT_ADDR"
CA_VARIABLE = "VAULT_CACERT"
NAMESPACE_VARIABLE = "VAULT_NAMESPACE"
PASSWORD_VARIABLE = "TCE_PASSWORD"  # noqa: S105 (likewise)
CODE_VARIABLE = "TCE_CODE"
METHOD_SECRET_VARIABLE = "TCE_LOGIN_SECRET"  # noqa: S105 (likewise)
WRAPPED_VARIABLE = "TCE_WRAPPED"


def ask_at_terminal(prompt: str) -> str:
    """Ask for a password without showing it; empty where there is no terminal to ask at."""
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    return getpass.getpass(prompt)


def show_in_browser(address: str) -> None:
    """Open an address in the person's browser, and say it for whoever has none here."""
    print(f"sign on in your browser: {address}", file=sys.stderr)
    webbrowser.open(address)


class Logins:
    """Sessions with the Vault of one site."""

    def __init__(
        self,
        site: Site,
        environment: Mapping[str, str] = os.environ,
        ask: Callable[[str], str] = ask_at_terminal,
        show: Callable[[str], None] = show_in_browser,
    ) -> None:
        self._site = site
        self._environment = environment
        self._ask = ask
        self._show = show
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
                next_step="make it: tce vault provision; or put it back, if it is kept elsewhere"
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
        people = self._site.settings.people
        client = self._by_browser(name) if people.login is Type.OIDC else self._by_password(name)
        # A directory knows more people than the site does, and a browser may be signed on as somebody else.
        if people.login is not Type.USERPASS and client.whoami() != name:
            raise NotAllowed(
                f"who logged in is not {name}, or is not set up as a person of this site",
                next_step="log in as yourself; a new person is set up by tce vault provision",
            )
        return client

    def _by_password(self, name: str) -> Client:
        plan = plan_of(self._site)
        body = {"password": self._password(name).reveal()}
        proof = Proof(plan.login.login_path(plan.login_name(name)), body)
        return Client.login_person(
            self.url(), proof, codes=lambda: self._codes(name), ca=self._ca, namespace=self._space
        )

    def _by_browser(self, name: str) -> Client:
        oidc = self._site.settings.people.oidc
        return single_sign_on.log_in(
            self.url(),
            oidc.mount,
            oidc.redirect_uri,
            show=self._show,
            role=OIDC_ROLE if oidc.discovery_url else "",
            codes=lambda: self._codes(name),
            ca=self._ca,
            namespace=self._space,
        )

    def _codes(self, name: str) -> Iterable[Secret[str]]:
        given = self._environment.get(CODE_VARIABLE, "")
        if not given and self._credentials.second_factor(name) is not None:
            return self._credentials.codes(name)
        given = given or self._ask(f"Code of {name}'s authenticator: ")
        return (Secret(given.replace(" ", "")),) if given else ()

    def _by_token(self) -> Client | None:
        token = self._environment.get(TOKEN_VARIABLE, "")
        return Client(self.url(), token=Secret(token), ca=self._ca, namespace=self._space) if token else None

    def _password(self, name: str) -> Secret[str]:
        by_directory = self._site.settings.people.login is not Type.USERPASS
        kept = None if by_directory else self._credentials.password(name)
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

    def provisioner(self) -> Client:
        """Return a session that may provision: an administrator's by ``VAULT_TOKEN``, else the provisioner's own."""
        return self._by_token() or self.service(Service.PROVISIONER)

    def method_secret(self) -> Secret[str] | None:
        """The secret that a directory or a provider demands of the key server, where it was given."""
        given = self._environment.get(METHOD_SECRET_VARIABLE, "")
        return Secret(given) if given else None

    def keep_second_factor(self, name: str, secret: Secret[str] | None) -> None:
        """Keep the secret of a second factor in the site, or with None see that no older one stays there."""
        if secret is None:
            self._credentials.forget_second_factor(name)
        else:
            self._credentials.keep_second_factor(name, secret)

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


def plan_of(site: Site, method_secret: Secret[str] | None = None) -> SitePlan:
    """Return who may be what at the Vault and how people log in, from the site's settings. Raises BadPlan."""
    settings = site.settings.people
    people: dict[str, frozenset[Role]] = {}
    for plural, name in settings.everyone():
        people[name] = people.get(name, frozenset()) | {_role(plural)}
    return SitePlan(
        people,
        login=_method(settings, method_secret),
        second_factor=frozenset(_role(plural) for plural in settings.second_factor),
        login_names=settings.login_names,
    )


def _role(plural: str) -> Role:
    return Role(plural.removesuffix("s"))


def _method(settings: PeopleSettings, secret: Secret[str] | None) -> Method:
    if settings.login is Type.LDAP:
        ldap = settings.ldap
        if not ldap.url:
            return Method(Type.LDAP, ldap.mount)
        return methods.ldap(
            mount=ldap.mount,
            url=ldap.url,
            user_dn=ldap.user_dn,
            user_attribute=ldap.user_attribute,
            user_filter=ldap.user_filter,
            bind_dn=ldap.bind_dn,
            starttls=ldap.starttls,
            ca_pem=_pem(ldap.ca),
            bind_password=secret,
        )
    if settings.login is Type.OIDC:
        oidc = settings.oidc
        if not oidc.discovery_url:
            return Method(Type.OIDC, oidc.mount)
        return methods.oidc(
            mount=oidc.mount,
            discovery_url=oidc.discovery_url,
            client_id=oidc.client_id,
            user_claim=oidc.user_claim,
            redirect_uri=oidc.redirect_uri,
            scopes=oidc.scopes,
            group_claim=oidc.group_claim,
            group=oidc.group,
            ca_pem=_pem(oidc.ca),
            client_secret=secret,
        )
    return methods.USERPASS


def _pem(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise ConfigFault(
            "the file of a CA certificate under people cannot be read",
            next_step="correct its path in tce.toml",
        ) from None
