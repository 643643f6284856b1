"""Nothing comes in by a policy that is not of stage 1, not approved here, or not among those that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import loader
from tce import config
from tce.approvals_desk import Desk
from tce.config import Site
from tce.errors import Refused
from tce.known_policies import that_let_in, to_check_by
from tce.shelf import Shelf, renamed
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of

pytestmark = pytest.mark.vault


@pytest.fixture
def site(embedded_site_vault: SiteVault, tmp_path: Path) -> Site:
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site, embedded_site_vault.service("operator"))
    return site


def approve(site: Site, text: str) -> Path:
    shelved = Shelf(site.policies_dir).put(text)
    Desk(site).submit_policy(shelved, "alice")
    Desk(site).approve_policy(shelved, "bob", days=1)
    return shelved.path


def names(site: Site) -> list[str]:
    return [one.name for one in that_let_in(site)]


def test_only_approved_policies_of_stage_one_let_in(site: Site) -> None:
    """None at first; then the one that is approved, until its text is changed; stage 2 never."""
    stage_1 = loader.library_text("pseudonymization")
    Shelf(site.policies_dir).put(renamed(stage_1, "draft", "1"))
    approve(site, loader.library_text("basic"))
    with pytest.raises(Refused, match="no policy of stage 1 is known") as refusal:
        that_let_in(site)
    assert refusal.value.next_step
    path = approve(site, stage_1)
    assert names(site) == ["pseudonymization 1"]
    path.write_text(stage_1.replace("  - retain-institution-identity\n", ""))
    with pytest.raises(Refused):
        that_let_in(site)
    path.write_text(stage_1)
    Desk(site).withdraw_policy(Shelf(site.policies_dir).find("pseudonymization"), "bob", reason="x")
    with pytest.raises(Refused):
        that_let_in(site)


def test_the_settings_may_narrow_it(site: Site) -> None:
    """Of two approved policies, only the one that the settings name lets in."""
    stage_1 = loader.library_text("pseudonymization")
    approve(site, stage_1)
    approve(site, renamed(stage_1, "other", "2"))
    assert names(site) == ["other 2", "pseudonymization 1"]
    narrowed = site.settings.model_copy(
        update={"media": site.settings.media.model_copy(update={"known_stage_one": ("other@2",)})}
    )
    config.save(narrowed, site.settings_path)
    assert names(Site(site.home)) == ["other 2"]


def test_a_check_may_ask_by_any_policy(site: Site) -> None:
    """A check lets nothing in, so that a draft can be asked by."""
    Shelf(site.policies_dir).put(loader.library_text("basic"))
    assert [one.name for one in to_check_by(site, "basic")] == ["basic 1"]
    assert to_check_by(site) == []
