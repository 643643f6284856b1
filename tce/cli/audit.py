"""``tce audit``: list what happened, prove that the trail is whole, hand it to another system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tce.audit.alerts import ALERTS, Finding, State, examine
from tce.audit.anchors import Anchored, prove
from tce.audit.forwarding import forwarder, standing
from tce.audit.journal import Journal
from tce.audit.trail import Record, Trail
from tce.cli.session import JsonOption, Session, session, verbs
from tce.counts import counted
from tce.errors import AuditError, Outcome, Refused

app = verbs("The audit trail: what was done, by whom.")


@app.command("list")
def list_(
    context: typer.Context,
    event: Annotated[str, typer.Option(help="Only events whose name begins so, e.g. reidentify.")] = "",
    last: Annotated[int, typer.Option(help="Only the last N records.", min=1)] = 50,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Only alerts, worked out anew from the whole trail.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the newest records, oldest first.

    With --alerts the trail is proved whole and every alert worked out anew: one that is due and was not told is
    "missing", one that was told and never due is "not due". Exit status 1 if there is any such.

    Examples: tce audit list --event reidentify --last 10   |   tce audit list --alerts
    """
    run = session(context)
    if alerts:
        _list_alerts(run, event, last, as_json=as_json)
        return
    records = [r for r in Trail(run.site.audit_trail).records() if r.event.startswith(event)]
    rows = [
        {
            "n": record.n,
            "time": record.time if as_json else record.time[:19],
            "event": record.event,
            "actor": record.actor,
            "outcome": _outcome(record),
            "detail": record.detail if as_json else _short(record.detail),
        }
        for record in records[-last:]
    ]
    run.table(rows, as_json=as_json, empty="no such records")


def _outcome(record: Record) -> str:
    if record.event.startswith(ALERTS):
        return "alert"
    return "ok" if record.outcome == Outcome.SUCCESS else "refused or failed"


def _list_alerts(run: Session, event: str, last: int, *, as_json: bool) -> None:
    found = [one for one in examine(Trail(run.site.audit_trail)) if one.kind.startswith(event)]
    rows = [
        {
            "n": one.told_by or None,
            "time": one.time if as_json else one.time[:19],
            "alert": one.kind.removeprefix(ALERTS),
            "state": str(one.state),
            "person": one.detail.get("person", ""),
            "detail": one.detail if as_json else _short({**one.detail, "person": ""}),
        }
        for one in found[-last:]
    ]
    run.table(rows, as_json=as_json, empty="no alerts")
    _require_told(found)


def _require_told(found: Sequence[Finding]) -> None:
    """Raise AuditError unless the trail tells the alerts that are due and no others."""
    missing, surplus = (sum(one.state is state for one in found) for state in (State.MISSING, State.NOT_DUE))
    if missing or surplus:
        raise AuditError(
            f"of the alerts on the trail {missing} are missing and {surplus} were never due",
            next_step="look at tce audit list --alerts; a process that was killed leaves one missing until the next "
            "login or re-identification, anything else is for the security officer",
        )


def _short(detail: Mapping[str, str]) -> str:
    """Return details for a person: a digest is recognized by its beginning."""
    cut = {key: value[:19] if value.startswith("sha256:") else value for key, value in detail.items()}
    return " ".join(f"{key}={value}" for key, value in cut.items() if value)


@app.command()
def verify(
    context: typer.Context,
    trust: Annotated[
        Path | None,
        typer.Option(help="The site's trust.json, best a copy of your own. Default: that of the site here."),
    ] = None,
) -> None:
    """Prove that no record was edited, removed or cut off since it was written.

    Also verifies the signature of every release, looks for its place in the trail, and says from which record
    on no signed release vouches for the trail. Needs neither Vault nor network.

    Example: tce audit verify
    """
    run = session(context)
    site = run.site
    found = prove(Trail(site.audit_trail), site.releases_dir, trust or site.trust_path)
    run.say(f"audit trail whole: {found.head.records} records, {found.releases} releases anchored in it")
    if found.reach:
        run.say(
            f"up to record {found.reach} it is anchored by a signed release, the newest is {found.newest}"
        )
    run.say(_not_anchored(found))
    told = examine(Trail(site.audit_trail))
    _require_told(told)
    run.say(f"{counted(len(told), 'alert', 'alerts')} on it, none missing: tce audit list --alerts")


def _not_anchored(found: Anchored) -> str:
    """Say what only the head file speaks for, and what therefore could not be seen."""
    if found.loose > 1:
        those = f"the last {found.loose} records, from record {found.reach + 1} on, are"
    elif found.loose:
        those = f"the last record, record {found.head.records}, is"
    else:
        return "whether records followed that were cut off together with the head, no release can say"
    return (
        f"{those} not yet anchored by a signed release: "
        "rewritten or cut off together with the head, this would not show"
    )


@app.command()
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the messages, one XML file each. Must not exist.")],
) -> None:
    """Write every DICOM audit message (PS3.15 A.5) as a file, after proving the trail whole.

    Example: tce --as auditor audit export --out messages
    """
    run = session(context)
    auditor = run.acting("auditor", "exporting the audit trail")
    trail = Trail(run.site.audit_trail)
    trail.verify()
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise AuditError(f"{out} exists already", next_step="name a folder that does not exist yet") from None
    Journal(run.site, auditor).record("audit.read")
    count = 0
    for record in trail.records():
        if record.message:
            count += 1
            (out / f"{record.n:08d}.xml").write_text(record.message, "utf-8")
    run.say(f"{count} messages in {out}")


@app.command()
def forward(context: typer.Context) -> None:
    """Send what the audit repository has not got yet, once. Running actors do that by themselves.

    What it does not confirm waits in the trail, and goes with the next call.

    Example: tce audit forward
    """
    run = session(context)
    there = forwarder(run.site, run.person)
    if there is None:
        raise Refused(
            "this site has no audit repository", next_step="set audit.repository in tce.toml, or do without"
        )
    count = there.forward()
    if count is None:
        run.say("another process forwards the audit trail already; see: tce audit status")
    else:
        run.say(f"{counted(count, 'message', 'messages')} sent to {run.site.settings.audit.repository}")


@app.command()
def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Tell how many messages wait for the audit repository, since when, and why.

    Example: tce audit status --json
    """
    run = session(context)
    repository = run.site.settings.audit.repository
    found = standing(Trail(run.site.audit_trail))
    row = {
        "repository": repository or "none",
        "delivered": found.delivered,
        "waiting": found.waiting if repository else None,
        "oldest": (found.oldest if as_json else found.oldest[:19]) if repository else "",
        "away_since": found.away_since,
        "why": found.why,
    }
    run.table([row], as_json=as_json, empty="")
