"""Who is how fast on a work set: everybody in turn, medians, and multiples of ``cp -r``."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.laps import AbsentError, Contender, Lap
from tests.bench.work_sets import WorkSet

_COPY = "`cp -r`"
_ENOUGH_SECONDS = 60.0
"""A contender that has run for so long on a work set is not sent round again."""


@dataclass(slots=True)
class Result:
    """What came of one work set: laps by contender, and why some have none."""

    work_set: WorkSet
    laps: dict[str, list[Lap]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Median seconds of a contender, process start left out where it is known."""
        return statistics.median(lap.seconds for lap in self.laps[name])

    def multiple(self, name: str, *, started: bool = False) -> float:
        """The median as a multiple of the copy's, with the start of the process if so asked."""
        start = statistics.median(lap.start for lap in self.laps[name]) if started else 0.0
        return (self.median(name) + start) / self.median(_COPY)


def race(work_set: WorkSet, everybody: list[Contender], out: Path, repetitions: int) -> Result:
    """Let everybody run in turn, ``repetitions`` times; each must write as many files as there are."""
    result = Result(work_set, {contender.name: [] for contender in everybody})
    for repetition in range(repetitions):
        for contender in everybody:
            laps = result.laps[contender.name]
            if contender.name in result.absent or sum(lap.seconds for lap in laps) > _ENOUGH_SECONDS:
                continue
            told = f"{work_set.name}: {repetition + 1}/{repetitions} {contender.name}"
            print(told, file=sys.stderr, flush=True)
            try:
                lap = contender.run(work_set.folder, out)
                written = sum(1 for path in out.rglob("*") if path.is_file())
                if written != work_set.instances:
                    raise RuntimeError(f"it wrote {written} of {work_set.instances} instances")
                laps.append(lap)
            except AbsentError as reason:
                result.absent[contender.name] = str(reason)
            except RuntimeError as failure:
                result.absent[contender.name] = f"failed: {failure}"
            finally:
                shutil.rmtree(out, ignore_errors=True)
    return result


def table(result: Result) -> str:
    """Return the laps of one work set as a table in Markdown."""
    work_set = result.work_set
    lines = [
        f"\n### {_title(work_set)}\n",
        "| | median s | x cp | spread s | x cp with process start | laps |",
        "|---|---|---|---|---|---|",
    ]
    for name, laps in result.laps.items():
        if name in result.absent or not laps:
            lines.append(f"| {name} | {result.absent.get(name, 'no run')} | | | | |")
            continue
        seconds = [lap.seconds for lap in laps]
        lines.append(
            f"| {name} | {result.median(name):.2f} | {result.multiple(name):.1f} | {min(seconds):.2f} to "
            f"{max(seconds):.2f} | {result.multiple(name, started=True):.1f} | {len(laps)} |"
        )
    return "\n".join(lines)


def page_table(results: list[Result]) -> str:
    """Return all work sets beside each other, in the form of docs/verification.md."""
    lines = ["", f"| | {' | '.join(_title(result.work_set) for result in results)} |"]
    lines.append("|---" * (len(results) + 1) + "|")
    lines += [f"| {name} | {' | '.join(_cells(name, results))} |" for name in results[0].laps]
    return "\n".join(lines)


def _cells(name: str, results: list[Result]) -> Iterator[str]:
    for result in results:
        if name in result.absent or not result.laps[name]:
            yield "-"
        else:
            yield f"{result.multiple(name):.1f} ({result.median(name):.2f} s)"


def _title(work_set: WorkSet) -> str:
    return f"{work_set.instances:,} {work_set.name}, {work_set.octets / 1e6:.0f} MB"
