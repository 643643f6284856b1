"""``tce mapping``: back up what leads back from pseudonyms, and bring back what was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tce import counts
from tce.audit.journal import Journal
from tce.cli.session import session, verbs
from tce.errors import Refused
from vault.backup import back_up
from vault.backup import restore as bring_back

app = verbs("The mapping of stage 1: sealed originals, their backup and their return.")


@app.command()
def backup(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
) -> None:
    """Copy the whole mapping into one file. Others may go on working.

    The copy holds originals only as they are sealed. It opens nothing without two custodians and the keys of the
    Vault, whose backup it does not replace.

    Example: tce mapping backup /backup/mapping-2031-05-17.db
    """
    run = session(context)
    copied = back_up(run.site.mapping_url, out)
    Journal(run.site, run.person).record("mapping.backed-up", detail={"rows": str(copied.rows)})
    run.say(f"{_rows(copied.rows)} in {out}")


@app.command()
def restore(
    context: typer.Context,
    backup: Annotated[Path, typer.Argument(metavar="FILE", help="A file that tce mapping backup wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put rows of the backup in place of those that differ.")
    ] = False,
) -> None:
    """Bring back the rows of a backup that the mapping lacks, and compare the others. Nothing is ever removed.

    Exit status 1 when rows differ and were not replaced: somebody may have altered them.

    Examples: tce mapping restore /backup/mapping-2031-05-17.db   |   tce mapping restore mapping.db --replace
    """
    run = session(context)
    copied = bring_back(backup, run.site.mapping_url, replace=replace)
    detail = {
        "rows": str(copied.rows),
        "missing": str(copied.missing),
        "differ": str(copied.differ),
        "replaced": "yes" if replace else "no",
    }
    unlike = bool(copied.differ) and not replace
    Journal(run.site, run.person).record("mapping.restored", success=not unlike, detail=detail)
    run.say(f"{_rows(copied.rows)} compared, {copied.missing} brought back")
    if unlike:
        raise Refused(
            f"{_rows(copied.differ)} of the mapping differ from the backup, and were left as they are",
            next_step="find out who changed them; --replace puts those of the backup in their place",
        )
    if copied.differ:
        run.say(f"{_rows(copied.differ)} that differed replaced")


def _rows(count: int) -> str:
    return counts.counted(count, "row", "rows")
