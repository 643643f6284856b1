"""The page on which a coordinator sees what a change of the policy does to the cohort: before and after.

Tables and bars, no scripts. It names no patient, and no value that fewer than k patients have; a count below k is
"fewer than k", also where it counts those who fall short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from policies.disclosure.advice import Advice, Count
from policies.disclosure.cohort import THRESHOLDS
from policies.disclosure.report import Report
from tce import __version__

_MOST_VALUES = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a table with a bar: what it is, how many, and how long the bar is in percent."""

    words: str
    count: str
    percent: int


def page(advice: Advice, *, policy: str) -> str:
    """Return the page as XHTML."""
    k = advice.before.limits.k
    environment = Environment(
        loader=PackageLoader("tce"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    both = (("Now", advice.before), ("As proposed", advice.after))
    return environment.get_template("disclosure.htm").render(
        advice=advice,
        policy=policy,
        k=k,
        few=lambda count: few(count, k),
        columns=[(title, one, _sizes(one, k)) for title, one in both],
        thresholds=[
            (threshold, [(one.prosecutor.largest <= threshold + 1e-12, one.marketer) for _, one in both])
            for threshold in THRESHOLDS
        ],
        values=[(one, _values(one.values_before, k), _values(one.values_after, k)) for one in advice.choices],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"tce {__version__}",
    )


def few(count: int, k: int) -> str:
    """Return a count, unless it is so small that it points at people."""
    return f"fewer than {k}" if 0 < count < k else str(count)


def _values(counts: Sequence[Count], k: int) -> list[Bar]:
    most = max((one.patients or 0 for one in counts), default=0)
    further = len(counts) - _MOST_VALUES
    rows = [
        Bar(one.value or "(none)", str(one.patients), _percent(one.patients, most))
        if one.patients is not None
        else Bar("other values", f"fewer than {k} each", 1)
        for one in counts[:_MOST_VALUES]
    ]
    return [*rows, Bar(f"and {further} further rows", "", 1)] if further > 0 else rows


def _sizes(report: Report, k: int) -> list[Bar]:
    """Return by how many look alike how many patients there are; all below k are one row."""
    small = sum(cell.patients for cell in report.cells if cell.least < k)
    large = [cell for cell in report.cells if cell.least >= k]
    most = max([small, *(cell.patients for cell in large)], default=0)
    rows = [
        Bar(f"{cell.least} or more", few(cell.patients, k), _percent(cell.patients, most)) for cell in large
    ]
    for row, cell in enumerate(large):
        if cell.most is not None:
            rows[row] = Bar(
                f"{cell.least} to {cell.most}", few(cell.patients, k), _percent(cell.patients, most)
            )
    first = next((cell.least for cell in large), None)
    words = f"fewer than {k}" if first in (None, k) or k == 1 else f"fewer than {first}"
    return [*([Bar(words, few(small, k), _percent(small, most))] if small else []), *rows]


def _percent(count: int, most: int) -> int:
    return max(1, round(100 * count / most)) if most else 1
