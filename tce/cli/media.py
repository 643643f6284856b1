"""``tce media``: portable media in the layout of IHE PDI: write, read and check them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from media.pdi import Medium as Written
from media.pdi import Profile
from media.secure_media import secure_identifier
from media.zip_mail import MAIL_NAME, MAIL_SUBJECT
from tce import counts, incoming, known_policies, portable
from tce.cli.media_check import Media, check
from tce.cli.media_keys import (
    AskPasswordOption,
    KeyOption,
    NewPasswordFileOption,
    PasswordFileOption,
    RecipientsOption,
    SignerOption,
    SignersOption,
    SigningKeyOption,
    protection,
    unlocking,
)
from tce.cli.media_label import label as label_media
from tce.cli.session import JsonOption, Session, session, verbs
from tce.counts import counted
from tce.errors import Held
from tce.walking import files_under

app = verbs("Portable media (IHE PDI): a File-set with DICOMDIR and pages.")

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 1 << 20, "GiB": 1 << 30}


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
    capacity: Annotated[
        str, typer.Option(help="What one medium takes, like 650MiB, 4.7GB or any; default: as is usual.")
    ] = "",
    iso: Annotated[
        Path | None, typer.Option(help="Write an ISO 9660 image as well; several media have numbers.")
    ] = None,
    zip_file: Annotated[
        Path | None, typer.Option("--zip", help="Write a ZIP file for e-mail as well (STD-GEN-ZIP-MAIL).")
    ] = None,
    zip_limit: Annotated[int, typer.Option(min=1, help="Largest ZIP file, in MiB.")] = 25,
    recipient: RecipientsOption = None,
    password_file: NewPasswordFileOption = None,
    password: AskPasswordOption = False,
    sign_with: SigningKeyOption = None,
    signer: SignerOption = None,
    case: Annotated[str, typer.Option(help="Case, for the audit trail.")] = "",
    images: Annotated[
        bool | None,
        typer.Option(help="Small pictures on the pages; the default stands in the settings."),
    ] = None,
) -> None:
    """Write de-identified instances as a medium, all of them or none; as several media if one does not hold them.

    With --recipient or a password every file is encrypted and signed (PS3.15 D). A ZIP file alone encrypts nothing.

    Examples: tce media write pseudonymized --out medium --label LUNG_1 --iso lung.iso
    |   tce media write pseudonymized --out medium --recipient reader.pem --sign-with key.pem --signer our.pem
    """
    run = session(context)
    closed = protection(recipient, password_file, sign_with, signer, ask=password)
    chosen = profile or (Profile.STD_GEN_ZIP_MAIL if zip_file else run.site.settings.media.profile)
    media = portable.write_set(
        run.site,
        list(files_under(sources)),
        out,
        name=label,
        profile=chosen,
        capacity=_octets(capacity) if capacity else chosen.capacity,
        iso=iso,
        mail=portable.Mail(zip_file, zip_limit << 20) if zip_file else None,
        protection=closed,
        case=case,
        actor=run.person,
        images=images,
    )
    for medium in media:
        _tell(run, medium)
    if len(media) > 1:
        run.say(f"{len(media)} media, each of a {chosen.medium}: whole by itself, no study on two")
    if closed is not None:
        run.say(f"encrypted and signed, as {secure_identifier(chosen)}")
    if zip_file is not None:
        run.say(f"{zip_file}: attach it as {MAIL_NAME}, with {MAIL_SUBJECT} in the subject of the mail")
        if closed is None:
            run.err.print("this ZIP file is not encrypted: everybody on its way can read it", markup=False)


def _tell(run: Session, medium: Written) -> None:
    run.say(
        f"medium {medium.fileset_id} in {medium.path}: {counts.patients(medium.patients)}, "
        f"{counts.studies(medium.studies)}, {medium.series} series, {counts.instances(medium.instances)}"
    )
    if medium.rewritten:
        rewritten = counted(medium.rewritten, "instance was", "instances were")
        run.say(f"{rewritten} rewritten in an encoding of {medium.profile}")
    if medium.iso:
        run.say(f"image of {medium.fileset_id}: {medium.iso}")


def _octets(text: str) -> int | None:
    """Return a capacity in octets; None for ``any``."""
    if text == "any":
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(MB|GB|MiB|GiB)", text)
    octets = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not octets:
        raise typer.BadParameter("is no size; write it like 650MiB or 4.7GB, or any", param_hint="--capacity")
    return octets


@app.command()
def read(
    context: typer.Context,
    media: Media,
    out: Annotated[Path, typer.Option(help="Folder for the copies; must be empty or not exist.")],
    case: Annotated[str, typer.Option(help="Case, for the gate and for the audit trail.")] = "",
    key: KeyOption = None,
    password_file: PasswordFileOption = None,
    signer: SignersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the instances of media, from any vendor, to a folder. Exit status 3 when something stayed behind.

    What no policy of stage 1 that is approved here has pseudonymized stays behind, with the reason.

    An encrypted medium is opened with --key, with --password-file, or with a password at the terminal.

    Example: tce media read /media/cdrom --out incoming
    """
    run = session(context)
    portable.require_beside(media, out, "the folder for the copies")
    known = known_policies.that_let_in(run.site, case)
    with run.progress() as progress:
        task = progress.add_task("instances", total=None)
        taken = incoming.take_in(
            run.site,
            media,
            out,
            known,
            case=case,
            actor=run.person,
            unlock=unlocking(run, key, password_file, signer)(),
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


app.command("check")(check)
app.command("label")(label_media)
