"""What a rule of CTP's DicomAnonymizer makes of a value: ``@function(arguments){clause}`` and literal text.

A rule is read as a whole and never carried out. What is not known is called computed, so that it goes. Grammar and
functions: CTP, stage DicomAnonymizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policies.importing.original import Effect

_DEEPEST = 20
_NAME = re.compile(r"@([A-Za-z]\w*)\(")

_EFFECTS = {
    "keep": Effect.KEPT,
    "require": Effect.KEPT,
    "process": Effect.KEPT,
    "remove": Effect.REMOVED,
    "empty": Effect.EMPTIED,
    "blank": Effect.EMPTIED,
    "date": Effect.CONSTANT,
    "time": Effect.CONSTANT,
    "param": Effect.CONSTANT,
    "hash": Effect.PSEUDONYM,
    "hashname": Effect.PSEUDONYM,
    "hashptid": Effect.PSEUDONYM,
    "integer": Effect.PSEUDONYM,
    "lookup": Effect.PSEUDONYM,
    "hashuid": Effect.UID,
    "hashdate": Effect.MOVED,
    "incrementdate": Effect.MOVED,
    "round": Effect.BANDED,
}
_COMPUTED = frozenset(
    (
        "append",
        "call",
        "contents",
        "dateinterval",
        "decrypt",
        "encrypt",
        "initials",
        "lowercase",
        "modifydate",
        "pathelement",
        "truncate",
        "uppercase",
        "value",
    )
)
_UNKEYED = frozenset({"hash", "hashname", "hashptid", "hashuid", "hashdate"})


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """A function with its arguments and clauses."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)
    clauses: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Meaning:
    """What a rule may do, its functions by name, and its fixed text where it is that."""

    effects: frozenset[Effect]
    names: tuple[str, ...]
    value: str | None = field(default=None, repr=False)
    width: int = 0
    lost: tuple[str, ...] = ()

    @property
    def unkeyed(self) -> bool:
        """Whether it makes codes that anybody can make again."""
        return not _UNKEYED.isdisjoint(self.names)

    @property
    def descends(self) -> bool:
        """Whether it treats a sequence item by item."""
        return "process" in self.names


def meaning(rule: str, parameters: Mapping[str, str]) -> Meaning:
    """Return what a rule does. It never raises: what is not understood is computed."""
    names: list[str] = []
    lost: list[str] = []
    found = _Reading(parameters, names, lost).effects(rule, 0)
    value = _text(rule, parameters) if found == {Effect.CONSTANT} else None
    return Meaning(
        frozenset(found), tuple(dict.fromkeys(names)), value, _width(rule), tuple(dict.fromkeys(lost))
    )


class _Reading:
    def __init__(self, parameters: Mapping[str, str], names: list[str], lost: list[str]) -> None:
        self._parameters = parameters
        self._names = names
        self._lost = lost

    def effects(self, rule: str, depth: int) -> set[Effect]:
        """Return all that may come out of a rule, or of a clause of one."""
        found = list(parts(rule))
        if depth > _DEEPEST:
            return {Effect.COMPUTED}
        calls = [part for part in found if isinstance(part, Call)]
        self._names.extend(call.name for call in calls)
        texts = [part for part in found if isinstance(part, str) and part.strip()]
        speaking = [call for call in calls if call.name != "always"]
        if "always" in (call.name for call in calls):
            self._lost.append("creates the attribute where it is missing")
        if not speaking:
            return {Effect.CONSTANT} if texts else {Effect.EMPTIED}
        if len(speaking) == 1 and not texts:
            return self._of(speaking[0], depth)
        # Pieces are joined: one that removes removes all, and anything of a value in it is a computed value.
        pieces = [self._of(call, depth) for call in speaking]
        if any(piece == {Effect.REMOVED} for piece in pieces):
            return {Effect.REMOVED}
        constant = all(piece <= {Effect.CONSTANT, Effect.EMPTIED} for piece in pieces)
        return {Effect.CONSTANT} if constant else {Effect.COMPUTED}

    def _of(self, call: Call, depth: int) -> set[Effect]:
        if call.name in ("if", "select"):
            clauses = (*call.clauses, "", "")[:2]
            return set().union(*(self.effects(clause, depth + 1) for clause in clauses))
        if call.name == "quarantine":
            self._lost.append("stops the instance (@quarantine)")
            return set()
        if call.name == "skip":
            self._lost.append("lets the instance pass untouched (@skip)")
            return set()
        if call.name == "append":
            self.effects("".join(call.clauses), depth + 1)
            return {Effect.COMPUTED}
        if call.name == "lookup" and call.arguments[2:3] == ("keep",):
            return {Effect.PSEUDONYM, Effect.KEPT}
        if call.name in _EFFECTS:
            return {_EFFECTS[call.name]}
        if call.name not in _COMPUTED:
            self._lost.append("calls a function that CTP is not known to have")
        return {Effect.COMPUTED}


def parts(rule: str) -> Iterator[Call | str]:
    """Yield the calls of a rule and the texts between them."""
    at, text = 0, ""
    while at < len(rule):
        if rule[at] == "\\":
            text += rule[at + 1 : at + 2]
            at += 2
            continue
        found = _NAME.match(rule, at) if rule[at] == "@" else None
        if found is None:
            text += rule[at]
            at += 1
            continue
        if text:
            yield text
            text = ""
        inside, at = _until(rule, found.end(), "(", ")")
        clauses = []
        while at < len(rule) and rule[at : at + 1] == "{":
            clause, at = _until(rule, at + 1, "{", "}")
            clauses.append(clause)
        yield Call(found[1].lower(), _arguments(inside), tuple(clauses))
    if text:
        yield text


def _until(rule: str, at: int, opening: str, closing: str) -> tuple[str, int]:
    """Return what stands before the bracket that closes, and where it goes on."""
    depth, first, quoted = 1, at, False
    while at < len(rule):
        character = rule[at]
        if character == "\\":
            at += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted and character == opening:
            depth += 1
        elif not quoted and character == closing:
            depth -= 1
            if depth == 0:
                return rule[first:at], at + 1
        at += 1
    return rule[first:], len(rule)


def _arguments(inside: str) -> tuple[str, ...]:
    found, depth, quoted, text = [], 0, False, ""
    for character in inside:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        if character == "," and not quoted and depth == 0:
            found.append(text.strip())
            text = ""
        else:
            text += character
    return (*found, text.strip())


def calls(rule: str) -> Iterator[Call]:
    """Yield every call of a rule, those in clauses among them."""
    waiting = [rule]
    budget = 1000
    while waiting and budget:
        budget -= 1
        for part in parts(waiting.pop()):
            if isinstance(part, Call):
                yield part
                waiting.extend(part.clauses)


def _text(rule: str, parameters: Mapping[str, str]) -> str | None:
    """Return the fixed text that a rule writes, or None where it is not known before it runs."""
    written = ""
    for part in parts(rule):
        if isinstance(part, str):
            written += part
        elif part.name == "param" and part.arguments[0].lstrip("@$") in parameters:
            written += parameters[part.arguments[0].lstrip("@$")]
        elif part.name not in ("always", "empty"):
            return None
    return written.strip() or None


def _width(rule: str) -> int:
    for call in calls(rule):
        if call.name == "round" and len(call.arguments) > 1 and call.arguments[1].isdecimal():
            return int(call.arguments[1][:4])
    return 0
