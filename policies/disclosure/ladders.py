"""The ladders of a policy: for each quasi-identifier the ways to release it, from what the policy does to nothing.

A rung is text to text, and what a policy would have to say for it. Bands double, dates lose month, quarter and year,
rare words become one, digits of a postal code go; the last rung takes the attribute away. Only rungs that are coarser
than the one before, on the patients at hand, are kept, so that the search may rely on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from pydantic import ValidationError

from policies.dates import read_date
from policies.disclosure.cohort import Codes, encoded
from policies.disclosure.lattice import Rung
from policies.generalize import age_string, read_age, way_of
from policies.model import Action, Dates, Policy
from policies.profile import resolve, resolve_beyond
from policies.quasi_identifiers import AgeBands, Generalization
from policies.standard.attributes import attribute_named
from policies.standard.tables import Option

Fields = dict[str, Any]
Change = Callable[[Fields], None]
_FULL, _MODIFIED = Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES
_COARSER_DATES = (Dates.KEEP, Dates.TRUNCATE_TO_MONTH, Dates.TRUNCATE_TO_QUARTER, Dates.TRUNCATE_TO_YEAR)
_DAYS = {
    Dates.KEEP: 1,
    Dates.TRUNCATE_TO_MONTH: 30,
    Dates.TRUNCATE_TO_QUARTER: 91,
    Dates.TRUNCATE_TO_YEAR: 365,
}
_WIDTHS = {"PatientWeight": "5", "PatientSize": "0.05", "PatientBodyMassIndex": "2"}
_WHY = "k-anonymity, as tce policy advise proposed"
_SAME: Change = lambda fields: None  # noqa: E731


@dataclass(frozen=True, slots=True)
class Way:
    """One way to release an attribute. ``share`` is the loss of one coarse value, from 0 to 1."""

    words: str
    coarser: Callable[[str], str]
    share: Callable[[str], float]
    change: Change


@dataclass(frozen=True, slots=True)
class Ladder:
    """The ways to release one attribute, finest first, and what each patient's value becomes by each."""

    attribute: str
    ways: tuple[Way, ...]
    rungs: tuple[Rung, ...] = field(repr=False)
    values: tuple[tuple[str, ...], ...] = field(repr=False)
    """By rung, what its codes stand for."""


def stays(policy: Policy, keyword: str) -> bool:
    """Say whether a policy leaves anything of an attribute that could be compared."""
    if keyword == "PatientAge" and policy.ages:
        return True
    if keyword == "StudyDate":
        return policy.dates in _COARSER_DATES
    tag = attribute_named(keyword).tag
    rules = [rule for rule in policy.overrides if rule.path == (tag,)]
    if any(rule.path == (tag,) for rule in policy.generalize):
        return True
    if rules:
        return any(rule.action in (Action.K, Action.C) for rule in rules)
    if tag in policy.companions:
        return False
    code = resolve(tag, policy.options) or resolve_beyond(tag, policy.options)
    return code in (None, Action.K, Action.C)


def ladder(policy: Policy, keyword: str, column: Sequence[str], k: int) -> Ladder:
    """Return the ladder of an attribute that stays, for a column of the patients' values as they come in.

    Several values of a patient are one text, divided by backslashes.
    """
    came, named = encoded(column)
    parts = sorted({part for value in named for part in value.split("\\") if part})
    ways: list[Way] = []
    rungs: list[Rung] = []
    values: list[tuple[str, ...]] = []
    for way in _ways(policy, keyword, parts, Counter(column), k):
        codes, called = _released(way, came, named)
        if rungs and not _nested(rungs[-1].codes, codes):
            continue
        ways.append(way)
        rungs.append(Rung(codes, _loss(way, came, named)))
        values.append(called)
    return Ladder(keyword, tuple(ways), tuple(rungs), tuple(values))


def _released(way: Way, came: Codes, named: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    released = [
        "\\".join(sorted({way.coarser(part) for part in value.split("\\")} - {""})) for value in named
    ]
    codes, called = encoded(released)
    return codes[came] if len(came) else codes, called


def _loss(way: Way, came: Codes, named: Sequence[str]) -> float:
    each = np.array([np.mean([way.share(part) for part in value.split("\\")]) for value in named])
    return float(each[came].mean()) if len(came) else 0.0


def _nested(fine: Codes, coarse: Codes) -> bool:
    """Whether all patients who are alike by the finer codes are alike by the coarser ones."""
    pairs = np.unique(fine * (int(coarse.max(initial=0)) + 1) + coarse)
    return len(pairs) == len(np.unique(fine))


def _ways(policy: Policy, keyword: str, parts: list[str], held: Counter[str], k: int) -> Iterator[Way]:
    tag = attribute_named(keyword).tag
    rules = [rule for rule in policy.generalize if rule.path == (tag,)]
    vr = attribute_named(keyword).vr
    if keyword == "PatientAge":
        yield from _age_ways(policy, parts)
    elif keyword == "StudyDate":
        yield from _date_ways(policy, parts)
        return
    elif any(rule.when for rule in rules) or vr == "DA":
        yield Way("as it is now", str, _nothing, _SAME)
    elif vr in ("DS", "IS"):
        yield from _number_ways(policy, keyword, parts, rules)
    else:
        yield from _word_ways(keyword, parts, held, rules, k)
    yield Way("removed", lambda _: "", lambda _: 1.0, _removal(keyword))


def _nothing(_: str) -> float:
    return 0.0


def _age_ways(policy: Policy, parts: list[str]) -> Iterator[Way]:
    now = policy.ages
    years = [found for part in parts if (found := read_age(part.encode("latin-1"))) is not None]
    span = max(1, max(years, default=1) - min(years, default=0))
    if now is None:
        yield Way("as it is", str, _nothing, _SAME)
    elif now.bounds:
        bounds = now.bounds
        while len(bounds) > 1:
            yield _age_way(AgeBands(bounds=bounds), span, years)
            bounds = bounds[-1::-2][::-1]
        return
    width = now.width if now and now.width else 1
    steps = (5, 10, 20, 40) if 5 % width == 0 else (2 * width, 4 * width, 8 * width)
    widths = [width] if now else []
    for one in (*widths, *(step for step in steps if step > width)):
        top, start = (now.top, now.start) if now else (90, 0)
        try:
            yield _age_way(AgeBands(width=one, top=top, start=start), span, years)
        except ValidationError:
            return


def _age_way(bands: AgeBands, span: int, years: list[int]) -> Way:
    def coarser(text: str) -> str:
        found = read_age(text.encode("latin-1"))
        return "" if found is None else age_string(bands.band(found)[0]).decode()

    def share(text: str) -> float:
        found = read_age(text.encode("latin-1"))
        if found is None:
            return 0.0
        low, high = bands.band(found)
        last = max(years, default=low) if high is None else high
        return min(1.0, max(0, last - low) / span)

    written = bands.model_dump(mode="json", exclude_defaults=True)
    if bands.bounds:
        written.pop("top", None)

    def change(fields: Fields) -> None:
        fields["ages"] = written

    return Way(bands.words.lower(), coarser, share, change)


def _date_ways(policy: Policy, parts: list[str]) -> Iterator[Way]:
    days = [found for part in parts if (found := read_date(part.encode("latin-1"))) is not None]
    span = max(1, (max(days) - min(days)).days) if days else 1
    for one in _COARSER_DATES[_COARSER_DATES.index(policy.dates) :]:
        share = min(1.0, (_DAYS[one] - 1) / span)
        yield Way(f"dates: {one}", _to(one), lambda _, share=share: share, _dates(one))  # type: ignore[misc]
    yield Way("dates: remove", lambda _: "", lambda _: 1.0, _dates(Dates.REMOVE))


def _to(dates: Dates) -> Callable[[str], str]:
    def coarser(text: str) -> str:
        found = read_date(text.encode("latin-1"))
        return "" if found is None else f"{_first(found, dates):%Y%m%d}"

    return coarser


def _first(day: date, dates: Dates) -> date:
    if dates is Dates.KEEP:
        return day
    month = {Dates.TRUNCATE_TO_MONTH: day.month, Dates.TRUNCATE_TO_QUARTER: (day.month - 1) // 3 * 3 + 1}
    return date(day.year, month.get(dates, 1), 1)


def _dates(dates: Dates) -> Change:
    def change(fields: Fields) -> None:
        others = [one for one in fields["options"] if one not in (_FULL, _MODIFIED)]
        fields["dates"] = str(dates)
        fields["options"] = sorted([*others, *([str(dates.option)] if dates.option else [])])

    return change


def _number_ways(
    policy: Policy, keyword: str, parts: list[str], rules: list[Generalization]
) -> Iterator[Way]:
    numbers = [found for part in parts if (found := _number(part)) is not None]
    span = (max(numbers) - min(numbers)) if numbers else Decimal(1)
    rule = rules[0] if rules else None
    if rule is None:
        yield Way("as it is", str, _nothing, _SAME)
    step = (rule.round or rule.width) if rule else Decimal(_WIDTHS.get(keyword, "0"))
    if not step:
        return
    key, factor = ("round", 3) if rule and rule.round is not None else ("width", 2)
    limits = {"bottom": rule.bottom, "top": rule.top} if rule else {}
    for times in range(4):
        wide = step * factor**times
        try:
            one = Generalization.model_validate(
                {"attribute": keyword, key: wide, "otherwise": rule.otherwise if rule else None, **limits}
            )
        except ValidationError:
            return
        share = min(1.0, float(wide / span)) if span else 0.0
        yield Way(
            f"{key} {wide}",
            _by(one),
            lambda _, share=share: share,  # type: ignore[misc]
            _SAME if rule and not times else _generalization(one),
        )


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _by(rule: Generalization) -> Callable[[str], str]:
    way = way_of(rule)

    def coarser(text: str) -> str:
        found = way.coarser(text) if text else None
        return found if found is not None else (rule.otherwise or "")

    return coarser


def _word_ways(
    keyword: str, parts: list[str], held: Counter[str], rules: list[Generalization], k: int
) -> Iterator[Way]:
    rule = rules[0] if rules else None
    now: Callable[[str], str] = _by(rule) if rule else str
    yield _grouped("as it is now" if rule else "as it is", now, parts, _SAME)
    if rule and rule.digits is not None:
        for digits in range(rule.digits - 1, 0, -1):
            fewer = Generalization(attribute=keyword, digits=digits, otherwise=rule.otherwise)
            yield _grouped(f"{digits} digits", _by(fewer), parts, _generalization(fewer))
        return
    counted: Counter[str] = Counter()
    for value, times in held.items():
        for part in {now(part) for part in value.split("\\")} - {""}:
            counted[part] += times
    common = {part: now(part) for part in parts if counted[now(part)] >= k}
    if not common or len(common) == len(parts):
        return
    try:
        table = Generalization(
            attribute=keyword,
            table=tuple(common.items()),
            otherwise="O" if keyword == "PatientSex" else "OTHER",
        )
    except ValidationError:
        return
    yield _grouped("rare values in one", _by(table), parts, _generalization(table))


def _grouped(words: str, coarser: Callable[[str], str], parts: list[str], change: Change) -> Way:
    sizes = Counter(coarser(part) for part in parts)

    def share(text: str) -> float:
        alike = sizes[coarser(text)]
        return alike / len(parts) if alike > 1 else 0.0

    return Way(words, coarser, share, change)


def _generalization(rule: Generalization) -> Change:
    def change(fields: Fields) -> None:
        others = [one for one in fields["generalize"] if one["attribute"] != rule.attribute]
        written = rule.model_dump(mode="json", exclude_defaults=True)
        fields["generalize"] = [*others, written]

    return change


def _removal(keyword: str) -> Change:
    def change(fields: Fields) -> None:
        for key in ("overrides", "generalize"):
            fields[key] = [one for one in fields[key] if one["attribute"] != keyword]
        if keyword == "PatientAge":
            fields["ages"] = None
        action = "Z" if keyword in ("PatientSex", "PatientBirthDate") else "X"
        fields["overrides"].append({"attribute": keyword, "action": action, "reason": _WHY})

    return change
