"""``tce reidentify``: two custodians together lead a pseudonym back to a person, for a stated purpose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer

from tce import counts, wiring
from tce.cli.session import JsonOption, Session, session, verbs
from vault.custody import Custody, Purpose, Revealed

app = verbs("Re-identification: two custodians, a purpose, a window, a record.")

RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request.")]
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
def approve(context: typer.Context, request: RequestId) -> None:
    """Approve another custodian's request. Nobody approves the own one.

    Example: tce --as custodian-b reidentify approve 5d0c9c1f0e4b7a21
    """
    run = session(context)
    granted = _custody(run, "approving").approve(request)
    run.say(
        f"approved request {granted.id} of {granted.requester}\n"
        f"next: tce --as {granted.requester} reidentify reveal {granted.id}"
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
def reveal(context: typer.Context, request: RequestId, as_json: JsonOption = False) -> None:
    """Show what was asked for and approved: once, on this terminal, on the record.

    Example: tce --as custodian-a reidentify reveal 5d0c9c1f0e4b7a21
    """
    run = session(context)
    revealed = _custody(run, "revealing").reveal(request)
    run.table(rows_of(revealed), as_json=as_json, empty="nothing of what was asked for is in the mapping")
    if revealed.withheld:
        run.err.print("some values were added after the approval; make a new request for them", markup=False)


def rows_of(revealed: Revealed) -> list[Mapping[str, str]]:
    """Return the originals in the clear, for the custodian's own eyes."""
    return [
        {
            "patient": line.patient,
            "field": line.field,
            "pseudonym": line.pseudonym,
            "original": line.original.reveal(),
            "issuer": line.issuer.reveal(),
        }
        for line in revealed.lines
    ]


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
            "purpose": one.purpose,
            "ticket": one.ticket,
            "requested_by": one.requester,
            "decided_by": one.decided_by,
            "until": one.expires,
        }
        for one in _custody(run, "listing requests").requests()
    ]
    run.table(rows, as_json=as_json, empty="no requests")
