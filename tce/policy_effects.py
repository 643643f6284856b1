"""How two policies differ in what they do to given files: the same value under each, counted by attribute.

Both run with the same pseudonyms, so what differs comes from the policies. Told are attributes, what happened to them
under each, and counts; no value of an instance.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from policies.effects import Change
from policies.grounds import Because, Happened, Step
from policies.model import Policy
from policies.movement import Events
from policies.parsing import read_source
from tce.counts import files as counted_files
from tce.preview import TurnedDown, compared, tried
from tce.preview_account import named_path, namer
from tce.trial_run import DrawnPseudonyms, TrialRun

_GONE = frozenset({Happened.REMOVED, Happened.EMPTIED})
_NOTHING_LEFT = frozenset({Happened.NEW_UID, Happened.PSEUDONYM, Happened.REPLACED})
_WORD = re.compile(r"\w+")


class Direction(StrEnum):
    """Which of two policies leaves more of a value."""

    SECOND_KEEPS_MORE = "the second keeps more"
    SECOND_REMOVES_MORE = "the second removes more"
    OTHERWISE = "both leave something else"


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """One attribute that comes out differently. ``first`` and ``second`` say what happened under each."""

    direction: Direction
    path: tuple[Step, ...]
    first: str
    second: str


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """What differs, how often, and which files only one of the two lets pass."""

    policies: tuple[Policy, Policy]
    files: int
    compared: int
    differences: tuple[tuple[Difference, int], ...]
    only_first: tuple[tuple[str, int], ...]
    """Reasons for which the second turns down what the first lets pass."""
    only_second: tuple[tuple[str, int], ...]
    neither: int

    def of(self, direction: Direction) -> list[tuple[Difference, int]]:
        """Return the differences of one direction, the most frequent first."""
        return [(one, count) for one, count in self.differences if one.direction is direction]

    def as_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        name = namer(self.policies[0], False)
        return {
            "files": self.files,
            "compared": self.compared,
            **{
                key: [
                    {
                        "attribute": named_path(one.path, name),
                        "first": one.first,
                        "second": one.second,
                        "count": count,
                    }
                    for one, count in self.of(direction)
                ]
                for key, direction in (
                    ("second_keeps_more", Direction.SECOND_KEEPS_MORE),
                    ("second_removes_more", Direction.SECOND_REMOVES_MORE),
                    ("otherwise", Direction.OTHERWISE),
                )
            },
            "only_the_first_lets_pass": dict(self.only_first),
            "only_the_second_lets_pass": dict(self.only_second),
            "neither_lets_pass": self.neither,
        }

    def as_text(self) -> str:
        """The comparison for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        name = namer(self.policies[0], False)
        yield f"Effect on {counted_files(self.files)}, {self.compared} of which both let pass (values, in brackets)"
        for direction in Direction:
            found = self.of(direction)
            yield f"\n{direction.capitalize()}: {len(found)}"
            for one, count in found:
                yield f"  {named_path(one.path, name)}: first {one.first}, second {one.second} ({count})"
        for words, reasons in (
            ("Only the first lets pass", self.only_first),
            ("Only the second lets pass", self.only_second),
        ):
            if reasons:
                yield f"\n{words}: {sum(count for _, count in reasons)}"
                yield from (f"  {reason} ({count})" for reason, count in reasons)
        if self.neither:
            yield f"\nNeither lets pass: {self.neither}"


def compare(
    first: Policy,
    second: Policy,
    files: Sequence[Path],
    *,
    trial: Mapping[str, str] | None = None,
    events: Events | None = None,
    told: Callable[[], None] = lambda: None,
) -> Comparison:
    """Return how two policies differ on these files; ``told`` is called after each."""
    pseudonyms = DrawnPseudonyms()
    runs = [TrialRun(one, pseudonyms, trial=trial, events=events) for one in (first, second)]
    found: Counter[Difference] = Counter()
    only: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    both = neither = 0
    with tempfile.TemporaryDirectory(prefix="diff-") as folder:
        for file in files:
            results = [_result(run, file, Path(folder) / f"{place}.dcm") for place, run in enumerate(runs)]
            one, other = results
            if isinstance(one, dict) and isinstance(other, dict):
                both += 1
                found.update(_differences(one, other))
            elif isinstance(one, dict) and isinstance(other, TurnedDown):
                only[0][other.reason] += 1
            elif isinstance(other, dict) and isinstance(one, TurnedDown):
                only[1][one.reason] += 1
            else:
                neither += 1
            told()
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0].path))
    reasons = [tuple(sorted(one.items())) for one in only]
    return Comparison((first, second), len(files), both, tuple(ordered), reasons[0], reasons[1], neither)


_Changes = dict[tuple[tuple[int, int], ...], Change]


def _result(run: TrialRun, file: Path, out: Path) -> _Changes | TurnedDown:
    """Return what became of each value of a file, or why it did not pass."""
    turned_down: list[TurnedDown] = []
    try:
        rules = tried(run, file, out, turned_down)
        if rules is None:
            return turned_down[0]
        found = compared(read_source(file), read_source(out), rules, run)
    finally:
        out.unlink(missing_ok=True)
    # What a result says of itself differs by the name of the policy alone.
    return {change.place: change for change in found if change.ground.kind is not Because.MARK}


def _differences(first: _Changes, second: _Changes) -> Iterator[Difference]:
    for place in first.keys() | second.keys():
        one, other = first.get(place), second.get(place)
        change = one or other
        assert change is not None
        if one is None or other is None:
            # Written by one of the two only, where the source has nothing.
            direction = Direction.SECOND_KEEPS_MORE if one is None else Direction.SECOND_REMOVES_MORE
            written = str(Happened.ADDED)
            yield Difference(
                direction,
                change.path,
                "nothing" if one is None else written,
                "nothing" if other is None else written,
            )
        elif one.happened is not other.happened or one.after != other.after:
            if one.happened in _GONE and other.happened in _GONE:
                continue
            yield Difference(_direction(one, other), change.path, str(one.happened), str(other.happened))


def _rank(change: Change) -> int:
    """How much is left of a value: nothing, something in its place, some of it, all of it."""
    if change.happened in _GONE:
        return 0
    if change.happened in _NOTHING_LEFT:
        return 1
    return 3 if change.happened is Happened.KEPT else 2


def _direction(one: Change, other: Change) -> Direction:
    first, second = _rank(one), _rank(other)
    if first == second and one.happened is other.happened is Happened.CLEANED:
        left, right = (Counter(_WORD.findall(change.after)) for change in (one, other))
        first, second = (0, 1) if left < right else (1, 0) if right < left else (0, 0)
    if first == second:
        return Direction.OTHERWISE
    return Direction.SECOND_KEEPS_MORE if second > first else Direction.SECOND_REMOVES_MORE
