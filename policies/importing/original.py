"""What another de-identifier's file says, in one form for all dialects: rules, defaults, masks, and what got lost.

Rules stand in the order in which they decide: the first that matches an attribute decides, and one that applies only
sometimes leaves the rest to those behind it. No value of the file shows in a repr.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Dialect(StrEnum):
    """Whose language a file is written in."""

    CTP = "ctp"
    CTP_PIXELS = "ctp-pixels"
    CTP_LOOKUP = "ctp-lookup"
    KARNAK = "karnak"
    DEID = "deid"
    DICOMEDIT = "dicomedit"

    @property
    def words(self) -> str:
        """What a file in this language is called."""
        return _WORDS[self]


_WORDS = {
    Dialect.CTP: "a script of CTP's DicomAnonymizer",
    Dialect.CTP_PIXELS: "a script of CTP's DicomPixelAnonymizer",
    Dialect.CTP_LOOKUP: "a lookup table of CTP",
    Dialect.KARNAK: "a profile of Karnak",
    Dialect.DEID: "a recipe of deid",
    Dialect.DICOMEDIT: "a script of DicomEdit 6",
}


class Effect(IntEnum):
    """What becomes of a value, the strictest first."""

    REMOVED = 0
    EMPTIED = 1
    CONSTANT = 2
    UID = 3
    PSEUDONYM = 4
    MOVED = 5
    BANDED = 6
    COMPUTED = 7
    KEPT = 8

    @property
    def words(self) -> str:
        """The effect as a report says it."""
        return _EFFECTS[self]


_EFFECTS = {
    Effect.REMOVED: "removed",
    Effect.EMPTIED: "emptied",
    Effect.CONSTANT: "replaced by a fixed text",
    Effect.UID: "replaced by a new UID",
    Effect.PSEUDONYM: "replaced by a code",
    Effect.MOVED: "date moved",
    Effect.BANDED: "age put into bands",
    Effect.COMPUTED: "computed from values",
    Effect.KEPT: "kept",
}


class Rest(StrEnum):
    """What becomes of attributes that no rule names."""

    KEPT = "kept"
    REMOVED = "removed"
    PROFILE = "treated by the Basic Profile"


class Private(StrEnum):
    """What becomes of private elements that no rule names."""

    KEPT = "kept"
    REMOVED = "removed"
    SAFE = "kept where they are known to be safe"


@dataclass(frozen=True, slots=True, repr=False)
class Where:
    """Which attributes a rule is about. Only one that is ``named`` was meant by whoever wrote the rule."""

    words: str
    tag: int | None = None
    pattern: str = ""
    keyword: re.Pattern[str] | None = None
    vr: str = ""
    private: tuple[str, int, int] | None = None
    everything: bool = False

    @property
    def named(self) -> bool:
        """Whether it names one attribute."""
        return self.tag is not None or self.private is not None

    def matches(self, tag: int, keyword: str, vr: str) -> bool:
        """Say whether a rule with this is about an attribute. Private elements are asked for elsewhere."""
        if self.tag is not None or self.private is not None:
            return self.tag == tag
        if self.pattern:
            return all(map(_fits, self.pattern, f"{tag:08X}"))
        if self.keyword is not None:
            return bool(keyword) and self.keyword.search(keyword) is not None
        return self.vr == vr if self.vr else self.everything


def _fits(wanted: str, digit: str) -> bool:
    if wanted in "X#@":
        return wanted == "X" or (int(digit, 16) & 1 == (wanted == "#"))
    return wanted == digit


@dataclass(frozen=True, slots=True, repr=False)
class Rule:
    """What a line says of some attributes. ``does`` tells it in words without any value of the file.

    ``effects`` are all that may happen, ``sometimes`` says that possibly none of them does. ``lost`` is what else the
    line does and no policy can. ``descends`` says that a sequence is treated item by item.

    Where a policy can say exactly for which instances which effect is, ``branches`` have it, or ``when`` for which
    instances a rule is that is only sometimes; where the rule is a table, ``table`` and ``otherwise`` have that.
    """

    line: int
    where: Where
    effects: frozenset[Effect]
    does: str
    value: str | None = field(default=None, repr=False)
    width: int = 0
    sometimes: bool = False
    descends: bool = False
    unkeyed: bool = False
    lost: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()
    when: Mapping[str, str] = field(default_factory=dict, repr=False)
    table: Mapping[str, str] = field(default_factory=dict, repr=False)
    otherwise: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Branch:
    """What a rule does to instances of which conditions hold (names as in a policy's ``when``); none: to all others.

    Of the branches of one rule the first decides of which the conditions hold.
    """

    when: Mapping[str, str] = field(repr=False)
    rule: Rule | None
    """None: no rule is for these instances, and they are treated like attributes that no rule names."""


def kinds(rules: Sequence[Rule]) -> tuple[Branch, ...]:
    """Return for which instances which of the rules is that decide about an attribute; nothing if that is uncertain."""
    if rules and rules[0].branches:
        return rules[0].branches
    some = [rule for rule in rules if rule.sometimes]
    if not some or not all(rule.when for rule in some):
        return ()
    otherwise = rules[-1] if not rules[-1].sometimes else None
    return (*(Branch(rule.when, replace(rule, sometimes=False)) for rule in some), Branch({}, otherwise))


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """Rectangles that are blacked out in images that meet all ``conditions`` (names as in a policy's pixel rule)."""

    line: int
    conditions: Mapping[str, str | int]
    regions: tuple[Mapping[str, int], ...]
    narrowed: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Lost:
    """Something that the original does and no draft can say. ``loosens`` says that the draft lets more pass by it."""

    line: int
    what: str
    why: str
    loosens: bool = False


class Outcome(NamedTuple):
    """All that may become of an attribute; ``by_profile`` says that the Basic Profile may decide as well."""

    effects: frozenset[Effect]
    by_profile: bool


@dataclass(frozen=True, slots=True, repr=False)
class Original:
    """A file of another de-identifier, as far as it was understood."""

    dialect: Dialect
    rules: tuple[Rule, ...] = ()
    rest: Rest = Rest.KEPT
    rest_line: int = 0
    private: Private = Private.KEPT
    private_line: int = 0
    descends: bool = True
    untouched: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    lost: tuple[Lost, ...] = ()
    uids: str = ""
    """How the UIDs of a trial that began with it can go on, in a sentence."""

    def deciding(self, tag: int, keyword: str, vr: str) -> tuple[Rule, ...]:
        """Return the rules that decide about an attribute: some that may apply, and the one that does otherwise."""
        found: list[Rule] = []
        for rule in self.rules:
            if rule.where.matches(tag, keyword, vr):
                found.append(rule)
                if not rule.sometimes:
                    break
        return tuple(found)

    def outcome(self, rules: tuple[Rule, ...], tag: int) -> Outcome:
        """Return all that may become of an attribute about which ``rules`` decide."""
        may: frozenset[Effect] = frozenset().union(*(rule.effects for rule in rules))
        if rules and not rules[-1].sometimes:
            return Outcome(may, by_profile=False)
        if self.rest is Rest.PROFILE:
            return Outcome(may, by_profile=True)
        kept = self.rest is Rest.KEPT or f"{tag >> 16:04X}" in self.untouched
        return Outcome(may | {Effect.KEPT if kept else Effect.REMOVED}, by_profile=False)
