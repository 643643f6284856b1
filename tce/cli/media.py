"""``tce media``: portable media in the layout of IHE PDI: write, read and check them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from media.checker import check_medium
from media.pdi import Profile
from tce import counts, incoming, portable, wiring
from tce.cli.media_label import label as label_media
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
    media: Annotated[
        list[Path], typer.Argument(help="Folder, ISO file or device of each medium.", metavar="MEDIUM...")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the copies; must be empty or not exist.")],
    case: Annotated[str, typer.Option(help="Case, for the gate and for the audit trail.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Copy the instances of media, from any vendor, to a folder. Exit status 3 when something stayed behind.

    What no policy of stage 1 that is approved here has pseudonymized stays behind, with the reason.

    Example: tce media read /media/cdrom --out incoming
    """
    run = session(context)
    known = wiring.known_stage_one(run.site, case)
    with run.progress() as progress:
        task = progress.add_task("instances", total=None)
        taken = incoming.take_in(
            run.site,
            media,
            out,
            known,
            case=case,
            actor=run.person,
            seen=lambda count: progress.advance(task, count),
        )
    if as_json:
        account = {"instances": len(taken.instances), "out": str(out), "policies": taken.policies}
        behind = [asdict(one) for one in taken.behind]
        typer.echo(json.dumps({**account, "behind": behind, "deviations": taken.deviations}, indent=1))
    else:
        run.say(f"{counts.instances(len(taken.instances))} in {out}")
        for policy, count in taken.policies.items():
            run.say(f"pseudonymized by {policy}: {counts.instances(count)}")
        for deviation in taken.deviations:
            run.say(f"not as it should be: {deviation}")
        for one in taken.behind:
            run.say(f"left behind: {one.name}: {one.reason}: {one.what}")
    if taken.behind:
        steps = dict.fromkeys(one.next_step for one in taken.behind)
        raise Held(f"{counts.files(len(taken.behind))} stayed behind", next_step="; ".join(steps))


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


app.command("label")(label_media)
