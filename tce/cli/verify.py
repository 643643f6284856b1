"""``tce verify``: is this release what it says it is?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tce import counts
from tce.cli.session import JsonOption, session
from tce.config import Site
from tce.proof import prove, require
from vault.trust import Trust


def verify(
    context: typer.Context,
    release: Annotated[
        Path, typer.Argument(metavar="RELEASE", help="Folder of a release, or its release.json.")
    ],
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder with the released files, e.g. a medium.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="The site's trust.json. Default: that of the site here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove a release offline: signature, approvals, and the bytes of every file in DIR.

    Needs neither Vault nor network. Exit status 1 when anything does not hold.

    Examples: tce verify releases/3f9a0c11d2e4 /media/cdrom   |   tce verify release.json --trust trust.json
    """
    run = session(context)
    proof = prove(release, Trust.load(trust or Site(run.home).trust_path), folder)
    if as_json:
        typer.echo(json.dumps({**asdict(proof), "holds": proof.holds}, indent=1))
    else:
        run.say(f"release {proof.release} of case {proof.case}, {counts.instances(proof.instances)}")
        for answer in proof.answers:
            run.say(f"{'ok  ' if answer.holds else 'FAIL'} {answer.question}: {answer.what}")
    require(proof)
    if not as_json:
        run.say(
            "this release is what it says it is" if folder else "the record holds; no files were compared"
        )
