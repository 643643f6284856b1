"""``tce media label``: the labels of media as a page to print."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from media.label_page import Label, label_of, write_label_page
from media.opening import open_medium
from media.pages import in_ascii
from tce import portable
from tce.cli.session import Session, session
from tce.counts import counted


def label(
    context: typer.Context,
    media: Annotated[
        list[Path],
        typer.Argument(help="Folder or ISO file of each medium, in their order.", metavar="MEDIUM..."),
    ],
    out: Annotated[Path, typer.Option(help="Page to write (XHTML); must not exist and not lie on a medium.")],
    case: Annotated[str, typer.Option(help="Case, to stand on the label.")] = "",
    created: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="Date of creation; default: today."),
    ] = None,
) -> None:
    """Write the labels of media as a page to print; media of one set are numbered in their order.

    Patients stand there by their pseudonyms. Other files than those of de-identified media are refused.

    Example: tce media label medium --out label.htm --case lung-1
    """
    run = session(context)
    portable.require_beside(media, out, "the label")
    with ExitStack() as opened:
        labels = [label_of(opened.enter_context(open_medium(medium)).root) for medium in media]
    date = (created or datetime.now().astimezone()).strftime("%Y-%m-%d")
    write_label_page(out, labels, created=date, case=case, institution=_institution(run, labels))
    run.say(
        f"{counted(len(labels), 'label', 'labels')} in {out}: print it, or write on the disc what stands there"
    )


def _institution(run: Session, labels: list[Label]) -> str:
    """Return the institution in its own letters if the media are this site's; else what README.TXT says stands."""
    own = run.site.settings.site.institution if run.has_site else ""
    return own if own and all(label.institution == in_ascii(own) for label in labels) else ""
