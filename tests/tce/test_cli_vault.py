"""``tce vault provision`` at a key server of the site's own, with the operator's login and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tce.cli import main
from tce.config import PeopleSettings, Settings, VaultSettings, save
from tests.conftest import SiteVault
from vault.trust import Trust


@pytest.mark.vault
def test_provisioning_needs_no_login_but_the_operator_s(
    embedded_site_vault: SiteVault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run ends well and leaves the public keys, before any other service has a login here."""
    people = PeopleSettings(
        coordinators=("alice",), approvers=("bob",), custodians=("carol", "dave", "erin"), auditors=("grace",)
    )
    server = VaultSettings(mode="server", address=embedded_site_vault.url)
    save(Settings(people=people, vault=server), tmp_path / "tce.toml")
    roles = tmp_path / "vault" / "roles"
    roles.mkdir(parents=True)
    shutil.copy(embedded_site_vault.home / "roles" / "operator.json", roles)
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path), "vault", "provision"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert Trust.load(tmp_path / "trust.json")
