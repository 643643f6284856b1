"""Which of a policy's conditional rules are for an instance: decided once, from the first attributes of its data set.

    SOP Class, Image Type, Modality, Manufacturer ──▶ the conditions that hold ──▶ the rules for instances of this kind

All four lie before (0008,0071), so that the beginning of the data set tells them. A policy without conditions pays
nothing for this.
"""

from __future__ import annotations

from functools import lru_cache

from policies.clauses import Conditions
from policies.elements import text_of
from policies.errors import Refusal, Unconforming
from policies.instances import Instance
from policies.mending import values_from
from policies.model import Policy
from policies.rules import Rules

_IMAGE_TYPE, _MODALITY, _MANUFACTURER = 0x00080008, 0x00080060, 0x00080070
_FIRST, _FURTHER = 1 << 14, 1 << 22


class Kinds:
    """The rules of one policy, for every kind of instance that it tells apart."""

    def __init__(self, policy: Policy, rules: Rules) -> None:
        self._policy = policy
        self._rules = rules
        self._conditions = tuple(dict.fromkeys(rule.when for rule in policy.rules if rule.when))
        self._of: dict[frozenset[Conditions], Rules] = {}

    def rules_for(self, instance: Instance) -> Rules:
        """Return the rules for an instance; always the same object for the same kind.

        Raises:
            Unconforming: ``malformed``, the beginning of the data set cannot be read.
        """
        if not self._conditions:
            return self._rules
        said = _said(instance)
        holding = frozenset(one for one in self._conditions if _holds(one, said))
        rules = self._of.get(holding)
        if rules is None:
            rules = self._of[holding] = Rules(self._policy.applied(holding.__contains__))
        return rules


_Said = tuple[str, bytes, bytes, bytes]
"""SOP Class UID, Image Type, Modality, Manufacturer, as they stand there."""


@lru_cache(maxsize=256)
def _holds(conditions: Conditions, said: _Said) -> bool:
    sop_class, image_type, modality, manufacturer = said
    given = conditions.given
    fulfilled = {
        "sop_class": {sop_class},
        "image_type": {_folded(part) for part in image_type.split(b"\\")},
        "modality": {_folded(modality)},
        "manufacturer": {_folded(manufacturer)},
    }
    return all(value.casefold() in fulfilled[name] for name, value in given.items())


def _folded(raw: bytes) -> str:
    return text_of(raw).strip(" \0").casefold()


def _said(instance: Instance) -> _Said:
    for most in (_FIRST, _FURTHER):
        head = instance.data.read(instance.offset, min(most, instance.data.size - instance.offset))
        try:
            found = _values(head, instance)
        except Refusal:
            continue
        if found is not None or instance.offset + len(head) >= instance.data.size:
            told = found or {}
            parts = [told.get(tag, b"") for tag in (_IMAGE_TYPE, _MODALITY, _MANUFACTURER)]
            return (instance.meta.sop_class_uid, parts[0], parts[1], parts[2])
    raise Unconforming(
        "malformed",
        "The first attributes of the data set cannot be read, so it is not known which rules are for it.",
    )


def _values(head: bytes, instance: Instance) -> dict[int, bytes] | None:
    """Return the values that were looked for, or None where the bytes end before all of them can have come."""
    found: dict[int, bytes] = {}
    for tag, value, end in values_from(head, 0, instance.style):
        if tag > _MANUFACTURER:
            return found
        if end > len(head):
            return None
        found[tag] = value
    return None
