"""Numbers that an analysis uses: one that cannot stay is never made up.

A dummy is a legal value that says nothing, and no number does that: a length of 0 mm is a finding. So a measurement
goes with its item, and an instance without a number that its IOD demands is refused by name (PS3.15 E.1.1: the result
is no false statement). Where the IOD does not demand it the number goes, or is left empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.datadict import keyword_for_tag

from policies.elements import tag_text
from policies.errors import Refusal
from policies.legality import Check
from policies.pieces import Answers, Change, Facts, ItemGoes
from policies.pseudonyms import Identifier
from policies.standard.tables import AttributeUse
from policies.text_operations import (
    names_the_patient,
)

NUMERIC_VALUE: Final = 0x0040A30A

_ONLY_COUNTING: Final = frozenset({0x00200011, 0x00200012, 0x00200013})
"""Series Number, Acquisition Number, Instance Number: they put things into an order and measure nothing."""


def is_measured(tag: int, vr: bytes) -> bool:
    """Say whether an attribute is a number of which a dummy would be a false statement."""
    return vr in (b"DS", b"IS") and tag not in _ONLY_COUNTING


def is_demanded(path: tuple[int, ...], use: AttributeUse | None) -> bool:
    """Say whether an instance, or an item, is nothing without the number at ``path``."""
    if path[-1] == NUMERIC_VALUE and len(path) > 1:
        return True
    return use is not None and use.type == "1" and (use.nested or use.mandatory_module)


@dataclass(frozen=True, slots=True)
class Demanded:
    """A number that stays as it is or not at all; ``change`` finds out, and ``check`` says whether it is one."""

    tag: int
    vr: bytes
    change: Change
    check: Check
    measurement: bool
    """Whether its item goes with it, and not the instance."""

    @property
    def lasting(self) -> bool:
        """Last as long as what the change returns."""
        return self.change.lasting

    @property
    def searches(self) -> bool:
        """Search where the change does."""
        return self.change.searches

    @property
    def asks(self) -> bool:
        """Ask what the change asks."""
        return self.change.asks

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether the change would touch it."""
        return self.change.touches(buf, start, end)

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need what the change needs."""
        return self.change.identifiers(raw, facts)

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the number unchanged.

        Raises:
            ItemGoes: a measurement cannot stay.
            Held: it is a number, and somebody's.
            Refusal: ``not-a-number``.
        """
        if self.change.value(raw, facts, answers) is raw:
            return raw
        if self.measurement:
            raise ItemGoes
        if self.check(raw):
            raise names_the_patient()
        raise Refusal(
            "not-a-number",
            f"{keyword_for_tag(self.tag)} {tag_text(self.tag)} is required and is no number; none can be made up.",
            next_step="Have the source correct it, or leave the instance out of the selection.",
        )
