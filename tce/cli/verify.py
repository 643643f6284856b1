"""``tce verify``: is this release what it says it is?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tce import approval_proof, counts
from tce.cases import case_dir
from tce.cli.session import JsonOption, session
from tce.config import Site
from tce.forgotten import FORGOTTEN_FILE, is_one
from tce.forgotten import read as read_forgotten
from tce.proof import prove, prove_forgotten, require
from tce.release import read
from vault.trust import Trust


def verify(
    context: typer.Context,
    release: Annotated[
        Path,
        typer.Argument(
            metavar="RELEASE",
            help="Folder of a release, its release.json, a forgotten.json; or a policy, a case, its approval.",
        ),
    ],
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder with the released files, e.g. a medium.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="The site's trust.json. Default: that of the site here.")
    ] = None,
    forgotten: Annotated[
        Path | None,
        typer.Option(
            help="Record that the case was forgotten. Default: that of the case here, if there is one."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print what the record says, instances left out.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove a release offline: signature, approvals, and the bytes of every file in DIR.

    Needs neither Vault nor network. Of a case that was forgotten it says as well that the release is irreversible; the
    record of a forgotten case (forgotten.json) can be proved by itself in place of a release. At the site that it is
    of, its audit trail must tell of it too. Exit status 1 when
    anything does not hold, also for a file in DIR of which the release does not speak; what makes DIR a medium
    (DICOMDIR, README.TXT, pages) is counted only. A policy or a case, or a signed record beside it, is proved as well:
    its author's and approver's signatures, its text, and whether the approval counts now.

    Examples: tce verify releases/3f9a0c11d2e4 /media/cdrom   |   tce verify release.json --trust trust.json   |
    tce verify policies/ours-2.approval.json
    """
    run = session(context)
    keys = Trust.load(trust or Site(run.home).trust_path)
    if approval_proof.is_one(release):
        proof = approval_proof.prove_approval(release, keys)
    elif is_one(release):
        proof = prove_forgotten(release, keys, _at_hand(run.home, keys))
    else:
        record = forgotten or _kept(run.home, release)
        proof = prove(release, keys, folder, forgotten_record=record, site=_at_hand(run.home, keys))
    if as_json:
        typer.echo(json.dumps({**asdict(proof), "holds": proof.holds}, indent=1, default=str))
    else:
        if show and proof.release:
            run.say(_said(release))
        if proof.about:
            run.say(proof.about)
        elif proof.release:
            run.say(f"release {proof.release} of case {proof.case}, {counts.instances(proof.instances)}")
            if warnings := read(release).record.policy.get("warnings"):
                run.say(warnings)
        else:
            run.say(f"forgotten case {proof.case}")
        for answer in proof.answers:
            run.say(f"{'ok  ' if answer.holds else 'FAIL'} {answer.question}: {answer.what}")
        for path in proof.others:
            run.say(f"     {path}")
    require(proof)
    if not as_json:
        held = "the record holds; no files were compared" if proof.release else f"{proof.what} holds"
        run.say("this release is what it says it is" if folder and proof.release else held)


def _said(release: Path) -> str:
    """Return what a record says, but its instances."""
    content = asdict(read(release).record)
    del content["instances"]
    return json.dumps(content, indent=1, ensure_ascii=False)


def _kept(home: Path, release: Path) -> Path | None:
    """Return the record that the case of a release was forgotten, if this site has one that names the release."""
    record = read(release).record
    kept = case_dir(Site(home).cases_dir, record.case) / FORGOTTEN_FILE
    return kept if kept.exists() and read_forgotten(kept)[0].names(record.release) else None


def _at_hand(home: Path, keys: Trust) -> Site | None:
    """Return the site here if it is the one whose public keys are used; another site's trail says nothing."""
    site = Site(home)
    return site if site.trust_path.exists() and Trust.load(site.trust_path) == keys else None
