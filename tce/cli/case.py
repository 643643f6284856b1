"""``tce case``: which data, for what, under which policies, to whom; from its draft until it is forgotten."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tce import cases, cautions, counts, events, key_versions, recipients
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.cases import Case, CaseReceiver, Subjects, Trial
from tce.cli.actors import address_of
from tce.cli.case_cohort import cohort
from tce.cli.forget import forget
from tce.cli.session import JsonOption, Session, session, verbs
from tce.errors import CaseError, Refused
from tce.shelf import Shelf
from tce.site import STAGE_ONE_POLICY
from vault.alphabets import Alphabet
from vault.scheme import LONGEST

app = verbs("Cases: a trial or collection, its policies and its receivers.")

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")]


@app.command("list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the cases of the site and whether each is approved.

    Example: tce case list
    """
    run = session(context)
    desk = Desk(run.site)
    rows = []
    for case_id in cases.ids(run.site.cases_dir):
        case = cases.load(run.site.cases_dir, case_id)
        rows.append(
            {
                "id": case.id,
                "state": desk.case_standing(case).words,
                "policy": f"{case.stage2.name} {case.stage2.version}",
                "receivers": [one.ae_title for one in case.receivers],
                "title": case.title,
            }
        )
    run.table(rows, as_json=as_json, empty="no cases yet; write one: tce case new")


@app.command()
def show(context: typer.Context, case: CaseId, as_json: JsonOption = False) -> None:
    """Print a case, its digest and its approval.

    Example: tce case show lung-1
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    if as_json:
        typer.echo(json.dumps({**found.model_dump(mode="json"), "digest": found.digest}, indent=1))
        return
    path = cases.case_dir(run.site.cases_dir, case) / cases.CASE_FILE
    run.say(path.read_text("utf-8").rstrip())
    run.say(f"\ndigest: {found.digest}\nstate:  {Desk(run.site).case_standing(found).words}\nfile:   {path}")
    _warn(run, found)


@app.command()
def new(
    context: typer.Context,
    case: CaseId,
    title: Annotated[str, typer.Option(help="What people call it.")],
    purpose: Annotated[str, typer.Option(help="What the data are for.")],
    stage2: Annotated[str, typer.Option(help="Policy that anonymizes: NAME or NAME@VERSION.")],
    receiver: Annotated[list[str], typer.Option(help="AET@HOST:PORT of a receiver; may be repeated.")],
    stage1: Annotated[str, typer.Option(help="Policy that pseudonymizes.")] = STAGE_ONE_POLICY,
    selector: Annotated[
        list[str] | None, typer.Option(help="AE title that may select; default: this site's.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Up to five characters before every pseudonym.")] = "",
    alphabet: Annotated[Alphabet, typer.Option(help="Characters of pseudonyms.")] = Alphabet.BASE32,
    length: Annotated[int, typer.Option(help="Characters of a pseudonym in all, 8 to 16.")] = LONGEST,
    subjects: Annotated[Subjects, typer.Option(help="Which patients it takes.")] = Subjects.ANY,
    sponsor: Annotated[str, typer.Option(help="Clinical Trial Sponsor Name.")] = "",
    protocol: Annotated[str, typer.Option(help="Clinical Trial Protocol ID.")] = "",
    expires: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD.")] = "",
    encrypt_for: Annotated[
        list[Path] | None,
        typer.Option(help="Certificate (PEM) for which stage 1 encrypts what it takes out; may be repeated."),
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--plaintext",
            help="Call the receivers over TLS. Default: TLS where this site has certificates.",
        ),
    ] = None,
) -> None:
    """Write a new case as a draft: edit it, then submit it.

    Example: tce case new lung-1 --title "Lung nodules" --purpose "Trial XY" --stage2 longitudinal-trial
    --receiver TRIAL@10.0.0.7:104 --sponsor "Sponsor" --protocol XY-1
    """
    run = session(context)
    shelf = Shelf(run.site.policies_dir)
    if case in cases.ids(run.site.cases_dir):
        raise CaseError(f"there is a case {case} already", next_step=f"see: tce case show {case}")
    certificates = recipients.named(encrypt_for or [])
    secured = bool(run.site.settings.network.tls.certificate) if tls is None else tls
    draft = {
        "id": case,
        "title": title,
        "purpose": purpose,
        "stage1": shelf.find(stage1).ref,
        "stage2": shelf.find(stage2).ref,
        "selectors": selector or [run.site.settings.network.selector.ae_title],
        "receivers": [_receiver(one, tls=secured) for one in receiver],
        "prefix": prefix,
        "alphabet": alphabet,
        "length": length,
        "subjects": subjects,
        "key_version": key_versions.for_new_cases(run.site),
        "trial": Trial(sponsor=sponsor, protocol_id=protocol),
        "expires": expires or None,
        "encrypt_for": list(certificates),
    }
    # Through the text, so that a fault is named as it is for a file.
    path = cases.save(run.site.cases_dir, cases.checked(draft, "the new case"))
    recipients.put(run.site.cases_dir, case, certificates)
    run.say(f"case {case} in {path}\nedit it, then: tce --as COORDINATOR case submit {case}")


def _receiver(text: str, *, tls: bool) -> CaseReceiver:
    ae_title, host, port = address_of(text)
    return CaseReceiver(ae_title=ae_title, host=host, port=port, tls=tls)


@app.command("events")
def events_(
    context: typer.Context,
    case: CaseId,
    file: Annotated[Path, typer.Option(help="CSV with the header patient_id,date.")],
) -> None:
    """Give a case the day of each patient's event, from which study days count; again for every new patient.

    The patients are named as stage 2 reads them, by the pseudonyms of stage 1. The list replaces the one before. Its
    digest is recorded; no approval is needed, because it changes with every patient. Needs a coordinator.

    Example: tce --as coordinator case events lung-1 --file first-treatment.csv
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    person = run.acting("coordinator", "giving the events of a case")
    kept = events.save(run.site.cases_dir, found.id, file)
    detail = {"case": found.id, "patients": str(len(kept.dates)), "digest": kept.digest}
    Journal(run.site, person).record("case.events", success=True, detail=detail)
    run.say(f"events of {counts.patients(len(kept.dates))} in case {case}\n{kept.digest}")


@app.command()
def submit(context: typer.Context, case: CaseId) -> None:
    """Sign a case as its author and put it before the approvers. Needs a coordinator.

    Example: tce --as coordinator case submit lung-1
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    person = run.acting("coordinator", "submitting a case")
    recipients.of_case(run.site.cases_dir, found)
    Desk(run.site).submit_case(found, person)
    run.say(
        f"submitted case {case} by {person}\nnext, by somebody else: tce --as APPROVER case approve {case}"
    )
    _warn(run, found)


@app.command()
def approve(
    context: typer.Context,
    case: CaseId,
    days: Annotated[int, typer.Option(help="Days until the approval ends.", min=1, max=3650)] = 365,
) -> None:
    """Approve a submitted case; its own key is made then. Needs an approver who is not its author.

    The approval is a signature over the case's digest: a case that is changed afterwards is not approved. Its
    policies need approvals of their own: tce policy approve.

    Example: tce --as approver case approve lung-1 --days 180
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    person = run.acting("approver", "approving a case")
    if found.expires and found.expires < date.today():
        raise Refused(f"the case {case} has expired", next_step="give it a later day and submit it again")
    recipients.of_case(run.site.cases_dir, found)
    _warn(run, found)
    expires = Desk(run.site).approve_case(found, person, days=days)
    run.say(f"approved case {case} by {person} until {expires:%Y-%m-%d}\ndigest: {found.digest}")


def _warn(run: Session, case: Case) -> None:
    for line in cautions.of_case(run.site, case):
        run.say(line)


@app.command()
def close(
    context: typer.Context,
    case: CaseId,
    reason: Annotated[str, typer.Option(help="Why, for the record. No patient's data.")],
) -> None:
    """Close a case: its approval is withdrawn, nothing is exported for it any more. Needs an approver.

    Example: tce --as approver case close lung-1 --reason "trial ended"
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    if not reason.strip():
        raise Refused("closing needs a reason", next_step='say why: --reason "…"')
    person = run.acting("approver", "closing a case")
    Desk(run.site).close_case(found, person, reason=reason)
    run.say(f"closed: case {case} by {person}")


app.command("cohort")(cohort)
app.command("forget")(forget)
