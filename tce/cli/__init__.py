"""The command line: ``tce VERB``. One module for each group of verbs; this one puts them together.

Errors become one line on stderr that says what happened and one that says what to do; the exit status is that
of :data:`tce.errors.RULES` (0 done, 1 refused or failed, 2 usage, 3 held or set aside in part).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tce import __version__, discretion
from tce.cli import (
    actors,
    audit,
    case,
    demo,
    exports,
    folders,
    mapping,
    media,
    policy,
    reidentify,
    select,
    site,
    vault,
    verify,
)
from tce.cli.session import Session, verbs
from tce.config import default_home
from tce.errors import Exit, rule_of, to_person

app = verbs(
    "IHE TCE Export Manager with two-stage de-identification.",
    name="tce",
    add_completion=False,
    rich_markup_mode="rich",
)
app.command()(demo.demo)
app.command()(site.init)
app.add_typer(vault.app, name="vault")
app.add_typer(mapping.app, name="mapping")
app.command()(folders.pseudonymize)
app.command()(folders.anonymize)
app.command()(select.select)
app.add_typer(actors.manager, name="manager")
app.add_typer(actors.receivers, name="receiver")
app.add_typer(exports.app, name="exports")
app.add_typer(media.app, name="media")
app.add_typer(policy.app, name="policy")
app.add_typer(case.app, name="case")
app.add_typer(reidentify.app, name="reidentify")
app.add_typer(audit.app, name="audit")
app.command()(verify.verify)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tce {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="The site's folder. Default: TCE_HOME, else your user data folder.")
    ] = None,
    person: Annotated[str, typer.Option("--as", help="Act as this person of the site.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show where an error came from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """IHE TCE Export Manager with two-stage de-identification.

    See it work from end to end: tce demo
    """
    begun: list[Session] = context.obj
    context.obj = Session(home or default_home(), person, verbose)
    begun.append(context.obj)


_INTERRUPTED = 130  # how the command line's library tells of Ctrl-C


def main(arguments: list[str]) -> None:
    """Run the command line and exit with its status. A process of its own begins in :mod:`tce.entry`."""
    begun: list[Session] = []
    try:
        status = app(arguments, standalone_mode=False, obj=begun)
    except Exception as exc:
        for run in begun:
            run.tell_forbidden(exc)
        sys.exit(_told(exc, verbose="--verbose" in arguments))
    if status == _INTERRUPTED:
        sys.exit(_told(KeyboardInterrupt(), verbose=False))
    sys.exit(status if isinstance(status, int) else Exit.OK)


def _told(exc: BaseException, *, verbose: bool) -> int:
    """Say what went wrong, free of values, and return the exit status."""
    usage = getattr(exc, "format_message", None)
    if usage is not None:  # the command line's own: an unknown option, a missing argument
        said = " ".join(usage().split())  # it lists choices on lines of their own
        typer.echo(f"tce: {said}", err=True)
        typer.echo(f"     see: {_command_of(exc)} --help", err=True)
        return Exit.USAGE
    if type(exc).__name__ == "Abort":
        typer.echo("tce: stopped", err=True)
        return Exit.REFUSED
    told = to_person(exc)
    if verbose:
        # Frames only: the text of a library's exception may quote the data.
        for frame in discretion.frames_of(exc.__traceback__):
            typer.echo(f"     {frame}", err=True)
        typer.echo(f"     {type(exc).__name__}", err=True)
    typer.echo(f"tce: {told.what}", err=True)
    if told.next_step:
        typer.echo(f"     {told.next_step}", err=True)
    return rule_of(exc).exit


def _command_of(usage_error: BaseException) -> str:
    """Return the command whose words were wrong, as a person writes it."""
    names: list[str] = []
    context = getattr(usage_error, "ctx", None)
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return " ".join(["tce", *names])
