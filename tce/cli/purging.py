"""A purge at the command line: first what would go, and only when that is wanted, gone. The same for both spools."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tce.cli.session import Session
from tce.exports import Exports
from tce.lulls import carry_out
from tce.purging import Purge
from tce.retention import Rules
from tce.spool import Spool

YesOption = Annotated[bool, typer.Option("--yes", help="Purge. Without it, only say what would go.")]


def purge(
    run: Session, index: Exports, spool: Spool, rules: Rules, *, yes: bool, as_json: bool, command: str
) -> None:
    """Show what the rules name, and remove it if ``yes``; ``command`` is what removes it otherwise."""
    pages = carry_out(index, spool, rules) if yes else [index.would_purge(rules)]
    found = [one for page in pages for one in page]
    run.table([_row(one) for one in found], as_json=as_json, empty="the rules name nothing that could go")
    if found and not yes and not as_json:
        run.say(f"nothing was removed; to remove it: {command} --yes")


def _row(purge: Purge) -> dict[str, Any]:
    return {
        "rule": purge.rule,
        "export": purge.export,
        "case": purge.case,
        "from": purge.sender,
        "instances": purge.instances,
        "bytes": purge.size,
    }
