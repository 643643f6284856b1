"""What ``tce policy benchmark``, ``score`` and ``corpus`` do: a policy by the answer keys of the MIDI-B benchmark.

They print counts only. Answers and maps hold originals, and the maps are readable by one person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import typer

from tce import trial_run
from tce.cli.policy_named import named
from tce.cli.session import Session
from tce.counts import counted, instances
from tce.midi_answers import Score, read_answers, read_map, score


def run_benchmark(
    run: Session, policy: str, answers: Path, files: list[Path], out: Path, *, as_json: bool
) -> None:
    """Carry the benchmark's files through a policy, and judge them."""
    from tce.midi_benchmark import PATIENTS, UIDS  # it reads much that no other command needs
    from tce.midi_benchmark import run as carry

    chosen = named(run, policy)
    sample = trial_run.files_of(files)
    with run.progress() as progress:
        task = progress.add_task("trying", total=len(sample))
        done = carry(chosen, answers, sample, out, told=lambda: progress.advance(task))
    _tell(run, done.score, done.set_aside, as_json=as_json)
    if not as_json:
        run.say(f"results and maps in {out}; {UIDS} and {PATIENTS} lead back to the originals")


def run_score(
    run: Session, answers: Path, folder: Path, uids: Path, patients: Path, *, as_json: bool
) -> None:
    """Judge what any program made of the benchmark's files."""
    found = score(read_answers(answers), trial_run.files_of([folder]), read_map(uids), read_map(patients))
    _tell(run, found, {}, as_json=as_json)


def run_corpus(run: Session, policy: str, out: Path) -> None:
    """Write built instances and what a policy has to make of them."""
    from tce.midi_benchmark import ANSWERS, RESULTS, corpus  # it reads much that no other command needs

    count = corpus(named(run, policy), out)
    run.say(f"{instances(count)} in {out / RESULTS}, the answers in {out / ANSWERS}")


def _tell(run: Session, found: Score, aside: Mapping[str, int], *, as_json: bool) -> None:
    actions = {action: (found.passed[action], asked) for action, asked in sorted(found.asked.items())}
    if as_json:
        told = {
            "actions": {action: {"passed": held, "of": asked} for action, (held, asked) in actions.items()},
            "share": round(found.share, 5),
            "not_judged": found.not_judged,
            "files": found.files,
            "unreadable": found.unreadable,
            "missing": found.missing,
            "set_aside": dict(sorted(aside.items())),
        }
        typer.echo(json.dumps(told, indent=1))
        return
    for action, (held, asked) in actions.items():
        run.say(f"{action:18} {held:,} of {asked:,}")
    run.say(f"{'all':18} {found.share:.2%} of {counted(found.asked.total(), 'check', 'checks')}")
    for what, count in (
        ("checks are not judged here: texts in pixels", found.not_judged),
        ("files cannot be read", found.unreadable),
        ("entries of the answers are for instances that are not there", found.missing),
    ):
        if count:
            run.say(f"{count:,} {what}")
    for reason, count in sorted(aside.items()):
        run.say(f"held or refused, {reason}: {count:,}")
