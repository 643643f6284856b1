"""People of an embedded site act with what they have: a token of their own, a password of their own, or the file."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tce import site as sites
from tce.audit.trail import Trail
from tce.cli.session import Session
from tce.config import Site
from tce.errors import NotAllowed
from tce.logins import Logins, ServiceSession
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of
from vault.errors import LoginFailed, Unreachable
from vault.roles import Service
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault


@pytest.fixture
def site(embedded_site_vault: SiteVault, tmp_path: Path) -> Site:
    """A site whose key server is the session's."""
    return a_site_of(embedded_site_vault, tmp_path)


@pytest.fixture
def erin_s_password(embedded_site_vault: SiteVault) -> Iterator[str]:
    """The password of erin, who has removed its file."""
    file = embedded_site_vault.home / "people" / "erin.password"
    hidden = file.rename(file.with_suffix(".hidden"))
    yield hidden.read_text().strip()
    hidden.rename(file)


def token_of(vault: SiteVault, name: str, password: str = "") -> str:
    kept = vault.credentials.password(name)
    body = {"password": password or (kept.reveal() if kept else "")}
    answer = requests.post(f"{vault.url}/v1/auth/userpass/login/{name}", json=body, timeout=30).json()
    return str(answer["auth"]["client_token"])


def never(prompt: str) -> str:
    raise AssertionError("nobody is to be asked")


def answers(text: str) -> Callable[[str], str]:
    return lambda prompt: text


def test_a_token_is_used_before_the_file(
    site: Site, embedded_site_vault: SiteVault, erin_s_password: str
) -> None:
    """Who brings VAULT_TOKEN acts with that token, also without any password here."""
    logins = Logins(site, {"VAULT_TOKEN": token_of(embedded_site_vault, "erin", erin_s_password)}, never)
    assert logins.person("erin").whoami() == "erin"


def test_a_token_of_somebody_else_is_refused(site: Site, embedded_site_vault: SiteVault) -> None:
    """--as and VAULT_TOKEN must name one person; the refusal is on record."""
    logins = Logins(site, {"VAULT_TOKEN": token_of(embedded_site_vault, "bob")}, never)
    with pytest.raises(NotAllowed, match="VAULT_TOKEN"):
        logins.person("alice")
    logins = [one for one in Trail(site.audit_trail).records() if one.event == "login"]
    assert [(one.actor, one.outcome) for one in logins] == [("alice", 8)]


def test_who_brings_a_token_need_not_say_the_name(
    site: Site, embedded_site_vault: SiteVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token says who acts; the role is asked for all the same."""
    monkeypatch.setenv("VAULT_TOKEN", token_of(embedded_site_vault, "bob"))
    assert Session(site.home).acting("approver", "approving") == "bob"
    with pytest.raises(NotAllowed, match="bob is an approver"):
        Session(site.home).acting("custodian", "a request")


@pytest.mark.parametrize("way", ["TCE_PASSWORD", "terminal"])
def test_a_password_that_is_not_kept_is_taken_from_the_person(
    site: Site, erin_s_password: str, way: str
) -> None:
    """Without the file the person gives the password, by the environment or at the terminal."""
    environment = {"TCE_PASSWORD": erin_s_password} if way == "TCE_PASSWORD" else {}
    ask = never if environment else answers(erin_s_password)
    assert Logins(site, environment, ask).person("erin").whoami() == "erin"


def test_a_wrong_password_is_refused_on_record(site: Site, erin_s_password: str) -> None:
    """What was given does not appear in the refusal."""
    with pytest.raises(LoginFailed) as caught:
        Logins(site, {"TCE_PASSWORD": f"not {erin_s_password}"}, never).person("erin")
    assert erin_s_password not in caught.value.what + caught.value.next_step
    logins = [one for one in Trail(site.audit_trail).records() if one.event == "login"]
    assert [one.detail["refusal"] for one in logins] == ["LoginFailed"]


def test_a_service_follows_its_server_and_never_starts_it(tmp_path: Path) -> None:
    """A process that runs for months finds the server again when it comes back at another port."""
    site = sites.make(tmp_path)
    server = EmbeddedServer(site.vault_home)
    try:
        session = ServiceSession(Logins(site), Service.MANAGER)
        before = session.client()
        assert session.client() is before
        server.stop()
        with pytest.raises(Unreachable):
            session.client().read("auth/token/lookup-self")
        assert not server.status().running
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", urlsplit(before.url).port or 0))
            stranger.listen()
            assert server.start().url != before.url
            assert session.client().read("auth/token/lookup-self") is not None
    finally:
        server.stop()


def test_nobody_is_asked_where_there_is_no_terminal(
    site: Site, erin_s_password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script gets an answer, not a question that waits for ever."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(LoginFailed) as caught:
        Logins(site, {}).person("erin")
    assert "TCE_PASSWORD" in caught.value.next_step and "VAULT_TOKEN" in caught.value.next_step
