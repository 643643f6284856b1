"""``tce case forget``: an approver orders it, a custodian carries it out, and nothing leads back any more."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tce import cases, counts
from tce.cli.session import JsonOption, Session, session
from tce.errors import Refused
from tce.forgetting import Forgetting, summary
from tce.forgotten import ForgottenRecord
from vault.forgetting import ForgetOrder, ForgetReason


def forget(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")],
    reason: Annotated[ForgetReason | None, typer.Option(help="Approver: why it is forgotten.")] = None,
    ticket: Annotated[str, typer.Option(help="Approver: number of the decision. No patient's data.")] = "",
    take_back: Annotated[
        bool, typer.Option("--take-back", help="Approver: take the order back, while the keys are there.")
    ] = False,
    confirm: Annotated[
        str, typer.Option(metavar="CASE", help="Custodian: the case once more; destroys its keys.")
    ] = "",
    status: Annotated[bool, typer.Option("--status", help="Say how far it has come.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a closed case: destroy its keys, so that nobody can re-identify or derive for it ever again.

    An approver orders it, then a custodian carries it out; the key server lets neither do both. Copies of the mapping,
    also old ones, open no more, and the case's releases are irreversible. What must fail is tried, and a signed record
    says so: tce verify reads it. It cannot be undone. The same command again finishes one that was cut short.

    Examples: tce --as approver case forget lung-1 --reason trial-ended --ticket ETH-2031-40
    |   tce --as custodian case forget lung-1 --confirm lung-1   |   tce case forget lung-1 --status
    """
    run = session(context)
    work = Forgetting(run.site, cases.load(run.site.cases_dir, case))
    if sum((reason is not None, take_back, bool(confirm), status)) != 1:
        raise Refused(
            "say which part is yours: --reason and --ticket, --take-back, --confirm, or --status",
            next_step="see: tce case forget --help",
        )
    if status:
        _tell_standing(run, work, as_json=as_json)
    elif take_back:
        work.take_back(run.acting("approver", "taking the order back"))
        run.say(f"case {case} is not to be forgotten; it stays closed until it is approved again")
    elif reason is not None:
        person = run.acting("approver", "ordering that a case is forgotten")
        work.agree(person, reason, ticket)
        run.say(
            f"ordered by {person}: case {case} is to be forgotten ({reason})\n"
            f"next, by a custodian, not to be undone: tce --as CUSTODIAN case forget {case} --confirm {case}"
        )
    else:
        person = run.acting("custodian", "forgetting a case")
        if confirm != case:
            raise Refused("the case that was confirmed is another one", next_step=f"write --confirm {case}")
        _tell_record(run, work.carry_out(person, run.say), str(work.record_path), as_json=as_json)


def _tell_record(run: Session, record: ForgottenRecord, path: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**summary(record), "record": path}, indent=1))
        return
    for attempt in record.attempts:
        run.say(f"{'ok  ' if attempt.failed else 'FAIL'} {attempt.what}: {attempt.answer}")
    run.say(
        f"forgotten: case {record.case}, with {counts.counted(len(record.releases), 'release', 'releases')}"
    )
    run.say(f"record: {path}")


def _tell_standing(run: Session, work: Forgetting, *, as_json: bool) -> None:
    standing = work.standing()
    order, record = standing.order, standing.record
    ordered = f"by {order.approver} at {order.agreed}" if isinstance(order, ForgetOrder) else _no(order)
    done = (
        f"by {record.carried_out_by} at {record.made}" if isinstance(record, ForgottenRecord) else _no(record)
    )
    facts = {
        "case": standing.case,
        "ordered": ordered,
        **{f"key {mount}": words for mount, words in standing.keys.items()},
        "rows in the mapping": "some" if standing.patients_left else "none",
        "forgotten": done,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for name, words in facts.items():
        run.say(f"{name}: {words}")


def _no(why: str | None) -> str:
    return f"no; a file says so and does not count: {why}" if why else "no"
