"""What ``tce policy diff`` does: how two policies differ in their settings, and in their effect on given files."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

import typer

from policies.model import Policy
from tce import policy_effects, trial_run
from tce.cli.policy_named import named
from tce.cli.policy_preview import of_case, record
from tce.cli.session import Session


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What was asked for on the command line."""

    old: str
    new: str
    files: tuple[Path, ...]
    case: str
    as_json: bool


def run_diff(run: Session, wanted: Request) -> None:
    """Tell how two policies differ."""
    old, new = (named(run, one) for one in (wanted.old, wanted.new))
    lines = list(difflib.unified_diff(_fields(old), _fields(new), wanted.old, wanted.new, n=1, lineterm=""))
    effect = _effect(run, wanted, old, new) if wanted.files else None
    if wanted.as_json:
        told = {"first": old.digest, "second": new.digest, "settings": lines}
        typer.echo(
            json.dumps(
                {**told, **({"effect": effect.as_json()} if effect else {})}, indent=1, ensure_ascii=False
            )
        )
        return
    run.say("\n".join(lines) if lines else "no difference")
    if effect is not None:
        run.say("\n" + effect.as_text())


def _effect(run: Session, wanted: Request, old: Policy, new: Policy) -> policy_effects.Comparison:
    sample = trial_run.files_of(wanted.files)
    trial, events = of_case(run, wanted.case, None, new)
    with run.progress() as progress:
        task = progress.add_task("comparing", total=len(sample))
        effect = policy_effects.compare(
            old, new, sample, trial=trial, events=events, told=lambda: progress.advance(task)
        )
    record(run, [old, new], wanted.case, len(sample), effect.compared, shown=False, kept=False)
    return effect


def _fields(policy: Policy) -> list[str]:
    return json.dumps(
        policy.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False
    ).splitlines()
