"""References between instances, and of an instance to its own parts: do they resolve after as they did before?

    instance ──▶ Links (who I am, whom I name) ──all of a set──▶ faults of the set ──minus the source's own──▶ findings

A reference may name a SOP instance with its class, study and series, frames of it, or by number a region, a beam, a
segment, a graphic layer or a content item (PS3.3 C.12, C.17, C.8.8, C.8.20). What did not resolve before need not
resolve now; what did must.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.layout import Element, Instance, Level, Step, written

_STUDY, _SERIES, _CLASS, _UID = 0x0020000D, 0x0020000E, 0x00080016, 0x00080018
_REFERENCED_CLASS, _REFERENCED, _FRAMES = 0x00081150, 0x00081155, 0x00081160
_CONTENT = 0x0040A730
_EVIDENCE = {0x0040A375, 0x0040A385}
_BY_POSITION = 0x0040DB73
_KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
# Study and performed step are referenced as SOP instances, and are none that could be in a set of files.
_NO_STORED_INSTANCE = "1.2.840.10008.3.1."

# By number: the attribute that refers, and the one that it refers to in the same instance.
_NUMBERED = {
    0x30060084: 0x30060022,  # ROI
    0x300C0006: 0x300A00C0,  # Beam
    0x300C000C: 0x300A0234,  # Brachy Application Setup
    0x300C000E: 0x300A0212,  # Source
    0x300C0022: 0x300A0071,  # Fraction Group
    0x300C0051: 0x300A0012,  # Dose Reference
    0x300C006A: 0x300A0182,  # Patient Setup
    0x300C00A0: 0x300A0042,  # Tolerance Table
    0x0062000B: 0x00620004,  # Segment
    0x0066002C: 0x00660003,  # Surface
}
# By name within one instance: the attribute, and the sequence whose items define it.
_DEFINED_IN = {0x00700002: 0x00700060, 0x00209164: 0x00209221}


class Broken(NamedTuple):
    """A reference that does not resolve, or not to what it says. ``position`` is the instance's in its set."""

    position: int
    code: str
    steps: tuple[Step, ...]
    what: str

    @property
    def kind(self) -> tuple[int, str, tuple[int, ...]]:
        """What makes it the same fault before and after."""
        return self.position, self.code, tuple(tag for tag, _ in self.steps)

    @property
    def where(self) -> str:
        """Its place within the instance."""
        return written(self.steps)


class Reference(NamedTuple):
    """One reference to a SOP instance, with what is said of it."""

    steps: tuple[Step, ...]
    sop_class: str
    instance: str
    study: str
    series: str
    frames: tuple[int, ...]

    def __repr__(self) -> str:
        return "Reference(…)"


@dataclass(slots=True, repr=False)
class Links:
    """What one instance is, whom it names, and which references to its own parts lead nowhere. Never print it."""

    uid: str = field(repr=False)
    sop_class: str
    study: str = field(repr=False)
    series: str = field(repr=False)
    frames: int
    references: list[Reference] = field(repr=False)
    within: list[tuple[tuple[Step, ...], str]]
    by_position: Counter[tuple[str, str]] = field(repr=False)
    """The concepts of the content items that others name by their position."""


def links_of(instance: Instance) -> Links:
    """Read the references of one instance."""
    references = list(_references(instance.top, (), "", ""))
    named = [element for _, element, _ in instance.elements() if element.tag == _BY_POSITION]
    targets = [target for element in named if (target := _at_position(instance, element)) is not None]
    return Links(
        uid=instance.sop_instance_uid,
        sop_class=instance.sop_class_uid,
        study=instance.text(_STUDY),
        series=instance.text(_SERIES),
        frames=_integer(instance.text(0x00280008)) or 1,
        references=references,
        within=[*_within(instance), *_evidence(instance.sop_class_uid, references)],
        by_position=Counter(_what_it_says(target) for target in targets),
    )


def broken(links: Sequence[Links]) -> Iterator[Broken]:
    """Yield every reference of a set that does not resolve in it."""
    known = {one.uid: one for one in links}
    for position, one in enumerate(links):
        for reference in one.references:
            if reference.sop_class.startswith(_NO_STORED_INSTANCE):
                continue
            target = known.get(reference.instance)
            if target is None:
                what = "the referenced instance is not in the set"
                yield Broken(position, "unresolved-reference", reference.steps, what)
            elif (misfit := _misfit(reference, target)) is not None:
                yield Broken(position, "wrong-reference", reference.steps, misfit)
        for steps, wrong in one.within:
            yield Broken(position, "wrong-reference", steps, wrong)


def newly_broken(after: Sequence[Links], before: Sequence[Links]) -> Iterator[Broken]:
    """Yield what is broken in a set that was not broken as often, at the same place, in what it was made from."""
    excused = Counter(fault.kind for fault in broken(before))
    for fault in broken(after):
        if excused[fault.kind] > 0:
            excused[fault.kind] -= 1
        else:
            yield fault
    for position, (mine, theirs) in enumerate(zip(after, before, strict=True)):
        if mine.by_position - theirs.by_position:
            what = "a position that now names another content item than before"
            yield Broken(position, "wrong-reference", ((_BY_POSITION, 0),), what)
        yield from _fewer(position, mine, theirs)


def _fewer(position: int, mine: Links, theirs: Links) -> Iterator[Broken]:
    """Some of several references in one sequence are gone, while the others stayed."""
    after = Counter(tuple(tag for tag, _ in reference.steps) for reference in mine.references)
    before = Counter(tuple(tag for tag, _ in reference.steps) for reference in theirs.references)
    for path, count in after.items():
        if count < before[path] and _CONTENT not in path:
            steps = tuple((tag, 0) for tag in path)
            yield Broken(position, "lost-reference", steps, "some of the source's references are gone")


def _misfit(reference: Reference, target: Links) -> str | None:
    given = (reference.sop_class, reference.study, reference.series)
    right = (target.sop_class, target.study, target.series)
    if any(mine and mine != theirs for mine, theirs in zip(given, right, strict=True)):
        return "the reference names another SOP Class, study or series than the instance has"
    if any(not 0 < frame <= target.frames for frame in reference.frames):
        return "the reference names a frame that the instance does not have"
    return None


def _references(level: Level, steps: tuple[Step, ...], study: str, series: str) -> Iterator[Reference]:
    """References in the items of a level, with the study and series that the items around them name."""
    for tag, element in level.items():
        for number, item in enumerate(element.items or (), start=1):
            at = (*steps, (tag, number))
            inner_study, inner_series = _text(item, _STUDY) or study, _text(item, _SERIES) or series
            instance = _text(item, _REFERENCED)
            if instance:
                frames = item.get(_FRAMES)
                numbers = tuple(_integer(part) for part in frames.texts()) if frames is not None else ()
                yield Reference(
                    at, _text(item, _REFERENCED_CLASS), instance, inner_study, inner_series, numbers
                )
            yield from _references(item, at, inner_study, inner_series)


def _within(instance: Instance) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Numbers and names that nothing in the instance has, and positions of content items that are none."""
    defined: dict[int, set[str]] = defaultdict(set)
    named: list[tuple[tuple[Step, ...], Element, int]] = []
    targets = set(_NUMBERED.values())
    for steps, element, _ in instance.elements():
        tag = element.tag
        home = _DEFINED_IN.get(tag)
        if tag in targets or (home is not None and any(step == home for step, _ in steps)):
            defined[tag].add(_value(element, instance))
        elif tag in _NUMBERED:
            named.append((steps, element, _NUMBERED[tag]))
        elif home is not None and element.length:
            named.append((steps, element, tag))
        elif tag == _BY_POSITION and _at_position(instance, element) is None:
            yield steps, "a content item is named by a position where none is"
    for steps, element, target in named:
        if _value(element, instance) not in defined[target]:
            yield steps, "a number or name that nothing in the instance has"


def _value(element: Element, instance: Instance) -> str:
    if element.vr in ("US", "UL"):
        return str(int.from_bytes(element.raw(), "big" if instance.big_endian else "little"))
    return element.text().lstrip("0+") or "0"


def _at_position(instance: Instance, element: Element) -> Level | None:
    """The content item to which a path of positions leads, of which the first is the root's (PS3.3 C.17.3.2.5)."""
    raw, order = element.raw(), "big" if instance.big_endian else "little"
    positions = [int.from_bytes(raw[at : at + 4], order) for at in range(0, len(raw), 4)]  # type: ignore[arg-type]
    level = instance.top
    for position in positions[1:]:
        content = level.get(_CONTENT)
        items = content.items or [] if content is not None else []
        if not 0 < position <= len(items):
            return None
        level = items[position - 1]
    return level if positions else None


def _what_it_says(item: Level) -> tuple[str, str]:
    """Value type and concept code of a content item."""
    names = item.get(0x0040A043)
    name = names.items[0] if names is not None and names.items else {}
    return _text(item, 0x0040A040), _text(name, 0x00080100)


def _evidence(sop_class: str, references: list[Reference]) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Content and evidence of a document name the same instances (PS3.3 C.17.2.2, C.17.6.2.1)."""
    evidence = {one.instance for one in references if one.steps[0][0] in _EVIDENCE}
    content = {one.instance: one for one in references if one.steps[0][0] == _CONTENT}
    for uid, one in content.items():
        if uid not in evidence and not one.sop_class.startswith(_NO_STORED_INSTANCE):
            yield one.steps, "the content names an instance that the evidence does not"
    # A policy may take the whole content; what is left is then no document that could contradict itself.
    if sop_class == _KEY_OBJECT_SELECTION and content:
        for one in references:
            if one.steps[0][0] in _EVIDENCE and one.instance not in content:
                yield one.steps, "the evidence names an instance that the content does not"


def _text(item: Level, tag: int) -> str:
    return item[tag].text() if tag in item else ""


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
