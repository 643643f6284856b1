"""``tce exports``: what the Export Manager of this site has received, and how far each export has come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tce.actors.export_manager import audit_states
from tce.audit.journal import Journal
from tce.cli.session import JsonOption, Session, session, verbs
from tce.errors import ExportError
from tce.exports import Exports
from tce.ledger import Export
from tce.road import Reason, manifest_mark
from tce.states import State

app = verbs("Exports: list, look at, stop and start again.")

ExportId = Annotated[
    str, typer.Argument(metavar="EXPORT", help="The export's id, as tce exports list shows it.")
]


@contextmanager
def _index(run: Session) -> Iterator[Exports]:
    index = Exports(run.site.exports_url, observer=audit_states(Journal(run.site, run.person)))
    try:
        yield index
    finally:
        index.close()


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[
        list[State] | None, typer.Option(help="Only exports in this state; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List exports, oldest first.

    Examples: tce exports list   |   tce exports list --state held --state failed
    """
    run = session(context)
    with _index(run) as index:
        found = index.listing(state or list(State))
    run.table([_row(one) for one in found], as_json=as_json, empty="no exports yet")


@app.command()
def show(context: typer.Context, export: ExportId, as_json: JsonOption = False) -> None:
    """Show one export: its state, the reasons, what is missing, what was delivered.

    Example: tce exports show 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        found = index.get(export)
        sealed = index.sealed(found)
        missing = index.missing(export)
    record = run.site.releases_dir / found.id / "release.json"
    row: dict[str, Any] = {
        **_row(found),
        "reasons": [reason.what for reason in found.reasons],
        "missing": len(missing),
        "attempts": found.attempts,
        "sealed_instances": len(sealed),
        "manifest": manifest_mark(one.sop_instance_uid for one in sealed if one.is_manifest)
        if sealed
        else "",
        "done": found.tally,
        "policy_digest": found.policy_digest,
        "release": str(record) if record.exists() else "",
    }
    if as_json:
        typer.echo(json.dumps(row, indent=1))
        return
    for key, value in row.items():
        if value or value == 0:
            run.say(f"{key.replace('_', ' ') + ':':<18} {_words(value)}")


@app.command()
def retry(context: typer.Context, export: ExportId) -> None:
    """Let a held or failed export go through every check again. Nothing is sent twice.

    Example: tce exports retry 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        _done(run, "export.retried", index.retry(export))


@app.command()
def hold(
    context: typer.Context,
    export: ExportId,
    reason: Annotated[str, typer.Option(help="Why, for the record. No patient's data.")] = "held by a person",
) -> None:
    """Stop an export until somebody releases it.

    Example: tce exports hold 3f9a0c11d2e4 --reason "consent is being checked"
    """
    run = session(context)
    with _index(run) as index:
        _done(run, "export.held", index.hold(export, [Reason("held-by-person", reason)]))


@app.command()
def release(context: typer.Context, export: ExportId) -> None:
    """Let a held export go on. It passes every check again; a fault that is still there holds it again.

    Example: tce exports release 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        found = index.get(export)
        if found.state is not State.HELD:
            raise ExportError(
                f"export {export} is {found.state}, not held", next_step="see: tce exports list"
            )
        _done(run, "export.released", index.retry(export))


@app.command()
def cancel(context: typer.Context, export: ExportId) -> None:
    """Give an export up. Nothing more of it is sent. What was received for it stays in the spool: this version removes
    nothing from there.

    Example: tce exports cancel 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        _done(run, "export.cancelled", index.cancel(export))


def _row(export: Export) -> dict[str, Any]:
    changed = datetime.fromtimestamp(export.changed_at, UTC)
    return {
        "id": export.id,
        "state": str(export.state),
        "case": export.case_id,
        "title": export.title,
        "from": export.calling_ae,
        "changed": f"{changed:%Y-%m-%d %H:%M:%S} UTC",
        "who_acts": export.who_acts,
    }


def _done(run: Session, event: str, export: Export) -> None:
    Journal(run.site, run.person).record(event, detail={"export": export.id})
    run.say(f"export {export.id} is {export.state}; who must act: {export.who_acts}")


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)
