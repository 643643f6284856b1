"""Shows on a site's own sample where an import and its original differ.

Each file goes through the engine under the draft, with pseudonyms that are drawn for this alone and forgotten, into a
folder that is removed. What the original would do is worked out from its rules (:mod:`policies.importing.likeness`).
Nothing is told but attributes and counts.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from policies.errors import Refusal
from policies.importing.likeness import Difference, Likeness
from policies.importing.original import Original
from policies.model import Policy
from tce.trial_run import TrialRun


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """What was compared, and what differs: where the draft leaves more first, then where it leaves less."""

    compared: int
    unlike: tuple[tuple[Difference, int], ...]
    not_passed: tuple[tuple[str, int], ...]
    unread: int

    def as_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        return {
            "instances": self.compared,
            "draft_keeps_more": [_json(one, count) for one, count in self.unlike if one.keeps_more],
            "draft_removes_more": [_json(one, count) for one, count in self.unlike if not one.keeps_more],
            "not_passed_by_the_draft": dict(self.not_passed),
            "not_read": self.unread,
        }

    def as_text(self) -> str:
        """The comparison for people."""
        more = [f"  {one.words} ({count})" for one, count in self.unlike if one.keeps_more]
        less = [f"  {one.words} ({count})" for one, count in self.unlike if not one.keeps_more]
        held = [f"  {reason} ({count})" for reason, count in self.not_passed]
        parts = [
            f"Compared with the original on {self.compared} instances (how often, in brackets)",
            f"\nThe draft keeps more: {len(more)}",
            *more,
            f"\nThe draft removes more: {len(less)}",
            *less,
            f"\nInstances that the draft does not let pass: {sum(count for _, count in self.not_passed)}",
            *held,
        ]
        if self.unread:
            parts.append(f"\nFiles that could not be compared: {self.unread}")
        return "\n".join(parts)


def _json(one: Difference, count: int) -> dict[str, Any]:
    return {"attribute": one.what, "original": one.original.words, "draft": one.draft.words, "count": count}


def compare(
    policy: Policy, original: Original, files: Sequence[Path], told: Callable[[], None] = lambda: None
) -> Comparison:
    """Return where a draft and its original differ on these files; ``told`` is called after each."""
    likeness = Likeness.of(original)
    reasons: Counter[str] = Counter()
    compared = unread = 0
    with tempfile.TemporaryDirectory(prefix="tce-compare-") as folder:
        run, out = TrialRun(policy), Path(folder) / "result.dcm"
        for file in files:
            try:
                run.carry(file, out)
                source = pydicom.dcmread(file, stop_before_pixels=True, force=True)
                likeness.add(source, pydicom.dcmread(out, stop_before_pixels=True))
                compared += 1
            except Refusal as refused:
                reasons[refused.reason] += 1
            except (
                Exception
            ):  # a sample may hold anything; what cannot be read is counted, and the message may quote it
                unread += 1
            finally:
                out.unlink(missing_ok=True)
            told()
    ordered = sorted(
        likeness.differences.items(), key=lambda pair: (not pair[0].keeps_more, -pair[0].draft, pair[0].what)
    )
    return Comparison(compared, tuple(ordered), tuple(sorted(reasons.items())), unread)
