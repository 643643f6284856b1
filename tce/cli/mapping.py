"""``tce mapping``: check what leads back from pseudonyms, back it up, and bring back what was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policies.model import Stage
from tce import counts, subject_lists, wiring
from tce.audit.journal import Journal
from tce.cli.session import session, verbs
from tce.errors import Refused
from tce.logins import Logins
from tce.subject_lists import Format
from vault.backup import back_up
from vault.backup import restore as bring_back
from vault.errors import VaultRoomError
from vault.mapping_check import Checked
from vault.mapping_check import check as look_through
from vault.roles import Service
from vault.row_tags import server_tags

app = verbs("The mapping of stage 1: sealed originals, their check, their backup and their return.")


@app.command()
def check(
    context: typer.Context,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Give rows of a version without tags theirs, as they stand now.")
    ] = False,
) -> None:
    """Check every row of the mapping without opening any: is it as stage 1 wrote it, and could two custodians open it?

    Exit status 1 when something is wrong. A row that somebody deleted is not seen here: compare with a backup.
    Nothing is changed, unless rows from before rows had tags are adopted: do that once, after an upgrade.

    Examples: tce mapping check   |   tce mapping check --adopt
    """
    run = session(context)
    tags = server_tags(Logins(run.site).service(Service.PSEUDONYMIZER))
    checked = look_through(run.site.mapping_url, tags, adopt=adopt)
    faults = _faults(checked)
    detail = {"rows": str(checked.rows), "faults": str(len(faults)), "adopted": "yes" if adopt else "no"}
    Journal(run.site, run.person).record("mapping.checked", success=not faults, detail=detail)
    run.say(
        f"{_rows(checked.rows)} of {counts.counted(checked.patients, 'patient', 'patients')}, "
        f"{counts.counted(checked.keys, 'key', 'keys')} in {counts.counted(checked.shares, 'share', 'shares')}, "
        f"{counts.counted(checked.requests, 'request', 'requests')}; schema {checked.schema}"
    )
    if faults:
        raise Refused(
            f"the mapping is not sound: {'; '.join(faults)}",
            next_step="compare it with a backup (`tce mapping restore`), and find out who wrote into the database",
        )


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


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list.")],
    case: Annotated[str, typer.Option("--case", help="Case that the list is for.")],
    format_: Annotated[
        Format,
        typer.Option("--format", help="csv: a list of your own; ctp: an export of CTP's IDMap, CSV or XML."),
    ] = Format.CSV,
    issuer: Annotated[
        str,
        typer.Option(
            help="Issuer of Patient ID (0010,0021) of the list's patients, where it does not say it."
        ),
    ] = "",
    stage: Annotated[
        Stage, typer.Option(help="pseudonymize: of originals; anonymize: of the pseudonyms of stage 1.")
    ] = Stage.PSEUDONYMIZE,
) -> None:
    """Import pseudonyms that exist already, of a running trial or from a list of subjects. Needs a coordinator.

    CSV has the header patient_id,subject_id and, if wanted, issuer, date_offset, kind. The list is taken over as a
    whole or not at all: a subject with two IDs, two subjects with one, and values that are not legal are named by
    their lines. The same list again changes nothing. Import while nothing is pseudonymized for the case.

    Examples: tce --as coordinator mapping import subjects.csv --case lung-1   |
    tce --as coordinator mapping import OriginalPatientID.csv --case lung-1 --format ctp --issuer HOSPITAL
    """
    run = session(context)
    person = run.acting("coordinator", "importing a list")
    Logins(run.site).person(person)  # who says to be somebody shows it
    given = subject_lists.read(file, format_, issuer=issuer)
    detail = {"case": case, "stage": str(stage), "format": str(format_), "digest": given.digest}
    journal = Journal(run.site, person)
    try:
        taken = wiring.intake(run.site, case, stage, person).take(given.entries)
    except VaultRoomError as exc:
        journal.refused("mapping.imported", exc, detail)
        raise
    journal.record("mapping.imported", detail={**detail, "new": str(taken.new), "known": str(taken.known)})
    run.say(
        f"{counts.counted(taken.new, 'pseudonym', 'pseudonyms')} imported into case {case}, {taken.known} known"
    )


def _rows(count: int) -> str:
    return counts.counted(count, "row", "rows")


def _faults(checked: Checked) -> list[str]:
    """What is wrong, in words."""
    found = {
        "changed since stage 1 wrote them": checked.changed,
        "from before rows had tags (see --adopt)": checked.untagged,
        "without their key": checked.without_key,
    }
    faults = [f"{_rows(count)} {words}" for words, count in found.items() if count]
    if checked.without_custodians:
        keys = counts.counted(checked.without_custodians, "key", "keys")
        faults.append(f"{keys} with shares of fewer than two custodians")
    if checked.strays:
        faults.append(
            f"{counts.counted(checked.strays, 'share', 'shares')} of keys or requests that are not there"
        )
    if checked.damage:
        faults.append("the database's file is damaged")
    return faults
