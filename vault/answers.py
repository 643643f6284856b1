"""What the answers of a Vault or OpenBao server mean: usable results, and each failure as an error of its own.

The server's own texts are looked at and never passed on, because they may repeat what was asked.
"""

from __future__ import annotations

import base64
import binascii
import http
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import requests

from vault.errors import BadAnswer, Forbidden, NotFound, Sealed, Unreachable
from vault.secrecy import Secret

T = TypeVar("T")

# How transit says that there is no such key, and that an existing one may not be deleted.
_NO_KEY = ("key not found", "no existing key named", "could not delete key; not found")
_KEPT = "deletion is not allowed for this key"


class Token(NamedTuple):
    """A token and how long it lasts, in seconds; 0: for ever."""

    value: Secret[str]
    lifetime: float


def token_of(answer: Mapping[str, Any], path: str) -> Token:
    """The token of a login. Raises BadAnswer where there is none."""
    auth = answer.get("auth")
    if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
        raise unusable(path)
    return Token(Secret(auth["client_token"]), float(auth.get("lease_duration", 0)))


def refusal(status: int, where: str, errors: str) -> Forbidden | NotFound | Sealed | Unreachable | BadAnswer:
    """The error for an HTTP status. The server's own text is only looked at, never passed on."""
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN) or _KEPT in errors:
        return Forbidden(
            f"Vault does not allow this at {where}",
            next_step="log in again; if it stays, the role is not meant to do this",
        )
    if status == http.HTTPStatus.NOT_FOUND or any(words in errors for words in _NO_KEY):
        return NotFound(
            f"Vault has nothing at {where}", next_step="run `tce vault provision`, or approve the case"
        )
    if status in (http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.NOT_IMPLEMENTED):
        return Sealed(f"Vault is sealed or not active ({where})", next_step="unseal it, then try again")
    if status == http.HTTPStatus.TOO_MANY_REQUESTS or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unreachable(
            f"Vault cannot serve now (HTTP {status} at {where})", next_step="look into its log and try again"
        )
    return BadAnswer(
        f"Vault did not accept the request (HTTP {status} at {where})",
        next_step="check that the address is that of a Vault server of a supported version",
    )


def retry_after(response: requests.Response | None) -> float:
    """Return the seconds that the server wants to be left alone (RFC 9110 10.2.3), none where it says nothing."""
    told = response.headers.get("Retry-After", "") if response is not None else ""
    return float(told) if told.isdigit() else 0.0


def unusable(path: str) -> BadAnswer:
    """The error for an answer that says success and holds nothing to use."""
    return BadAnswer(
        f"what answered at {path} is not a usable answer of Vault",
        next_step="check that the address in tce.toml is that of Vault and not of a proxy or another service",
    )


def unwrapped(value: object, prefix: str, path: str) -> bytes:
    """The bytes in a value of base64 behind ``prefix``. Raises BadAnswer for anything else."""
    if not isinstance(value, str) or not value.startswith(prefix):
        raise unusable(path)
    try:
        return base64.b64decode(value[len(prefix) :], validate=True)
    except binascii.Error:
        raise unusable(path) from None


def to_base64(value: bytes) -> str:
    """Bytes as requests carry them."""
    return base64.b64encode(value).decode("ascii")


def cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into parts of at most ``size``."""
    return (items[at : at + size] for at in range(0, len(items), size))
