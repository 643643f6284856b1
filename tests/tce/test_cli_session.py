"""What every verb shares: progress is for people at a terminal and leaves no trace in a file or pipe."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from tce.cli.session import Session


def test_progress_says_nothing_where_there_is_no_terminal(tmp_path: Path) -> None:
    """A log or a script gets the answer only, without an empty line before it."""
    written = io.StringIO()
    run = Session(tmp_path, err=Console(file=written))
    with run.progress() as progress:
        progress.update(progress.add_task("sending", total=2), completed=2)
    assert written.getvalue() == ""
