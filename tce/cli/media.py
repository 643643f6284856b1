"""``tce media``: portable media in the layout of IHE PDI: write, read and check them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from media.checker import check_medium
from media.pdi import Profile
from tce import counts, portable
from tce.cli.session import JsonOption, session, verbs
from tce.config import Site
from tce.counts import counted
from tce.errors import Held, Refused
from tce.folder import files_under

app = verbs("Portable media (IHE PDI): a File-set with DICOMDIR and pages.")

Medium = Annotated[Path, typer.Argument(help="Folder of the medium.", metavar="MEDIUM")]


@app.command()
def write(
    context: typer.Context,
    sources: Annotated[list[Path], typer.Argument(help="De-identified files or folders.", metavar="SRC...")],
    out: Annotated[Path, typer.Option(help="Folder of the medium; must be empty or not exist.")],
    label: Annotated[
        str, typer.Option(help="Name of the medium, at most 16 characters. No patient's data.")
    ] = "TCE",
    profile: Annotated[
        Profile | None,
        typer.Option(help="What the medium is and may hold; the default stands in the settings."),
    ] = None,
    case: Annotated[str, typer.Option(help="Case, for the audit trail.")] = "",
) -> None:
    """Write de-identified instances as a medium, all of them or none.

    Example: tce media write pseudonymized --out medium --label LUNG_1 --profile STD-GEN-USB-JPEG
    """
    run = session(context)
    instances = list(files_under(sources))
    medium = portable.write(
        run.site, instances, out, name=label, profile=profile, case=case, actor=run.person
    )
    run.say(
        f"medium {medium.fileset_id} in {medium.path}: {counts.patients(medium.patients)}, "
        f"{counts.studies(medium.studies)}, {medium.series} series, {counts.instances(medium.instances)}"
    )
    if medium.rewritten:
        rewritten = counted(medium.rewritten, "instance was", "instances were")
        run.say(f"{rewritten} rewritten in an encoding of {medium.profile}")


@app.command()
def read(
    context: typer.Context,
    medium: Medium,
    out: Annotated[Path, typer.Option(help="Folder for the copies; must be empty or not exist.")],
    case: Annotated[str, typer.Option(help="Case, for the audit trail.")] = "",
) -> None:
    """Copy the instances of a medium, from any vendor, to a folder. Exit status 3 when something stayed behind.

    Example: tce media read /media/cdrom --out incoming
    """
    run = session(context)
    taken = portable.take_in(run.site, medium, out, case=case, actor=run.person)
    run.say(f"{counts.instances(len(taken.instances))} in {out}")
    for deviation in taken.deviations:
        run.say(f"not as it should be: {deviation}")
    if taken.refused:
        raise Held(
            f"{counts.instances(taken.refused)} stayed behind, without a word that the patient's identity was removed",
            next_step="this is identified material: return the medium to where it came from",
        )


@app.command()
def check(context: typer.Context, medium: Medium, as_json: JsonOption = False) -> None:
    """Prove a medium: layout, DICOMDIR, every record against its file. Exit status 1 when a check fails.

    Example: tce media check medium
    """
    run = session(context)
    site = Site(run.home)  # a medium can be checked where there is no site
    profile = site.settings.media.profile if site.settings_path.exists() else Profile.STD_GEN_CD
    report = check_medium(medium, profile=profile)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
    else:
        for one in report.checks:
            run.say(f"{'ok  ' if one.passed else 'FAIL'} {one.name}: {one.what}")
    if not report.passed:
        raise Refused("the medium did not pass", next_step="do not use it; ask whoever wrote it for another")
