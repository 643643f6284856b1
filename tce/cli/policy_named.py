"""Which policy a person means on the command line: a file, one of the site's shelf, or a shipped one."""

from __future__ import annotations

from pathlib import Path

from policies import loader
from policies.model import Policy
from tce.cli.session import Session
from tce.config import Site
from tce.shelf import Shelf


def named(run: Session, wanted: str) -> Policy:
    """Return a policy by file, from the shelf or from the library. It need not be approved."""
    if wanted.endswith((".yaml", ".yml")):
        return loader.load(Path(wanted))
    shelf = Shelf(Site(run.home).policies_dir)
    name = wanted.partition("@")[0]
    on_shelf = any(one.policy.name == name for one in shelf.all())
    return (
        loader.load_library(wanted)
        if not on_shelf and wanted in loader.library()
        else shelf.find(wanted).policy
    )
