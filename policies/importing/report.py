"""What became of each line of an imported file: carried over exactly, carried over stricter, or not at all.

It names attributes, lines and functions, and no value.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """How a line was carried over. The order is the one in which a reader wants them."""

    LOOSER = "not carried over, and the draft lets more pass"
    NOT = "not carried over, and nothing more passes by it"
    STRICTER = "carried over stricter"
    EXACT = "carried over exactly"

    @property
    def key(self) -> str:
        """The name of the list in JSON."""
        return {
            Fate.LOOSER: "not_carried_over_looser",
            Fate.NOT: "not_carried_over",
            Fate.STRICTER: "carried_over_stricter",
            Fate.EXACT: "carried_over_exactly",
        }[self]


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One attribute, mask or setting of the original. ``line`` 0 is the file as a whole."""

    line: int
    what: str
    said: str
    done: str
    fate: Fate

    @property
    def words(self) -> str:
        """The line as a report says it."""
        return self.with_others(0)

    def with_others(self, others: int) -> str:
        """The line, where as much is true of other attributes that a pattern means."""
        where = f"line {self.line}" if self.line else "the whole"
        what = f"{self.what} and {others} others" if others else self.what
        return (
            f"{where}: {what}: {self.said}; here {self.done}"
            if self.said
            else f"{where}: {what}: {self.done}"
        )

    def as_json(self) -> dict[str, Any]:
        """The line for programs."""
        return {"line": self.line, "attribute": self.what, "original": self.said, "draft": self.done}


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What became of an imported file. ``keeps_more`` is what an approver has to look at first."""

    lines: tuple[Line, ...]
    keeps_more: tuple[Line, ...]
    warnings: tuple[str, ...]

    def of(self, fate: Fate) -> tuple[Line, ...]:
        """The lines with this fate."""
        return tuple(line for line in self.lines if line.fate is fate)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        lists = {fate.key: [line.as_json() for line in self.of(fate)] for fate in Fate}
        return {
            "warnings": list(self.warnings),
            "keeps_more_than_the_profile": [line.as_json() for line in self.keeps_more],
            **lists,
        }

    def as_text(self, *, exact: bool = False) -> str:
        """The report for people; what was carried over exactly is counted, and listed if ``exact``."""
        parts = [f"! {warning}" for warning in self.warnings]
        parts += _part(
            "Keeps more than the profile (look at these before you approve)", self.keeps_more, full=True
        )
        for fate in Fate:
            heading = fate[0].upper() + fate[1:]
            parts += _part(heading, self.of(fate), full=exact or fate is not Fate.EXACT)
        return "\n".join(parts)


def _part(heading: str, lines: tuple[Line, ...], *, full: bool) -> list[str]:
    # A pattern may mean hundreds of attributes: one of them stands for those that fared alike.
    alike = Counter((line.line, line.said, line.done) for line in lines)
    first = {(line.line, line.said, line.done): line for line in reversed(lines)}
    told = [first[key].with_others(count - 1) for key, count in alike.items()] if full else []
    return ["", f"{heading}: {len(lines)}", *(f"  {words}" for words in told)]
