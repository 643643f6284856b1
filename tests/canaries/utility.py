"""How much of what an analysis needs is unchanged after de-identification, and whether references still resolve.

Real files go through a policy; each needed attribute of a source, at every depth, is compared with the one at
the same place of the result. What lies in a sequence that Table E.1-1 removes whole is not counted: the
standard leaves no choice there.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.errors import PolicyRoomError
from policies.model import Policy
from policies.selftest.analysis import NEEDED, STANDARD_SCHEMES
from policies.selftest.attributes import said
from policies.selftest.expectations import wipes
from policies.standard.tables import concepts
from tests.canaries.cells import same_image, same_words
from tests.canaries.road import OFFSET
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

PROMISED = 0.999
"""Share of the needed attributes that must be unchanged under the basic profile."""

_INSTANCE, _FRAME, _SERIES, _STUDY = "instances", "frames of reference", "series", "studies"
_DEFINED = {0x00080018: _INSTANCE, 0x00200052: _FRAME, 0x0020000E: _SERIES, 0x0020000D: _STUDY}
_REFERS = {
    0x00081155: _INSTANCE,
    0x00081167: _INSTANCE,
    0x30060024: _FRAME,
    0x300600C2: _FRAME,
    0x00200052: _FRAME,
    0x0020000E: _SERIES,
    0x0020000D: _STUDY,
}


_CONTENT, _PIXEL_DATA = 0x0040A730, 0x7FE00010
_WRITTEN_ANEW = frozenset({0x00120064, 0x0018A001})
"""De-identification Method Code Sequence and Contributing Equipment: what a de-identifier says of itself."""


@dataclass
class Utility:
    """What stayed the same under one policy."""

    same: Counter[str] = field(default_factory=Counter)
    needed: Counter[str] = field(default_factory=Counter)
    naming: Counter[str] = field(default_factory=Counter)
    """Needed attributes that held a word of the patient's own name or number, and so had to change."""
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    references: Counter[str] = field(default_factory=Counter)
    resolving: Counter[str] = field(default_factory=Counter)
    dangling: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    not_passed: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Unchanged among all needed attributes."""
        return self.same.total() / max(1, self.needed.total())

    @property
    def whole(self) -> bool:
        """Whether the promise is kept: enough is unchanged, and each reference that resolved before does so after."""
        return self.share >= PROMISED and self.references == self.resolving


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and what became of it."""

    source: Path
    result: Path


@dataclass(frozen=True, slots=True)
class NewError:
    """An IOD error of a result that its source lacked; values are taken out."""

    file: str
    error: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured under one policy. ``unjudged`` counts sources in which dciodvfy sees no instance."""

    policy: str
    utility: Utility
    new_errors: Sequence[NewError]
    unjudged: int

    def facts(self) -> dict[str, object]:
        """Return it as data for programs."""
        found = self.utility
        return {
            "policy": self.policy,
            "instances": found.passed,
            "not_passed": dict(found.not_passed),
            "needed": dict(found.needed),
            "unchanged": dict(found.same),
            "share": found.share,
            "naming_the_patient": dict(found.naming),
            "lost": {f"{group}: {where}": count for (group, where), count in found.lost.items()},
            "references": dict(found.references),
            "references_resolving": dict(found.resolving),
            "dangling": dict(found.dangling),
            "new_errors": [[one.file, one.error] for one in self.new_errors],
            "unjudged": self.unjudged,
        }


def carry_plainly(sources: Sequence[Path], out: Path, policy: Policy) -> tuple[list[Pair], Counter[str]]:
    """Carry files as they are; return what passed, and why the rest did not."""
    out.mkdir(parents=True, exist_ok=True)
    engine, pairs, reasons = Engine(policy), [], Counter[str]()
    for number, source in enumerate(sources):
        target = out / f"{number:06d}.dcm"
        try:
            with engine.read(source) as draft:
                engine.write(draft, CountedPseudonyms(OFFSET).resolve([draft.subject]), target)
        except PolicyRoomError as refused:
            reasons[f"{type(refused).__name__.lower()}: {getattr(refused, 'reason', '')}"] += 1
        else:
            pairs.append(Pair(source, target))
    return pairs, reasons


def measured(pairs: Sequence[Pair], policy: Policy, reasons: Counter[str]) -> Utility:
    """Compare every pair under the policy that made it."""
    utility = Utility(passed=len(pairs), not_passed=reasons)
    before, after = References(), References()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for pair in pairs:
            source, result = pydicom.dcmread(pair.source, force=True), pydicom.dcmread(pair.result)
            _compare(source, result, (), policy, utility, pair.source.name, _names_in(source))
            before.take_in(source, policy)
            after.take_in(result, policy)
    _follow(before, after, utility)
    return utility


def _compare(
    source: Dataset,
    result: Dataset | None,
    path: tuple[int, ...],
    policy: Policy,
    utility: Utility,
    name: str,
    named: frozenset[str],
) -> None:
    for element in _readable(source):
        tag = int(element.tag)
        here = (*path, tag)
        if element.VR == "SQ":
            if tag >> 16 & 1 or tag in _WRITTEN_ANEW or wipes(tag, policy.options):
                continue
            if tag == _CONTENT:
                _compare_content(source, result or Dataset(), policy, utility, name)
                continue
            items = result.get(element.tag).value if result is not None and element.tag in result else []
            for place, item in enumerate(element.value or []):
                _compare(
                    item, items[place] if place < len(items) else None, here, policy, utility, name, named
                )
        elif tag in NEEDED and not element.is_empty and not _of_a_local_code(source, tag):
            group = NEEDED[tag]
            utility.needed[group] += 1
            if result is not None and element.tag in result and _unchanged(source, result, element):
                utility.same[group] += 1
            elif _words(str(element.value)) & named:
                # What names the patient is no measurement: it has to go, and is counted apart.
                utility.needed[group] -= 1
                utility.naming[group] += 1
            else:
                utility.lost[group, said(here)] += 1
                utility.examples.setdefault(said(here), name)


def _names_in(ds: Dataset) -> frozenset[str]:
    """The words of every name in a header, and of the patient's numbers."""
    values = [
        str(ds.get(keyword, "")) for keyword in ("PatientID", "OtherPatientIDs", "StudyID", "AccessionNumber")
    ]
    values += [str(element.value) for element in _readable(ds) if element.VR == "PN"]
    return frozenset().union(*map(_words, values))


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in re.split(r"[^0-9a-z]+", text.lower()) if len(word) >= 3)


def _compare_content(source: Dataset, result: Dataset, policy: Policy, utility: Utility, name: str) -> None:
    """Compare content trees: items may go by Table E.3.4-1, so the measurements and findings are compared as a
    whole.
    """
    before, after = Counter(_told_by(source, policy)), Counter(_told_by(result, policy))
    utility.needed["measurements"] += before.total()
    utility.same["measurements"] += (before & after).total()
    for told, count in (before - after).items():
        where = f"content item {told[0]} {'/'.join(told[1])}"
        utility.lost["measurements", where] += count
        utility.examples.setdefault(where, name)


def _stays(item: Dataset) -> bool:
    """Whether Table E.3.4-1 says nothing of a content item, so that it has to stay."""
    return (*_coded(item.get("ConceptNameCodeSequence")), str(item.get("ValueType", ""))) not in concepts()


def _told_by(ds: Dataset, policy: Policy) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Value type, concept and value of every item that measures or finds, where the table lets it stay."""
    for item in ds.get("ContentSequence", None) or []:
        value_type = str(item.get("ValueType", ""))
        concept = _coded(item.get("ConceptNameCodeSequence"))
        if not _stays(item):
            continue
        if concept[1] in STANDARD_SCHEMES:
            yield from _told_by_item(item, value_type, concept)
        yield from _told_by(item, policy)


def _told_by_item(
    item: Dataset, value_type: str, concept: tuple[str, str]
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    if value_type == "NUM":
        for measured in item.get("MeasuredValueSequence", None) or []:
            unit = _coded(measured.get("MeasurementUnitsCodeSequence"))
            yield value_type, concept, (str(measured.get("NumericValue", "")), *unit)
    elif value_type == "CODE":
        yield value_type, concept, _coded(item.get("ConceptCodeSequence"))
    elif value_type in ("SCOORD", "SCOORD3D", "TCOORD"):
        yield (
            value_type,
            concept,
            (str(item.get("GraphicData", "")), str(item.get("ReferencedTimeOffsets", ""))),
        )


def _coded(sequence: Sequence[Dataset] | None) -> tuple[str, str]:
    if not sequence:
        return "", ""
    return str(sequence[0].get("CodeValue", "")), str(sequence[0].get("CodingSchemeDesignator", ""))


def _of_a_local_code(ds: Dataset, tag: int) -> bool:
    return (
        NEEDED[tag] == "coded meaning" and str(ds.get("CodingSchemeDesignator", "")) not in STANDARD_SCHEMES
    )


def _unchanged(source: Dataset, result: Dataset, element: pydicom.DataElement) -> bool:
    one, other = element.value, result[element.tag].value
    if int(element.tag) == _PIXEL_DATA:
        return bool(one == other) or same_image(source, result)
    return _same(one, other) or (element.VR == "OW" and same_words(source, one, other))


def _same(one: object, other: object) -> bool:
    return one == other or str(one).strip() == str(other).strip()


def _readable(ds: Dataset) -> Iterator[pydicom.DataElement]:
    for tag in sorted(ds.keys()):
        try:
            yield ds[tag]
        except Exception:
            continue


class References:
    """Which entities a set of instances defines, and which it refers to, by place."""

    def __init__(self) -> None:
        self.defined: dict[str, set[str]] = defaultdict(set)
        self.made: list[dict[str, list[tuple[str, str]]]] = []

    def take_in(self, ds: Dataset, policy: Policy) -> None:
        """Note one instance."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for element in _readable(ds):
            kind = _DEFINED.get(int(element.tag))
            if kind:
                self.defined[kind].add(str(element.value))
        self._walk(ds, (), found, policy)
        self.made.append(found)

    def _walk(
        self, ds: Dataset, path: tuple[int, ...], found: dict[str, list[tuple[str, str]]], policy: Policy
    ) -> None:
        for element in _readable(ds):
            tag = int(element.tag)
            if element.VR == "SQ" and not (tag >> 16 & 1 or wipes(tag, policy.options)):
                for item in element.value or []:
                    if tag != _CONTENT or _stays(item):
                        self._walk(item, (*path, tag), found, policy)
            elif path and tag in _REFERS and element.value:
                found[said((*path, tag))].append((_REFERS[tag], str(element.value)))


def _follow(before: References, after: References, utility: Utility) -> None:
    """Count references that resolve inside the set before, and how many of them do so after, place by place."""
    for made, remade in zip(before.made, after.made, strict=True):
        for place, references in made.items():
            resolving = [kind for kind, uid in references if uid in before.defined[kind]]
            still = [kind for kind, uid in remade.get(place, []) if uid in after.defined[kind]]
            utility.references.update(resolving)
            kept = Counter(resolving) & Counter(still)
            utility.resolving.update(kept)
            if kept.total() < len(resolving):
                utility.dangling[place] += len(resolving) - kept.total()
