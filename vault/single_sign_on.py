"""Login by single sign-on: the person's browser goes to the provider and comes back to a listener on this machine.

::

    tce ── auth_url ──► key server            the server makes state and nonce
    browser ── address ──► provider           the person signs on there
    browser ── code, state ──► tce (loopback) RFC 8252 7.3
    tce ── code, state ──► key server         the server redeems the code and checks the token of the provider

The program sees a code that only the key server can redeem, and no token of the provider. OpenID Connect Core 3.1.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from vault import second_factor
from vault.client import Client
from vault.errors import BadAnswer, Forbidden, LoginFailed, NotFound
from vault.methods import Proof
from vault.secrecy import Secret

WAIT_SECONDS = 300.0
_AGAIN = "begin again, and sign on in the browser within five minutes"


def log_in(
    url: str,
    mount: str,
    redirect_uri: str,
    *,
    show: Callable[[str], None],
    role: str = "",
    codes: second_factor.Codes = second_factor.no_codes,
    ca: Path | None = None,
    namespace: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> Client:
    """Return a client of whoever signs on; ``show`` is given the address to open in a browser.

    ``redirect_uri`` is an address of this machine with a port. An empty ``role`` is the method's default. Whose client
    it is, is asked of it (:meth:`Client.whoami`). Raises LoginFailed.
    """
    nonce = secrets.token_urlsafe(24)
    with _listening(redirect_uri) as arrival:
        address = _address(
            Client(url, token=Secret(""), ca=ca, namespace=namespace), mount, role, redirect_uri, nonce
        )
        show(address)
        came = arrival(wait_seconds)
    expected = parse_qs(urlsplit(address).query).get("state", [""])[0]
    if not came.get("code") or not secrets.compare_digest(came.get("state", ""), expected):
        raise LoginFailed("the sign-on was not completed", next_step=_AGAIN)
    query = {"state": expected, "code": came["code"], "client_nonce": nonce}
    proof = Proof(f"auth/{mount}/oidc/callback", query=query)
    return Client.login_person(url, proof, codes=codes, ca=ca, namespace=namespace)


def _address(client: Client, mount: str, role: str, redirect_uri: str, nonce: str) -> str:
    asked = {"role": role, "redirect_uri": redirect_uri, "client_nonce": nonce}
    try:
        address = client.write(f"auth/{mount}/oidc/auth_url", asked).get("auth_url")
    except (BadAnswer, Forbidden, NotFound):
        address = None
    if not isinstance(address, str) or not address:
        raise LoginFailed(
            "the key server offers no single sign-on that comes back to this machine",
            next_step="run tce vault provision, and compare people.oidc with what the provider has registered",
        )
    return address


@contextmanager
def _listening(redirect_uri: str) -> Iterator[Callable[[float], Mapping[str, str]]]:
    """Listen on the loopback interface for one visit; what is yielded waits for it and returns its query."""
    where = urlsplit(redirect_uri)
    came: dict[str, str] = {}
    arrived = threading.Event()

    class Visit(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path != where.path or arrived.is_set():
                self.send_error(404)
                return
            came.update({key: values[0] for key, values in parse_qs(asked.query).items()})
            words = "You are signed on. Go back to the terminal." if "code" in came else "The sign-on failed."
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(words.encode())
            arrived.set()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the address holds a code."""

    try:
        server = HTTPServer(("127.0.0.1", where.port or 80), Visit)
    except OSError:
        raise LoginFailed(
            f"port {where.port} of this machine is taken, and the browser would come back to it",
            next_step="end what listens there, or set another people.oidc.port and register it at the provider",
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()

    def wait(seconds: float) -> Mapping[str, str]:
        arrived.wait(seconds)
        return came

    try:
        yield wait
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
