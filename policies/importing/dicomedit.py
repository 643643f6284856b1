"""Reads scripts of DicomEdit 6 (XNAT): assignments, deletions and functions, carried out from top to bottom.

What stands further down decides, so rules are turned round. Under a condition a statement may happen or not. Grammar:
DicomEdit6, DE6Parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.errors import Fault
from policies.importing.asking import as_condition
from policies.importing.naming import where
from policies.importing.original import Dialect, Effect, Lost, Original, Private, Rest, Rule, Where

_DIGIT = "[0-9A-Fa-fXx#@]"
_ELEMENT = rf"\(\s*{_DIGIT}{{4}}\s*,\s*(?:\{{[^}}\n]*\}}\s*{_DIGIT}{{2}}|{_DIGIT}{{4}})\s*\)(?:\[[^\]\n]*\])?"
_PATH = re.compile(rf"(?:(?:{_ELEMENT}|[*+.])\s*/\s*)*{_ELEMENT}")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\[")
_UID_CALLS = frozenset({"hashUID", "newUID", "mapUID", "hashUIDList"})
_MOVE_CALLS = frozenset({"shiftDateByIncrement", "shiftDateTimeByIncrement"})
_LIST_CALLS = {
    "delete": Effect.REMOVED,
    "hashUIDList": Effect.UID,
    "mapReferencedUIDs": Effect.UID,
    "shiftDateTimeSequenceByIncrement": Effect.MOVED,
    "set": Effect.COMPUTED,
}
_EQUALS = re.compile(r'(\(\s*[0-9A-Fa-f]{4}\s*,\s*[0-9A-Fa-f]{4}\s*\))\s*=\s*"([^"\\\n]*)"')
_SILENT = re.compile(r"(version|describe|export|echo)\b|[A-Za-z_]\w*\s*(?::=|=(?!=))")


class _Reading:
    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.lost: list[Lost] = []
        self.private = 0
        self.retained: list[Rule] = []
        self.when: dict[str, str] = {}

    def statement(self, line: int, text: str, *, sometimes: bool) -> None:
        """Take one statement in."""
        text = text.strip()
        if text.startswith("-"):
            self._delete(line, text[1:], sometimes)
        elif path := _PATH.match(text):
            self._assign(line, path[0], text[path.end() :].strip(), sometimes)
        elif re.fullmatch(r"removeAllPrivateTags(\s*\[\s*\])?", text):
            self.private = 0 if sometimes else line
        elif call := _CALL.match(text):
            self._call(line, call[1], text, sometimes)
        elif not _SILENT.match(text):
            self.lost.append(Lost(line, "a statement", "it is none of DicomEdit 6", loosens=True))

    def _delete(self, line: int, text: str, sometimes: bool) -> None:
        place = _last(text)
        if place is None:
            self.lost.append(Lost(line, "a deletion", "its path is not written as a path", loosens=True))
        else:
            self._add(line, place, Effect.REMOVED, "deletion", sometimes)

    def _assign(self, line: int, path: str, rest: str, sometimes: bool) -> None:
        place = _last(path)
        assigned = re.match(r"(:=|\?=)\s*(.*)", rest)
        if place is None or assigned is None:
            self.lost.append(Lost(line, "a statement", "it is none of DicomEdit 6", loosens=True))
            return
        effect, does, value = _value(assigned[2].strip())
        lost = ("creates the attribute where it is missing",) if assigned[1] == ":=" else ()
        self._add(line, place, effect, does, sometimes, value=value, lost=lost)

    def _call(self, line: int, name: str, text: str, sometimes: bool) -> None:
        strings = [found[1:-1] for found in _STRING.findall(text)]
        if name == "retainPrivateTags":
            # It removes every other private element.
            self.private = line
            places = [_last(path) for path in strings]
            for place in places:
                if place is not None and not sometimes:
                    self._add(line, place, Effect.KEPT, name, sometimes)
        elif name in _LIST_CALLS:
            for path in strings:
                place = _last(path) if _PATH.fullmatch(path.strip()) else None
                if place is not None:
                    self._add(line, place, _LIST_CALLS[name], name, sometimes)
        elif name == "reject":
            self.lost.append(Lost(line, name, "it stops instances, which no policy does", loosens=True))
        elif name == "alterPixels":
            self.lost.append(
                Lost(line, name, "its rectangle has no condition of its own; images at risk are held")
            )
        else:
            self.lost.append(Lost(line, "a function", "it is not known here", loosens=True))

    def _add(
        self,
        line: int,
        place: Where,
        effect: Effect,
        does: str,
        sometimes: bool,
        *,
        value: str | None = None,
        lost: tuple[str, ...] = (),
    ) -> None:
        unkeyed = does in _UID_CALLS
        # It compares with capitals, and a policy does not: so only what takes away may be for some instances alone.
        when = self.when if place.tag is not None and effect <= Effect.CONSTANT else {}
        self.rules.append(
            Rule(
                line,
                place,
                frozenset({effect}),
                does,
                value,
                sometimes=sometimes,
                unkeyed=unkeyed,
                lost=lost,
                when=when,
            )
        )


def read(text: str) -> tuple[Original, list[Fault]]:
    """Return what a script says."""
    reading = _Reading()
    for line, statement in _statements(text):
        condition, branches = _branches(statement)
        for place, branch in enumerate(branches):
            # What is done otherwise is done under the opposite, which no policy asks.
            reading.when = _when(condition) if place == 0 else {}
            reading.statement(line, branch, sometimes=bool(condition))
    private = Private.REMOVED if reading.private else Private.KEPT
    return (
        Original(
            Dialect.DICOMEDIT,
            tuple(reversed(reading.rules)),
            Rest.KEPT,
            0,
            private,
            reading.private,
            lost=tuple(reading.lost),
        ),
        [],
    )


def _statements(text: str) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _without_comment(raw).strip()
        if line:
            yield number, line


def _without_comment(line: str) -> str:
    at = 0
    while at < len(line):
        if line.startswith("//", at):
            return line[:at]
        found = _STRING.match(line, at)
        at = found.end() if found else at + 1
    return line


def _branches(statement: str) -> tuple[str, list[str]]:
    """Return the condition that a statement is under, if any, and what it then does or does otherwise."""
    parts = _split(statement, "?")
    if len(parts) < 2:
        return "", [statement]
    return parts[0] or " ", _split("?".join(parts[1:]), ":")


def _when(condition: str) -> dict[str, str]:
    """Return the condition as a policy's, where it is one of the instance as a whole."""
    found = _EQUALS.fullmatch(condition.strip())
    asked = where(found[1]) if found else None
    ours = as_condition(asked.tag, found[2]) if found and asked is not None else None
    return {} if ours is None else dict([ours])


def _split(text: str, sign: str) -> list[str]:
    """Return the parts of a text between a sign that stands outside strings and is no part of an operator."""
    parts, at, first = [], 0, 0
    while at < len(text):
        found = _STRING.match(text, at)
        if found:
            at = found.end()
            continue
        if text[at] == sign and text[at + 1 : at + 2] != "=":
            parts.append(text[first:at])
            first = at + 1
        at += 1
    return [*parts, text[first:]]


def _last(path: str) -> Where | None:
    """Return the attribute at the end of a path. What the path says before it is left open: nested or not."""
    elements = re.findall(_ELEMENT, path.strip())
    if not elements or not _PATH.fullmatch(path.strip()):
        return None
    return where(re.sub(r"\[[^\]]*\]$", "", elements[-1]))


def _value(text: str) -> tuple[Effect, str, str | None]:
    """Return what an assigned value is, the name of what makes it, and its text where it is fixed."""
    if text == '""':
        return Effect.EMPTIED, "assignment", None
    if _STRING.fullmatch(text):
        return Effect.CONSTANT, "assignment", text[1:-1].replace("\\\\", "\\")
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return Effect.CONSTANT, "assignment", text
    call = _CALL.match(text)
    if call is None:
        return Effect.COMPUTED, "assignment", None
    if call[1] in _UID_CALLS:
        return Effect.UID, call[1], None
    if call[1] in _MOVE_CALLS:
        return Effect.MOVED, call[1], None
    return (Effect.PSEUDONYM, "lookup", None) if call[1] == "lookup" else (Effect.COMPUTED, "function", None)
