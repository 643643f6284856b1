"""How the people of a site prove who they are: a password at the key server, a directory, or single sign-on.

A :class:`Method` is what the server has to be told: the type of the auth method, the path that it is mounted at, and
its settings. Rights do not depend on it: a person has them through the identity of the own name, which each method
leads to by an alias. Secrets of a method (the password of a directory's reader, a client secret) are handed over
once and are never read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from vault.secrecy import Secret

TOKEN = {"token_ttl": 3600, "token_max_ttl": 8 * 3600}
"""How long a person's login lasts, and for how long it can be renewed, in seconds."""

OIDC_ROLE = "tce"


class Proof(NamedTuple):
    """The request that proves who logs in. Its ``query`` and ``body`` are secret, its ``path`` is not."""

    path: str
    body: Mapping[str, object] | None = None
    query: Mapping[str, str] | None = None

    @property
    def method(self) -> str:
        """The verb of HTTP that carries it."""
        return "get" if self.body is None else "post"

    def __repr__(self) -> str:
        return f"Proof({self.path!r})"


class Type(StrEnum):
    """The auth methods of Vault and OpenBao that people can use."""

    USERPASS = "userpass"
    LDAP = "ldap"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to log in. Without ``settings`` the method is there already, set up by the server's administrators.

    ``reads_with`` is the name of the setting that takes the ``secret``.
    """

    type: Type
    mount: str
    settings: Mapping[str, object] = field(default_factory=dict)
    role: Mapping[str, object] = field(default_factory=dict)
    reads_with: str = ""
    secret: Secret[str] | None = None

    def login_path(self, login_name: str) -> str:
        """Where a name and a password are checked."""
        return f"auth/{self.mount}/login/{login_name}"


USERPASS = Method(Type.USERPASS, "userpass")


def ldap(
    *,
    mount: str,
    url: str,
    user_dn: str,
    user_attribute: str,
    user_filter: str = "",
    bind_dn: str = "",
    starttls: bool = False,
    ca_pem: str = "",
    bind_password: Secret[str] | None = None,
) -> Method:
    """Login by a directory. Nobody gets rights from a group of the directory; who may log in at all can be narrowed by
    ``user_filter``."""
    settings = {
        "url": url,
        "userdn": user_dn,
        "userattr": user_attribute,
        "userfilter": user_filter or "({{.UserAttr}}={{.Username}})",
        "binddn": bind_dn,
        "starttls": starttls,
        "certificate": ca_pem,
        "insecure_tls": False,
        "deny_null_bind": True,
        "case_sensitive_names": False,
        "token_policies": [],
        **TOKEN,
    }
    return Method(Type.LDAP, mount, settings, reads_with="bindpass", secret=bind_password)


def oidc(
    *,
    mount: str,
    discovery_url: str,
    client_id: str,
    user_claim: str,
    redirect_uri: str,
    scopes: tuple[str, ...] = (),
    group_claim: str = "",
    group: str = "",
    ca_pem: str = "",
    client_secret: Secret[str] | None = None,
) -> Method:
    """Login by single sign-on. Who may log in at all can be narrowed to a ``group`` named in ``group_claim``."""
    settings = {
        "oidc_discovery_url": discovery_url,
        "oidc_client_id": client_id,
        "oidc_discovery_ca_pem": ca_pem,
        "default_role": OIDC_ROLE,
    }
    role = {
        "role_type": "oidc",
        "user_claim": user_claim,
        "allowed_redirect_uris": [redirect_uri],
        "oidc_scopes": list(scopes),
        "bound_claims": {group_claim: [group]} if group else None,
        "verbose_oidc_logging": False,
        "token_policies": [],
        **TOKEN,
    }
    return Method(Type.OIDC, mount, settings, role, reads_with="oidc_client_secret", secret=client_secret)
