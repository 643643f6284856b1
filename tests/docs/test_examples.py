"""Every ``tce`` command line that README and the documents quote exists, with the options it is quoted with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.core
import typer.main

from tce.cli import app

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```.*?$(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(tce [^`\n]+)`")


def quoted(text: str) -> Iterator[str]:
    """Command lines in fenced blocks (after a prompt or none, continued lines joined) and in code spans."""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"^\s*(\$ |# |> )?", "", line)
            if command.startswith("tce "):
                yield re.split(r"\s{2,}(?=[^-\s])|\s+#\s", command)[0]
    yield from _INLINE.findall(_FENCE.sub("", text))


def fault_of(command_line: str) -> str | None:
    """What is wrong with a quoted command line, or None. Placeholders stand for any argument."""
    words = [word for word in shlex.split(re.sub(r"[\[\]…]|\.\.\.", " ", command_line)) if word]
    command = typer.main.get_command(app)
    waiting = words[1:]
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-"):
            name = word.split("=")[0]
            option = next((one for one in command.params if name in (*one.opts, *one.secondary_opts)), None)
            if option is None and name != "--help":
                return f"{command.name} has no option {name}"
            if option is not None and not getattr(option, "is_flag", False) and "=" not in word and waiting:
                waiting.pop(0)
        elif isinstance(command, typer.core.TyperGroup):
            choices = word.split("|")
            unknown = [choice for choice in choices if choice not in command.commands]
            if unknown:
                return f"{command.name} has no command {unknown[0]}"
            command = command.commands[choices[0]]
    return None


def test_there_is_a_readme() -> None:
    """README exists and quotes at least one command, so that the next test is about something."""
    assert list(quoted((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quoted_commands_exist(document: Path) -> None:
    """No document shows a command or an option that the command line does not have."""
    faults = [
        f"{line!r}: {fault}"
        for line in quoted(document.read_text(encoding="utf-8"))
        if (fault := fault_of(line)) is not None
    ]
    assert faults == []


def test_what_does_not_exist_is_found() -> None:
    """The check itself tells a wrong command and a wrong option from right ones."""
    assert fault_of("tce nosuchcommand") is not None
    assert fault_of("tce --nosuchoption demo") is not None
    assert fault_of("tce audit verify --nosuchoption") is not None
    assert fault_of("tce --home DIR audit verify") is None
