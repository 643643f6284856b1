"""Is a value as coarse as the policy says, and was it made of the source's? Which rules are for an instance at all?

    source ──says──▶ rules that hold for it        result ──▶ one of the general values?
                                                   result, source ──▶ the right one of them?

The judge's side of generalization, written without :mod:`policies.generalize`: it looks a value up in what the policy
declares, and measures how far a number has moved.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeVar

from policies.layout import Element, Instance
from policies.silence import says_nothing

if TYPE_CHECKING:
    from policies.clauses import Conditions, Override
    from policies.model import Policy
    from policies.quasi_identifiers import AgeBands, Generalization

_ZIP = re.compile(r"[0-9]{5}(?:-?[0-9]{4})?")
_BUILD = {("60621009", "SCT"), ("F-01860", "SRT"), ("39156-5", "LN"), ("301898006", "SCT")} | {
    ("8277-6", "LN"),
    ("3140-1", "LN"),
}
_CONCEPTS = {
    "PatientSex": {("121032", "DCM"), ("263495000", "SCT"), ("734000001", "SCT"), ("46098-0", "LN")},
    "PatientSize": {("50373000", "SCT"), ("1153637007", "SCT"), ("8302-2", "LN")} | _BUILD,
    "PatientBodyMassIndex": _BUILD,
    "PatientWeight": {("27113001", "SCT"), ("29463-7", "LN"), ("3141-9", "LN")} | _BUILD,
    "EthnicGroup": {("364699009", "SCT"), ("397731000", "SCT"), ("69490-1", "LN")},
}
_STRAINS = (0x00100212, 0x00100216, 0x00100217, 0x00100219, 0x00100223)
_OF_SEX = (0x00100011, 0x00100014, 0x00100015, *range(0x00100041, 0x00100048))
_BESIDE: dict[int, tuple[int, ...]] = {
    0x00080070: (0x00081090, 0x0018100A, 0x0018100B),
    0x00080080: (0x00080081, 0x00080082, 0x00081040, 0x00081041),
    0x00081090: (0x0018100A, 0x0018100B),
    0x00100040: (*_OF_SEX, 0x001021C0, 0x001021D0, 0x00102203),
    0x00101020: (0x00101021, 0x00101022),
    0x00101030: (0x00101022,),
    0x00102150: (0x00102152,),
    0x00102152: (0x00380400,),
    0x00102160: (0x00102161, 0x00102162),
    0x00102162: (0x00102160, 0x00102161),
    0x00102201: (
        0x00102202,
        0x00102292,
        0x00102293,
        0x00102294,
        0x00100213,
        0x00100218,
        0x00100221,
        *_STRAINS,
    ),
    0x00102292: (0x00102293, 0x00102294, *_STRAINS),
}
"""Beside manufacturer, institution, model, sex, size, weight, country, region, ethnic group, species and breed."""
_SAID = {
    "sop_class": 0x00080016,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "image_type": 0x00080008,
}


class Said:
    """What the policy says of single attributes, by where they lie."""

    def __init__(self, policy: Policy) -> None:
        self._overrides = [(rule.path, rule) for rule in policy.overrides]
        self._generalized = [(rule.path, rule) for rule in policy.generalize]
        self._tags = {path[-1] for path, _ in (*self._overrides, *self._generalized)}

    def anything(self, path: tuple[int, ...]) -> bool:
        """Say whether there is a rule for the attribute at ``path``."""
        return self.override(path) is not None or self.generalization(path) is not None

    def override(self, path: tuple[int, ...]) -> Override | None:
        """Return the override for the attribute at ``path``, if nothing more particular generalizes it."""
        mine, other = _best(self._overrides, path, self._tags), _best(self._generalized, path, self._tags)
        return mine if mine is not None and (other is None or _rank(mine) > _rank(other)) else None

    def generalization(self, path: tuple[int, ...]) -> Generalization | None:
        """Return how the attribute at ``path`` is generalized, if nothing more particular overrides that."""
        mine, other = _best(self._generalized, path, self._tags), _best(self._overrides, path, self._tags)
        return mine if mine is not None and (other is None or _rank(mine) > _rank(other)) else None


_OneRule = TypeVar("_OneRule", "Override", "Generalization")


def _best(
    rules: list[tuple[tuple[int, ...], _OneRule]], path: tuple[int, ...], tags: set[int]
) -> _OneRule | None:
    """The rule that names most of the sequences which lead to the attribute; with conditions before without."""
    if path[-1] not in tags:
        return None
    fitting = [rule for there, rule in rules if path[max(0, len(path) - len(there)) :] == there]
    return max(fitting, key=_rank, default=None)


def _rank(rule: Override | Generalization) -> tuple[int, bool]:
    return len(rule.path), rule.when is not None


def for_this_instance(policy: Policy, instance: Instance) -> Policy:
    """Return the policy without the rules whose conditions do not hold of what the instance says of itself."""
    if all(rule.when is None for rule in (*policy.overrides, *policy.generalize)):
        return policy
    overrides = tuple(rule for rule in policy.overrides if rule.when is None or _holds(rule.when, instance))
    general = tuple(rule for rule in policy.generalize if rule.when is None or _holds(rule.when, instance))
    return policy.model_copy(update={"overrides": overrides, "generalize": general})


def _holds(when: Conditions, instance: Instance) -> bool:
    for name, wanted in when.given.items():
        element = instance.top.get(_SAID[name])
        values = element.texts() if element is not None else []
        found = values if name == "image_type" else values[:1] if len(values) == 1 else []
        if wanted.casefold() not in [value.strip(" \0").casefold() for value in found]:
            return False
    return True


def telling_beside(policy: Policy) -> set[int]:
    """Attributes that would tell exactly what the policy generalizes, and of which it says nothing itself."""
    said = {rule.tag for rule in (*policy.overrides, *policy.generalize)}
    return {tag for rule in policy.generalize for tag in _BESIDE.get(rule.tag, ())} - said


def untold(policy: Policy) -> set[tuple[str, str]]:
    """Concepts of content items that would tell what the policy generalizes elsewhere."""
    return {concept for rule in policy.generalize for concept in _CONCEPTS.get(rule.known.keyword, ())}


def band_of(years: int, bands: AgeBands) -> int:
    """The age that stands for ``years``: the greatest at which a band begins that is not above it."""
    if years >= bands.top:
        return bands.top
    if bands.bounds:
        return max((bound for bound in bands.bounds if bound <= years), default=0)
    assert bands.width is not None
    return 0 if years < bands.start else years - (years - bands.start) % bands.width


def is_coarse(rule: Generalization, element: Element) -> bool:
    """Is the value one that the rule leads to, whatever the source has?"""
    return says_nothing(element) or all(_is_general(rule, text) for text in element.texts() if text)


def _is_general(rule: Generalization, text: str) -> bool:
    if text == rule.otherwise or text in {after for _, after in rule.table}:
        return True
    if rule.digits is not None:
        return len(text) == rule.digits and text.isdigit() and text not in dict(rule.table)
    step, number = rule.round or rule.width, _number(text)
    if step is None or number is None:
        return False
    if number in (rule.bottom, rule.top):
        return True
    inside = (rule.bottom is None or number > rule.bottom) and (rule.top is None or number < rule.top)
    return inside and number % step == 0


def made_of(rule: Generalization, new: Element, old: Element) -> bool:
    """Is each value the general one of a value of the source? One that is gone was no such value."""
    if says_nothing(new) or new.text() == rule.otherwise:
        return True
    return all(any(_leads(rule, before, after) for before in old.texts()) for after in new.texts() if after)


def _leads(rule: Generalization, before: str, after: str) -> bool:
    if rule.digits is not None:
        if not _ZIP.fullmatch(before):
            return False
        return dict(rule.table).get(before[: rule.digits], before[: rule.digits]) == after
    if rule.table:
        return any(was.strip().casefold() == before.casefold() and to == after for was, to in rule.table)
    number, coarse = _number(before), _number(after)
    if number is None or coarse is None:
        return False
    if rule.top is not None and number >= rule.top:
        return coarse == rule.top
    if rule.bottom is not None and number <= rule.bottom:
        return coarse == rule.bottom
    # Beside a limit a band is as narrow as the limit leaves it.
    away = number - coarse
    if rule.round is not None:
        return abs(away) <= rule.round / 2 or (coarse in (rule.top, rule.bottom) and abs(away) < rule.round)
    return rule.width is not None and 0 <= away < rule.width


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
