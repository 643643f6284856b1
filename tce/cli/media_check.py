"""``tce media check``: prove media from their own bytes, and print what was found as a certificate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from media.certificate import as_json as as_json_account
from media.certificate import as_page
from media.profiles import Profile
from tce import known_policies, portable
from tce.cli.media_keys import KeyOption, PasswordFileOption, SignersOption, unlocking
from tce.cli.session import JsonOption, session
from tce.errors import Refused
from tce.medium_proof import Wanted, originals_in, prove_media

Media = Annotated[
    list[Path],
    typer.Argument(help="Folder, ISO file, device or ZIP file of each medium.", metavar="MEDIUM..."),
]


def check(
    context: typer.Context,
    media: Media,
    profile: Annotated[
        Profile | None,
        typer.Option(help="What the medium says it is; the default stands in the settings."),
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Policy, NAME or NAME@VERSION, that every instance has to be as.")
    ] = "",
    case: Annotated[str, typer.Option(help="Case one of whose policies every instance has to be as.")] = "",
    identifiers: Annotated[
        Path | None,
        typer.Option(
            help="Text file with a name or number in each line, or folder of originals: none may stand there."
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="File for the certificate, a page to be printed; must not exist nor lie on a medium."
        ),
    ] = None,
    key: KeyOption = None,
    password_file: PasswordFileOption = None,
    signer: SignersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove media: layout, DICOMDIR, every record against its file. Exit status 1 when a check fails.

    Several that belong together are named at once. Nothing is changed on them. Of an encrypted medium it is proved as
    well that every file is what its signer wrote, and that this site trusts the signer (--signer, or
    media.trusted_signers in the settings).

    Examples: tce media check medium.iso --policy pseudonymization --certificate certificate.htm
    |   tce media check /media/cdrom --key me-key.pem --signer sender.pem
    """
    run = session(context)
    if certificate is not None:
        portable.require_beside(media, certificate, "the certificate")
        if certificate.exists() or not certificate.parent.is_dir():
            raise Refused(
                f"the certificate cannot be written as {certificate}",
                next_step="name a file that does not exist, in a folder that does",
            )
    here = run.has_site  # a medium can be checked where there is no site
    chosen = profile or (run.site.settings.media.profile if here else Profile.STD_GEN_CD)
    known = known_policies.to_check_by(run.site, policy, case) if policy or case else []
    originals = originals_in(identifiers, known) if identifiers is not None else []
    site_name = run.site.settings.site.institution if here else ""
    unlock = unlocking(run, key, password_file, signer)
    proof = prove_media(media, Wanted(chosen, known, originals), site=site_name, unlock=unlock)
    if certificate is not None:
        certificate.write_text(as_page(proof), "utf-8")
    if as_json:
        typer.echo(json.dumps(as_json_account(proof), indent=1))
    else:
        for one in proof.media:
            if len(proof.media) > 1:
                run.say(f"medium {one.name}")
            for found in one.checks:
                run.say(f"{'ok  ' if found.passed else 'FAIL'} {found.name}: {found.what}")
        for found in proof.together:
            run.say(f"{'ok  ' if found.passed else 'FAIL'} {found.name}: {found.what}")
        for what in proof.not_checked:
            run.say(f"not checked: {what}")
    if not proof.passed:
        which = "the medium" if len(proof.media) == 1 else "the media"
        raise Refused(f"{which} did not pass", next_step="do not use it; ask whoever wrote it for another")
