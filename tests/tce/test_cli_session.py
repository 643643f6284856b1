"""What every verb shares: progress is for people at a terminal and leaves no trace in a file or pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tce.cli import app, main
from tce.cli.session import Session


def groups(group: typer.Typer) -> list[typer.Typer]:
    """A group of verbs and all below it."""
    below = [one.typer_instance for one in group.registered_groups if one.typer_instance]
    return [group, *(deeper for one in below for deeper in groups(one))]


def test_no_traceback_shows_local_variables() -> None:
    """Identifiers are plain values in locals, so no group of verbs lets a library print them."""
    found = groups(app)
    assert len(found) > 8
    assert not [one for one in found if one.pretty_exceptions_enable or one.pretty_exceptions_show_locals]


def test_progress_says_nothing_where_there_is_no_terminal(tmp_path: Path) -> None:
    """A log or a script gets the answer only, without an empty line before it."""
    written = io.StringIO()
    run = Session(tmp_path, err=Console(file=written))
    with run.progress() as progress:
        progress.update(progress.add_task("sending", total=2), completed=2)
    assert written.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["exports", "show"], "tce exports show"),
        (["exports", "shw"], "tce exports"),
        (["audit", "list", "--lst", "3"], "tce audit list"),
        (["audit", "list", "--last", "many"], "tce audit list"),
        (["verify"], "tce verify"),
        (["nothing"], "tce"),
        (["--nothing"], "tce"),
    ],
)
def test_wrong_usage_points_to_the_help_of_the_command(
    capsys: pytest.CaptureFixture[str], words: list[str], command: str
) -> None:
    """Status 2, what is wrong, and the one help text that answers it."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"     see: {command} --help"
