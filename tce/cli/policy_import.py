"""What ``tce policy import`` does: a draft from another de-identifier's file, or a list from a lookup table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import typer

from policies.importing.original import Dialect
from tce import counts, import_comparison, importing, lookup_tables, trial_run
from tce.cli.session import Session
from tce.errors import Refused
from tce.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    file: Path
    dialect: Dialect
    name: str
    version: str
    out: Path | None
    script: Path | None
    compare: tuple[Path, ...]
    exact: bool
    as_json: bool


def run_import(run: Session, wanted: Request) -> None:
    """Import one file, as a draft or as a list, and tell what became of it."""
    text = importing.text_of(wanted.file)
    if wanted.dialect is Dialect.CTP_LOOKUP:
        _table(run, wanted, text)
        return
    if wanted.script is not None:
        raise Refused(
            "--script belongs to a lookup table", next_step="leave it out, or write --from ctp-lookup"
        )
    if wanted.compare and wanted.dialect is Dialect.CTP_PIXELS:
        raise Refused(
            "attributes are compared, and a script for pixels changes none", next_step="leave --compare out"
        )
    sample = trial_run.files_of(wanted.compare) if wanted.compare else []
    brought = importing.bring(text, wanted.dialect, name=wanted.name, version=wanted.version)
    if wanted.out is not None:
        importing.write_new(wanted.out, brought.text)
        path = wanted.out
    else:
        path = Shelf(run.site.policies_dir).put(brought.text).path
    compared = _compared(run, brought, sample) if sample else None
    if wanted.as_json:
        told = {"file": str(path), "digest": brought.policy.digest, **brought.report.as_json()}
        if compared is not None:
            told["comparison"] = compared.as_json()
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    run.say(brought.report.as_text(exact=wanted.exact).lstrip("\n"))
    if compared is not None:
        run.say("\n" + compared.as_text())
    run.say(f"\na draft is in {path}\nread it and edit it, then: tce policy check {path}")


def _compared(run: Session, brought: importing.Imported, sample: list[Path]) -> import_comparison.Comparison:
    with run.progress() as progress:
        task = progress.add_task("comparing", total=len(sample))
        return import_comparison.compare(
            brought.policy, brought.original, sample, lambda: progress.advance(task)
        )


def _table(run: Session, wanted: Request, text: str) -> None:
    """Write the list that a lookup table is; it names patients, so it goes to a file and nowhere else."""
    if wanted.script is None:
        raise Refused(
            "a lookup table does not say what its key types stand for",
            next_step="name the script that it belongs to: --script FILE",
        )
    if wanted.out is None:
        raise Refused(
            "the list needs a file of its own", next_step="name one that does not exist: --out FILE"
        )
    importing.require(text, wanted.dialect)
    script = importing.text_of(wanted.script)
    importing.require(script, Dialect.CTP)
    converted = lookup_tables.convert(text, script)
    importing.write_new(wanted.out, converted.text, private=True)
    if wanted.as_json:
        told = {
            "file": str(wanted.out),
            "entries": {str(kind): count for kind, count in converted.counts.items()},
            "left_out": [{"line": line, "why": why} for line, why in converted.left_out],
        }
        typer.echo(json.dumps(told, indent=1))
        return
    for kind, count in converted.counts.items():
        run.say(f"{kind}: {counts.counted(count, 'entry', 'entries')}")
    if converted.left_out:
        run.say(f"not carried over: {counts.counted(len(converted.left_out), 'entry', 'entries')}")
    for line, why in converted.left_out:
        run.say(f"  line {line}: {why}")
    run.say(
        f"\na list is in {wanted.out}; it names patients\n"
        f"next: tce --as COORDINATOR mapping import {wanted.out} --case CASE --issuer ISSUER\n"
        "or, where CTP was given pseudonyms of stage 1: add --stage anonymize"
    )
