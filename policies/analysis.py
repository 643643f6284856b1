"""What an analysis would lose: each need judged over the instances that had what it takes, by stated rules.

    changes of an instance ─┐
    source, result ─────────┴──▶ per instance ──▶ over the set ──▶ met, roughly, lost, and by which attributes

*Met* means that :data:`policies.needs.RULES` holds. *Roughly* means that values are there and coarser, or that texts
lost words. It proves nothing about privacy; a need that is lost may be what a policy is for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import pairwise

from pydicom.datadict import keyword_for_tag

from policies.effects import Change
from policies.grounds import BLACKED_OUT, Happened
from policies.layout import Element, Instance, Level
from policies.needs import NEEDED, RULES, Need

_STUDY_UID, _STUDY_DATE, _WEIGHT = 0x0020000D, 0x00080020, 0x00101030
_FRAMES = frozenset({0x00200052, 0x30060024, 0x300600C2})
"""Frame of Reference UID, Referenced and Related Frame of Reference UID."""
_REFERENCE = 0x00081155
_RADIOPHARMACEUTICAL, _DOSE, _HALF_LIFE = 0x00540016, 0x00181074, 0x00181075
_INJECTED, _INJECTED_AT = 0x00181072, 0x00181078
_BESIDE = frozenset({0x00880200, 0x00120064, 0x0018A001})
"""Icons, and what a de-identifier says of itself, are nothing that is analysed."""
_PET = frozenset(
    {"1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.128.1", "1.2.840.10008.5.1.4.1.1.130"}
)
_RADIOTHERAPY = "1.2.840.10008.5.1.4.1.1.481."


class Verdict(IntEnum):
    """How a need is met; of several the worst counts."""

    MET = 0
    ROUGHLY = 1
    LOST = 2


_ROUGHLY = frozenset({Happened.CLEANED, Happened.COARSER})


@dataclass(frozen=True, slots=True)
class Loss:
    """One need, judged. ``tally`` counts what was judged (instances, references or patients) by verdict.

    ``because`` counts the attributes by which it is lost or rough.
    """

    name: Need
    tally: Mapping[Verdict, int]
    because: tuple[tuple[str, int], ...] = field(repr=False)

    @property
    def rule(self) -> str:
        """When it is met."""
        return RULES[self.name]

    @property
    def judged(self) -> int:
        """How many were judged."""
        return sum(self.tally.values())


class Analysis:
    """Judges pairs of source and result, one by one, and the set of them at the end."""

    def __init__(self) -> None:
        self._tally: dict[Need, Counter[Verdict]] = defaultdict(Counter)
        self._because: dict[Need, Counter[str]] = defaultdict(Counter)
        self._became: dict[str, str] = {}
        self._references: list[tuple[bool, str, str]] = []
        self._frames: dict[int, list[tuple[str, str]]] = {}
        self._matrices: dict[int, Verdict] = {}
        self._studies: dict[str, dict[str, tuple[date, date | None, str]]] = defaultdict(dict)
        self._count = 0

    def __repr__(self) -> str:
        return f"Analysis({self._count} instances)"

    def hear(self, source: Instance, result: Instance, changes: Iterable[Change]) -> None:
        """Take in one instance."""
        verdicts: dict[Need, Verdict] = {}
        days: Counter[int] = Counter()
        frames: list[tuple[str, str]] = []
        self._became[source.sop_instance_uid] = result.sop_instance_uid
        for change in changes:
            tag = change.path[-1][0]
            if change.happened is Happened.ADDED or _is_beside(change):
                continue
            if tag in _FRAMES:
                frames.append((change.before, change.after))
            elif tag == _REFERENCE:
                of_therapy = source.sop_class_uid.startswith(_RADIOTHERAPY)
                self._references.append((of_therapy, change.before, change.after))
            need = NEEDED.get(tag)
            if need is None:
                continue
            verdict = _verdict(change)
            if need is Need.INTERVALS and change.days is not None:
                days[change.days] += 1
            self._note(verdicts, need, verdict, _named(change))
        if Need.INTERVALS in verdicts and len(days) > 1:
            self._note(
                verdicts, Need.INTERVALS, Verdict.LOST, "dates that moved by different numbers of days"
            )
        self._uptake(source, result, verdicts)
        self._study(source, result)
        if frames or Need.REGISTRATION in verdicts:
            self._frames[self._count] = frames
            self._matrices[self._count] = verdicts.pop(Need.REGISTRATION, Verdict.MET)
        for need, verdict in verdicts.items():
            self._tally[need][verdict] += 1
        self._count += 1

    def _note(self, verdicts: dict[Need, Verdict], need: Need, verdict: Verdict, what: str) -> None:
        verdicts[need] = max(verdicts.get(need, Verdict.MET), verdict)
        if verdict is not Verdict.MET:
            self._because[need][what] += 1

    def losses(self) -> list[Loss]:
        """Return every need that could be judged, in the order of :class:`policies.needs.Need`."""
        tally = {need: Counter(found) for need, found in self._tally.items()}
        because = {need: Counter(found) for need, found in self._because.items()}
        for need, verdict, what in (*self._linked(), *self._registered(), *self._followed()):
            tally.setdefault(need, Counter())[verdict] += 1
            if what:
                because.setdefault(need, Counter())[what] += 1
        return [
            Loss(need, {verdict: tally[need][verdict] for verdict in Verdict}, _told(because.get(need)))
            for need in Need
            if need in tally
        ]

    def _linked(self) -> Iterator[tuple[Need, Verdict, str]]:
        for of_therapy, before, after in self._references:
            if before in self._became:
                need = Need.RADIOTHERAPY if of_therapy else Need.REFERENCES
                leads = after == self._became[before]
                yield (
                    need,
                    Verdict.MET if leads else Verdict.LOST,
                    "" if leads else "ReferencedSOPInstanceUID",
                )

    def _registered(self) -> Iterator[tuple[Need, Verdict, str]]:
        became: dict[str, set[str]] = defaultdict(set)
        came: dict[str, set[str]] = defaultdict(set)
        for pairs in self._frames.values():
            for before, after in pairs:
                became[before].add(after)
                came[after].add(before)
        for number, pairs in self._frames.items():
            good = all(after and len(became[before]) == 1 == len(came[after]) for before, after in pairs)
            verdict = self._matrices[number] if good else Verdict.LOST
            yield Need.REGISTRATION, verdict, "" if good else "FrameOfReferenceUID"

    def _followed(self) -> Iterator[tuple[Need, Verdict, str]]:
        for studies in self._studies.values():
            times = sorted(studies.values(), key=lambda one: one[0])
            if len({before for before, _, _ in times}) < 2:
                continue
            one_patient = len({patient for _, _, patient in times}) == 1
            dated = [(before, after) for before, after, _ in times if after is not None]
            whole = len(dated) == len(times) and one_patient
            steps = [(later - sooner, then - first) for (sooner, first), (later, then) in pairwise(dated)]
            none = timedelta()
            follows = whole and all((was > none) == (now > none) and now >= none for was, now in steps)
            what = "StudyDate" if one_patient else "PatientID"
            yield Need.ORDER, Verdict.MET if follows else Verdict.LOST, "" if follows else what
            equal = whole and all(was == now for was, now in steps)
            yield Need.DISTANCES, Verdict.MET if equal else Verdict.LOST, "" if equal else what

    def _study(self, source: Instance, result: Instance) -> None:
        patient, study = source.patient_id, source.text(_STUDY_UID)
        before = _day(source.text(_STUDY_DATE))
        if patient and study and before:
            after = _day(result.text(_STUDY_DATE))
            self._studies[patient].setdefault(study, (before, after, result.patient_id))

    def _uptake(self, source: Instance, result: Instance, verdicts: dict[Need, Verdict]) -> None:
        before, after = _Uptake.of(source), _Uptake.of(result)
        if source.sop_class_uid not in _PET or not before.computes:
            return
        verdict = Verdict.MET
        for what, was, now in (
            ("RadionuclideTotalDose", before.dose, after.dose),
            ("RadionuclideHalfLife", before.half_life, after.half_life),
            ("PatientWeight", before.weight, after.weight),
            ("time from injection to scan", before.elapsed, after.elapsed),
        ):
            rough = what == "PatientWeight" and bool(now) and was != now
            if was != now:
                self._because[Need.UPTAKE][what] += 1
                verdict = max(verdict, Verdict.ROUGHLY if rough else Verdict.LOST)
        verdicts[Need.UPTAKE] = verdict


def _is_beside(change: Change) -> bool:
    """Say whether a value lies where nobody analyses it: in a private sequence, too, whose meaning is its maker's."""
    return any(creator or tag in _BESIDE for tag, creator in change.path)


def _verdict(change: Change) -> Verdict:
    if change.happened in (Happened.KEPT, Happened.MOVED):
        return Verdict.MET
    if change.happened is Happened.PIXELS:
        # What is no part of the image may go without loss; what was blacked out is lost.
        return Verdict.ROUGHLY if change.ground == BLACKED_OUT else Verdict.MET
    return Verdict.ROUGHLY if change.happened in _ROUGHLY else Verdict.LOST


def _named(change: Change) -> str:
    return str(keyword_for_tag(change.path[-1][0]))


def _told(found: Counter[str] | None) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((found or Counter()).items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True, repr=False)
class _Uptake:
    """What a standardized uptake value is computed from, None where it is not there."""

    weight: float | None
    dose: float | None
    half_life: float | None
    elapsed: timedelta | None

    @classmethod
    def of(cls, instance: Instance) -> _Uptake:
        """Read it from the attributes of the PET modules (PS3.3 C.8.9)."""
        sequence = instance.top.get(_RADIOPHARMACEUTICAL)
        item: Level = sequence.items[0] if sequence is not None and sequence.items else {}
        scan = _moment(instance.text(0x00080022), instance.text(0x00080032))
        scan = scan or _moment(instance.text(0x00080021), instance.text(0x00080031))
        day = instance.text(0x00080022) or instance.text(0x00080021)
        injected = _text(item.get(_INJECTED_AT))
        start = _moment(injected[:8], injected[8:]) if injected else _moment(day, _text(item.get(_INJECTED)))
        return cls(
            _number(instance.text(_WEIGHT)),
            _number(_text(item.get(_DOSE))),
            _number(_text(item.get(_HALF_LIFE))),
            scan - start if scan and start else None,
        )

    @property
    def computes(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.weight and self.dose and self.half_life and self.elapsed is not None)


def _text(element: Element | None) -> str:
    return element.text() if element is not None and element.items is None else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError:
        return None


def _moment(day: str, time: str) -> datetime | None:
    clock, _, fraction = time.partition(".")
    try:
        begun = datetime.strptime(day[:8] + clock[:6].ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    digits = "".join(sign for sign in fraction[:6] if sign.isdigit())
    return begun + timedelta(microseconds=int(digits.ljust(6, "0") or 0)) if time else None
