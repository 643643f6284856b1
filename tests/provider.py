"""A provider of single sign-on for tests: OpenID Connect by code flow over loopback, and a browser by script.

It speaks the real protocol (discovery, keys, authorization, token) and signs with RS256; whoever is named in
``signs_on`` is signed on without any question. It can be told to misbehave.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID = "key-server"
CLIENT_SECRET = "the secret of the key server"


@dataclass
class Provider:
    """A running provider. ``groups`` are what it says of a person; ``refuses`` ends every sign-on with an error."""

    issuer: str
    signs_on: str = ""
    groups: dict[str, list[str]] = field(default_factory=dict)
    refuses: bool = False
    wrong_state: bool = False
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def browser(self, address: str) -> None:
        """Open an address and follow where it leads, as a browser does."""
        requests.get(address, timeout=30)

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def keys(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": _text(n), "e": _text(b"\1\0\1")}
        return {"keys": [key]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser goes next."""
        state = "another" if self.wrong_state else asked["state"]
        if self.refuses:
            answer = {"error": "access_denied", "state": state}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = (self.signs_on, asked["nonce"])
            answer = {"code": code, "state": state}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def token(self, code: str) -> dict[str, Any]:
        person, nonce = self.codes.pop(code)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": person,
            "nonce": nonce,
            "groups": self.groups.get(person, []),
            "iat": now,
            "exp": now + 60,
        }
        head = _text(json.dumps({"alg": "RS256", "kid": "1"}).encode())
        signed = f"{head}.{_text(json.dumps(claims).encode())}"
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "id_token": f"{signed}.{_text(signature)}",
        }


@contextmanager
def a_provider() -> Iterator[Provider]:
    """A provider on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            if where.path == "/authorize":
                asked = {key: values[0] for key, values in parse_qs(where.query).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(asked))
                self.end_headers()
            else:
                self._say(provider.keys() if where.path == "/keys" else provider.discovery())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            known = self.headers.get("Authorization", "").removeprefix("Basic ")
            name, _, secret = base64.b64decode(known).decode().replace("+", " ").partition(":")
            if (name, secret) != (CLIENT_ID, CLIENT_SECRET):
                self.send_error(401)
                return
            self._say(provider.token(parse_qs(body)["code"][0]))

        def _say(self, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
