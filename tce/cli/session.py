"""What every verb shares: which site, who acts, where to print, and how listings look.

One :class:`Session` is made from the options in front of the verb and travels in the context of the command
line. It opens nothing by itself: the site is read when a verb asks for it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from tce.audit.journal import Journal, is_told
from tce.config import Site
from tce.errors import NotAllowed, TceError
from tce.logins import Logins
from vault.errors import Forbidden

JsonOption = Annotated[bool, typer.Option("--json", help="Print as JSON, for programs.")]


def verbs(words: str, **more: Any) -> typer.Typer:
    """Return verbs of the command line, with their help in words.

    Identifiers travel as plain tuples in local variables, so no traceback may show these.
    """
    return typer.Typer(
        no_args_is_help=True,
        help=words,
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        **more,
    )


@dataclass
class Session:
    """The options in front of the verb, and the two streams."""

    home: Path
    person: str = ""
    verbose: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @cached_property
    def site(self) -> Site:
        """The site, its settings read. Raises SiteMissing or ConfigFault."""
        site = Site(self.home)
        _ = site.settings
        return site

    @property
    def has_site(self) -> bool:
        """Whether there is a site, for verbs that work without one too."""
        return Site(self.home).settings_path.exists()

    def acting(self, role: str, verb: str) -> str:
        """Return the person given with ``--as``, or by a token, who must have ``role`` here.

        Raises NotAllowed, naming who could do it. The Vault refuses as well; this says it in better words.
        """
        people = self.site.settings.people
        able = [name for plural, name in people.everyone() if plural == f"{role}s"]
        self.person = self.person or Logins(self.site).token_holder()
        if not self.person:
            raise NotAllowed(
                f"{verb} needs {_a(role)}: say who you are",
                next_step=f"put --as {able[0]} in front of the verb",
            )
        if self.person not in able:
            self.tell_refusal(role)
            actual = people.role_of(self.person)
            who = (
                f"{self.person} is {_a(actual)}" if actual else f"{self.person} is nobody known to this site"
            )
            raise NotAllowed(f"{verb} needs {_a(role)}; {who}", next_step=f"act as one of: {', '.join(able)}")
        return self.person

    def tell_refusal(self, wanted: str) -> None:
        """Write onto the trail that somebody asked for what the own role may not do.

        Who is nobody known to the site is not named: that text may be anything, a patient's name too.
        """
        known = self.site.settings.people.role_of(self.person) is not None
        actor = self.person if known else "nobody known"
        Journal(self.site, actor).record("access.refused", success=False, detail={"wanted": wanted})

    def tell_forbidden(self, exc: Exception) -> None:
        """Write onto the trail that the Vault forbade what was asked, unless that stands there already."""
        if isinstance(exc, Forbidden) and self.person and not is_told(exc):
            with contextlib.suppress(
                TceError
            ):  # that the trail cannot be written is not what the person asked
                self.tell_refusal("Vault")

    def say(self, text: str) -> None:
        """Print one line for the person. Square brackets are plain text."""
        self.out.print(text, markup=False)

    def table(self, rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
        """Print a listing: a table for people, JSON for programs; ``empty`` is said when there is nothing."""
        if as_json:
            typer.echo(json.dumps(list(rows), indent=1, ensure_ascii=False, default=str))
            return
        if not rows:
            self.say(empty)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in rows[0]:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        self.out.print(table)

    def progress(self) -> Progress:
        """Return a progress display on stderr, so that stdout stays what was asked for; without a terminal, none."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        )


def _console(*, stderr: bool) -> Console:
    """Return a console that wraps at the terminal's width, and nowhere when it writes to a file or pipe."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 400
    return console


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"


def _cell(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)


def session(context: typer.Context) -> Session:
    """Return the session of a running verb."""
    found = context.find_object(Session)
    assert found is not None, "the callback of the application makes it"
    return found
