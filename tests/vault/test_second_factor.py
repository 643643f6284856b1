"""Tests of the second factor: a real server makes it, asks for the code, and takes each code once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import PEOPLE, SiteVault
from vault.client import Client
from vault.enrolment import enrol_person
from vault.errors import BadRequest, CodeRefused, Forbidden, LoginFailed, NotFound
from vault.methods import USERPASS, Proof
from vault.provision import provision_embedded
from vault.roles import Role, SitePlan
from vault.second_factor import ENFORCEMENT, PERIOD_SECONDS, address_of, code_at, codes_of
from vault.secrecy import Secret
from vault.server import EmbeddedServer

PLAN = SitePlan(PEOPLE, second_factor=frozenset({Role.APPROVER, Role.CUSTODIAN}))

# RFC 6238 appendix B, SHA-1, the last six digits; the secret is the ASCII text 12345678901234567890.
RFC_SECRET = Secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
RFC_CODES = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    20000000000: "353130",
}


@pytest.mark.parametrize(("seconds", "code"), RFC_CODES.items())
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    """A kept secret gives the codes that every authenticator gives."""
    assert code_at(RFC_SECRET, seconds // PERIOD_SECONDS) == Secret(code)


def test_the_address_names_site_and_person() -> None:
    """An authenticator shows for whom the code is, also where names have blanks."""
    address = urlsplit(address_of(RFC_SECRET, site="trial site", person="carol").reveal())
    assert (address.scheme, address.netloc, address.path) == ("otpauth", "totp", "/trial%20site:carol")
    assert parse_qs(address.query)["secret"] == [RFC_SECRET.reveal()]
    assert parse_qs(address.query)["issuer"] == ["trial site"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteVault]:
    """A site in which approvers and custodians need a second factor; nobody has one yet."""
    server = EmbeddedServer(tmp_path_factory.mktemp("codes") / "vault")
    try:
        provision_embedded(server, PLAN)
        yield SiteVault(server.home, server, PLAN)
    finally:
        server.stop()


def log_in(site: SiteVault, name: str, *codes: Secret[str]) -> Client:
    password = site.credentials.password(name)
    assert password is not None
    proof = Proof(USERPASS.login_path(name), {"password": password.reveal()})
    return Client.login_person(site.url, proof, codes=lambda: codes)


def now() -> int:
    return int(time.time() // PERIOD_SECONDS)


@pytest.mark.vault
def test_without_a_second_factor_nobody_who_needs_one_gets_in(site: SiteVault) -> None:
    """Who was not enrolled is told so, whatever code is given; who needs none logs in by password."""
    with pytest.raises(LoginFailed, match="has none yet") as refused:
        log_in(site, "erin", Secret("123456"))
    assert "enrol-person" in refused.value.next_step
    assert log_in(site, "alice").whoami() == "alice"


@pytest.mark.vault
def test_password_and_code_together_log_in(site: SiteVault) -> None:
    """The password alone does not do, a wrong code does not, a code counts once, the next one does."""
    secret = enrol_person(site.service("operator"), "carol")
    with pytest.raises(LoginFailed, match="second factor, and none was given"):
        log_in(site, "carol")
    step = now()
    wrong = Secret(f"{(int(code_at(secret, step).reveal()) + 1) % 1_000_000:06d}")
    with pytest.raises(CodeRefused) as refused:
        log_in(site, "carol", wrong)
    assert "clock" in refused.value.next_step and "counts once" in refused.value.next_step
    assert wrong.reveal() not in refused.value.what + refused.value.next_step
    assert log_in(site, "carol", code_at(secret, step)).whoami() == "carol"
    with pytest.raises(CodeRefused):
        log_in(site, "carol", code_at(secret, step))
    assert log_in(site, "carol", code_at(secret, step + 1)).whoami() == "carol"


@pytest.mark.vault
def test_guessing_is_stopped(site: SiteVault) -> None:
    """After a few wrong codes also the right one waits, and the person is told to wait."""
    secret = enrol_person(site.service("operator"), "dave")
    wrong = Secret("x" * 6)
    for _ in range(5):
        with pytest.raises(CodeRefused):
            log_in(site, "dave", wrong)
    with pytest.raises(LoginFailed, match="too many wrong codes") as refused:
        log_in(site, "dave", code_at(secret, now()))
    assert "wait" in refused.value.next_step


@pytest.mark.vault
def test_a_kept_secret_stands_for_the_authenticator(site: SiteVault) -> None:
    """A demonstration logs in again and again without anybody typing, though each code counts once."""
    site.credentials.keep_second_factor("bob", enrol_person(site.service("operator"), "bob"))
    assert [site.person("bob").whoami() for _ in range(2)] == ["bob", "bob"]
    kept = Path(site.home, "people", "bob.totp")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_codes_are_tried_in_the_order_of_their_time() -> None:
    """The oldest code that counts goes first, so that three are left for logins that follow at once."""
    codes, step = codes_of(RFC_SECRET), now()
    found = [next(codes) for _ in range(3)]
    assert any(found == [code_at(RFC_SECRET, at + n) for n in (-1, 0, 1)] for at in (step, step + 1))


@pytest.mark.vault
def test_the_operator_makes_a_second_factor_once(site: SiteVault) -> None:
    """Nobody who works with the operator's login can put an own authenticator in the place of a person's."""
    first = enrol_person(site.service("operator"), "erin")
    with pytest.raises(BadRequest, match="has a second factor already") as refused:
        enrol_person(site.service("operator"), "erin")
    assert "--again" in refused.value.next_step
    with pytest.raises(Forbidden):
        enrol_person(site.service("operator"), "erin", again=True)
    assert log_in(site, "erin", code_at(first, now())).whoami() == "erin"
    second = enrol_person(site.service("provisioner"), "erin", again=True)
    assert second != first
    with pytest.raises(CodeRefused):
        log_in(site, "erin", code_at(first, now() + 1))


@pytest.mark.vault
def test_nobody_reads_or_takes_away_the_own_second_factor(site: SiteVault) -> None:
    """A session that was left open cannot make an authenticator for later, nor end the demand for one."""
    for who in ("alice", "carol"):
        client = log_in(site, who) if who == "alice" else _any_session(site, who)
        for path in (
            "identity/mfa/method/totp/generate",
            "identity/mfa/method/totp/admin-generate",
            "identity/mfa/method/totp/admin-destroy",
            ENFORCEMENT,
        ):
            with pytest.raises(Forbidden):
                client.write(path, {})


def _any_session(site: SiteVault, name: str) -> Client:
    secret = enrol_person(site.service("provisioner"), name, again=True)
    return log_in(site, name, code_at(secret, now()))


@pytest.mark.vault
def test_a_stranger_gets_no_second_factor(site: SiteVault) -> None:
    """Only who is a person of the site can be enrolled."""
    with pytest.raises(NotFound):
        enrol_person(site.service("operator"), "mallory")


@pytest.mark.vault
def test_the_demand_is_put_back_and_ends_with_the_setting(site: SiteVault) -> None:
    """Provisioning again changes nothing; whom somebody took off the list is put back; without the setting it ends."""
    assert provision_embedded(site.server, PLAN) == []
    provisioner = site.service("provisioner")
    before = provisioner.required(ENFORCEMENT)
    kept = before["identity_entity_ids"][:1]
    provisioner.write(ENFORCEMENT, {"mfa_method_ids": before["mfa_method_ids"], "identity_entity_ids": kept})
    [change] = provision_embedded(site.server, PLAN)
    assert (change.path, change.difference) == (ENFORCEMENT, "~ identity_entity_ids")
    assert sorted(provisioner.required(ENFORCEMENT)["identity_entity_ids"]) == sorted(
        before["identity_entity_ids"]
    )
    try:
        [change] = provision_embedded(site.server, SitePlan(PEOPLE))
        assert change.what == "second factor, no longer asked for"
        assert log_in(site, "dave").whoami() == "dave"
        with pytest.raises(
            BadRequest, match="already"
        ):  # the authenticator is still there when it is demanded again
            enrol_person(provisioner, "dave")
    finally:
        provision_embedded(site.server, PLAN)
