"""``tce reidentify``: two custodians together lead a pseudonym back to a person, for a stated purpose."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tce import counts, wiring
from tce.audit.journal import Journal
from tce.cli.session import JsonOption, Session, session, verbs
from tce.counts import counted
from tce.errors import Refused, TceError
from tce.logins import ask_at_terminal
from tce.recipients import read_pem
from tce.reidentifying import is_instance, open_encrypted, reveal_instances
from tce.revealed import into_file, rows_of
from vault.custody import LONGEST_WINDOW, Custody, Purpose, Revealed
from vault.custody_ledger import Request
from vault.envelopes import Opener
from vault.errors import BadRequest

app = verbs("Re-identification: two custodians, a purpose, a window, a record.")

RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request.")]
_LONGEST_HOURS = int(LONGEST_WINDOW.total_seconds() // 3600)
DEFAULT_FIELDS = ("PatientName", "patient", "PatientBirthDate")


def _custody(run: Session, verb: str) -> Custody:
    return wiring.custody(run.site, run.acting("custodian", verb))


@app.command()
def request(
    context: typer.Context,
    pseudonyms: Annotated[
        list[str],
        typer.Argument(help="Pseudonyms: patient IDs, UIDs or numbers of stage 1.", metavar="PSEUDONYM..."),
    ],
    case: Annotated[str, typer.Option(help="Case that the pseudonyms are of.")],
    purpose: Annotated[Purpose, typer.Option(help="What for.")],
    ticket: Annotated[str, typer.Option(help="Number of the decision that allows it. No patient's data.")],
    field: Annotated[
        list[str] | None,
        typer.Option(
            help="What to reveal; may be repeated. Default: PatientName, patient (ID), PatientBirthDate."
        ),
    ] = None,
    hours: Annotated[float, typer.Option(help="Hours until the request ends; at most 168.")] = 8.0,
) -> None:
    """Ask for the patients behind pseudonyms. Reveals nothing yet: another custodian has to approve.

    Example: tce --as custodian-a reidentify request 3K7Q0C2M8N1P4R6T --case lung-1 --purpose incidental-finding
    --ticket ETH-2031-17
    """
    run = session(context)
    if not 0 < hours <= _LONGEST_HOURS:  # also what is no number at all
        raise Refused(
            "a request lives for more than no time and for a week at most",
            next_step=f"give --hours from 0.1 to {_LONGEST_HOURS}",
        )
    asked = _custody(run, "a request").request(
        case,
        pseudonyms,
        purpose=purpose,
        ticket=ticket,
        fields=field or DEFAULT_FIELDS,
        window=timedelta(hours=hours),
    )
    run.say(
        f"request {asked.id} for {counts.patients(len(asked.patients))}, until {asked.expires}\n"
        f"next, by another custodian: tce --as CUSTODIAN reidentify approve {asked.id}"
    )


@app.command()
def approve(
    context: typer.Context,
    request: RequestId,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; for scripts that have shown the request themselves.")
    ] = False,
) -> None:
    """Approve another custodian's request. Nobody approves the own one.

    It shows whose originals are asked for, which, and why, and asks. What was shown is what is approved.

    Example: tce --as custodian-b reidentify approve 5d0c9c1f0e4b7a21
    """
    run = session(context)

    def agrees(asked: Request) -> bool:
        run.say(_in_words(asked))
        if yes:
            return True
        if not sys.stdin.isatty():
            raise Refused("nobody can be asked here", next_step="look at the request, and add --yes")
        return typer.confirm("Approve this?")

    granted = _custody(run, "approving").approve(request, agrees)
    run.say(
        f"approved request {granted.id} of {granted.requester}\n"
        f"next: tce --as {granted.requester} reidentify reveal {granted.id}"
    )


def _in_words(asked: Request) -> str:
    return "\n".join(
        (
            f"request {asked.id} by {asked.requester}, until {asked.expires}",
            f"  case: {asked.case_id}",
            f"  patients: {', '.join(asked.patients)}",
            f"  originals: {', '.join(asked.fields)}",
            f"  purpose: {asked.purpose}, ticket {asked.ticket}",
        )
    )


@app.command()
def deny(context: typer.Context, request: RequestId) -> None:
    """Deny a request, or take an approval or the own request back.

    Example: tce --as custodian-b reidentify deny 5d0c9c1f0e4b7a21
    """
    run = session(context)
    denied = _custody(run, "denying").deny(request)
    run.say(f"denied request {denied.id}")


@app.command()
def reveal(
    context: typer.Context,
    request: RequestId,
    as_json: JsonOption = False,
    certificate: Annotated[
        Path | None, typer.Option(help="Your certificate (PEM): the table goes into --out, encrypted for it.")
    ] = None,
    instances: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SRC", help="Pseudonymized instances to lead back into --out; file or folder, repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the table, or folder for the instances; must not exist.")
    ] = None,
) -> None:
    """Show what was asked for and approved: once, on the record. On this terminal, unless --out says otherwise.

    With --certificate the table goes into the file --out, as CSV that only the key of that certificate opens. With
    --instances the originals are put back into these instances, in the folder --out: all of them, or none and the
    grant is not used.

    Example: tce --as custodian-a reidentify reveal 5d0c9c1f0e4b7a21
    """
    run = session(context)
    _require_sense(out, certificate, instances)
    custody = _custody(run, "revealing")

    if instances and out:
        _into_instances(run, custody, request, instances, out)
    elif certificate and out:
        revealed = into_file(out, certificate, lambda: custody.reveal(request, form="file"), typer.echo)
        run.say(
            f"{counted(len(revealed.lines), 'value', 'values')} in {out}, encrypted for your certificate\n"
            f"next: tce reidentify open {out} --certificate {certificate} --key KEY.pem"
        )
        _tell_withheld(run, revealed)
    else:
        _show(run, custody.reveal(request), as_json=as_json)


def _require_sense(out: Path | None, certificate: Path | None, instances: list[Path] | None) -> None:
    """Return if the options go together; nothing is written to a file in the clear."""
    if certificate and instances:
        raise typer.BadParameter("a grant is for one use: give --certificate or --instances")
    if (certificate or instances) and not out:
        raise typer.BadParameter("say with --out where to write")
    if out and not (certificate or instances):
        raise typer.BadParameter("a file needs --certificate: originals are not written in the clear")


def _into_instances(run: Session, custody: Custody, request: str, sources: list[Path], out: Path) -> None:
    used: list[Revealed] = []

    def reveal() -> Revealed:
        used.append(custody.reveal(request, form="instances"))
        return used[0]

    try:
        restored = reveal_instances(sources, out, wiring.Grant(run.site, custody, request).covers, reveal)
    except BaseException:
        if used:
            run.err.print("the grant is used up; what it revealed:", markup=False)
            _show(run, used[0], as_json=False)
        raise
    run.say(
        f"{counts.instances(restored.instances)} of {counts.patients(restored.patients)} led back, in {out}"
    )
    _tell_withheld(run, used[0])


def _show(run: Session, revealed: Revealed, *, as_json: bool) -> None:
    run.table(rows_of(revealed), as_json=as_json, empty="nothing of what was asked for is in the mapping")
    _tell_withheld(run, revealed)


def _tell_withheld(run: Session, revealed: Revealed) -> None:
    if revealed.withheld:
        run.err.print("some values were added after the approval; make a new request for them", markup=False)


@app.command("open")
def open_(
    context: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(help="Instances or folders of them, or a revealed table.", metavar="SRC..."),
    ],
    certificate: Annotated[Path, typer.Option(help="Certificate (PEM) for which it was encrypted.")],
    key: Annotated[Path, typer.Option(help="Its private key (PEM); the passphrase is asked for.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the instances led back; must not exist.")
    ] = None,
) -> None:
    """Open what was encrypted for you: Encrypted Attributes of instances, or a table of tce reidentify reveal.

    Needs neither the Vault nor the mapping, only the private key. Instances are led back into the folder --out, all or
    none; those of other programs too (PS3.15 E.1.2). A table is shown on this terminal.

    Example: tce reidentify open pseudonymized --certificate me.pem --key me-key.pem --out identified
    """
    run = session(context)
    journal = Journal(run.site, run.person) if run.has_site else None
    try:
        detail = _opened(run, sources, certificate, key, out)
    except (TceError, BadRequest) as refusal:
        if journal:
            journal.refused("encrypted.opened", refusal)
        raise
    if journal:
        journal.record("encrypted.opened", detail=detail)


def _opened(
    run: Session, sources: list[Path], certificate: Path, key: Path, out: Path | None
) -> dict[str, str]:
    """Open and show or write what was encrypted; return how much it was."""
    opener = Opener(
        read_pem(certificate), read_pem(key), lambda: ask_at_terminal("passphrase of the private key: ")
    )
    if out is None:
        [table] = sources if len(sources) == 1 else [None]
        if table is None or not table.is_file() or is_instance(table):
            raise typer.BadParameter("instances need --out; of tables give one at a time")
        typer.echo(opener.open(table.read_bytes()).reveal(), nl=False)
        return {"tables": "1"}
    restored = open_encrypted(sources, out, opener)
    run.say(
        f"{counts.instances(restored.instances)} of {counts.patients(restored.patients)} led back, "
        f"{counted(restored.attributes, 'attribute', 'attributes')} restored, in {out}"
    )
    return {"instances": str(restored.instances), "patients": str(restored.patients)}


@app.command("list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List all requests and what became of them. Needs a custodian.

    Example: tce --as custodian-b reidentify list
    """
    run = session(context)
    rows = [
        {
            "id": one.id,
            "state": str(one.state),
            "case": one.case_id,
            "patients": len(one.patients),
            "fields": one.fields,
            "purpose": one.purpose,
            "ticket": one.ticket,
            "requested_by": one.requester,
            "decided_by": one.decided_by,
            "until": one.expires,
        }
        for one in _custody(run, "listing requests").requests()
    ]
    run.table(rows, as_json=as_json, empty="no requests")
