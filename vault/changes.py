"""Compares a server with what is wanted, writes only what differs, and remembers what that was.

A dry run goes the same way and writes nothing. Where the server is not even initialized, :class:`Nothing` stands for
it: everything is still to be done.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vault.client import Client
from vault.second_factor import Reader


class Nothing:
    """A server that holds nothing yet."""

    def read(self, path: str) -> None:
        """Nothing is there."""

    def names(self, path: str) -> list[str]:
        """Nothing is there."""
        return []


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was written, or that a dry run would write; ``difference`` shows it line by line for texts."""

    what: str
    path: str
    difference: str = ""


@dataclass(slots=True)
class Changes:
    """The changes of one run. ``client`` is None in a dry run."""

    reader: Reader
    client: Client | None
    made: list[Change] = field(default_factory=list)

    @property
    def dry(self) -> bool:
        """Whether nothing is written."""
        return self.client is None

    def read(self, path: str) -> dict[str, Any]:
        """What is at a path; empty where there is nothing."""
        return self.reader.read(path) or {}

    def write(self, what: str, path: str, body: Mapping[str, object], difference: str = "") -> dict[str, Any]:
        """Write, and return what the server answers; empty in a dry run."""
        self.made.append(Change(what, path, difference))
        return {} if self.client is None else self.client.write(path, body)

    def delete(self, what: str, path: str) -> None:
        """Take away."""
        self.made.append(Change(what, path))
        if self.client is not None:
            self.client.delete(path)

    def settle(self, what: str, path: str, wanted: Mapping[str, object]) -> None:
        """Write ``wanted`` unless the server has all of it already; other settings there are left."""
        unequal = self.unequal(path, wanted)
        if unequal:
            there = self.reader.read(path) is not None
            self.write(what, path, wanted, "\n".join(f"~ {key}" for key in unequal) if there else "")

    def unequal(self, path: str, wanted: Mapping[str, object]) -> list[str]:
        """The names of the settings that the server does not have as they are wanted."""
        found = self.reader.read(path)
        return [key for key, value in wanted.items() if found is None or not _same(found.get(key), value)]


def lines_that_differ(found: str, wanted: str) -> str:
    """The lines that go (-) and come (+) when one text takes the place of another."""
    delta = difflib.unified_diff(found.splitlines(), wanted.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in delta if not line.startswith(("--- ", "+++ ", "@@ ")))


def _same(found: object, wanted: object) -> bool:
    if isinstance(wanted, list) and isinstance(found, list):
        return sorted(map(str, found)) == sorted(map(str, wanted))
    # Servers leave out what is empty, and tell an empty list, map or text as they like.
    return found == wanted or (not found and not wanted)
