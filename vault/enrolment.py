"""How a service comes to its login at a server that others administer, and a person to a second factor.

An administrator makes the secret of an AppRole inside a wrapping token and hands over that token. Whoever opens it
first has the secret, and nobody after him: if it was opened on the way, enrolment fails, and that is noticed.

The operator has the server make a person's second factor, once; to replace one that is
there takes the provisioner, so that the operator of every day cannot take over the person.
"""

from __future__ import annotations

from pathlib import Path

from vault import second_factor
from vault.client import Client
from vault.credentials import AppRole
from vault.errors import BadAnswer, BadRequest, Forbidden, LoginFailed, NotFound
from vault.patience import NO_PATIENCE
from vault.roles import Service
from vault.secrecy import Secret, safe_name

_WHO = "name a person of tce.toml whom `tce vault provision` has set up"
_OPENED = "ask for a new one, and report it: somebody may have opened it on the way"


def enrol(
    url: str,
    service: Service,
    role_id: str,
    wrapping: Secret[str],
    *,
    ca: Path | None = None,
    namespace: str | None = None,
) -> AppRole:
    """Open the wrapped secret of a service, see that it logs in, and return the login.

    Raises LoginFailed when the wrapping token was used, has run out, holds another role's secret, or does not fit
    the ``role_id``; nothing is kept then.
    """
    # Opened at most once, so it is asked at most once: a repeated request would look like a thief's.
    client = Client(url, token=wrapping, ca=ca, namespace=namespace, patience=NO_PATIENCE)
    wanted = f"auth/approle/role/tce-{service}/secret-id"
    try:
        made_at = client.write("sys/wrapping/lookup", {"token": wrapping.reveal()}).get("creation_path")
        if made_at != wanted:
            raise LoginFailed(
                f"the wrapped secret is not one of the service {service}", next_step="ask for the right one"
            )
        secret_id = client.write("sys/wrapping/unwrap", {}).get("secret_id")
    except (BadAnswer, Forbidden, NotFound):
        raise LoginFailed("the wrapped secret was used already, or has run out", next_step=_OPENED) from None
    if not isinstance(secret_id, str) or not secret_id:
        raise LoginFailed("the wrapped secret holds none", next_step=_OPENED)
    login = AppRole(role_id, Secret(secret_id))
    Client.login_approle(url, role_id, login.secret_id, ca=ca, namespace=namespace)
    return login


def enrol_person(client: Client, name: str, *, again: bool = False) -> Secret[str]:
    """Have the server make a person's second factor and return its secret, which nobody can read again.

    ``again`` replaces the one that is there. Raises BadRequest where people need none or the person has one, NotFound
    for a stranger, Forbidden.
    """
    method = second_factor.method_of(client)
    if method is None:
        raise BadRequest(
            "people of this site need no second factor",
            next_step="name roles under people.second_factor in tce.toml, then: tce vault provision",
        )
    entity = client.read(f"identity/entity/name/{safe_name(name, 'person')}")
    if entity is None:
        raise NotFound(f"the key server does not know {name}", next_step=_WHO)
    asked = {"method_id": method, "entity_id": str(entity.get("id", ""))}
    if again:
        client.write(f"{second_factor.METHODS}/admin-destroy", asked)
    made = client.write(f"{second_factor.METHODS}/admin-generate", asked)
    if "url" not in made:
        raise BadRequest(
            f"{name} has a second factor already",
            next_step=f"if it was lost: tce vault enrol-person {name} --again",
        )
    return second_factor.secret_in(str(made["url"]))
