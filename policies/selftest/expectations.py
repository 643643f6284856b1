"""What must be gone under a policy, read from the tables of PS3.15 and from the list of what Table E.1-1 forgets.

It answers for a value that nobody knows: a canary, of which the header says nothing. ``False`` means that the
standard lets the value stay (Convolution Kernel, a retained institution): there it is no canary. Values that
name the patient must be gone everywhere, and are not asked about here. The engine's own rules are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from policies.model import Dates, Policy
from policies.selftest.canary import Canary, Until
from policies.selftest.forgotten import FORGOTTEN, STRUCTURAL_UIDS, WRITTEN_BY_PEOPLE
from policies.standard.tables import Option, concepts, row_of

_CLEANED_TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "CS", "PN", "AE", "UR", "AS", "DS", "IS"})


def must_be_gone(path: tuple[int, ...], vr: str, policy: Policy) -> bool:
    """Say whether a value that nobody knows must be gone from the attribute at ``path`` under this policy."""
    *sequences, tag = path
    if tag in STRUCTURAL_UIDS:
        return False
    return any(wipes(sequence, policy.options) for sequence in sequences) or _leaf(tag, vr, policy)


def content_must_be_gone(concept: tuple[str, str, str], vr: str, policy: Policy) -> bool:
    """Say the same of the value of a content item, whose concept Table E.3.4-1 may name."""
    row = concepts().get(concept)
    if row is None or Option.CLEAN_STRUCTURED_CONTENT not in policy.options:
        return _without_row(0x0040A160, vr, policy)
    chosen = {action for option, action in row.options.items() if option in policy.options}
    action = next((action for action in ("U", "C", "K") if action in chosen), row.basic)
    return _cleaned(vr, policy) if action == "C" else action != "K"


def gone(canary: Canary, policies: Sequence[Policy]) -> bool:
    """Say whether a canary must be gone after the stages of these policies."""
    if canary.until is Until.STAGE_1:
        return True
    if canary.until is Until.STAGE_2:
        return policies[-1].stage == "anonymize"
    if canary.concept is not None:
        return any(content_must_be_gone(canary.concept, canary.vr, policy) for policy in policies)
    return any(must_be_gone(canary.path, canary.vr, policy) for policy in policies)


def wipes(sequence: int, options: frozenset[Option]) -> bool:
    """A sequence whose action is neither K nor C loses the values of its items (Table E.1-1a)."""
    if sequence >> 16 & 1:
        return Option.RETAIN_SAFE_PRIVATE not in options
    return _action(sequence, options) not in ("", "K", "C", "X/Z/U*")


def _leaf(tag: int, vr: str, policy: Policy) -> bool:
    options = policy.options
    if tag >> 16 & 1:
        return Option.RETAIN_SAFE_PRIVATE not in options
    if vr == "AS" and policy.ages:
        return True
    action = _action(tag, options)
    if action == "K":
        return False
    if action == "C":
        return _cleaned(vr, policy)
    if action:
        return True
    return _without_row(tag, vr, policy)


def _cleaned(vr: str, policy: Policy) -> bool:
    """C takes every unknown word; of dates and times only the date moves (PS3.15 E.3.6)."""
    if vr in ("DA", "DT"):
        return policy.dates is not Dates.KEEP
    return vr in _CLEANED_TEXT


def _without_row(tag: int, vr: str, policy: Policy) -> bool:
    """PS3.15 E.1.1: what the table forgets is protected by its Value Representation."""
    if vr in ("PN", "UR", "AE"):
        return True
    if vr == "UI":
        return tag not in STRUCTURAL_UIDS and Option.RETAIN_UIDS not in policy.options
    if vr in ("DA", "DT"):
        return policy.dates is not Dates.KEEP
    if vr == "TM":
        return policy.dates is Dates.REMOVE
    if vr in ("LT", "ST", "UT"):
        return True
    return _written_by_people(tag, vr)


@cache
def _written_by_people(tag: int, vr: str) -> bool:
    from pydicom.datadict import keyword_for_tag

    return vr in ("LO", "SH", "UC") and keyword_for_tag(tag).endswith(WRITTEN_BY_PEOPLE)


def _action(tag: int, options: frozenset[Option]) -> str:
    """The strongest of the chosen options' actions, else the profile's; empty where no row names the attribute."""
    if tag in FORGOTTEN:
        kept_by = FORGOTTEN[tag]
        return "X" if kept_by is None or kept_by[0] not in options else kept_by[1]
    row = row_of(tag)
    if row is None:
        return ""
    chosen = {action for option, action in row.options.items() if option in options}
    return next((action for action in ("U", "C", "K") if action in chosen), row.basic)
