"""Check de-identified instances from the outside: is this what the policy promises, is it legal, do references hold?

    1. file          preamble, File Meta Information, nothing behind the data set        (PS3.15 E.1.1)
    2. claims        policies.claims        what it says was done is what was done
    3. elements      policies.expected      every element of every level against policy and Table E.1-1
    4. legality      policies.conformity    VR, VM, lengths, characters, order; Types of the IOD here
    5. the source    policies.comparison    what had to stay is the same, dates and UIDs moved alike
    6. the set       policies.references    references resolve as before; UIDs and patients are one for one

It reads with a reader of its own and shares no rule with the engine. One finding holds the whole export. Original
values in any byte are the part of :mod:`policies.residue`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from policies.cells import PIXEL_DATA, RLE, goes_on_behind_its_cells, rules_of
from policies.claims import check_claims, written_by_the_de_identifier
from policies.coarseness import for_this_instance
from policies.coded import coded_complaint
from policies.comparison import Compared, compare, declared_safe
from policies.conformity import illegal
from policies.expected import CONTENT_ITEMS, Expectations
from policies.forms import Forms
from policies.layout import EXPLICIT_BIG, IMPLICIT_LITTLE, Instance, Level, Step, written
from policies.parsing import Unreadable, read, read_source
from policies.references import Links, broken, links_of, newly_broken
from policies.segments import speaking
from policies.standard.tables import attribute_type

if TYPE_CHECKING:
    from policies.model import Policy

# The only elements that File Meta Information needs; others name who sent or received (PS3.15 E.1.1).
_META = {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}
_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_NATIVE = {"", IMPLICIT_LITTLE, _LITTLE_ENDIAN, EXPLICIT_BIG}
_IMPLEMENTATION = "2.25.285714604921327836409826871146374127361"
_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(?:\.[1-9]\d{0,2}){0,3}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``where`` is the path of tags; no field holds a value of the instance.

    ``channel`` is ``preamble``, ``file meta``, ``data set``, ``pixel data`` or ``references``. ``instance`` is the
    instance's place in its set, from 1; 0 where there is no set.
    """

    code: str
    where: str
    channel: str
    what: str
    instance: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """What a verification keeps of a part of a set, for other processes to go on with. Holds originals."""

    links: tuple[Links, ...]
    links_before: tuple[Links, ...]
    compared: tuple[Compared, ...]


_MOST_EXPECTATIONS = 256
_PER_FRAME = 0x52009230
_NOTHING = Links("", "", "", "", 0, [], [], Counter())


class Verification:
    """Verifies the instances of one export, one after the other, and then what holds between them.

    Give all instances to :meth:`check`, in any order, then ask :meth:`whole`. It keeps UIDs and no instance.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        trial: Mapping[str, str] | None = None,
        forms: Forms = Forms(),
        recipients: int = 0,
        first: int = 1,
    ) -> None:
        """``forms`` are those of the pseudonyms of the case that the instances are for; ``recipients`` says for how
        many stage 1 was asked to encrypt the originals in each. ``first`` is the place of the first one in the set,
        where several verifications share it.
        """
        self._first = first
        self._policy = policy
        legacy = policy.legacy_uids
        self._forms = forms if legacy is None else replace(forms, legacy_root=legacy.root)
        self._trial = trial
        self._recipients = recipients
        self._written = written_by_the_de_identifier(policy, recipients)
        self._expectations: dict[tuple[str, frozenset[tuple[str, int, int]], str], Expectations] = {}
        self._links: list[Links] = []
        self._links_before: list[Links] = []
        self._compared: list[Compared] = []

    def check(self, path: Path, source: Path | Instance | None = None) -> list[Finding]:
        """Return the findings about one instance; none means that by itself it may pass.

        With ``source``, the instance it was made from or its file, it is compared with that as well. What cannot be
        read is a finding.
        """
        place = len(self._links) + self._first
        try:
            instance = read(path)
            before = read_source(source) if isinstance(source, Path) else source
        except (Unreadable, OSError) as fault:
            why = str(fault) if isinstance(fault, Unreadable) else type(fault).__name__
            # Something stands at its place, so that the places of others stay what they are.
            self._note(_NOTHING, _NOTHING, Compared())
            return [Finding("unreadable", "", "data set", f"it cannot be read ({why})", place)]
        declared = frozenset() if before is None else declared_safe(before)
        policy = for_this_instance(self._policy, instance if before is None else before)
        expectations = self._expected(instance.sop_class_uid, declared, policy)
        found = list(self._alone(instance, before, expectations))
        compared = Compared() if before is None else compare(instance, before, policy, expectations)
        for different in compared.differences:
            channel = "pixel data" if different.code == "pixels" else "data set"
            found.append(Finding(different.code, written(different.steps), channel, different.what))
        self._note(links_of(instance), None if before is None else links_of(before), compared)
        return [replace(finding, instance=place) for finding in found]

    @property
    def seen(self) -> Seen:
        """What :meth:`whole` needs to know of the instances that were checked."""
        return Seen(tuple(self._links), tuple(self._links_before), tuple(self._compared))

    def take(self, seen: Seen) -> None:
        """Take over what another verification has seen: the next part of the same set."""
        self._links.extend(seen.links)
        self._links_before.extend(seen.links_before)
        self._compared.extend(seen.compared)

    def _note(self, links: Links, before: Links | None, compared: Compared) -> None:
        self._links.append(links)
        self._compared.append(compared)
        if before is not None:
            self._links_before.append(before)

    def whole(self) -> list[Finding]:
        """Return what is wrong between the instances that were checked.

        References resolve as they did between the sources; without sources each resolves. One original UID has one
        new UID in all instances, and no two share one; the same holds for patients.
        """
        compared = len(self._links_before) == len(self._links)
        faults = newly_broken(self._links, self._links_before) if compared else broken(self._links)
        found = [
            Finding(fault.code, fault.where, "references", fault.what, fault.position + 1) for fault in faults
        ]
        counted = Counter(one.uid for one in self._links if one.uid)
        for place, one in enumerate(self._links, start=1):
            if counted[one.uid] > 1:
                what = "two instances have one SOP Instance UID"
                found.append(Finding("uid-consistency", "(0008,0018)", "references", what, place))
        return [*found, *self._one_for_one(), *self._days()]

    def _alone(
        self, instance: Instance, source: Instance | None, expectations: Expectations
    ) -> Iterator[Finding]:
        cleaned = source is not None and bool(rules_of(self._policy, source))
        yield from _file(instance, source, cleaned)
        claims = check_claims(
            instance, self._policy, source, self._trial, cleaned=cleaned, recipients=self._recipients
        )
        for claim in claims:
            yield Finding("mark", claim.where, "data set", claim.what)
        yield from _elements(instance, expectations)
        for fault in illegal(instance, source):
            yield Finding("encoding", written(fault.steps), "data set", fault.what)
        yield from _types(instance, source)
        pixels = instance.top.get(PIXEL_DATA)
        for what in speaking(pixels) if pixels is not None else ():
            yield Finding("pixels", "(7FE0,0010)", "pixel data", what)
        # Beside a source, its cells are compared one by one.
        if source is None and goes_on_behind_its_cells(instance):
            yield Finding("pixels", "(7FE0,0010)", "pixel data", "bytes behind the last cell")

    def _expected(
        self, sop_class_uid: str, declared: frozenset[tuple[str, int, int]], policy: Policy
    ) -> Expectations:
        key = (
            sop_class_uid,
            declared,
            "" if policy is self._policy else str((policy.overrides, policy.generalize)),
        )
        found = self._expectations.get(key)
        if found is None:
            if len(self._expectations) > _MOST_EXPECTATIONS:
                self._expectations.clear()
            found = Expectations(
                policy, sop_class_uid, written=self._written, declared_safe=declared, forms=self._forms
            )
            self._expectations[key] = found
        return found

    def _one_for_one(self) -> Iterator[Finding]:
        """UIDs and patients: what was one stays one, what was two stays two, in all instances together."""
        new_of: dict[str, str] = {}
        old_of: dict[str, str] = {}
        patients: dict[str, str] = {}
        subjects: dict[str, str] = {}
        for place, compared in enumerate(self._compared, start=1):
            for original, (uid, steps) in compared.uids.items():
                if new_of.setdefault(original, uid) != uid or old_of.setdefault(uid, original) != original:
                    what = "one original UID got two new ones, or two got one"
                    yield Finding("uid-consistency", written(steps), "references", what, place)
            known_as, subject = compared.patient
            if not subject:
                continue
            if (
                patients.setdefault(known_as, subject) != subject
                or subjects.setdefault(subject, known_as) != known_as
            ):
                what = "one patient became two, or two became one"
                yield Finding("patient", "(0010,0020)", "references", what, place)
        for place, compared in enumerate(self._compared, start=1):
            for uid, steps in compared.loose_uids.items():
                if uid not in old_of:
                    what = "a UID that is the new one of none that the sources have"
                    yield Finding("uid-consistency", written(steps), "references", what, place)

    def _days(self) -> Iterator[Finding]:
        """Intervals: in all instances of a patient, or of a study where dates are truncated, dates moved alike."""
        by_study = self._policy.dates.startswith("truncate")
        days_of: dict[str, int] = {}
        for place, (one, compared) in enumerate(zip(self._links, self._compared, strict=True), start=1):
            if not compared.days:
                continue
            group = one.study if by_study else compared.patient[0]
            usual = compared.days.most_common(1)[0][0]
            if days_of.setdefault(group, usual) != usual:
                what = "its dates moved by another number of days than those of the patient's other instances"
                yield Finding("intervals", "", "data set", what, place)


def check_instance(
    path: Path, policy: Policy, *, source: Path | None = None, trial: Mapping[str, str] | None = None
) -> list[Finding]:
    """Findings about the de-identified instance in ``path`` alone; see :meth:`Verification.check`.

    ``trial`` are the values of the Clinical Trial modules that the case gives, by keyword, where they are known.
    """
    found = Verification(policy, trial=trial).check(path, source)
    return [replace(finding, instance=0) for finding in found]


def check_references(paths: Iterable[Path]) -> list[Finding]:
    """Findings about references between the instances in ``paths``, without their sources.

    Every referenced SOP instance must be among them, with the SOP Class, study and series that the reference gives.
    """
    links = [links_of(read_source(path)) for path in paths]
    return [
        Finding(fault.code, fault.where, "references", fault.what, fault.position + 1)
        for fault in broken(links)
    ]


def check_export(
    pairs: Sequence[tuple[Path, Path]], policy: Policy, *, trial: Mapping[str, str] | None = None
) -> list[Finding]:
    """Findings about a whole export, given as pairs of result and source."""
    verification = Verification(policy, trial=trial)
    found = [finding for path, source in pairs for finding in verification.check(path, source)]
    return [*found, *verification.whole()]


def _file(instance: Instance, source: Instance | None, cleaned: bool) -> Iterator[Finding]:
    if instance.preamble.strip(b"\0"):
        yield Finding("preamble", "", "preamble", "the 128 bytes before the file's prefix are not empty")
    meta = instance.meta
    for tag in meta:
        if tag not in _META:
            yield _meta(tag, "it may tell where the file came from")
    for tag in sorted(_META - meta.keys() - {0x00020013}):
        yield _meta(tag, "it is missing")
    if not meta:
        return
    last = max(meta.values(), key=lambda element: element.start)
    length = meta.get(0x00020000)
    if (
        length is not None
        and int.from_bytes(length.raw(), "little") != last.start + last.length - length.start - 4
    ):
        yield _meta(0x00020000, "it is not the length of the group")
    for tag, right in ((0x00020002, instance.sop_class_uid), (0x00020003, instance.sop_instance_uid)):
        if tag in meta and meta[tag].text() != right:
            yield _meta(tag, "it differs from the data set")
    if 0x00020012 in meta and meta[0x00020012].text() != _IMPLEMENTATION:
        yield _meta(0x00020012, "it is not this program")
    if 0x00020013 in meta and not meta[0x00020013].text().startswith("TCE"):
        yield _meta(0x00020013, "it is not this program")
    syntax = instance.transfer_syntax_uid
    if not _SYNTAX.fullmatch(syntax):
        yield _meta(0x00020010, "it is no transfer syntax of the standard")
    elif source is not None and source.meta and not _may_become(source.transfer_syntax_uid, syntax, cleaned):
        yield _meta(0x00020010, "it is not the transfer syntax of the source")


def _meta(tag: int, what: str) -> Finding:
    return Finding("file-meta", written(((tag, 0),)), "file meta", what)


def _may_become(before: str, after: str, cleaned: bool) -> bool:
    """What is not compressed may be written anew; run lengths that a pixel rule cleans are written as cells."""
    anew = before in _NATIVE and (after == _LITTLE_ENDIAN or not before)
    return before == after or anew or (after == _LITTLE_ENDIAN and cleaned and before == RLE)


def _elements(instance: Instance, expectations: Expectations) -> Iterator[Finding]:
    yield from _level(instance.top, (), (), expectations)
    for steps, element in instance.doubles:
        path = tuple(tag for tag, _ in steps)
        complaint = expectations.complaint(element, {}, path, element.vr)
        if complaint is not None:
            yield Finding(complaint.code, written(steps), "data set", complaint.what)


def _level(
    level: Level, steps: tuple[Step, ...], path: tuple[int, ...], expectations: Expectations
) -> Iterator[Finding]:
    for tag, element in level.items():
        tags = (*path, tag)
        complaint = expectations.complaint(element, level, tags, element.vr)
        if complaint is not None:
            yield Finding(complaint.code, written((*steps, (tag, 0))), "data set", complaint.what)
            continue
        if not path and tag in expectations.written:
            continue
        for number, item in enumerate(element.items or (), start=1):
            at = (*steps, (tag, number))
            said = expectations.item_complaint(item) if tag in CONTENT_ITEMS else None
            for wrong in (said, coded_complaint(item, expectations)):
                if wrong is not None:
                    place = (*at, (wrong.tag, 0)) if wrong.tag else at
                    yield Finding(wrong.code, written(place), "data set", wrong.what)
            yield from _level(item, at, tags, expectations)


def _types(instance: Instance, source: Instance | None) -> Iterator[Finding]:
    """Required attributes: none may stand empty that may not, and none that the source had may be missing."""
    sop_class = instance.sop_class_uid
    # Counted, not compared place by place: where items of a content tree went, the places behind them moved.
    empty_before = Counter(_emptiness(source)) if source is not None else Counter()
    for steps, path, is_item in _empty(instance):
        if empty_before[path, is_item] > 0:
            empty_before[path, is_item] -= 1
        elif is_item and path[-1] == _PER_FRAME:
            continue  # counted like the frames: the item of a frame stays, whatever is left in it (PS3.3 C.7.6.16)
        elif is_item:
            what = "an item of a sequence without any attribute"
            yield Finding("empty-item", written(steps), "data set", what)
        elif (use := attribute_type(sop_class, path)) and use.type == "1":
            yield Finding("empty-type-1", written(steps), "data set", "empty, where the IOD demands a value")
    for tag in source.top if source is not None else ():
        if tag in instance.top or tag >> 16 & 1:
            continue
        use = attribute_type(sop_class, (tag,))
        if use and use.mandatory_module and use.type in ("1", "2"):
            what = f"missing, where the IOD demands it (Type {use.type})"
            yield Finding("missing-required", written(((tag, 0),)), "data set", what)


def _emptiness(instance: Instance) -> Iterator[tuple[tuple[int, ...], bool]]:
    for _, path, is_item in _empty(instance):
        yield path, is_item


def _empty(instance: Instance) -> Iterator[tuple[tuple[Step, ...], tuple[int, ...], bool]]:
    """Standard elements and items without a value: the steps and the tags that lead there; True for an item."""
    for steps, element, _ in instance.elements():
        items = element.items
        # Most of them have a value, or items with something in each.
        if items is None and (element.length or element.fragments is not None):
            continue
        if items and all(items):
            continue
        path = tuple(tag for tag, _ in steps)
        if any(tag >> 16 & 1 for tag in path):
            continue
        if not items:
            yield steps, path, False
        for number, item in enumerate(items or (), start=1):
            if not item:
                yield (*steps[:-1], (element.tag, number)), path, True
