"""Why something happened to an attribute: the rule of the policy, the row of the standard, or the value itself.

    override │ generalization │ companion │ Table E.1-1, option │ beyond the table │ kind of value ──▶ Ground

It asks the same rules as the engine and says which of them spoke. Where a rule keeps an attribute and a value went all
the same, the value itself was the ground. Words are those of policies and of the standard, never of an instance.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from policies.actions import TEXT_VALUE, Place
from policies.codes import CODED
from policies.marks import marks_for
from policies.model import Generalization, Override, Policy
from policies.private import PrivateElement, Said, Standing
from policies.profile import Action, resolve, resolve_beyond
from policies.representations import legal_vrs
from policies.rules import PATIENT_AGE, Rules
from policies.shutters import SHUTTER_OVERLAY_GROUP
from policies.standard.beyond import beyond
from policies.standard.tables import Option, row_of


class Happened(StrEnum):
    """What became of a value. The order is the one in which a reader wants them."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    NEW_UID = "replaced by a new UID"
    PSEUDONYM = "replaced by a pseudonym"
    REPLACED = "replaced by a value that says nothing"
    CLEANED = "text cleaned"
    COARSER = "made coarser"
    MOVED = "date moved"
    PIXELS = "pixels changed"
    KEPT = "kept"
    ADDED = "written"


class Because(StrEnum):
    """Kinds of grounds."""

    OVERRIDE = "override"
    GENERALIZED = "generalized"
    AGES = "ages"
    COMPANION = "companion"
    PROFILE = "profile"
    OPTION = "option"
    BEYOND = "beyond the table"
    KIND = "kind of value"
    UNKNOWN = "unknown"
    PRIVATE = "private"
    CONTENT = "content item"
    VALUE = "value"
    PIXELS = "pixels"
    MARK = "mark"


class Ground(NamedTuple):
    """Why. ``words`` are the same for all attributes of a group; ``reason`` is said of the one attribute."""

    kind: Because
    words: str
    reason: str = ""


Step = tuple[int, str]
"""A tag, of a private element without its block and with its creator."""

BLACKED_OUT = Ground(Because.PIXELS, "a pixel rule blacks out what is written on the image")
_CLEARED = Ground(Because.PIXELS, "bits and comments that are no part of the image are cleared")
_CONTENT = Ground(Because.CONTENT, "content item that PS3.15 Table E.3.4-1 or the policy lets go")
_VALUE = Ground(
    Because.VALUE,
    "its own value: it names somebody, gives a date, or is not legal",
)
_LOCAL = Ground(
    Because.VALUE, "a local code, or one of an unknown scheme: only safe words of its meaning stay"
)
SILENT = Ground(Because.VALUE, "it is what its rule would have written, or a term of the standard")
_BY_CONCEPT = Ground(
    Because.CONTENT, "content item, by its concept (PS3.15 Table E.3.4-1) or as a text that is cleaned"
)
_MARK = Ground(Because.MARK, "what the result says of itself, and what every instance must have")
_UNTOLD = Ground(Because.UNKNOWN, "neither the data dictionary nor the policy knows it")
_OVERLAY = Ground(Because.UNKNOWN, "overlays and curves: nobody can say what they show")
_FREE = Ground(Because.KIND, "identifies nobody: no rule is against it")
_DECLARED = Ground(Because.PRIVATE, "private element that the instance itself calls safe, of a known creator")
_NOTHING_STAYS = frozenset({Happened.REMOVED, Happened.EMPTIED, Happened.REPLACED})
_CONTENT_VALUES = frozenset({TEXT_VALUE, 0x0040A124})
"""Text Value and UID of a content item."""
_CLEANABLE = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
_LEAVES = frozenset({Happened.KEPT, Happened.MOVED, Happened.NEW_UID, Happened.PIXELS})


class Grounds:
    """Answers for the instances of one kind under one policy."""

    def __init__(self, policy: Policy, rules: Rules, sop_class_uid: str) -> None:
        self._policy = policy
        self._rules = rules
        self._sop_class_uid = sop_class_uid
        self._marked = frozenset(mark.tag for mark in marks_for(policy, rules, {}))
        self._known: dict[tuple[tuple[Step, ...], str, Happened], Ground] = {}

    def of(self, path: tuple[Step, ...], vr: str, happened: Happened) -> Ground:
        """Return why this happened to the attribute at a path."""
        key = (path, vr, happened)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._of(path, vr, happened)
        return found

    def replaces_items(self, path: tuple[Step, ...]) -> bool:
        """Say whether a sequence is treated whole: it is written anew, or keeps its shape alone (action D)."""
        tags = tuple(tag for tag, _ in path)
        if path[-1][1] or not legal_vrs(tags[-1]):
            return False
        if len(tags) == 1 and tags[0] in self._marked:
            return True
        return Place(self._rules, self._sop_class_uid, tags, b"SQ").action() is Action.D

    def coarsens(self, path: tuple[Step, ...]) -> bool:
        """Say whether the policy makes the attribute at a path coarser where it lies."""
        tags = tuple(tag for tag, _ in path)
        banded = tags[-1] == PATIENT_AGE and self._policy.ages is not None
        return banded or isinstance(self._rules.rule(tags), Generalization)

    def moves(self, path: tuple[Step, ...], vr: str) -> bool:
        """Say whether a date at a path moves with the others of its instance."""
        if not self._rules.dates.moves or path[-1][1]:
            return self._rules.dates.moves
        return self._rules.code(tuple(tag for tag, _ in path), vr.encode("ascii")) == Action.C

    def of_item(self) -> Ground:
        """Return why a content item went."""
        return _CONTENT

    def of_pixels(self, *, blacked_out: bool) -> Ground:
        """Return why pixels changed."""
        return BLACKED_OUT if blacked_out else _CLEARED

    def _of(self, path: tuple[Step, ...], vr: str, happened: Happened) -> Ground:
        if path[-1][1]:
            ground, code = self._private(path[-1])
            if code == Action.X and happened not in (Happened.REMOVED, Happened.EMPTIED):
                return _DECLARED
        else:
            ground, code = self._public(tuple(tag for tag, _ in path), vr)
        tag = path[-1][0]
        unnamed = ground.kind in (Because.KIND, Because.UNKNOWN)
        if happened is Happened.ADDED and ((len(path) == 1 and tag in self._marked) or unnamed):
            return _MARK
        if len(path) == 1 and tag in self._marked and unnamed and happened is not Happened.KEPT:
            return _MARK
        if code == Action.K and happened not in _LEAVES and happened is not Happened.ADDED:
            return _LOCAL if tag in CODED else _VALUE
        if happened is Happened.KEPT:
            return self._kept(ground, code, vr)
        if code == Action.C and happened in _NOTHING_STAYS:
            return ground._replace(words=f"{ground.words}; nothing of the value may stay")
        return ground

    def _kept(self, ground: Ground, code: str, vr: str) -> Ground:
        """Return the ground for a value that is the same as before, whatever its rule wanted."""
        if code == Action.C and vr in _CLEANABLE:
            return ground._replace(words=f"{ground.words}; nothing in it had to go")
        if code not in ("", Action.K, Action.C) and ground.kind is not Because.OVERRIDE:
            return SILENT
        return ground

    def _public(self, path: tuple[int, ...], vr: str) -> tuple[Ground, str]:
        tag, rules = path[-1], self._rules
        rule = rules.rule(path)
        if isinstance(rule, Override):
            return Ground(Because.OVERRIDE, "exception of the policy", rule.reason), str(rule.action)
        if rule is not None:
            return Ground(Because.GENERALIZED, "the policy makes it coarser", rule.words), Action.C
        if tag in _CONTENT_VALUES and len(path) > 1:
            return _BY_CONCEPT, ""
        if tag in self._policy.companions:
            return Ground(Because.COMPANION, "it would tell what the policy makes coarser"), Action.X
        if tag == PATIENT_AGE and self._policy.ages:
            return Ground(Because.AGES, "ages in bands", self._policy.ages.words), Action.C
        if tag == SHUTTER_OVERLAY_GROUP or 0x50000000 <= tag < 0x51000000 or 0x60000000 <= tag < 0x61000000:
            return _OVERLAY, Action.X
        if not legal_vrs(tag):
            return _UNTOLD, Action.X
        return self._by_table(path, vr)

    def _by_table(self, path: tuple[int, ...], vr: str) -> tuple[Ground, str]:
        tag = path[-1]
        code = self._rules.code(path, vr.encode("ascii"))
        row, forgotten = row_of(tag), beyond().get(tag)
        options = row.options if row else forgotten.options if forgotten else {}
        resolved = resolve(tag, self._rules.options) or resolve_beyond(tag, self._rules.options)
        chosen = sorted(
            option
            for option, action in options.items()
            if option in self._rules.options and action == resolved
        )
        if chosen:
            return Ground(Because.OPTION, f"option {' and '.join(chosen)}"), code
        if row is not None:
            return Ground(Because.PROFILE, "Basic Profile (PS3.15 Table E.1-1)", f"action {row.basic}"), code
        if forgotten is not None:
            words = "Table E.1-1 forgets it, and it identifies all the same"
            return Ground(Because.BEYOND, words, forgotten.reason), code
        if code == Action.K:
            return _FREE, code
        kind = {
            "UI": "every UID that names an entity is replaced",
            "PN": "every name of a person goes",
            **dict.fromkeys(("DA", "DT", "TM"), f"all dates and times (dates: {self._policy.dates})"),
            **dict.fromkeys(("AE", "UR"), "it names a place in a network"),
        }.get(vr, "no row names it, and people write into it")
        return Ground(Because.KIND, kind), code

    def _private(self, step: Step) -> tuple[Ground, str]:
        tag, creator = step
        rules = self._rules.private
        name = PrivateElement(creator, tag >> 16, tag & 0xFF)
        standing = rules.standing(name, Said.SAFE)
        if standing is Standing.POLICY:
            reasons = {
                PrivateElement(one.creator, one.group, one.element): one.reason
                for one in self._policy.private
            }
            return Ground(Because.PRIVATE, "private element that the policy keeps", reasons[name]), Action.K
        if standing is Standing.TABLE:
            words = f"private element known to be safe (PS3.15 Table E.3.10-1; option {Option.RETAIN_SAFE_PRIVATE})"
            return Ground(Because.PRIVATE, words), Action.K
        return Ground(Because.PRIVATE, "private element for which nobody vouches"), Action.X
