"""What a run found, as tables for people and as data for programs. Values of canaries are invented and may be
shown.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.canaries.road import Survivor, Tally
from tests.canaries.utility import Measurement

_MOST_LINES = 60


def channels_table(tally: Tally) -> str:
    """The table: channel, planted, in passed instances, survived."""
    passed, survived = tally.passed, tally.survived
    rows = [
        (channel, tally.planted[channel], passed[channel], tally.searched[channel], survived[channel])
        for channel in sorted(tally.planted.keys() | survived.keys())
    ]
    total = ("all", *(sum(row[place] for row in rows) for place in (1, 2, 3, 4)))
    lines = ["| channel | planted | in passed instances | searches | survived |", "|---|---:|---:|---:|---:|"]
    for channel, planted, through, searches, found in (*rows, total):
        written = f"{through:,}" if through or not planted else "held only"
        lines.append(f"| {channel} | {planted:,} | {written} | {searches:,} | {found:,} |")
    return "\n".join(lines)


def reasons_table(tally: Tally) -> str:
    """Why instances did not pass, by the policy that stopped them."""
    lines = ["| under | not passed because | instances |", "|---|---|---:|"]
    lines += [
        f"| {under} | {reason} | {count:,} |" for (under, reason), count in sorted(tally.reasons.items())
    ]
    return "\n".join(lines)


def utility_table(measurements: Sequence[Measurement]) -> str:
    """What is unchanged of what an analysis needs, in groups, under each policy; references and IOD errors."""
    groups = sorted({group for one in measurements for group in one.utility.needed})
    lines = [
        "| unchanged under | " + " | ".join(one.policy for one in measurements) + " |",
        "|---|" + "---:|" * len(measurements),
    ]
    for group in groups:
        cells = (f"{one.utility.same[group]:,} of {one.utility.needed[group]:,}" for one in measurements)
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    rows: dict[str, list[str]] = {
        "all": [f"{one.utility.share:.3%}" for one in measurements],
        "instances": [f"{one.utility.passed:,}" for one in measurements],
        "named the patient, and went": [f"{one.utility.naming.total():,}" for one in measurements],
        "references that resolve": [
            f"{one.utility.resolving.total():,} of {one.utility.references.total():,}" for one in measurements
        ],
        "new errors of dciodvfy": [f"{len(one.new_errors):,}" for one in measurements],
        "not judged by dciodvfy": [f"{one.unjudged:,}" for one in measurements],
    }
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    for one in measurements:
        lines += [
            f"  {one.policy}: lost {where} ({group}), {n} times"
            for (group, where), n in one.utility.lost.most_common(20)
        ]
        lines += [
            f"  {one.policy}: no longer resolves: {where}, {n} times"
            for where, n in one.utility.dangling.most_common(20)
        ]
        lines += [f"  {one.policy}: new error in {new.file}: {new.error}" for new in one.new_errors[:20]]
        lines += [
            f"  {one.policy}: not passed because {why}: {n}"
            for why, n in sorted(one.utility.not_passed.items())
        ]
    return "\n".join(lines)


def survivors_list(tally: Tally) -> str:
    """Where canaries were found, like ones together, the most frequent first."""
    groups: dict[tuple[str, str, str], list[Survivor]] = defaultdict(list)
    for survivor in tally.survivors:
        groups[survivor.channel, survivor.where.rsplit("/", 1)[-1], survivor.form].append(survivor)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    return "\n".join(_lines(ranked[:_MOST_LINES])) + (
        f"\nand {len(ranked) - _MOST_LINES} more" if len(ranked) > _MOST_LINES else ""
    )


def _lines(groups: list[tuple[tuple[str, str, str], list[Survivor]]]) -> Iterator[str]:
    for (channel, where, form), found in groups:
        policies = Counter(one.policy for one in found)
        families = Counter(one.family for one in found)
        yield (
            f"  {len(found):6,}  {channel}: {where}, {form}; {len(families)} families ({found[0].family}), "
            f"{len(policies)} policies ({found[0].policy})"
        )


def as_json(tally: Tally, more: dict[str, object]) -> str:
    """Everything, for programs."""
    passed, survived = tally.passed, tally.survived
    content = {
        "channels": {
            channel: {
                "planted": tally.planted[channel],
                "passed": passed[channel],
                "survived": survived[channel],
            }
            for channel in sorted(tally.planted)
        },
        "not_passed": [
            {"under": under, "reason": reason, "instances": count}
            for (under, reason), count in sorted(tally.reasons.items())
        ],
        "survivors": [
            {
                "channel": one.channel,
                "where": one.where,
                "family": one.family,
                "policies": one.policy,
                "form": one.form,
            }
            for one in tally.survivors
        ],
        "crashed": tally.crashed,
        **more,
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def write_json(path: Path, tally: Tally, more: dict[str, object]) -> None:
    """Write it to a file."""
    path.write_text(as_json(tally, more), encoding="utf-8")
