"""What is refused for lack of approval is said once, with what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import loader
from tce.approvals_desk import Desk
from tce.errors import NotApproved
from tce.shelf import Shelf
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of

pytestmark = pytest.mark.vault


def test_the_refusal_of_an_altered_policy_names_it_once(
    embedded_site_vault: SiteVault, tmp_path: Path
) -> None:
    """Who altered an approved policy reads that it is not the approved text, and the name of it once."""
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site)
    desk, shelf = Desk(site), Shelf(site.policies_dir)
    shelved = shelf.put(loader.library_text("basic"))
    desk.submit_policy(shelved, "alice")
    desk.approve_policy(shelved, "bob", days=1)
    desk.require_policy(shelved)
    shelved.path.write_text(shelved.path.read_text().replace("title: ", "title: Altered "))
    with pytest.raises(NotApproved) as refused:
        desk.require_policy(shelf.find("basic"))
    assert refused.value.what.count("basic") == 1
    assert "not the text that was approved" in refused.value.what
