"""``tce audit``: list what happened, prove that the trail is whole, hand it to another system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tce.audit.anchors import Anchored, prove
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.cli.session import JsonOption, session, verbs
from tce.errors import AuditError

app = verbs("The audit trail: what was done, by whom.")


@app.command("list")
def list_(
    context: typer.Context,
    event: Annotated[str, typer.Option(help="Only events whose name begins so, e.g. reidentify.")] = "",
    last: Annotated[int, typer.Option(help="Only the last N records.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest records, oldest first.

    Example: tce audit list --event reidentify --last 10
    """
    run = session(context)
    records = [r for r in Trail(run.site.audit_trail).records() if r.event.startswith(event)]
    rows = [
        {
            "n": record.n,
            "time": record.time if as_json else record.time[:19],
            "event": record.event,
            "actor": record.actor,
            "outcome": "ok" if record.outcome == 0 else "refused or failed",
            "detail": record.detail if as_json else _short(record.detail),
        }
        for record in records[-last:]
    ]
    run.table(rows, as_json=as_json, empty="no such records")


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
