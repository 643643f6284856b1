"""Advice on a policy: the least lossy change by which the patients of a table have company enough.

    policy + patients ──▶ ladders ──▶ least lossy point ──▶ what to write, and the cohort before and after

It proposes; a person writes the policy, and another one approves it. What it says of few patients is "fewer than k".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from policies.disclosure.cohort import Codes, Cohort, Limits, encoded, standing
from policies.disclosure.ladders import Fields, Ladder, ladder, stays
from policies.disclosure.lattice import Found, least_lossy
from policies.disclosure.report import Report, report
from policies.errors import PolicyRoomError
from policies.model import Policy

_KEYS = ("options", "dates", "ages", "generalize", "overrides")


@dataclass(frozen=True, slots=True)
class Count:
    """How many patients have a value; None where they are fewer than k."""

    value: str = field(repr=False)
    patients: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of one attribute: how it is released now and how it would be, the loss, and the values."""

    attribute: str
    before: str
    after: str
    loss: float
    values_before: tuple[Count, ...]
    values_after: tuple[Count, ...]

    @property
    def changes(self) -> bool:
        """Whether anything is to be changed."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Advice:
    """What is proposed. ``lines`` are the keys of the policy as they would have to be, in YAML; empty for no change.

    ``after`` is the cohort without those who are left out. ``removed`` are attributes that the policy removes anyway.
    """

    choices: tuple[Choice, ...]
    removed: tuple[str, ...]
    loss: float
    left_out: int
    best: bool
    measured: int
    lines: str = field(repr=False)
    before: Report
    after: Report

    def as_data(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        choices = [asdict(one) | {"changes": one.changes} for one in self.choices]
        plain = {"loss": self.loss, "left_out": self.left_out, "best": self.best, "measured": self.measured}
        reports = {"before": self.before.as_data(), "after": self.after.as_data()}
        return {"choices": choices, "removed": list(self.removed), **plain, "lines": self.lines, **reports}


def advise(
    policy: Policy,
    columns: Mapping[str, Sequence[str]],
    limits: Limits,
    *,
    sensitive: Sequence[str] | None = None,
    share_left_out: float = 0.0,
) -> Advice | None:
    """Return what a policy would have to say so that the limits are kept, or None where nothing would do.

    ``columns`` have for each quasi-identifier of the policy every patient's value before stage 2; ``share_left_out`` is
    the share of patients who may be left out. Raises PolicyRoomError where what was found contradicts another part of
    the policy.
    """
    patients = len(next(iter(columns.values())))
    kept = [name for name in policy.quasi_identifiers if stays(policy, name)]
    ladders = [ladder(policy, name, columns[name], limits.k) for name in kept]
    told, called = encoded(sensitive) if sensitive is not None else (None, ())
    blank = called.index("") if "" in called else None
    found = least_lossy(
        [one.rungs for one in ladders],
        patients,
        limits,
        most_left_out=int(share_left_out * patients),
        sensitive=told,
        blank=blank,
    )
    if found is None:
        return None
    before = _cohort(ladders, tuple(0 for _ in ladders), patients, told, blank)
    after = _cohort(ladders, found.point, patients, told, blank)
    stay = ~standing(after).falls_short(limits)
    chosen = tuple(_choice(one, rung, limits.k, stay) for one, rung in zip(ladders, found.point, strict=True))
    return Advice(
        choices=chosen,
        removed=tuple(name for name in policy.quasi_identifiers if name not in kept),
        loss=found.loss,
        left_out=found.left_out,
        best=found.best,
        measured=found.measured,
        lines=_lines(policy, ladders, found),
        before=report(before, limits),
        after=report(_without(after, stay), limits),
    )


def _cohort(
    ladders: Sequence[Ladder], point: Sequence[int], patients: int, told: Codes | None, blank: int | None
) -> Cohort:
    columns = tuple(one.rungs[rung].codes for one, rung in zip(ladders, point, strict=True))
    return Cohort(columns, patients, told, blank)


def _without(of: Cohort, stay: np.ndarray[Any, np.dtype[np.bool_]]) -> Cohort:
    told = None if of.sensitive is None else of.sensitive[stay]
    return Cohort(tuple(column[stay] for column in of.columns), int(stay.sum()), told, of.blank)


def _choice(one: Ladder, rung: int, k: int, stay: np.ndarray[Any, np.dtype[np.bool_]]) -> Choice:
    now, then = one.rungs[0].codes, one.rungs[rung].codes[stay]
    return Choice(
        attribute=one.attribute,
        before=one.ways[0].words,
        after=one.ways[rung].words,
        loss=round(one.rungs[rung].loss, 6),
        values_before=_counts(now, one.values[0], k),
        values_after=_counts(then, one.values[rung], k),
    )


def _counts(codes: Codes, called: Sequence[str], k: int) -> tuple[Count, ...]:
    """Count values. Those of fewer than k patients are not named, and stand together at the end."""
    sizes = np.bincount(codes, minlength=len(called))
    large = [Count(called[at], int(sizes[at])) for at in range(len(called)) if sizes[at] >= k]
    return (*large, *([Count("", None)] if ((sizes > 0) & (sizes < k)).any() else []))


def _lines(policy: Policy, ladders: Sequence[Ladder], found: Found) -> str:
    was = policy.model_dump(mode="json")
    fields: Fields = policy.model_dump(mode="json")
    for one, rung in zip(ladders, found.point, strict=True):
        if rung:
            one.ways[rung].change(fields)
    try:
        Policy.model_validate({key: value for key, value in fields.items() if value is not None})
    except ValidationError as wrong:
        why = "; ".join(error["msg"] for error in wrong.errors())
        raise PolicyRoomError(
            f"what would be coarse enough contradicts another part of the policy: {why}",
            next_step="change that part first, or remove one of the quasi-identifiers by an override",
        ) from None
    changed = {key: _plain(fields[key]) for key in _KEYS if fields[key] != was[key]}
    return yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, width=110) if changed else ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, list) else value
