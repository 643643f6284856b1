"""Are intervals as they were? Each date of a result is compared with the one at the same place in its source.

    (source, result) pairs ──▶ places that hold a date in both ──▶ days between them ──▶ one number for each group

Part of the proof: it shares no rule and no code with the engine and reads with pydicom. A policy that moves dates owes
that all dates of a patient (of a study, where dates are truncated) moved by the same whole number of days and no time
of day changed; one that keeps them, that none moved. A date that was taken out or stands for none is no broken
promise. The number itself is a secret, so it is never told. PS3.15 E.3.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from policies.model import Dates, Policy

_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", re.S)
_NO_DATE = date(1900, 1, 1)
_MOVED = (Dates.SHIFT, Dates.TRUNCATE_TO_MONTH, Dates.TRUNCATE_TO_YEAR, Dates.STUDY_DAY)
_BY_STUDY = (Dates.TRUNCATE_TO_MONTH, Dates.TRUNCATE_TO_YEAR)


@dataclass(frozen=True, slots=True)
class BrokenInterval:
    """A place whose date or time did not move as the others did. It holds no value and no number of days."""

    path: Path
    """The result."""
    where: str
    what: str


def check_intervals(pairs: Iterable[tuple[Path, Path]], policy: Policy) -> list[BrokenInterval]:
    """Return every place of the results that breaks an interval; ``pairs`` are (source, result).

    Give all instances of a patient at once: only what is given is compared with each other.
    """
    return list(_broken(pairs, policy)) if policy.dates is not Dates.REMOVE else []


def _broken(pairs: Iterable[tuple[Path, Path]], policy: Policy) -> Iterator[BrokenInterval]:
    first: dict[str, int] = {}
    given = {override.tag for override in policy.overrides if override.value is not None}
    for source, result in pairs:
        before = pydicom.dcmread(source, stop_before_pixels=True)
        after = pydicom.dcmread(result, stop_before_pixels=True)
        keyword = "StudyInstanceUID" if policy.dates in _BY_STUDY else "PatientID"
        group = str(after.get(keyword, ""))
        for where, one, other in _same_places(before, after, ""):
            if int(other.tag) in given:
                continue
            if one.VR == "TM":
                if _silent(other) or _texts(one) == _texts(other):
                    continue
                yield BrokenInterval(result, where, "the time of day changed")
                continue
            for days in _days_between(one, other):
                if days is None:
                    yield BrokenInterval(result, where, "more changed than the day")
                elif days != (first.setdefault(group, days) if policy.dates in _MOVED else 0):
                    what = "it moved by other days than the dates before it"
                    yield BrokenInterval(result, where, what if policy.dates in _MOVED else "it moved")


def _same_places(
    before: Dataset, after: Dataset, where: str
) -> Iterator[tuple[str, DataElement, DataElement]]:
    """Yield dates and times that stand in both, with their place.

    Where items of a sequence went, those that stayed are told by what they hold beside dates.
    """
    for element in after:
        if element.tag not in before:
            continue
        one, at = before[element.tag], f"{where}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ" and one.VR == "SQ":
            for number, (inner_before, inner_after) in enumerate(_same_items(one, element), start=1):
                yield from _same_places(inner_before, inner_after, f"{at}[{number}]")
        elif element.VR in ("DA", "DT", "TM") and one.VR == element.VR:
            yield at, one, element


def _same_items(before: DataElement, after: DataElement) -> Iterator[tuple[Dataset, Dataset]]:
    if len(before.value) == len(after.value):
        yield from zip(before.value, after.value, strict=True)
        return
    left = list(before.value)
    for item in after.value:
        while left:
            candidate = left.pop(0)
            if _looks_like(candidate, item):
                yield candidate, item
                break


def _looks_like(before: Dataset, after: Dataset) -> bool:
    """Could ``after`` be what became of ``before``? Its attributes, its concept and its times of day say so."""
    if any(element.tag not in before for element in after):
        return False
    names = [item.get("ConceptNameCodeSequence") for item in (before, after)]
    concepts = [str(name[0].get("CodeValue", "")) if name else "" for name in names]
    return concepts[0] == concepts[1] and all(
        {part[8:] for part in _texts(before[element.tag])} >= {part[8:] for part in _texts(element)}
        for element in after
        if element.VR == "DT" and before[element.tag].VR == "DT" and not _silent(element)
    )


def _days_between(before: DataElement, after: DataElement) -> Iterator[int | None]:
    """Yield the days by which each value moved; None where its time, zone or form changed beside."""
    ones, others = _texts(before), _texts(after)
    if _silent(after):
        return
    if len(ones) != len(others):
        yield None
        return
    for one, other in zip(ones, others, strict=True):
        day, rest = _read(one)
        moved, moved_rest = _read(other)
        if other in ("", one) and day is None:
            continue
        if moved == _NO_DATE:
            continue
        yield (moved - day).days if day and moved and rest == moved_rest else None


def _read(text: str) -> tuple[date | None, str]:
    found = _DAY.fullmatch(text)
    if not found:
        return None, ""
    try:
        return date(int(found[1]), int(found[2]), int(found[3])), found[4]
    except ValueError:
        return None, ""


def _texts(element: DataElement) -> list[str]:
    value = element.value
    parts = value if isinstance(value, MultiValue) else [value]
    return [str(getattr(part, "original_string", part) or "").strip(" \0") for part in parts]


def _silent(element: DataElement) -> bool:
    """Does the element hold nothing, or what stands for no date or time?"""
    return all(not text.strip("0.") or _read(text)[0] == _NO_DATE for text in _texts(element))
