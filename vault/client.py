"""The one user of ``hvac``: requests to a Vault or OpenBao server, with every answer checked before it is
used.

A :class:`Client` acts for one person or one service. It knows transit keys, signatures and logins; it does
not know what a pseudonym, a share or an approval is. Proxies, ``.netrc`` and token files of the environment
are not consulted: what the caller did not name does not decide where tokens and identifiers travel.

A client belongs to one process: after a fork each side makes its own.
"""

from __future__ import annotations

import contextlib
import http
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

import requests
from hvac.adapters import RawAdapter

from vault import second_factor
from vault.answers import Token, cut, refusal, retry_after, to_base64, token_of, unusable, unwrapped
from vault.errors import (
    BadAnswer,
    BadRequest,
    CodeRefused,
    Forbidden,
    LoginFailed,
    NotFound,
    Unreachable,
)
from vault.methods import Proof
from vault.patience import Patience
from vault.secrecy import Secret, safe_name

T = TypeVar("T")
R = TypeVar("R")
_Body: TypeAlias = Mapping[str, object] | None
_Query: TypeAlias = Mapping[str, str] | None

_TIMEOUT_SECONDS = 30.0
_RENEW_AT = 0.8  # of a token's life

# OpenBao refuses a request with more than 1,000 JSON strings, keys included: an input to HMAC is two of
# them, a text with its context four.
_HMAC_BATCH = 490
_CIPHER_BATCH = 240
_PATHS = 400
_AT_ONCE = 3
_DIGEST_BYTES = 32

# Too many requests; an internal error, a proxy without a server behind it, sealed or standby, a timeout behind a proxy.
_PASSING = frozenset({429, 500, 502, 503, 504})


class Sealable(NamedTuple):
    """A plaintext and the context that its ciphertext is bound to."""

    plaintext: Secret[bytes]
    context: bytes


class Sealing(NamedTuple):
    """A ciphertext of the server and the context that it is bound to."""

    ciphertext: str
    context: bytes


class Client:
    """A session with the key server as one person or service.

    Raises Unreachable, Sealed, Forbidden, NotFound or BadAnswer from every method; a login raises
    LoginFailed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Secret[str],
        ca: Path | None = None,
        namespace: str | None = None,
        patience: Patience = Patience(),
    ) -> None:
        where = urlsplit(url)
        if where.scheme != "https" and where.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise BadRequest(
                "the address of Vault must begin with https://", next_step="correct vault.address in tce.toml"
            )
        self.url = url.rstrip("/")
        session = requests.Session()
        session.trust_env = False
        session.verify = str(ca) if ca else True
        self._adapter = RawAdapter(
            base_uri=self.url,
            token=token.reveal(),
            session=session,
            namespace=namespace,
            timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,  # requests would carry the token to wherever it is sent
        )
        self._patience = patience
        self._threads = ThreadPoolExecutor(_AT_ONCE)
        self._login: Callable[[], Token] | None = None
        self._renew_after = float("inf")
        self._renewable = False

    @classmethod
    def login_approle(
        cls,
        url: str,
        role_id: str,
        secret_id: Secret[str],
        *,
        ca: Path | None = None,
        namespace: str | None = None,
    ) -> Client:
        """A client of a service. It logs in again by itself before its token ends."""
        client = cls(url, token=Secret(""), ca=ca, namespace=namespace)

        def login() -> Token:
            body = {"role_id": role_id, "secret_id": secret_id.reveal()}
            return token_of(
                client._accepted(Proof("auth/approle/login", body), "service"), "auth/approle/login"
            )

        client._login = login
        client._use(login())
        return client

    @classmethod
    def login_person(
        cls,
        url: str,
        proof: Proof,
        *,
        codes: second_factor.Codes = second_factor.no_codes,
        ca: Path | None = None,
        namespace: str | None = None,
    ) -> Client:
        """A client of a person, its token renewed for as long as the server allows; what proved the person is not kept.

        ``codes`` is asked where the server wants a second factor. Raises LoginFailed, CodeRefused for a wrong code.
        """
        client = cls(url, token=Secret(""), ca=ca, namespace=namespace)
        answer = client._accepted(proof, "person")
        wanted = second_factor.wanted_by(answer)
        if wanted is not None:
            answer = client._with_code(wanted, codes)
        client._use(token_of(answer, proof.path))
        client._renewable = True
        return client

    # Plain paths, for provisioning

    def read(self, path: str) -> dict[str, Any] | None:
        """The ``data`` at a path, or None where there is nothing."""
        try:
            return self._data("get", path)
        except NotFound:
            return None

    def required(self, path: str) -> dict[str, Any]:
        """The ``data`` at a path. Raises NotFound where there is nothing."""
        return self._data("get", path)

    def names(self, path: str) -> list[str]:
        """The names under a path, sorted; none where there is nothing."""
        try:
            answer = self._data("list", path)
        except NotFound:
            return []
        return sorted(str(name) for name in answer.get("keys", []))

    def write(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Write to a path and return the ``data`` of the answer, which may be empty."""
        return self._data("post", path, dict(body))

    def delete(self, path: str) -> None:
        """Remove what is at a path. Transit says NotFound where there is no key; elsewhere nothing happens then."""
        self._data("delete", path)

    # Keys

    def hmac_batch(self, mount: str, key: str, inputs: Sequence[bytes], *, version: int) -> list[bytes]:
        """HMAC-SHA-256 of each input under one version of a key, in order; 32 bytes each."""
        return self.hmac_batches(mount, {key: inputs}, version=version)[key]

    def hmac_batches(
        self, mount: str, inputs: Mapping[str, Sequence[bytes]], *, version: int
    ) -> dict[str, list[bytes]]:
        """:meth:`hmac_batch` for several keys of a mount at once."""
        prefix = f"vault:v{version}:"

        def ask(key: str, part: Sequence[bytes]) -> list[bytes]:
            path = f"{mount}/hmac/{safe_name(key, 'key')}/sha2-256"
            body = {"batch_input": [{"input": to_base64(text)} for text in part], "key_version": version}
            results = self._batch(path, body, len(part))
            digests = [unwrapped(result.get("hmac"), prefix, path) for result in results]
            if not all(len(digest) == _DIGEST_BYTES for digest in digests):
                raise unusable(path)
            return digests

        return self._ask_in_parts(inputs, _HMAC_BATCH, ask)

    def encrypt_batch(self, mount: str, key: str, inputs: Sequence[Sealable]) -> list[str]:
        """The ciphertext of each plaintext, in order. The key must exist: it is never made on the way."""
        return self.encrypt_batches(mount, {key: inputs})[key]

    def encrypt_batches(self, mount: str, inputs: Mapping[str, Sequence[Sealable]]) -> dict[str, list[str]]:
        """:meth:`encrypt_batch` for several keys of a mount at once."""

        def ask(key: str, part: Sequence[Sealable]) -> list[str]:
            path = f"{mount}/encrypt/{safe_name(key, 'key')}"
            items = [
                {"plaintext": to_base64(item.plaintext.reveal()), "associated_data": to_base64(item.context)}
                for item in part
            ]
            results = self._batch(path, {"batch_input": items}, len(part))
            found = [result.get("ciphertext") for result in results]
            if not all(isinstance(text, str) and text.startswith("vault:v") for text in found):
                raise unusable(path)
            return [str(text) for text in found]

        return self._ask_in_parts(inputs, _CIPHER_BATCH, ask)

    def decrypt_batch(self, mount: str, key: str, inputs: Sequence[Sealing]) -> list[Secret[bytes]]:
        """The plaintext of each ciphertext, in order; BadAnswer if one does not open in its context."""
        path = f"{mount}/decrypt/{safe_name(key, 'key')}"
        found: list[Secret[bytes]] = []
        for part in cut(inputs, _CIPHER_BATCH):
            items = [
                {"ciphertext": item.ciphertext, "associated_data": to_base64(item.context)} for item in part
            ]
            for result in self._batch(path, {"batch_input": items}, len(part)):
                found.append(Secret(unwrapped(result.get("plaintext"), "", path)))
        return found

    def sign(self, mount: str, key: str, payload: bytes) -> str:
        """An Ed25519 signature in the server's form ``vault:v<version>:<base64>``."""
        path = f"{mount}/sign/{safe_name(key, 'key')}"
        signature = self.write(path, {"input": to_base64(payload)}).get("signature")
        if not isinstance(signature, str) or not signature.startswith("vault:v"):
            raise unusable(path)
        return signature

    def public_keys(self, mount: str, key: str) -> dict[int, bytes]:
        """The Ed25519 public key of each version of a signing key."""
        path = f"{mount}/keys/{safe_name(key, 'key')}"
        keys = self._data("get", path).get("keys")
        if not isinstance(keys, dict) or not keys:
            raise unusable(path)
        return {int(version): unwrapped(entry.get("public_key"), "", path) for version, entry in keys.items()}

    # The holder of the token

    def whoami(self) -> str:
        """The name of the person, as the templates of the Vault policies see it.

        A token that was brought along tells here how long it lasts, and is renewed in time from then on.
        """
        token = self._data("get", "auth/token/lookup-self")
        if self._login is None and token.get("renewable") is True:
            self._renewable = True
            self._lasts(float(token.get("ttl", 0)))
        entity = str(token.get("entity_id", ""))
        if not entity:
            raise Forbidden(
                "the token belongs to no person known to Vault", next_step="log in as a person of this site"
            )
        return str(self._data("get", f"identity/entity/id/{entity}").get("name", ""))

    def capabilities(self, path: str) -> frozenset[str]:
        """What this token may do at a path, asked of the server."""
        return self.capabilities_at([path])[path]

    def capabilities_at(self, paths: Collection[str]) -> dict[str, frozenset[str]]:
        """What this token may do at each of some paths."""
        found: dict[str, frozenset[str]] = {}
        for part in cut(sorted(paths), _PATHS):
            answer = self.write("sys/capabilities-self", {"paths": list(part)})
            if not all(isinstance(answer.get(path), list) for path in part):
                raise unusable("sys/capabilities-self")
            found |= {path: frozenset(str(name) for name in answer[path]) for path in part}
        return found

    def token(self) -> Secret[str]:
        """The token, for programs that log in by it."""
        return Secret(str(self._adapter.token))

    def revoke_own_token(self) -> None:
        """End the token. The client is of no use afterwards."""
        self._data("post", "auth/token/revoke-self", {})

    # Requests

    def _ask_in_parts(
        self, inputs: Mapping[str, Sequence[T]], size: int, ask: Callable[[str, Sequence[T]], list[R]]
    ) -> dict[str, list[R]]:
        """Cut what is asked of each key into requests, and have some of them on their way at the same
        time."""
        parts = [(key, part) for key, members in inputs.items() for part in cut(members, size)]
        found: dict[str, list[R]] = {key: [] for key in inputs}
        if len(parts) == 1:
            answers: Iterable[list[R]] = [ask(*parts[0])]
        else:
            self._stay_logged_in()
            answers = self._threads.map(lambda part: ask(*part), parts)
        for (key, _), answer in zip(parts, answers, strict=True):
            found[key].extend(answer)
        return found

    def _accepted(self, proof: Proof, what: str) -> dict[str, Any]:
        try:
            return self._answer(proof.method, proof.path, proof.body, proof.query)
        except (BadAnswer, Forbidden, NotFound):
            raise LoginFailed(
                f"Vault at {self.url} does not accept the login of this {what}",
                next_step=f"check the name and the password or secret of the {what}",
            ) from None

    def _with_code(self, wanted: Mapping[str, Any], codes: second_factor.Codes) -> dict[str, Any]:
        refused: LoginFailed = LoginFailed(
            "the key server wants the code of a second factor, and none was given",
            next_step="work at a terminal, or set TCE_CODE to what the authenticator shows; who has none is given one "
            "by tce vault enrol-person NAME",
        )
        for code in codes():
            try:
                return self._answer("post", second_factor.VALIDATE, second_factor.payload(wanted, code))
            except CodeRefused as exc:
                refused = exc
        raise refused

    def _stay_logged_in(self) -> None:
        if time.monotonic() <= self._renew_after:
            return
        if self._login is not None:
            self._log_in_again(self._login)
        elif self._renewable:
            self._renew_after = float(
                "inf"
            )  # a token that is refused once is at its end, and is not asked for again
            with contextlib.suppress(Forbidden, BadAnswer):
                self._use(
                    token_of(self._answer("post", "auth/token/renew-self", {}), "auth/token/renew-self")
                )

    def _log_in_again(self, login: Callable[[], Token]) -> None:
        self._adapter.token = None
        self._use(login())

    def _use(self, token: Token) -> None:
        self._adapter.token = token.value.reveal()
        self._lasts(token.lifetime)

    def _lasts(self, seconds: float) -> None:
        if seconds > 0:
            self._renew_after = time.monotonic() + seconds * _RENEW_AT

    def _token_ended(self) -> bool:
        """Whether the server no longer knows the token, rather than forbids what was asked."""
        return self._response("get", "auth/token/lookup-self", None).status_code == http.HTTPStatus.FORBIDDEN

    def _batch(self, path: str, body: Mapping[str, object], length: int) -> list[dict[str, Any]]:
        results = self.write(path, body).get("batch_results")
        if (
            not isinstance(results, list)
            or len(results) != length
            or not all(isinstance(result, dict) and not result.get("error") for result in results)
        ):
            raise unusable(path)
        return results

    def _data(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        self._stay_logged_in()
        try:
            answer = self._answer(method, path, body)
        except Forbidden:
            # A token may be revoked, or forgotten by a server that was restored: a service then logs in anew, once.
            if self._login is None or not self._token_ended():
                raise
            self._log_in_again(self._login)
            answer = self._answer(method, path, body)
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    def _answer(self, method: str, path: str, body: _Body = None, query: _Query = None) -> dict[str, Any]:
        response = self._response(method, path, body, query)
        if response.status_code == http.HTTPStatus.NO_CONTENT:
            return {}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code != http.HTTPStatus.OK:
            errors = answer.get("errors") if isinstance(answer, dict) else None
            if path == second_factor.VALIDATE and response.status_code == http.HTTPStatus.FORBIDDEN:
                raise second_factor.refusal(str(errors))
            raise refusal(response.status_code, f"{self.url}/v1/{path}", str(errors))
        if not isinstance(answer, dict):
            raise unusable(path)
        return answer

    def _response(self, method: str, path: str, body: _Body, query: _Query = None) -> requests.Response:
        # Every request made here may be repeated: it derives, seals, signs or sets what it set before.
        waited = 0.0
        for attempt in itertools.count():
            response = self._once(method, path, body, query)
            if response is not None and response.status_code not in _PASSING:
                return response
            pause = self._patience.pause(attempt, waited, retry_after(response))
            if pause is None:
                break
            time.sleep(pause)
            waited += pause
        if response is not None:
            return response
        raise Unreachable(
            f"Vault at {self.url} does not answer",
            next_step="start it (`tce vault start`) or correct the address and CA in tce.toml",
        )

    def _once(self, method: str, path: str, body: _Body, query: _Query) -> requests.Response | None:
        """Ask once; None where nothing answers. The library's exception holds the body and must not travel on."""
        # A connection kept alive may have been closed by a restart; asking once more finds that out.
        for _ in range(2):
            try:
                response = self._adapter.request(
                    method, f"/v1/{path}", raise_exception=False, json=body, params=query
                )
            except requests.exceptions.SSLError:
                raise Unreachable(
                    f"the certificate of Vault at {self.url} is not trusted",
                    next_step="name the file of its CA under vault.ca in tce.toml",
                ) from None
            except requests.ConnectionError:
                continue
            except requests.RequestException:
                return None
            assert isinstance(response, requests.Response)
            return response
        return None
