"""Who works at a site and how they log in: the tables ``[people]`` of ``tce.toml``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vault.methods import Type

PersonName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
People = tuple[PersonName, ...]
# What a directory or a provider calls a person: a path of the key server must be made of it, so no slash or blank.
LoginName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+|-]{0,126}$")]
MountName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class LdapSettings(_Table):
    """Login by a directory, for login = ldap. The password of bind_dn goes to the key server by TCE_LOGIN_SECRET."""

    mount: MountName = Field(default="ldap", description="path of the auth method at the key server")
    url: str = Field(
        default="",
        description="ldaps://… of the directory; empty: the administrators of the key server set it up",
    )
    starttls: bool = Field(default=False, description="for ldap://: go on encrypted, or not at all")
    ca: str = Field(
        default="", description="file with the CA certificate of the directory; empty: the system's"
    )
    bind_dn: str = Field(default="", description="who searches the directory; empty: nobody, anonymously")
    user_dn: str = Field(default="", description="below which entry the people are")
    user_attribute: str = Field(default="uid", description="the attribute that holds the name of a person")
    user_filter: str = Field(
        default="",
        description="narrows who may log in at all, in the form of Vault; empty: by the attribute alone",
    )

    @model_validator(mode="after")
    def _encrypted(self) -> LdapSettings:
        here = re.match(r"ldap://(127\.0\.0\.1|\[::1\]|localhost)[:/]?", self.url)
        if self.url and not self.url.startswith("ldaps://") and not self.starttls and not here:
            raise ValueError("url: passwords would travel in the clear; write ldaps://…, or set starttls")
        if self.url and not self.user_dn:
            raise ValueError("user_dn: is missing; write the entry below which the people are")
        return self


class OidcSettings(_Table):
    """Single sign-on, for login = oidc. The client secret goes to the key server by TCE_LOGIN_SECRET."""

    mount: MountName = Field(default="oidc", description="path of the auth method at the key server")
    discovery_url: str = Field(
        default="",
        description="https://… of the provider, without .well-known; empty: the administrators set it up",
    )
    ca: str = Field(
        default="", description="file with the CA certificate of the provider; empty: the system's"
    )
    client_id: str = Field(default="", description="the id that the provider gave the key server")
    user_claim: str = Field(
        default="sub", description="the claim that names a person; one that people cannot change themselves"
    )
    scopes: tuple[str, ...] = Field(default=(), description="scopes to ask for besides openid")
    group_claim: str = Field(default="groups", description="the claim that lists a person's groups")
    group: str = Field(
        default="", description="only who is in this group may log in at all; empty: everybody"
    )
    port: Port = Field(default=8250, description="port of this machine that the browser comes back to")

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser back to; it must be registered there."""
        return f"http://localhost:{self.port}/oidc/callback"

    @model_validator(mode="after")
    def _complete(self) -> OidcSettings:
        here = re.match(r"http://(127\.0\.0\.1|\[::1\]|localhost)[:/]", self.discovery_url)
        if self.discovery_url and not self.discovery_url.startswith("https://") and not here:
            raise ValueError("discovery_url: write an address that begins with https://")
        if self.discovery_url and not self.client_id:
            raise ValueError("client_id: is missing; write the one that the provider gave")
        return self


class PeopleSettings(_Table):
    """Names by role. One person has one role, so that nobody approves what he wrote himself."""

    coordinators: People = Field(
        default=("coordinator",), description="write cases and policies, submit them"
    )
    approvers: People = Field(
        default=("approver",), description="approve or withdraw what a coordinator submitted"
    )
    custodians: People = Field(
        default=("custodian-a", "custodian-b"), description="re-identify, two together; at least two names"
    )
    auditors: People = Field(default=("auditor",), description="read the audit trail")
    login: Type = Field(
        default=Type.USERPASS,
        description="how they log in: userpass (a password at the key server), ldap, oidc (single sign-on)",
    )
    second_factor: tuple[Literal["coordinators", "approvers", "custodians", "auditors"], ...] = Field(
        default=("approvers", "custodians"),
        description="who needs the code of an authenticator as well; []: nobody",
    )
    login_names: Mapping[PersonName, LoginName] = Field(
        default_factory=dict,
        description='who is called otherwise at login by ldap or oidc: { anna = "a.meier" }',
    )
    ldap: LdapSettings = LdapSettings()
    oidc: OidcSettings = OidcSettings()

    @model_validator(mode="after")
    def _one_role_each(self) -> PeopleSettings:
        if len(set(self.custodians)) < 2:
            raise ValueError("custodians: two different people are needed; name at least two")
        seen: dict[str, str] = {}
        for role, name in self.everyone():
            if name in seen:
                raise ValueError(f"{role}: {name} is among the {seen[name]} too; one person has one role")
            seen[name] = role
        strangers = sorted(self.login_names.keys() - seen.keys())
        if strangers:
            raise ValueError(f"login_names: {strangers[0]} has no role")
        if self.login_names and self.login is Type.USERPASS:
            raise ValueError(
                "login_names: with login = userpass everybody logs in under the own name; leave it out"
            )
        return self

    def everyone(self) -> Iterator[tuple[str, str]]:
        """Yield (role, name) of every person."""
        for role in ("coordinators", "approvers", "custodians", "auditors"):
            for name in getattr(self, role):
                yield role, name

    def role_of(self, name: str) -> str | None:
        """Return the role of a person in the singular, or None for a stranger."""
        return next((role.removesuffix("s") for role, person in self.everyone() if person == name), None)
