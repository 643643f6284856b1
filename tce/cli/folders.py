"""``tce pseudonymize`` and ``tce anonymize``: one stage each, files to files, in parallel on all cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policies.forms import Forms
from policies.model import Stage
from tce import counts, wiring
from tce.audit.journal import Journal
from tce.cli.session import Session, session
from tce.counts import counted
from tce.errors import Held
from tce.exports import Exports
from tce.folder import Bench, FolderAccount, SetAside, de_identify
from tce.folder_cohort import Company, LeftOut, de_identify_in_company
from tce.permission import permission_of
from tce.walking import files_under

Sources = Annotated[
    list[Path], typer.Argument(help="Files or folders, with everything below.", metavar="SRC...")
]
CaseId = Annotated[str, typer.Option("--case", help="Case that the work is for.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results; made when it does not exist.")]
EventsFile = Annotated[
    Path | None,
    typer.Option("--events", help="For study days: CSV with patient_id,date; patients as SRC names them."),
]
Proves = Annotated[
    bool,
    typer.Option(
        "--verify", help="Verify each result too, and set aside what has a finding. Takes much longer."
    ),
]
LeavesOut = Annotated[
    bool,
    typer.Option(
        "--leave-out", help="Leave out patients who have too little company, rather than refuse all."
    ),
]
Workers = Annotated[int, typer.Option(help="Processes to use. Default: one for each core.", min=0)]


_SAID = {
    Stage.PSEUDONYMIZE: ("folder.pseudonymized", "pseudonymized"),
    Stage.ANONYMIZE: ("folder.anonymized", "anonymized"),
}


def pseudonymize(
    context: typer.Context,
    sources: Sources,
    case: CaseId,
    out: Out,
    workers: Workers = 0,
    events: EventsFile = None,
    verify: Proves = False,
) -> None:
    """Stage 1: take the direct identifiers out, reversibly by two custodians. In the hospital.

    Needs the case's stage-1 policy to be approved. What cannot be treated is set aside with its reason, the others
    go on, and the exit status is 3. Output names hold pseudonyms only. The same command again continues.

    Example: tce pseudonymize /data/from-modality --case lung-1 --out pseudonymized
    """
    run = session(context)
    bench = wiring.stage_one(run.site, case, events)
    proved = wiring.forms(run.site, case, Stage.PSEUDONYMIZE) if verify else None
    _carry(run, sources, out, bench, workers, case, Stage.PSEUDONYMIZE, proved)


def anonymize(
    context: typer.Context,
    sources: Sources,
    case: CaseId,
    out: Out,
    workers: Workers = 0,
    events: EventsFile = None,
    verify: Proves = False,
    leave_out: LeavesOut = False,
) -> None:
    """Stage 2: treat what could still single a person out, irreversibly, under the case's own key. In research.

    Needs the case and its stage-2 policy to be approved. The result is not released: for that, select it for
    export. What cannot be treated is set aside with its reason; the exit status is then 3. Study days count from
    the case's own events (tce case events), unless --events names others.

    Where the case asks that patients look alike (k), all are looked at together with those whom the case has released:
    if anybody falls short, nothing is written, unless --leave-out is given.

    Example: tce anonymize pseudonymized --case lung-1 --out anonymized
    """
    run = session(context)
    bench = wiring.stage_two(run.site, case, events)
    proved = wiring.forms(run.site, case, Stage.ANONYMIZE) if verify else None
    company = _company(run, case, leave_out=leave_out)
    _carry(run, sources, out, bench, workers, case, Stage.ANONYMIZE, proved, company)


def _company(run: Session, case: str, *, leave_out: bool) -> Company | None:
    """Return what the patients of the folder have to keep, if the case asks anything."""
    rule = wiring.cohort_rule(run.site, case)
    if not rule.limits.ask:
        return None
    index = Exports(run.site.exports_url)
    try:
        return Company(rule, index.released(case), leave_out)
    finally:
        index.close()


def _carry(
    run: Session,
    sources: list[Path],
    out: Path,
    bench: Bench,
    workers: int,
    case: str,
    stage: Stage,
    prove: Forms | None,
    company: Company | None = None,
) -> None:
    journal = Journal(run.site, run.person)
    event, done = _SAID[stage]
    total = sum(1 for _ in files_under(sources))
    left_out = LeftOut(0, 0)
    with run.progress() as progress:
        task = progress.add_task(done, total=total)
        many, permission = workers or None, permission_of(run.site, case, stage)

        def told(count: int) -> None:
            progress.update(task, completed=count)

        if company is None:
            account = de_identify(
                sources, out, bench, workers=many, progress=told, prove=prove, permission=permission
            )
        else:
            account, left_out = de_identify_in_company(
                sources, out, bench, company, workers=many, progress=told, prove=prove, permission=permission
            )
    detail = _detail(case, account) | ({"left_out": str(left_out.patients)} if company else {})
    journal.record(event, success=bool(account.written or account.already), detail=detail)
    run.say(
        f"{counts.instances(account.written)} {done}"
        + (f", {counted(account.already, 'was', 'were')} there already" if account.already else "")
        + f": {counts.patients(len(account.patients))}, {counts.studies(len(account.studies))}, "
        f"{len(account.series)} series, in {out}"
    )
    _tell_left_out(left_out, account)
    _tell_set_aside(run, account.set_aside)


def _tell_left_out(left_out: LeftOut, account: FolderAccount) -> None:
    """End with status 3 if patients were left out for too little company and nothing else is to be told."""
    if left_out.patients and not account.set_aside:
        raise Held(
            f"{counted(left_out.patients, 'patient was', 'patients were')} left out for too little company, with "
            f"{counts.instances(left_out.instances)}",
            next_step="make the policy coarser (tce policy advise), or add patients",
        )


def _tell_set_aside(run: Session, set_aside: list[SetAside]) -> None:
    """List what was not passed on, by the paths of whoever gave them, and end with status 3."""
    if not set_aside:
        return
    run.err.print(f"{counts.files(len(set_aside))} set aside:", markup=False)
    for one in set_aside:
        run.err.print(f"  {one.path}: {one.reason}: {one.what}", markup=False)
    steps = dict.fromkeys(one.next_step for one in set_aside if one.next_step)
    held = sum(one.held for one in set_aside)
    raise Held(
        f"{counted(len(set_aside), 'file was', 'files were')} not passed on, "
        f"{counted(held, 'of them waits', 'of them wait')} for review",
        next_step=" ".join(steps) or "see the reasons above",
    )


def _detail(case: str, account: FolderAccount) -> dict[str, str]:
    return {
        "case": case,
        "instances": str(account.written),
        "already": str(account.already),
        "patients": str(len(account.patients)),
        "set_aside": str(len(account.set_aside)),
    }
