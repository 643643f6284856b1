"""Private elements: which may stay, on whose word, and what VR they have (PS3.5 section 7.8, PS3.15 E.3.10).

    policy ─ Table E.3.10-1 ─ Private Data Element Characteristics of the instance ─▶ Standing, or none: it goes

A private element is named by creator, group and low byte, so it is the same wherever its block lies. The instance's
own word is the weakest: it may take away what the table calls safe, and what it alone calls safe is treated like
anything that nobody vouches for. Nothing here walks over a data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import NamedTuple

from pydicom._private_dict import private_dictionaries
from pydicom.datadict import private_dictionary_description, private_dictionary_VR

from policies.standard.tables import safe_private

_KINDS: tuple[frozenset[bytes], ...] = (
    frozenset({b"CS", b"LO", b"LT", b"SH", b"ST", b"UC", b"UT"}),
    frozenset({b"DS", b"IS"}),
    frozenset({b"AT", b"FD", b"FL", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"}),
    frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"}),
)
"""VRs that may stand for each other. Text in the place of a number is not what somebody called safe."""

_TELLS_A_DATE = re.compile(r"(?<![a-z])date|time ?stamp", re.I)


class Said(Enum):
    """What an instance says of one of its own private elements."""

    NOTHING = "nothing"
    SAFE = "safe"
    UNSAFE = "unsafe"


class Standing(Enum):
    """On whose word a private element stays, the strongest first."""

    POLICY = "policy"
    TABLE = "table"
    INSTANCE = "instance"


class PrivateElement(NamedTuple):
    """A private element, wherever its block lies; ``element`` is the low byte."""

    creator: str
    group: int
    element: int


@dataclass(frozen=True, slots=True)
class PrivateRules:
    """What may stay: by the policy (with its VR, empty where it gives none) and by the table."""

    policy: Mapping[PrivateElement, bytes] = field(default_factory=dict)
    table: Mapping[PrivateElement, bytes] = field(default_factory=dict)

    @property
    def keep_any(self) -> bool:
        """Whether any private element may stay."""
        return bool(self.policy or self.table)

    def standing(self, name: PrivateElement, said: Said) -> Standing | None:
        """Return on whose word an element stays, None where it goes.

        An instance's own word counts only for creators that others know: any other creator may be a person's name.
        """
        if name in self.policy:
            return Standing.POLICY
        if said is Said.UNSAFE:
            return None
        if name in self.table:
            return Standing.TABLE
        if said is Said.SAFE and self._knows(name.creator):
            return Standing.INSTANCE
        return None

    def vr(self, name: PrivateElement, file_vr: bytes) -> bytes:
        """Return an element's VR; empty where nobody knows it, or where the file's contradicts what is known."""
        known = self.policy.get(name) or self.table.get(name) or _published_vr(name)
        if file_vr in (b"", b"UN"):
            return known
        if not known or file_vr == known or any(file_vr in kind and known in kind for kind in _KINDS):
            return file_vr
        return b""

    def _knows(self, creator: str) -> bool:
        return creator in private_dictionaries or any(
            name.creator == creator for known in (self.policy, self.table) for name in known
        )


@cache
def tells_a_date(name: PrivateElement) -> bool:
    """Say whether a number is documented as a date or a time stamp, in whatever unit it counts."""
    row = safe_private().get((name.creator, name.group, name.element))
    return _TELLS_A_DATE.search(row.meaning if row else _published_meaning(name)) is not None


@cache
def _published_vr(name: PrivateElement) -> bytes:
    """Return the VR that manufacturers publish for an element, empty where none is known."""
    try:
        published = private_dictionary_VR(name.group << 16 | 0x1000 | name.element, name.creator)
    except KeyError:
        return b""
    first = published.replace(",", " ").split()[0].encode()
    return b"" if first == b"UN" else first


@cache
def _published_meaning(name: PrivateElement) -> str:
    try:
        return str(private_dictionary_description(name.group << 16 | 0x1000 | name.element, name.creator))
    except KeyError:
        return ""
