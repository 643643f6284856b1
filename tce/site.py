"""Making a site: folder, settings, embedded Vault with keys and people, public keys, the policy of stage 1.

Every step looks first whether it is done, so a site that was begun and not finished is finished by the same
command, and a finished one is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from policies import loader
from tce import config
from tce.audit.journal import Journal
from tce.config import Settings, Site
from tce.logins import Logins, plan_of
from tce.shelf import Shelf
from vault.client import Client
from vault.provision import provision_embedded
from vault.roles import Service
from vault.trust import read_trust

STAGE_ONE_POLICY = "pseudonymization"


def make(
    home: Path, settings: Settings | None = None, *, told: Callable[[str], None] = lambda step: None
) -> Site:
    """Make a site, or finish one; ``told`` is given each step before it is done.

    ``settings`` are written only where there is no ``tce.toml`` yet. Raises ConfigFault for faulty settings,
    BadPlan for people who would not keep custody apart, and what the server raises.
    """
    site = Site(home)
    # 1. The folder, for its owner only, and its settings.
    site.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = not site.settings_path.exists()
    if fresh:
        told("settings")
        config.save(settings or Settings(), site.settings_path)
    plan = plan_of(site)
    for folder in (site.policies_dir, site.cases_dir, site.releases_dir):
        folder.mkdir(exist_ok=True)
    # 2. The embedded Vault, with the keys, rights, services and people of the settings.
    logins = Logins(site)
    changes = 0
    if logins.embedded:
        told("key server, keys, services and people (about ten seconds at first)")
        changes = len(provision_embedded(logins.server, plan))
        # 3. Public keys, for proofs without the Vault.
        told("public keys")
        export_trust(site, logins.service(Service.OPERATOR))
    # 4. The policy that pseudonymizes here, to be read, edited and approved.
    shelf = Shelf(site.policies_dir)
    if not any(one.policy.name == STAGE_ONE_POLICY for one in shelf.all()):
        told("policy of stage 1")
        shelf.put(loader.library_text(STAGE_ONE_POLICY))
    # 5. The trail begins.
    journal = Journal(site)
    if fresh or not site.audit_trail.exists():
        journal.record("site.made")
    if changes:
        journal.record("vault.provisioned", detail={"changes": str(changes)})
    return site


def export_trust(site: Site, client: Client) -> None:
    """Write the public keys of authors, approvers and the release key to ``trust.json``; anybody may read them."""
    read_trust(client).save(site.trust_path)
