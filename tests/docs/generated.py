"""Documents that the program writes about itself: policies in words, the command line, settings, events, states.

``python -m tests.docs.generated`` writes them anew (``make docs``); a test compares them with what stands in
``docs/``. A page of its own is written whole; a block in a handwritten page stands between two marks.
"""

from __future__ import annotations

import csv
import enum
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import typer.core
import typer.main

from policies import loader, schema
from policies.describe import describe
from tce import config
from tce.audit.journal import EVENTS, Shape
from tce.cli import app
from tce.config import Settings
from tce.states import TRANSITIONS, WHO_ACTS
from tests.docs import conformance

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
_NOTE = "<!-- Written by `make docs`; changes made here are lost. -->"


def policy_page(name: str) -> str:
    """Return a shipped policy in words, and its file."""
    return "\n".join(
        (
            f"# The policy {name}",
            f"\n{_NOTE}\n",
            f"What `tce policy describe {name}` says:\n",
            f"```text\n{describe(loader.load_library(name)).rstrip()}\n```",
            *_identifiers(name),
            "\nThe file, as `tce policy new` copies it:\n",
            f"```yaml\n{loader.library_text(name).rstrip()}\n```",
            "",
        )
    )


def _identifiers(name: str) -> Iterator[str]:
    """Yield the table of what a law lists and what the policy does with it, where there is one."""
    rows = identifiers(name)
    if rows:
        yield "\nWhat the law lists, and what becomes of it. Each attribute is tested to go or to be replaced:\n"
        yield "| | identifier | attributes | how |\n|---|---|---|---|"
    for row in rows:
        yield f"| {row['paragraph']} | {row['identifier']} | {row['attributes']} | {row['how']} |"


def identifiers(name: str) -> list[dict[str, str]]:
    """Return what a law lists that a shipped policy is made for; none for most policies."""
    table = ROOT / "policies" / "library" / f"{name}.identifiers.csv"
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def commands_page() -> str:
    """Return every command with its help, arguments and options."""
    group = typer.main.get_command(app)
    lines = [
        "# The command line",
        f"\n{_NOTE}\n",
        "Options of `tce` itself stand in front of the command: `tce --home DIR --as NAME policy list`.",
        "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 held or set aside in part.",
        "\n## tce\n",
        *_parameters(group),
    ]
    for name, command in _commands(group, "tce"):
        text = inspect.cleandoc(command.help or "")
        lines += [f"\n## {name}\n", text, "", *_parameters(command)]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: object, above: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    assert isinstance(group, typer.core.TyperGroup)
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _commands(command, f"{above} {name}")
        else:
            assert isinstance(command, typer.core.TyperCommand)
            yield f"{above} {name}", command


def _parameters(command: object) -> Iterator[str]:
    rows = []
    for parameter in getattr(command, "params", ()):
        if parameter.name in ("help", "context"):
            continue
        words = getattr(parameter, "help", "") or ""
        if parameter.param_type_name == "argument":
            named = parameter.metavar or str(parameter.name).upper()
        else:
            named = ", ".join(parameter.opts)
            choices = _choices(parameter)
            if choices:
                words += f" One of: {', '.join(choices)}."
        default = parameter.default
        if isinstance(default, bool) or default is None or callable(default) or default in ("", 0, ()):
            default = None
        if default is not None:
            words += f" Default: {getattr(default, 'value', default)}."
        rows.append(f"| `{named}` | {words.replace('|', chr(92) + '|')} |")
    if rows:
        yield from ("| | |", "|---|---|", *rows)


def _choices(parameter: object) -> list[str]:
    """Return what an option can be, where its type is an enumeration; versions of the library keep it apart."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    for kind in (annotation, *typing.get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return [str(member.value) for member in kind]
    known = getattr(getattr(parameter, "type", None), "choices", None) or ()
    return [str(getattr(one, "value", one)) for one in known]


def events_page() -> str:
    """Return every audited event with the message it becomes."""
    shapes = {
        Shape.NONE: "trail only",
        Shape.ALERT: "Security Alert",
        Shape.LOGIN: "User Authentication",
        Shape.ACTIVITY: "Application Activity",
        Shape.LOG_USED: "Audit Log Used",
        Shape.TRANSFER: "DICOM Instances Transferred",
    }
    rows = []
    for name, row in EVENTS.items():
        kind = row.kind.meaning if row.shape in (Shape.ALERT, Shape.LOGIN, Shape.ACTIVITY) else ""
        if name == "begin transfer":
            message, kind = "Begin Transferring DICOM Instances", ""
        else:
            message = shapes[row.shape]
        rows.append(f"| `{name}` | {row.words} | {message} | {kind} |")
    rows += [
        "| `medium.written` | a patient's instances were written to a medium | Export | |",
        "| `medium.read` | a patient's instances were taken in from a medium | Import | |",
    ]
    return "\n".join(
        (
            "# Audit events",
            f"\n{_NOTE}\n",
            "Each record of the audit trail has one of these events. Most become a DICOM audit message of",
            "PS3.15 A.5 as well. No record holds an original identifier.\n",
            "| event | what happened | message | type of the message |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


def states_page() -> str:
    """Return the states of an export and every transition."""
    return "\n".join(
        (
            "# The states of an export",
            f"\n{_NOTE}\n",
            "What these tables do not name cannot happen to an export.\n",
            "| state | who must act |",
            "|---|---|",
            *(f"| {state} | {who} |" for state, who in WHO_ACTS.items()),
            "\n| from | to | when |",
            "|---|---|---|",
            *(
                f"| {', '.join(state for state in WHO_ACTS if state in row.before)} | {row.after} | {row.why} |"
                for row in TRANSITIONS
            ),
            "",
        )
    )


def settings_block() -> str:
    """Return ``tce.toml`` as a new site gets it."""
    return f"```toml\n{config.dumps(Settings()).rstrip()}\n```"


PAGES: Mapping[str, Callable[[], str]] = {
    **{f"policies/{name}.md": partial(policy_page, name) for name in loader.library()},
    "reference/commands.md": commands_page,
    "reference/audit-events.md": events_page,
    "reference/export-states.md": states_page,
    "reference/sop-classes.md": partial(conformance.sop_classes_page, _NOTE),
    "reference/de-identified-attributes.md": partial(conformance.attributes_page, _NOTE),
}
BLOCKS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "operator.md": {"tce.toml": settings_block},
    "conformance.md": conformance.STATEMENT,
    "ihe-integration-statement.md": conformance.INTEGRATION,
}


def with_blocks(page: str, text: str) -> str:
    """Return a handwritten page with its blocks as they are now. Raises ValueError where a mark is missing."""
    for name, block in BLOCKS[page].items():
        before, begin, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"{page} has no block {name}")
        text = f"{before}{begin}{block()}\n{end}{after}"
    return text


def main() -> None:
    """Write every page and every block, and the schema of policies."""
    (ROOT / "policies" / "schema" / schema.FILE_NAME).write_text(schema.schema_text(), encoding="utf-8")
    for page, make in PAGES.items():
        path = DOCS / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    for page in BLOCKS:
        path = DOCS / page
        path.write_text(with_blocks(page, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
