"""Outcomes in words and in action codes: what the original does, what the profile does, what nothing can do without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from policies.importing.naming import vr_of
from policies.importing.original import Branch, Effect, Rule
from policies.profile import Action

_ACCESSION_NUMBER: Final = 0x00080050
_TEXTS_AND_TIMES: Final = frozenset(("DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UT"))
# Character set, SOP Class, the three instance UIDs, Patient ID.
_NEEDED: Final = frozenset({0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00100020})

_CONDITIONS: Final = {"sop_class": "SOP Class", "modality": "Modality", "manufacturer": "Manufacturer"}


def is_needed(tag: int) -> bool:
    """Say whether an instance cannot be read without it: its identity, its character set, what describes its pixels."""
    describing = tag >> 16 == 0x0028 and vr_of(tag) not in _TEXTS_AND_TIMES
    return tag in _NEEDED or describing or tag >> 16 == 0x7FE0


def simple(code: str) -> Action:
    """Return the strictest simple action of a code of Table E.1-1."""
    return Action.X if code.startswith("X") else Action.Z if code.startswith("Z") else Action(code)


def profile_words(tag: int, code: str) -> tuple[str, bool]:
    """Say what the profile does, and whether it writes a code where the original writes none."""
    if tag == _ACCESSION_NUMBER and code != Action.X:
        return "replaced by a code of our own", True
    if code == Action.D:
        return "replaced by a dummy or a code", True
    if code in ("Z", "Z/D"):
        return "emptied, or a dummy where the standard demands a value", False
    return "removed as far as the standard allows", False


def kind_words(when: Mapping[str, str]) -> str:
    """Say for which instances something is done, without any value of the file."""
    if not when:
        return ", for all others"
    return f", where {' and '.join(_CONDITIONS[name] for name in when)} is as the line names it"


def lines_of(branches: Sequence[Branch]) -> str:
    """Name the lines that branches are from."""
    numbers = sorted({branch.rule.line for branch in branches if branch.rule is not None})
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def said(effects: frozenset[Effect], *rules: Rule) -> str:
    """Say what the original does to an attribute, and by which of its functions."""
    words = " or ".join(effect.words for effect in sorted(effects)) or "nothing"
    does = ", ".join(dict.fromkeys(rule.does for rule in rules if rule.does))
    return f"{words} ({does})" if does else words
