"""``tce exports``: what the Export Manager of this site has received, and how far each export has come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydicom.uid import UID

from tce import counts, wiring
from tce.actors.export_manager import audit_states
from tce.audit.journal import Journal
from tce.cli import purging
from tce.cli.purging import YesOption
from tce.cli.session import JsonOption, Session, session, verbs
from tce.errors import ExportError, Refused
from tce.exports import Exports
from tce.exports_cohort import waits
from tce.ledger import Export
from tce.members import Missing
from tce.road import Reason, manifest_mark
from tce.spool import Spool
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
    """List exports, oldest first. Instances that no manifest names are counted on stderr.

    Examples: tce exports list   |   tce exports list --state held --state failed
    """
    run = session(context)
    with _index(run) as index:
        found = index.listing(state or list(State))
        waiting = sum(one.instances for one in index.unclaimed())
    run.table([_row(one) for one in found], as_json=as_json, empty="no exports yet")
    if waiting:
        said = f"no manifest names {counts.instances(waiting)} that came; see: tce exports unclaimed"
        run.err.print(said, markup=False)


@app.command()
def show(
    context: typer.Context,
    export: Annotated[
        str, typer.Argument(metavar="EXPORT", help="The export's id, or its mark as tce select tells it.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show one export: its state and age, the reasons, what is missing, what was delivered.

    Of a long list of missing instances the first ones are shown; --json has them all.

    Example: tce exports show 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        found = index.find(export)
        sealed = index.sealed(found)
        missing = index.missing(found.id)
        fetched = index.fetches.said(found)
        progress = index.commitments.progress(found)
        mark = index.mark(found)
    record = run.site.releases_dir / found.id / "release.json"
    row: dict[str, Any] = {
        **_row(found),
        "mark": mark,
        "reasons": [reason.what for reason in found.reasons],
        "missing": len(missing),
        "missing_instances": [_missing(one) for one in missing],
        "fetched": fetched,
        "attempts": found.attempts,
        "sealed_instances": len(sealed),
        "receivers": [
            f"{name} has {has}, committed {committed}" for name, (has, committed) in sorted(progress.items())
        ],
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
    if len(missing) > _MOST_SHOWN:
        rest = f"and {len(missing) - _MOST_SHOWN} more"
        row["missing_instances"] = [*row["missing_instances"][:_MOST_SHOWN], rest]
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
        _done(run, "export.retried", index.retry(export, _by(run)))


@app.command()
def fetch(context: typer.Context, export: ExportId) -> None:
    """Have the Export Manager fetch from the archive of the settings (network.pacs) what an export waits for.

    It does so at once if it runs, else when it is started; tce exports show tells what came of it.

    Example: tce exports fetch 3f9a0c11d2e4
    """
    run = session(context)
    if not run.site.settings.network.pacs.ae_title:
        raise Refused("this site has no archive to fetch from", next_step="fill in network.pacs in tce.toml")
    with _index(run) as index:
        _done(run, "export.fetch-asked", index.fetches.ask(export))


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

    One that waits for its cohort goes as it is sealed, with all that wait, if their patients have enough company
    together; else it tells how many fall short.

    Example: tce exports release 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        found = index.get(export)
        if found.state is not State.HELD:
            raise ExportError(
                f"export {export} is {found.state}, not held", next_step="see: tce exports list"
            )
        if waits(found.reasons):
            rule = wiring.cohort_rule(run.site, found.case_id)
            _done(run, "export.released", index.admit(found, rule, _by(run)))
            return
        _done(run, "export.released", index.retry(export, _by(run)))


@app.command()
def cancel(context: typer.Context, export: ExportId) -> None:
    """Give an export up. Nothing more of it is sent. What was received for it stays in the spool until a rule of the
    site purges it; see: tce exports purge.

    Example: tce exports cancel 3f9a0c11d2e4
    """
    run = session(context)
    with _index(run) as index:
        _done(run, "export.cancelled", index.cancel(export))


@app.command()
def unclaimed(
    context: typer.Context,
    hours: Annotated[float, typer.Option(help="Only what has been waiting for so many hours.", min=0)] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """List by sender how many instances came that no manifest names.

    Example: tce exports unclaimed --hours 24
    """
    run = session(context)
    with _index(run) as index:
        found = index.unclaimed(hours * 3600)
    rows = [
        {
            "from": one.sender,
            "instances": one.instances,
            "bytes": one.size,
            "oldest": _moment(one.oldest),
            "age": _age(one.oldest),
            "who_acts": "the Export Selector: a manifest is missing",
        }
        for one in found
    ]
    run.table(rows, as_json=as_json, empty="every instance is named by a manifest")


@app.command()
def purge(context: typer.Context, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Remove from the spool what the rules of the settings (retention) name. What an export still needs stays.

    The Export Manager does the same whenever it has nothing else to do.

    Examples: tce exports purge   |   tce exports purge --yes
    """
    run = session(context)
    rules, spool = wiring.retention_rules(run.site), Spool(run.site.spool_dir)
    with _index(run) as index:
        purging.purge(run, index, spool, rules, yes=yes, as_json=as_json, command="tce exports purge")


_MOST_SHOWN = 20


def _missing(one: Missing) -> str:
    kind = "manifest" if one.is_manifest else UID(one.sop_class_uid).name
    return f"{one.sop_instance_uid} ({kind})"


def _row(export: Export) -> dict[str, Any]:
    return {
        "id": export.id,
        "state": str(export.state),
        "case": export.case_id,
        "title": export.title,
        "from": export.calling_ae,
        "age": _age(export.created_at),
        "changed": _moment(export.changed_at),
        "missing": export.missing,
        "who_acts": export.who_acts,
    }


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _age(since: float) -> str:
    minutes = max(0, int(time.time() - since)) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def _done(run: Session, event: str, export: Export) -> None:
    Journal(run.site, run.person).record(event, detail={"export": export.id})
    run.say(f"export {export.id} is {export.state}; who must act: {export.who_acts}")


def _by(run: Session) -> str:
    """Return who acts, as a release record names them: people of the site only."""
    return run.person if run.site.settings.people.role_of(run.person) is not None else ""


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)
