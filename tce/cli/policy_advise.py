"""What ``tce policy advise`` does: which change of a policy gives the patients company enough, and what it costs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from policies.disclosure.advice import Advice, advise
from policies.disclosure.cohort import Limits
from policies.model import Policy
from tce import cases, counts
from tce.advising import Patients, patients_of, received_of
from tce.cli.session import Session
from tce.cohort import rule_of
from tce.counts import counted
from tce.disclosure_page import page
from tce.errors import Refused


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for on the command line. ``share`` of the patients may be left out."""

    files: tuple[Path, ...]
    case: str
    k: int
    share: float
    page: Path | None
    as_json: bool


def run_advise(run: Session, policy: Policy, wanted: Question) -> None:
    """Look at patients, and tell the least lossy change of the policy by which they have company enough."""
    minimum = 1
    given = list(wanted.files)
    if wanted.case:
        minimum = cases.load(run.site.cases_dir, wanted.case).minimum_cohort
        given = given or received_of(run.site, wanted.case)
    if not given:
        raise Refused("there is no patient to look at", next_step="name DICOM files, a CSV table, or a case")
    limits = rule_of(policy, minimum).limits
    limits = replace(limits, k=wanted.k or limits.k)
    if not limits.ask:
        raise Refused(
            "neither policy nor case asks for company", next_step="write minimum_cohort: 5, or give --k 5"
        )
    found = patients_of(given, policy)
    advice = advise(policy, found.columns, limits, sensitive=found.sensitive, share_left_out=wanted.share)
    if advice is None:
        raise Refused(
            f"no policy gives {counts.patients(found.count)} company enough: {limits.k} have to look alike"
            + (f", with {limits.diversity} sensitive values" if limits.diversity > 1 else ""),
            next_step="add patients, allow that some are left out (--leave-out 0.01), or ask for less",
        )
    if wanted.page is not None:
        wanted.page.write_text(page(advice, policy=f"{policy.name} {policy.version}"), "utf-8")
    if wanted.as_json:
        typer.echo(
            json.dumps({"patients": found.count, "unread": found.unread, **advice.as_data()}, indent=1)
        )
        return
    _tell(run, advice, limits, found)
    if wanted.page is not None:
        run.say(f"\npage: {wanted.page}")


def _tell(run: Session, advice: Advice, limits: Limits, found: Patients) -> None:
    before, after = advice.before, advice.after
    run.say(
        f"{counts.patients(found.count)}, of whom {limits.k} have to look alike. "
        f"Now {before.short} fall short; the smallest group has {before.k}."
    )
    if found.unread:
        run.say(f"{counts.files(found.unread)} could not be read and did not count")
    rows = [
        {"attribute": one.attribute, "now": one.before, "proposed": one.after, "lost": f"{one.loss:.3f}"}
        for one in advice.choices
    ]
    run.table(rows, as_json=False, empty="the policy leaves nothing that could be compared")
    run.say(
        f"Then the smallest group has {after.k}, the largest risk is {after.prosecutor.largest:.3f}, the average "
        f"{after.marketer:.3f}; of the information {advice.loss:.3f} is lost."
    )
    if advice.left_out:
        left_out = counted(advice.left_out, "patient has", "patients have")
        run.say(f"{left_out} to be left out: what falls short waits, or tce anonymize --leave-out")
    if not advice.best:
        run.say("There were too many possibilities to try all: one with a smaller loss may exist.")
    run.say(
        f"\nWrite in the policy:\n\n{advice.lines.rstrip()}"
        if advice.lines
        else "The policy need not be changed."
    )
