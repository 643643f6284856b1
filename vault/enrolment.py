"""How a service of a site comes to its login at a server that others administer: by a secret wrapped once.

An administrator makes the secret of an AppRole inside a wrapping token and hands over that token. Whoever opens it
first has the secret, and nobody after him: if it was opened on the way, enrolment fails, and that is noticed.
"""

from __future__ import annotations

from pathlib import Path

from vault.client import Client
from vault.credentials import AppRole
from vault.errors import BadAnswer, Forbidden, LoginFailed, NotFound
from vault.patience import NO_PATIENCE
from vault.provision import Service
from vault.secrecy import Secret

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
