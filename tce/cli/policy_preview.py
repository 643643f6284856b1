"""What ``tce policy preview`` does: try a policy, and show a person what it did.

Original values go to a terminal and into files of mode 0600, each with a heading that says so. Where the output is no
terminal they are left out of it: a pipe or a file of unknown readers is not a person who has the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from policies.grounds import Happened
from policies.model import Policy, Stage
from policies.movement import Events
from tce import cases, events, importing, trial_run
from tce.audit.journal import Journal
from tce.cli.policy_named import named
from tce.cli.session import Session
from tce.counts import counted, files
from tce.errors import Held, Refused
from tce.preview import Preview, preview
from tce.preview_account import Account, Group, account_of, as_json, verdict_words
from tce.preview_page import page

_IDENTIFIED = "IDENTIFIED MATERIAL: original values of patients follow. Not to be copied or sent on."
_MOST_LINES = 12
_BRIEF = frozenset({Happened.KEPT, Happened.ADDED})
"""What is only counted on a terminal unless everything is asked for."""


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What was asked for on the command line."""

    policy: str
    files: tuple[Path, ...]
    case: str
    events: Path | None
    page: Path | None
    json: Path | None
    without_values: bool
    everything: bool


def run_preview(run: Session, wanted: Request) -> None:
    """Try a policy on files and tell what it does. Raises Held where files would not pass."""
    policy = named(run, wanted.policy)
    for path in filter(None, (wanted.page, wanted.json)):
        if path.exists():
            raise Refused(f"{path} exists", next_step="name a file that does not")
    sample = trial_run.files_of(wanted.files)
    trial, days = of_case(run, wanted.case, wanted.events, policy)
    with run.progress() as progress:
        task = progress.add_task("trying", total=len(sample))
        seen = preview(policy, sample, trial=trial, events=days, told=lambda: progress.advance(task))
    on_terminal = run.out.is_terminal and not wanted.without_values
    kept = bool(wanted.page or wanted.json) and not wanted.without_values
    record(run, [policy], wanted.case, len(sample), len(seen.passed), shown=on_terminal, kept=kept)
    told = account_of(seen, case=wanted.case, with_values=not wanted.without_values)
    if wanted.page is not None:
        importing.write_new(wanted.page, page(told), private=True)
    if wanted.json is not None:
        text = json.dumps(as_json(told), indent=1, ensure_ascii=False) + "\n"
        importing.write_new(wanted.json, text, private=True)
    show(run, account_of(seen, case=wanted.case, with_values=on_terminal), everything=wanted.everything)
    for path in filter(None, (wanted.page, wanted.json)):
        values = "no original values" if wanted.without_values else "original values of patients"
        run.say(f"written: {path} ({values}; readable by you alone)")
    _end(seen)


def of_case(
    run: Session, case_id: str, given: Path | None, policy: Policy
) -> tuple[Mapping[str, str] | None, Events]:
    """Return what a case gives to a stage beside its keys: values of the trial, and the dates of events."""
    if not case_id:
        return None, events.read(given).dates if given else {}
    case = cases.load(run.site.cases_dir, case_id)
    days: Events = {}
    if given is not None:
        days = events.read(given).dates
    elif policy.stage is Stage.ANONYMIZE:
        days = events.of_case(run.site.cases_dir, case_id)
    return case.trial_attributes(), days


def record(
    run: Session, policies: list[Policy], case: str, given: int, passed: int, *, shown: bool, kept: bool
) -> None:
    """Write onto the trail that a policy was tried, where there is a site; no value and no file name."""
    if not run.has_site:
        return
    person = run.person if run.site.settings.people.role_of(run.person) else ""
    detail = {
        "policy": ", ".join(f"{one.name} {one.version} {one.digest}" for one in policies),
        "case": case,
        "files": str(given),
        "passed": str(passed),
        "values": "kept" if kept else "shown" if shown else "left out",
    }
    Journal(run.site, person).record("policy.previewed", detail=detail)


def _end(seen: Preview) -> None:
    if seen.findings:
        raise Refused(
            f"the verification has {counted(len(seen.findings), 'finding', 'findings')}: an export would be held",
            next_step="report it with the findings above, and let nobody approve the policy until it is explained",
        )
    if seen.turned_down:
        held = sum(one.held for one in seen.turned_down)
        raise Held(
            f"{files(len(seen.turned_down))} of {len(seen.files)} would not pass, {held} of them until a person looked",
            next_step="see the reasons above, and the coordinator's guide",
        )


def show(run: Session, account: Account, *, everything: bool = False) -> None:
    """Print a preview for a person."""
    policy = account.policy
    if account.with_values:
        run.out.print(f"[bold white on red]{_IDENTIFIED}[/]")
    run.say(f"{policy.name} {policy.version} on {files(account.files)}; {account.passed} pass")
    run.say(policy.digest)
    for remark in account.remarks:
        run.say(f"note: {remark}")
    for group in account.groups:
        _show_group(run, group, account.with_values, everything)
    _show_turned(run, account)
    _show_losses(run, account)
    run.say("\nOn media")
    for line in account.media or ("- no key of a DICOMDIR is missing",):
        run.say(f"  {line.removeprefix('- ')}")
    run.say("\nVerification")
    for file, one in account.findings:
        run.say(f"  {one.code}: {one.where or one.channel}: {one.what}{f' ({file})' if file else ''}")
    if not account.findings:
        run.say("  nothing found" if account.passed else "  there is no result to verify")


def _show_group(run: Session, group: Group, with_values: bool, everything: bool) -> None:
    number = counted(len(group.lines), "attribute", "attributes")
    run.out.print(f"\n[bold]{group.heading}[/]: {escape(group.why)} ({number}, {group.values} values)")
    if group.happened in _BRIEF and not everything:
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 2))
    for name in ("attribute", "files", *(["for example"] if with_values else [])):
        table.add_column(name, overflow="fold")
    lines = group.lines if everything else group.lines[:_MOST_LINES]
    for line in lines:
        cells = [line.attribute + (f": {line.detail}" if line.detail else ""), str(line.files)]
        if with_values:
            cells.append(_example(group, line.examples, line.gone))
        table.add_row(*map(escape, cells))
    run.out.print(table)
    if len(group.lines) > len(lines):
        run.say(f"    and {len(group.lines) - len(lines)} more (--all)")


def _example(group: Group, examples: tuple[tuple[str, str], ...], gone: tuple[tuple[str, int], ...]) -> str:
    before, after = examples[0] if examples else ("", "")
    if group.happened in (Happened.REMOVED, Happened.EMPTIED, Happened.KEPT):
        return before
    if group.happened is Happened.ADDED:
        return after
    went = f"; went: {', '.join(word for word, _ in gone)}" if gone else ""
    return f"{before} → {after}{went}"


def _show_turned(run: Session, account: Account) -> None:
    if not account.turned:
        return
    run.out.print("\n[bold]Would not pass[/]")
    for one in account.turned:
        run.say(f"  {one.reason} ({files(one.count)}, {'held' if one.held else 'refused'}): {one.what}")
        if one.next_step:
            run.say(f"    {one.next_step}")
        for file in one.files[:5]:
            run.say(f"    {file}")


def _show_losses(run: Session, account: Account) -> None:
    if not account.losses:
        return
    run.out.print("\n[bold]What an analysis would lose[/]")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 2))
    for name in ("needed for", "result", "by"):
        table.add_column(name, overflow="fold")
    for loss in account.losses:
        by = ", ".join(f"{what} ({count})" for what, count in loss.because[:5])
        table.add_row(*map(escape, (loss.name, verdict_words(loss), by)))
    run.out.print(table)
