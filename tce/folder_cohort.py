"""Files to files for a case that asks for company: nothing appears in the folder unless all of it may.

    sources ──stage 2──▶ out.waiting/ ──the folder's patients beside those released──▶ out/

The results wait in a folder beside the one asked for until the cohort was looked at: the patients of this job, those
that lie in the folder already, and what the case has released. A job that died is simply run again.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.forms import Forms
from tce import counts
from tce.cohort import CohortRule, Share, shortfall, traits_of
from tce.errors import Refused, TceError
from tce.folder import Bench, FolderAccount, apart, de_identify

_STEP = (
    "make the policy coarser (tce policy advise), add patients, or leave those out who have too little company: "
    "--leave-out"
)


@dataclass(frozen=True, slots=True)
class Company:
    """What the patients of a folder have to keep, who is released already, and what becomes of who falls short."""

    rule: CohortRule
    released: Sequence[Share]
    leave_out: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Who was left out for too little company, in numbers."""

    patients: int
    instances: int


def de_identify_in_company(
    sources: Sequence[Path],
    out: Path,
    bench: Bench,
    company: Company,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    prove: Forms | None = None,
    permission: Callable[[], None] = lambda: None,
) -> tuple[FolderAccount, LeftOut]:
    """Carry every instance under ``sources`` through stage 2 into ``out``, if all of their patients have company.

    Raises Refused, with nothing new in ``out``, if somebody falls short and is not to be left out; and what
    :func:`tce.folder.de_identify` raises.
    """
    apart(sources, out)
    waiting = out.with_name(f"{out.name}.waiting")
    account = de_identify(
        sources, waiting, bench, workers=workers, progress=progress, prove=prove, permission=permission
    )
    try:
        left_out = _without_the_lonely(waiting, out, company)
    except Refused:
        shutil.rmtree(waiting)
        raise
    remain = {folder.name for folder in waiting.iterdir()}
    account.patients &= remain
    account.written = account.already = 0
    account.studies, account.series = _names(waiting, "*/*"), _names(waiting, "*/*/*")
    permission()  # to look at very many takes a while, and an approval may have been withdrawn since
    _move(waiting, out, account)
    return account, left_out


def _without_the_lonely(waiting: Path, out: Path, company: Company) -> LeftOut:
    """Remove from what waits the patients who fall short, as often as that makes others fall short."""
    traits = traits_of(sorted([*waiting.rglob("*.dcm"), *out.rglob("*.dcm")]), company.rule)
    patients = instances = 0
    while True:
        _, short = shortfall(traits, company.released, company.rule)
        if not short:
            return LeftOut(patients, instances)
        removable = {patient for patient in short if (waiting / patient).is_dir()}
        if not company.leave_out or not removable:
            raise _refusal(len(short), company.rule)
        for patient in sorted(removable):
            instances += sum(1 for _ in (waiting / patient).rglob("*.dcm"))
            shutil.rmtree(waiting / patient)
        patients += len(removable)
        there = traits_of(
            (path for patient in sorted(removable) for path in sorted((out / patient).rglob("*.dcm"))),
            company.rule,
        )
        traits = {patient: of for patient, of in traits.items() if patient not in removable} | there


def _refusal(short: int, rule: CohortRule) -> TceError:
    k, diverse = rule.limits.k, rule.limits.diversity
    asked = f"{k} patients who look alike" + (
        f", with {diverse} values of {rule.sensitive}" if diverse > 1 else ""
    )
    return Refused(
        f"{counts.patients(short)} would have too little company in this folder and what the case has released, "
        f"and the case asks for {asked}; nothing was written",
        next_step=_STEP,
    )


def _names(folder: Path, pattern: str) -> set[str]:
    return {found.name for found in folder.glob(pattern) if found.is_dir()}


def _move(waiting: Path, out: Path, account: FolderAccount) -> None:
    files = [path.relative_to(waiting) for path in sorted(waiting.rglob("*.dcm"))]
    for name in files:
        target = out / name
        if target.exists() and not filecmp.cmp(waiting / name, target, shallow=False):
            raise TceError(
                f"{target} holds another instance under the same SOP Instance UID",
                next_step="find out which of them is right; give another --out",
            )
    account.already = sum((out / name).exists() for name in files)
    account.written = len(files) - account.already
    if not out.exists():
        waiting.replace(out)  # all of it, or nothing of it
        return
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (waiting / name).replace(out / name)
    shutil.rmtree(waiting)
