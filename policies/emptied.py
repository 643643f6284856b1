"""Which attributes a policy leaves without a value, in every instance of a SOP Class, whatever stood there.

For who needs to know before the first instance was treated: a directory record of a medium has keys that must not be
empty. The answer is that of the plan by which the engine works. Where it depends on the value, as for a text that is
cleaned, a value is left.
"""

from __future__ import annotations

import struct

from policies.marks import marks_for
from policies.model import Policy
from policies.operations import Constant, Remove
from policies.pieces import REMOVE, REPLACE
from policies.plan import Plan
from policies.rules import Rules


class Emptied:
    """Asks one policy."""

    def __init__(self, policy: Policy) -> None:
        self._rules = Rules(policy)
        self._marked = frozenset(mark.tag for mark in marks_for(policy, self._rules, {}))
        self._plans: dict[str, Plan] = {}

    def leaves_nothing(self, sop_class_uid: str, tag: int, vr: str) -> bool:
        """Say whether an attribute at the top of an instance never has a value afterwards."""
        if tag in self._marked:
            return False  # the engine writes it itself
        plan = self._plans.get(sop_class_uid)
        if plan is None:
            plan = Plan(self._rules, sop_class_uid, explicit=True, marked=self._marked)
            self._plans[sop_class_uid] = plan
        entry = plan.top.decide(struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii")))
        if entry.kind == REMOVE or isinstance(entry.change, Remove):
            return True
        if isinstance(entry.change, Constant):
            return not entry.change.constant
        return entry.kind == REPLACE and len(entry.fixed) == (12 if vr == "SQ" else 8)
