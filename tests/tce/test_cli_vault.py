"""``tce vault`` at a key server of the site's own: provisioning, enrolment of services, and what roles may do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tce.cli import main
from tce.config import Settings, VaultSettings, save
from tce.people import PeopleSettings
from tests.conftest import SiteVault
from vault.roles import policy_text
from vault.trust import Trust


def people_of_the_session() -> PeopleSettings:
    """Those of the session's key server, who need no second factor."""
    return PeopleSettings(
        coordinators=("alice",),
        approvers=("bob",),
        custodians=("carol", "dave", "erin"),
        auditors=("grace",),
        second_factor=(),
    )


@pytest.mark.vault
def test_provisioning_needs_no_login_but_the_provisioner_s(
    embedded_site_vault: SiteVault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run ends well and leaves the public keys, before any other service has a login here."""
    people = people_of_the_session()
    server = VaultSettings(mode="server", address=embedded_site_vault.url)
    save(Settings(people=people, vault=server), tmp_path / "tce.toml")
    roles = tmp_path / "vault" / "roles"
    roles.mkdir(parents=True)
    shutil.copy(embedded_site_vault.home / "roles" / "provisioner.json", roles)
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path), "vault", "provision"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert Trust.load(tmp_path / "trust.json")


@pytest.mark.vault
def test_an_administrator_provisions_by_a_token(
    embedded_site_vault: SiteVault,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a Vault of the site's own no login that may give rights has to lie in the site, and none is left there."""
    monkeypatch.setenv("VAULT_ADDR", embedded_site_vault.url)
    a_site_at(embedded_site_vault, tmp_path)
    assert run("--home", str(tmp_path), "vault", "provision") == 1
    assert "tce vault enrol provisioner" in capsys.readouterr().err
    token = embedded_site_vault.service("provisioner").token().reveal()
    monkeypatch.setenv("VAULT_TOKEN", token)
    assert run("--home", str(tmp_path), "vault", "provision") == 0
    assert Trust.load(tmp_path / "trust.json")
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes()


def a_site_at(vault: SiteVault, home: Path, *services: str) -> None:
    people = people_of_the_session()
    save(Settings(people=people, vault=VaultSettings(mode="server")), home / "tce.toml")
    roles = home / "vault" / "roles"
    roles.mkdir(parents=True)
    for service in services:
        shutil.copy(vault.home / "roles" / f"{service}.json", roles)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def wrapped(embedded_site_vault: SiteVault) -> tuple[str, str]:
    """The role_id of the manager, and a wrapping token of its secret, as an administrator makes them."""
    path = "auth/approle/role/tce-manager"
    provisioner = embedded_site_vault.service("provisioner")
    answer = provisioner._adapter.request("post", f"/v1/{path}/secret-id", json={}, wrap_ttl="1h").json()
    role_id = (provisioner.read(f"{path}/role-id") or {})["role_id"]
    return str(role_id), str(answer["wrap_info"]["token"])


@pytest.mark.vault
def test_a_wrapped_secret_is_opened_once(
    embedded_site_vault: SiteVault,
    wrapped: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who opens it first has the login; who comes second is told that somebody else was there."""
    role_id, token = wrapped
    monkeypatch.setenv("VAULT_ADDR", embedded_site_vault.url)
    monkeypatch.setenv("TCE_WRAPPED", token)
    a_site_at(embedded_site_vault, tmp_path)
    assert run("--home", str(tmp_path), "vault", "enrol", "manager", "--role-id", role_id) == 0
    assert (tmp_path / "vault" / "roles" / "manager.json").stat().st_mode & 0o777 == 0o600
    assert run("--home", str(tmp_path), "vault", "status") == 0
    assert run("--home", str(tmp_path), "vault", "enrol", "manager", "--role-id", role_id) == 1
    told = capsys.readouterr()
    assert "was used already" in told.err
    assert token not in told.out + told.err


@pytest.mark.vault
def test_the_secret_of_another_role_is_not_opened(
    embedded_site_vault: SiteVault,
    wrapped: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret that was exchanged on the way is refused, and stays unopened."""
    role_id, token = wrapped
    monkeypatch.setenv("VAULT_ADDR", embedded_site_vault.url)
    monkeypatch.setenv("TCE_WRAPPED", token)
    a_site_at(embedded_site_vault, tmp_path)
    assert run("--home", str(tmp_path), "vault", "enrol", "pseudonymizer", "--role-id", role_id) == 1
    assert "not one of the service pseudonymizer" in capsys.readouterr().err
    assert run("--home", str(tmp_path), "vault", "enrol", "manager", "--role-id", role_id) == 0


@pytest.mark.vault
def test_status_warns_of_rights_that_are_too_much(
    embedded_site_vault: SiteVault,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an administrator added to a role is told by name, and fails the check."""
    monkeypatch.setenv("VAULT_ADDR", embedded_site_vault.url)
    a_site_at(embedded_site_vault, tmp_path, "manager")
    provisioner, path = embedded_site_vault.service("provisioner"), "sys/policies/acl/tce-manager"
    more = policy_text("manager") + '\npath "identifiers/hmac/+/sha2-256" { capabilities = ["update"] }\n'
    provisioner.write(path, {"policy": more})
    try:
        assert run("--home", str(tmp_path), "vault", "status") == 1
    finally:
        provisioner.write(path, {"policy": policy_text("manager")})
    assert "WARNING manager may derive pseudonyms of stage 1" in capsys.readouterr().out


def test_a_site_that_names_no_vault_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address in the settings and in the environment the next step names both."""
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    monkeypatch.setenv("VAULT_TOKEN", "s.any")
    save(Settings(vault=VaultSettings(mode="server")), tmp_path / "tce.toml")
    assert run("--home", str(tmp_path), "--as", "custodian-a", "vault", "status") == 1
    assert "VAULT_ADDR" in capsys.readouterr().err
