"""The result beside its source: what had to stay is unchanged, what moved moved alike, and nothing was invented.

    result ──align items──▶ pairs of elements ──▶ kept? the same    date? moved by one number of days
    source ──┘                                    UID? one for one   text? no new word    else? added from where?

It knows the originals, unlike :mod:`policies.expected`, and is written without the engine as well. What is one for
one must hold over a whole export, so the pairs are returned (:mod:`policies.verify` joins them). PS3.15 E.1.1, E.3.6.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from policies.cells import PIXEL_DATA, rules_of, wrong_cells
from policies.coarseness import band_of, made_of
from policies.conformity import is_legal, legal_vrs
from policies.expected import PATIENT_AGE, UID_VALUE, WHOLE_BLOCK, Expectations
from policies.layout import Element, Instance, Level, Step
from policies.silence import is_registered, is_structural, says_nothing
from policies.standard.tables import Option

if TYPE_CHECKING:
    from policies.model import Policy

_STUDY_DATE, _STUDY_TIME, _STUDY_ID, _BIRTH_DATE = 0x00080020, 0x00080030, 0x00200010, 0x00100030
_EXTREMES = frozenset({0x00280106, 0x00280107, 0x00280108, 0x00280109})
"""The smallest and the largest pixel value: of cells that were blacked out they say something else."""
_PATIENT = {0x00100010, 0x00100020}
# Written by the de-identifier also where the source had none, and judged by their form.
_MAY_BE_ADDED = _PATIENT | {_STUDY_DATE, _STUDY_TIME, _STUDY_ID, PATIENT_AGE, 0x00280301, 0x00280302}
_JUDGED_ELSEWHERE = {0x00280301, 0x00280302}
_DATES = {"DA", "DT", "TM"}
_WORDY = {"LO", "SH", "UC", "LT", "ST", "UT"}
_WORD = re.compile(r"[^\W\d_]{2,}")
_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TWO_BYTES, _FOUR_BYTES, _EIGHT_BYTES = (
    {"AT", "OW", "US", "SS"},
    {"FL", "OF", "OL", "SL", "UL"},
    {"FD", "OD", "OV", "SV", "UV"},
)
_NUMBERS = _TWO_BYTES | _FOUR_BYTES | _EIGHT_BYTES | {"DS", "IS", "OB"}
_CHUNK = 1 << 20
_FINGERPRINT = (0x0040A010, 0x0040A040, 0x00080100, 0x00080102)

Steps = tuple[Step, ...]


@dataclass(slots=True)
class Difference:
    """One thing that may not have become of the source: a code, its place and one sentence."""

    code: str
    steps: Steps
    what: str


@dataclass(slots=True)
class Compared:
    """What a comparison found, and what has to hold over the whole export. Holds originals: never print it."""

    differences: list[Difference] = field(default_factory=list)
    uids: dict[str, tuple[str, Steps]] = field(default_factory=dict, repr=False)
    """For each original UID its new one, and where it was met first."""
    loose_uids: dict[str, Steps] = field(default_factory=dict, repr=False)
    """New UIDs in items of which it is not known from which they came."""
    days: Counter[int] = field(default_factory=Counter)
    """By how many days dates moved, and how many did."""
    patient: tuple[str, str] = field(default=("", ""), repr=False)
    """What tells the patient in the source, and in the result."""

    def add(self, code: str, steps: Steps, what: str) -> None:
        """Note a difference."""
        self.differences.append(Difference(code, steps, what))


def declared_safe(source: Instance) -> frozenset[tuple[str, int, int]]:
    """Return the private elements that an instance itself declares to be safe, as creator, group and low byte.

    PS3.15 E.3.10 and Private Data Element Characteristics (PS3.3 C.12.1.1.7): a block that is SAFE, or the elements
    that are named of a block that is not.
    """
    characteristics = source.top.get(0x00080300)
    found: set[tuple[str, int, int]] = set()
    order: Literal["big", "little"] = "big" if source.big_endian else "little"
    for item in (characteristics.items or ()) if characteristics is not None else ():
        if 0x00080301 not in item or 0x00080302 not in item:
            continue
        group, creator = int.from_bytes(item[0x00080301].raw()[:2], order), item[0x00080302].text()
        if 0x00080303 in item and item[0x00080303].text() == "SAFE":
            found.add((creator, group, WHOLE_BLOCK))
        elif 0x00080304 in item:
            raw = item[0x00080304].raw()
            numbers = (int.from_bytes(raw[at : at + 2], order) for at in range(0, len(raw), 2))
            found.update((creator, group, number & 0xFF) for number in numbers)
    return frozenset(found)


def compare(result: Instance, source: Instance, policy: Policy, expectations: Expectations) -> Compared:
    """Compare an instance with what it was made from."""
    comparison = _Comparison(result, source, policy, expectations)
    comparison.level(result.top, source.top, (), ())
    comparison.days_agree()
    known_as = source.patient_id or source.text(0x0020000D) or source.sop_instance_uid
    comparison.found.patient = (f"{source.text(0x00100021)}\0{known_as}", result.patient_id)
    return comparison.found


class _Comparison:
    def __init__(
        self, result: Instance, source: Instance, policy: Policy, expectations: Expectations
    ) -> None:
        self._swapped = source.big_endian != result.big_endian
        self._result = result
        self._source = source
        self._policy = policy
        self._expected = expectations
        self._unsaid = _EXTREMES if rules_of(policy, source) else frozenset()
        self._moves = policy.dates not in ("keep", "remove")
        self._moved: list[tuple[Steps, int]] = []
        self.found = Compared()

    def level(self, new: Level, old: Level, steps: Steps, path: tuple[int, ...]) -> None:
        for tag, element in new.items():
            before = old.get(tag)
            at, inner = (*steps, (tag, 0)), (*path, tag)
            if not path and tag in self._expected.written:
                continue
            if before is None:
                self._added(element, at, inner)
            elif element.items is not None:
                self._items(element, before, steps, inner)
            elif before.items is None:
                self._leaf(element, before, at, inner, new, old)
            elif not says_nothing(element):
                self.found.add("changed", at, "the source has a sequence there")
        self._lost(new, old, steps, path)
        for tag in self._unsaid & new.keys() if not path else ():
            self.found.add("pixels", ((tag, 0),), "it tells of cells that were blacked out")

    def _items(self, new: Element, old: Element, steps: Steps, path: tuple[int, ...]) -> None:
        if old.items is None:
            # A sequence that the source hides in a value that could not be followed.
            return
        paired = _aligned(new.items or [], old.items)
        for number, item in enumerate(new.items or [], start=1):
            at = (*steps, (new.tag, number))
            partner = paired.get(number - 1)
            if partner is None:
                self._loose(item, at)
            else:
                self.level(item, old.items[partner], at, path)

    def _loose(self, item: Level, steps: Steps) -> None:
        for tag, element in item.items():
            for number, inner in enumerate(element.items or (), start=1):
                self._loose(inner, (*steps, (tag, number)))
            if element.vr == "UI" and not is_structural(tag):
                for uid in element.texts():
                    if self._expected.forms.is_derived(uid):
                        self.found.loose_uids.setdefault(uid, (*steps, (tag, 0)))

    def _added(self, element: Element, at: Steps, path: tuple[int, ...]) -> None:
        top = len(path) == 1
        if top and path[0] in _MAY_BE_ADDED:
            if path[0] == PATIENT_AGE:
                self._age(element, None, at)
            return
        if element.private and 0x10 <= path[-1] & 0xFFFF <= 0xFF:
            return
        if not says_nothing(element):
            self.found.add("added", at, "a value that the source does not have")

    def _leaf(
        self, new: Element, old: Element, at: Steps, path: tuple[int, ...], level: Level, before: Level
    ) -> None:
        tag, vr = new.tag, new.vr if new.vr != "UN" else old.vr
        if path == (PIXEL_DATA,):
            for what in wrong_cells(self._result, self._source, self._policy):
                self.found.add("pixels", at, what)
        elif len(path) == 1 and tag in _JUDGED_ELSEWHERE:
            return
        elif vr == "UI" and not is_structural(tag):
            retained = Option.RETAIN_UIDS in self._policy.options or self._expected.keeps(
                path, vr, new, level
            )
            self._uids(new, old, at, retained or (tag == UID_VALUE and self._expected.keeps_item(level)))
        elif (rule := self._expected.generalization(path)) is not None:
            if not made_of(rule, new, old):
                self.found.add("generalized", at, "a value that is not the general one of the source's")
        elif self._expected.overrides(path) and not self._expected.keeps(path, vr, new, level):
            return
        elif vr in _DATES:
            self._date(new, old, at, vr)
        elif path == (PATIENT_AGE,):
            self._age(new, old, at)
        elif self._expected.keeps(path, vr, new, level):
            self._kept(new, old, at, vr)
        elif vr in _WORDY:
            self._words(new, old, at, "a word that the source's value does not have")

    def _kept(self, new: Element, old: Element, at: Steps, vr: str) -> None:
        if vr in _WORDY:
            # A word that names somebody may have gone from it, and a date in it may have moved.
            self._words(new, old, at, "a word that the source's value does not have")
        elif vr in ("CS", "AE", "UR", "AS") or new.vr in ("CS", "AS"):
            if new.texts() != old.texts() and not says_nothing(new):
                self.found.add("changed", at, "a value that had to stay as it was")
        elif not self._same(new, old):
            code = "pixels" if new.tag in (0x7FE00008, 0x7FE00009) else "changed"
            self.found.add(code, at, "a value that had to stay as it was")

    def _words(self, new: Element, old: Element, at: Steps, what: str) -> None:
        if (new.length == old.length and new.raw() == old.raw()) or all(
            map(self._expected.forms.is_pseudonym, new.texts())
        ):
            return
        had = {word.casefold() for word in _WORD.findall(old.text())}
        if not says_nothing(new) and any(
            word.casefold() not in had for word in _WORD.findall(new.text().replace("REMOVED", ""))
        ):
            self.found.add("invented", at, what)

    def _same(self, new: Element, old: Element) -> bool:
        if new.vr in ("DS", "IS"):
            # A number that is the patient's, or that is none, may have gone.
            return new.texts() == old.texts() or not new.texts() or (says_nothing(new) and not _numbers(old))
        unit = self._unit(old.vr if old.vr != "UN" else new.vr)
        return _equal(new, old, (new.start, new.length), (old.start, old.length), swapped=unit)

    def _unit(self, vr: str) -> int:
        if not self._swapped:
            return 1
        return 2 if vr in _TWO_BYTES else 4 if vr in _FOUR_BYTES else 8 if vr in _EIGHT_BYTES else 1

    def _uids(self, new: Element, old: Element, at: Steps, retained: bool) -> None:
        mine, theirs = new.texts(), old.texts()
        if not mine:
            return
        if len(mine) != len(theirs):
            self.found.add("uid", at, "not as many UIDs as the source has")
            return
        for uid, original in zip(mine, theirs, strict=True):
            if retained or is_registered(original):
                if uid != original and not (retained and self._expected.forms.is_derived(uid)):
                    self.found.add("uid", at, "a UID that had to stay")
            elif not self._expected.forms.may_come_of(uid, original):
                self.found.add(
                    "uid", at, "a UID that is not the one that the trial's script makes of the original"
                )
            elif self.found.uids.setdefault(original, (uid, at))[0] != uid:
                self.found.add("uid-consistency", at, "one original UID got two new ones")

    def _date(self, new: Element, old: Element, at: Steps, vr: str) -> None:
        if says_nothing(new) or self._policy.dates == "remove":
            return
        if not self._moves or vr == "TM":
            if new.texts() != old.texts():
                self.found.add("date", at, "a date or time that is not the source's")
            return
        mine, theirs = [part for part in new.texts() if part], [part for part in old.texts() if part]
        if len(mine) != len(theirs):
            self.found.add("date", at, "not as many dates as the source has")
            return
        for moved, original in zip(mine, theirs, strict=True):
            after, before = _day(moved), _day(original)
            if after is None or before is None or _clock(moved) != _clock(original):
                self.found.add("date", at, "a date that is not the source's, moved by whole days")
            else:
                self._moved.append((at, (after - before).days))

    def days_agree(self) -> None:
        """All dates of an instance move by one number of days; one from the key is never zero."""
        counted = Counter(days for _, days in self._moved)
        self.found.days = counted
        usual = max(counted, key=lambda days: (counted[days], days != 0), default=0)
        for at, days in self._moved:
            if days == 0 and self._policy.dates == "shift":
                self.found.add("date", at, "a date that did not move")
            elif days != usual:
                self.found.add("intervals", at, "a date that moved by another number of days than the others")

    def _age(self, new: Element, old: Element | None, at: Steps) -> None:
        bands = self._policy.ages
        had = old.text() if old is not None else ""
        if says_nothing(new) or (bands is None and new.text() == had):
            return
        years = _years(had)
        if years is None:
            years = self._age_by_dates()
        if years is not None and bands is not None:
            years = band_of(years, bands)
        if years is None or new.text() != f"{min(years, 999):03d}Y":
            self.found.add("age", at, "an age that is not the one of the source, nor its band")

    def _age_by_dates(self) -> int | None:
        born, then = _day(self._source.text(_BIRTH_DATE)), _day(self._source.text(_STUDY_DATE))
        if born is None or then is None or then < born:
            return None
        return then.year - born.year - ((then.month, then.day) < (born.month, born.day))

    def _lost(self, new: Level, old: Level, steps: Steps, path: tuple[int, ...]) -> None:
        """Numbers that the policy retains must be there (PS3.15 E.1.1, item 8)."""
        for tag, before in old.items():
            if (
                tag in new
                or (not path and tag in self._unsaid)
                or before.private
                or before.vr not in _NUMBERS & legal_vrs(tag)
                or not before.length
            ):
                continue
            if (
                is_legal(before)
                and self._expected.keeps((*path, tag), before.vr, before, old)
                and not says_nothing(before)
            ):
                self.found.add("lost", (*steps, (tag, 0)), "a value that the policy retains is gone")


def _aligned(new: list[Level], old: list[Level]) -> dict[int, int]:
    """Say from which item of the source each item came, for those of which it is certain.

    Items go by their concept; where some of one kind went, it is not known which of that kind are left.
    """
    if len(new) == len(old):
        return {place: place for place in range(len(new))}
    kinds: dict[tuple[str, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, items in enumerate((new, old)):
        for place, item in enumerate(items):
            kinds[_fingerprint(item)][side].append(place)
    return {
        mine: theirs
        for left, had in kinds.values()
        if len(left) == len(had)
        for mine, theirs in zip(left, had, strict=True)
    }


def _fingerprint(item: Level) -> tuple[str, ...]:
    names = item.get(0x0040A043)
    name = names.items[0] if names is not None and names.items else {}
    return tuple((item.get(tag) or name.get(tag) or _NOTHING).text() for tag in _FINGERPRINT)


_NOTHING = Element(0, "LO", 0, 0, b"")


def _equal(
    new: Element, old: Element, mine: tuple[int, int], theirs: tuple[int, int], *, swapped: int = 1
) -> bool:
    """Are two ranges of bytes the same, an added NUL or blank of padding apart? Read in pieces, never whole."""
    (start, length), (begin, size) = mine, theirs
    if length != size and not (length == size + 1 and size & 1):
        return False
    for at in range(0, size, _CHUNK):
        stop = min(at + _CHUNK, size)
        piece = old.data[begin + at : begin + stop]
        if swapped > 1 and len(piece) % swapped == 0:
            piece = b"".join(piece[i : i + swapped][::-1] for i in range(0, len(piece), swapped))
        if new.data[start + at : start + stop] != piece:
            return False
    return length == size or new.data[start + size : start + length] in (b"\0", b" ")


def _numbers(element: Element) -> bool:
    try:
        return all(float(part) is not None for part in element.texts())
    except ValueError:
        return False


def _day(text: str) -> date | None:
    found = _DAY.match(text)
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


def _clock(text: str) -> str:
    """What follows the day in a DT: time of day, fraction and zone."""
    return _DAY.sub("", text, count=1)


def _years(text: str) -> int | None:
    if len(text) != 4 or not text[:3].isdigit() or text[3] not in "DWMY":
        return None
    return int(int(text[:3]) / {"D": 365.2425, "W": 52.1775, "M": 12.0, "Y": 1.0}[text[3]])
