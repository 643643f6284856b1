"""Looks through everything that a run of the tests left behind: the last test of every run.

Each process remembers the secrets that it made (a worker hands them to the process that started it), and what tests
printed and logged. When all tests are over, all files below pytest's base folder are searched.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.leaks.places import (
    files_under,
    holds_no_original,
    holds_token,
    is_place_of_secrets,
    looks_random,
    sample_originals,
    secrets_under,
)
from tests.leaks.search import Needles, pieces_of
from vault import secrecy

_MOST_TOLD = 40


@dataclass
class Watcher:
    """What one process of the tests knows: the secrets made in it, and what tests printed."""

    secrets: set[str | bytes] = field(default_factory=set)
    said: list[tuple[str, str]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)


_watcher = pytest.StashKey[Watcher]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to remember every secret that looks like one."""
    watcher = config.stash[_watcher] = Watcher()
    remember = secrecy.Secret.__init__

    def remembering(self: Any, value: Any) -> None:
        remember(self, value)
        if looks_random(value):
            watcher.secrets.add(value)

    secrecy.Secret.__init__ = remembering  # type: ignore[method-assign]
    config.add_cleanup(lambda: setattr(secrecy.Secret, "__init__", remember))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker remembered."""
    output = getattr(node, "workeroutput", {})
    watcher = node.config.stash[_watcher]
    watcher.secrets |= set(output.get("secrets", ()))
    watcher.leaks += output.get("leaks", ())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what a test printed and logged."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "teardown":
        item.config.stash[_watcher].said += [(item.nodeid, text) for _, text in report.sections if text]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, and let the run fail if there is anything."""
    watcher = session.config.stash[_watcher]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        watcher.leaks += leaks_in_words(watcher.said, watcher.secrets)
        output["secrets"] = list(watcher.secrets)
        output["leaks"] = watcher.leaks
    elif not session.config.option.collectonly:
        base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        watcher.leaks += leaks_in_words(watcher.said, watcher.secrets)
        watcher.leaks += leaks_in_files(base, watcher.secrets)
    if watcher.leaks and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where something was found; never what."""
    leaks = config.stash[_watcher].leaks
    if leaks:
        terminalreporter.section("secrets or originals where they may not be", red=True)
        for leak in leaks[:_MOST_TOLD]:
            terminalreporter.line(leak)
        if len(leaks) > _MOST_TOLD:
            terminalreporter.line(f"… and {len(leaks) - _MOST_TOLD} more")


def leaks_in_files(base: Path, made: Iterable[str | bytes] = ()) -> list[str]:
    """Say which files below a folder hold a secret or an original that may not be there, and of what kind."""
    secrets = Needles({**forms_of(made), **secrets_under(base)})
    originals = Needles(sample_originals())
    return [
        f"{path.relative_to(base)}: {what}"
        for path in files_under(base)
        for what in sorted(_leaks_in(path, secrets, originals))
    ]


def leaks_in_words(said: Iterable[tuple[str, str]], made: Iterable[str | bytes]) -> list[str]:
    """Say which tests printed or logged a secret that this process made, or a token."""
    secrets = Needles(forms_of(made))
    found = []
    for test, text in said:
        content = text.encode("utf-8", "replace")
        kinds = set(secrets.found_in(content)) | ({"a token"} if holds_token(content) else set())
        found += [f"what {test} printed or logged: {kind}" for kind in sorted(kinds)]
    return found


def forms_of(made: Iterable[str | bytes]) -> dict[bytes, str]:
    """The secrets that a process made, as they are and as they would be written."""
    found: dict[bytes, str] = {}
    for value in made:
        if isinstance(value, str):
            found[value.encode()] = "a token or password"
        else:
            encoded = base64.b64encode(value).rstrip(b"=")
            found |= dict.fromkeys((value, value.hex().encode(), encoded), "a key or a share")
    return found


def _leaks_in(path: Path, secrets: Needles, originals: Needles) -> set[str]:
    found: set[str] = set()
    if not is_place_of_secrets(path):
        found |= secrets.found_in_file(path)
        if holds_no_original(path) and any(holds_token(piece) for piece in pieces_of(path)):
            found.add("a token")
    if holds_no_original(path):
        found |= originals.found_in_file(path)
    return found
