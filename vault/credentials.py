"""The logins that the embedded site keeps in its home: one file for each person and each service, mode 0600.

On one machine somebody must hold the first passwords; a person who changed the own password and removed the
file is from then on the only one who knows it. Sites with a Vault of their own have no such files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vault.client import Client
from vault.errors import LoginFailed
from vault.methods import USERPASS, Proof
from vault.second_factor import codes_of
from vault.secrecy import Secret, safe_name, write_private


@dataclass(frozen=True, slots=True)
class AppRole:
    """What a service logs in with."""

    role_id: str
    secret_id: Secret[str]


class Credentials:
    """Reads and writes ``people/<name>.password``, ``people/<name>.totp`` and ``roles/<service>.json`` in the home."""

    def __init__(self, home: Path) -> None:
        self._people = home / "people"
        self._roles = home / "roles"

    def password(self, person: str) -> Secret[str] | None:
        """The password of a person, or None if it is not kept here."""
        path = self._password_file(person)
        return Secret(path.read_text(encoding="utf-8").strip()) if path.exists() else None

    def keep_password(self, person: str, password: Secret[str]) -> None:
        """Keep the password of a person."""
        write_private(self._password_file(person), password.reveal().encode() + b"\n")

    def second_factor(self, person: str) -> Secret[str] | None:
        """The secret of a person's second factor, where a demonstration or a test keeps it."""
        path = self._factor_file(person)
        return Secret(path.read_text(encoding="utf-8").strip()) if path.exists() else None

    def keep_second_factor(self, person: str, secret: Secret[str]) -> None:
        """Keep the secret of a person's second factor beside the password: whoever owns the folder has both then."""
        write_private(self._factor_file(person), secret.reveal().encode() + b"\n")

    def forget_second_factor(self, person: str) -> None:
        """Remove the secret of a second factor that counts no more."""
        self._factor_file(person).unlink(missing_ok=True)

    def codes(self, person: str) -> Iterable[Secret[str]]:
        """The codes of a kept second factor, none where none is kept."""
        secret = self.second_factor(person)
        return codes_of(secret) if secret else ()

    def approle(self, service: str) -> AppRole | None:
        """The login of a service, or None if it is not kept here."""
        path = self._role_file(service)
        if not path.exists():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        return AppRole(str(content["role_id"]), Secret(str(content["secret_id"])))

    def keep_approle(self, service: str, approle: AppRole) -> None:
        """Keep the login of a service."""
        content = {"role_id": approle.role_id, "secret_id": approle.secret_id.reveal()}
        write_private(self._role_file(service), json.dumps(content).encode())

    def person(self, url: str, name: str) -> Client:
        """Log in as a person of the embedded site. Raises LoginFailed when no password is kept."""
        password = self.password(name)
        if password is None:
            raise LoginFailed(
                "no password of this person is kept in the site",
                next_step="give a name that tce.toml lists and `tce vault provision` has set up",
            )
        proof = Proof(USERPASS.login_path(name), {"password": password.reveal()})
        return Client.login_person(url, proof, codes=lambda: self.codes(name))

    def service(self, url: str, name: str) -> Client:
        """Log in as a service of the embedded site. Raises LoginFailed when no login is kept."""
        approle = self.approle(name)
        if approle is None:
            raise LoginFailed(
                f"no login of the service {name} is kept in the site",
                next_step=f"put {self._role_file(name).name} back, if it is kept elsewhere; "
                "`tce vault provision` makes those of the other services",
            )
        return Client.login_approle(url, approle.role_id, approle.secret_id)

    def _password_file(self, person: str) -> Path:
        return self._people / f"{safe_name(person, 'person')}.password"

    def _factor_file(self, person: str) -> Path:
        return self._people / f"{safe_name(person, 'person')}.totp"

    def _role_file(self, service: str) -> Path:
        return self._roles / f"{safe_name(service, 'service')}.json"
