"""The second factor of custodians and approvers: a code of an authenticator (TOTP, RFC 6238), which the server checks.

The server makes a person's secret, asks for the code at every login, takes each code once, and counts wrong ones. The
secret is shown once, as the address that authenticators read, when the person is enrolled; nobody can read it again.
A demonstration or a test may keep it in a file beside the password; :func:`codes_of` then stands for the authenticator.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from vault.errors import BadAnswer, CodeRefused, LoginFailed
from vault.secrecy import Secret

NAME = "tce-people"
"""The name of the method and of its enforcement at the server."""

METHODS = "identity/mfa/method/totp"
ENFORCEMENT = f"identity/mfa/login-enforcement/{NAME}"
VALIDATE = "sys/mfa/validate"

# What every authenticator can do; qr_size 0: the server draws no picture of a secret.
SETTINGS = {
    "issuer": "tce",
    "period": 30,
    "digits": 6,
    "skew": 1,
    "algorithm": "SHA1",
    "key_size": 20,
    "qr_size": 0,
    "max_validation_attempts": 5,
}
PERIOD_SECONDS = 30

Codes = Callable[[], Iterable[Secret[str]]]
"""Gives the codes to try, in order; asked only where the server wants one."""


def no_codes() -> Iterable[Secret[str]]:
    """Where nobody can be asked for a code."""
    return ()


class Reader(Protocol):
    """What is asked of a server."""

    def read(self, path: str) -> dict[str, Any] | None:
        """The ``data`` at a path, or None where there is nothing."""

    def names(self, path: str) -> list[str]:
        """The names under a path."""


def method_of(server: Reader) -> str | None:
    """The number that our method has at the server, or None where nobody set it up."""
    for identifier in server.names(METHODS):
        if (server.read(f"{METHODS}/{identifier}") or {}).get("name") == NAME:
            return identifier
    return None


def wanted_by(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the server demands before it completes a login, or None where it demands nothing more."""
    auth = answer.get("auth")
    wanted = auth.get("mfa_requirement") if isinstance(auth, dict) else None
    return wanted if isinstance(wanted, dict) else None


def payload(wanted: Mapping[str, Any], code: Secret[str]) -> dict[str, object]:
    """Return the request that completes a login with a code. Raises BadAnswer for a demand that is none of a code."""
    try:
        methods = {one["any"][0]["id"] for one in wanted["mfa_constraints"].values()}
        return {
            "mfa_request_id": str(wanted["mfa_request_id"]),
            "mfa_payload": {str(method): [code.reveal()] for method in methods},
        }
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadAnswer(
            "the key server demands something at login that is no code",
            next_step="ask its administrators which second factors it enforces",
        ) from None


def refusal(errors: str) -> LoginFailed:
    """The error for a code that was not accepted. The server's own text is only looked at, never passed on."""
    if "not present in entity" in errors:
        return LoginFailed(
            "this person needs a second factor and has none yet",
            next_step="have it set up: tce vault enrol-person NAME",
        )
    if "maximum" in errors:
        return LoginFailed(
            "too many wrong codes were given",
            next_step="wait a minute, then give the code that the authenticator shows",
        )
    return CodeRefused(
        "the code was not accepted",
        next_step="a code counts once: wait for the next one if this was used already; if none is accepted, "
        "set the clocks of the authenticator and of the key server",
    )


def secret_in(address: str) -> Secret[str]:
    """The secret in an address for authenticators (``otpauth://``)."""
    found = parse_qs(urlsplit(address).query).get("secret")
    if not found:
        raise BadAnswer(
            "the key server made no second factor", next_step="look into the log of the key server"
        )
    return Secret(found[0])


def address_of(secret: Secret[str], *, site: str, person: str) -> Secret[str]:
    """The address that an authenticator reads, which shows site and person there instead of the server's number."""
    label = quote(f"{site}:{person}", safe=":")
    asked = {"secret": secret.reveal(), "issuer": site, "algorithm": "SHA1", "digits": 6, "period": 30}
    return Secret(f"otpauth://totp/{label}?{urlencode(asked, quote_via=quote)}")


def codes_of(secret: Secret[str]) -> Iterator[Secret[str]]:
    """The codes of a kept secret, oldest first; when all that count now were used, the next one, in its time."""
    now = int(time.time() // PERIOD_SECONDS)
    for step in (now - 1, now, now + 1):
        yield code_at(secret, step)
    time.sleep((now + 1) * PERIOD_SECONDS - time.time() + 0.5)
    yield code_at(secret, now + 2)


def code_at(secret: Secret[str], step: int) -> Secret[str]:
    """The code of a time step (RFC 6238 4.2, RFC 4226 5.3)."""
    text = secret.reveal()
    key = base64.b32decode(text + "=" * (-len(text) % 8))
    digest = hmac.new(key, step.to_bytes(8, "big"), hashlib.sha1).digest()
    at = digest[-1] & 15
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return Secret(f"{number % 1_000_000:06d}")
