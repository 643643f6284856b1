"""``tce case cohort``: how well the patients whom a case has released hide among each other."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tce import cases, counts
from tce.cli.session import JsonOption, session
from tce.cohort import rule_of, standing_of
from tce.exports import Exports
from tce.exports_cohort import waits
from tce.shelf import Shelf
from tce.states import State


def cohort(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")],
    as_json: JsonOption = False,
) -> None:
    """Say how many patients a case has released, how many look alike, the risks, and how many exports wait for company.

    What exports have released is kept where case or policy ask that patients look alike. The risk of a patient is one
    over the number of those who look alike; it is compared with usual limits.

    Example: tce case cohort lung-1
    """
    run = session(context)
    found = cases.load(run.site.cases_dir, case)
    rule = rule_of(Shelf(run.site.policies_dir).exactly(found.stage2).policy, found.minimum_cohort)
    index = Exports(run.site.exports_url)
    try:
        standing = standing_of(index.released(case), rule)
        held = [one for one in index.listing([State.HELD]) if one.case_id == case and waits(one.reasons)]
    finally:
        index.close()
    if as_json:
        data = {"case": case, "waiting": len(held), "compared": list(rule.compared), **standing.as_data()}
        typer.echo(json.dumps(data, indent=1))
        return
    run.say(
        f"{counts.patients(standing.patients)} released in {standing.classes} groups who look alike; the smallest has "
        f"{standing.k}, and {rule.limits.k} are asked for. {standing.short} fall short. "
        f"{counts.counted(len(held), 'export waits', 'exports wait')} for company."
    )
    run.say(f"compared by: {', '.join(rule.compared)}")
    rows = [
        {
            "risk": name,
            "of one patient": f"{risk.largest:.3f}",
            "on average": f"{risk.average:.3f}",
            **{f"above {threshold:g}": f"{share:.0%}" for threshold, share in risk.above},
        }
        for name, risk in (("prosecutor", standing.prosecutor), ("journalist", standing.journalist))
    ]
    run.table(rows, as_json=False, empty="")
