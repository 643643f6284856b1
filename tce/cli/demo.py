"""``tce demo``: the whole road on sample studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tce import demo as whole_road
from tce.cli.session import session


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder for everything.")] = Path("demo"),
    own: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Your own identified studies instead of samples."),
    ] = None,
) -> None:
    """Walk the whole road: from a modality's studies to the receiver's medium, with every proof.

    Everything happens in one folder, which is made anew each time; a folder that is not a demo's is never touched.

    Examples: tce demo   |   tce demo /tmp/road --from /data/studies
    """
    run = session(context)
    whole_road.run(folder, own=own, out=run.out, err=run.err)
