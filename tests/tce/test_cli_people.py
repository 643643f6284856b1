"""``tce vault`` as far as it is about people: the second factor of a new site, logins, and what provisioning tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tce import site as sites
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.logins import Logins
from vault.client import Client
from vault.errors import LoginFailed
from vault.roles import Service, policy_text
from vault.second_factor import code_at
from vault.secrecy import Secret
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A new site with the settings that every new site has."""
    site = sites.make(tmp_path_factory.mktemp("people"))
    try:
        yield site
    finally:
        EmbeddedServer(site.vault_home).stop()


Tce = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tce(site: Site, capsys: pytest.CaptureFixture[str]) -> Tce:
    """Run a command of the site; its exit status, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(site.home), *words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def secret_shown(out: str) -> Secret[str]:
    return Secret(parse_qs(urlsplit(out.strip()).query)["secret"][0])


def code_now(secret: Secret[str], steps: int = 0) -> str:
    return code_at(secret, int(time.time() // 30) + steps).reveal()


def test_a_second_factor_is_shown_once_and_kept_nowhere(site: Site, tce: Tce) -> None:
    """The person takes it into an authenticator; the site, the key server's logs and the trail do not have it."""
    status, out, err = tce("vault", "enrol-person", "custodian-a")
    assert status == 0 and out.startswith("otpauth://totp/site:custodian-a?") and "shown once" in err
    secret = secret_shown(out)
    for file in site.home.rglob("*"):
        if file.is_file():
            assert secret.reveal().encode() not in file.read_bytes(), file.name
    status, out, err = tce("vault", "enrol-person", "custodian-a")
    assert status == 1 and "--again" in err and "otpauth" not in out + err
    told = [one for one in Trail(site.audit_trail).records() if one.event == "vault.person-enrolled"]
    assert [(one.detail["person"], one.outcome) for one in told] == [("custodian-a", 0), ("custodian-a", 4)]


def test_the_code_is_taken_from_the_environment_or_the_terminal(site: Site, tce: Tce) -> None:
    """Whoever works at a terminal is asked, a script sets TCE_CODE; without either the refusal names both ways."""
    _, out, _ = tce("vault", "enrol-person", "custodian-b")
    secret = secret_shown(out)
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        shown = code_now(secret)
        return f"{shown[:3]} {shown[3:]}"  # as authenticators show it

    assert Logins(site, {}, ask).person("custodian-b").whoami() == "custodian-b"
    assert asked == ["Code of custodian-b's authenticator: "]
    environment = {"TCE_CODE": code_now(secret, 1)}
    assert Logins(site, environment, lambda prompt: "").person("custodian-b").whoami() == "custodian-b"
    with pytest.raises(LoginFailed) as refused:
        Logins(site, {}, lambda prompt: "").person("custodian-b")
    assert "TCE_CODE" in refused.value.next_step and "terminal" in refused.value.next_step


def test_one_login_serves_many_commands(site: Site, tce: Tce, monkeypatch: pytest.MonkeyPatch) -> None:
    """`vault login` prints a token into a program; with it the person is asked for nothing more."""
    _, out, _ = tce("vault", "enrol-person", "approver", "--keep")
    assert "otpauth" not in out and (site.vault_home / "people" / "approver.totp").exists()
    status, token, _ = tce("--as", "approver", "vault", "login")
    assert status == 0
    assert Client(Logins(site).url(), token=Secret(token.strip())).whoami() == "approver"
    monkeypatch.setenv("VAULT_TOKEN", token.strip())
    kept = site.vault_home / "people" / "approver.password"
    hidden = kept.rename(kept.with_suffix(".hidden"))
    try:
        assert tce("vault", "status", "--json")[0] == 0
        assert tce("--as", "approver", "vault", "status")[0] == 0
    finally:
        hidden.rename(kept)


def test_a_token_is_not_shown_on_a_screen(tce: Tce, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the output is a terminal, nothing is printed and nobody is logged in."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    status, out, err = tce("--as", "approver", "vault", "login")
    assert (status, out) == (1, "") and "VAULT_TOKEN" in err


def test_a_lost_authenticator_is_replaced(site: Site, tce: Tce) -> None:
    """`--again` gives a new one, ends the old one, and a secret that the site kept of the old one goes with it."""
    tce("vault", "enrol-person", "approver", "--again", "--keep")
    kept = site.vault_home / "people" / "approver.totp"
    old = Secret(kept.read_text().strip())
    status, out, _ = tce("vault", "enrol-person", "approver", "--again")
    assert status == 0 and not kept.exists()
    with pytest.raises(LoginFailed):
        Logins(site, {"TCE_CODE": code_now(old)}).person("approver")
    environment = {"TCE_CODE": code_now(secret_shown(out))}
    assert Logins(site, environment).person("approver").whoami() == "approver"


def test_a_stranger_is_not_enrolled(tce: Tce) -> None:
    """Only who stands in tce.toml gets a second factor."""
    status, _, err = tce("vault", "enrol-person", "mallory")
    assert status == 1 and "mallory is nobody known to this site" in err


def test_provisioning_tells_line_by_line(site: Site, tce: Tce) -> None:
    """A right that somebody added is shown before it is taken back; then there is nothing to do."""
    path = "sys/policies/acl/tce-auditor"
    added = 'path "custody/decrypt/+" { capabilities = ["update"] }'
    provisioner = Logins(site).service(Service.PROVISIONER)
    provisioner.write(path, {"policy": f"{policy_text('auditor')}{added}\n"})
    _, out, _ = tce("vault", "provision", "--dry-run")
    assert out.splitlines() == [f"would write policy: {path}", f"    -{added}"]
    assert added in (provisioner.read(path) or {})["policy"]
    _, out, _ = tce("vault", "provision")
    assert out.splitlines() == [f"wrote policy: {path}", f"    -{added}"]
    _, out, _ = tce("vault", "provision")
    assert out == "nothing to do: the Vault is as tce.toml says\n"


def test_policies_are_written_for_review(site: Site, tce: Tce, tmp_path: Path) -> None:
    """The files can be reviewed before anything runs, also where there is no key server yet."""
    status, out, _ = tce("vault", "provision", "--write-policies", str(tmp_path / "review"))
    assert status == 0 and "tce-custodian.hcl" in out
    assert (tmp_path / "review" / "tce-custodian.hcl").read_text() == policy_text("custodian")


def test_people_cannot_have_one_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One human in two roles is refused by name before the key server is asked."""
    settings = Settings().model_dump()
    settings["people"]["login"] = "ldap"
    settings["people"]["login_names"] = {"coordinator": "a.meier", "approver": "a.meier"}
    save(Settings.model_validate(settings), tmp_path / "tce.toml")
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path), "vault", "provision"])
    assert ended.value.code == 1
    assert "approver and coordinator have one login" in capsys.readouterr().err
    assert not (tmp_path / "vault").exists()
