"""Where a rule of CTP treats instances or values differently in a way that a policy can say: ``@if(…,equals,…)``.

    @if(Modality,equals,"CT"){@keep()}{@remove()}     branches: for which instances which part of the rule is
    @if(this,equals,"A"){X}{@if(this,equals,"B"){Y}{Z}}    a table: what each value becomes, and any other

``equals`` pays no regard to capitals, as conditions and tables of a policy. Every other test (``contains``,
``matches``, ``exists``) has no exact counterpart, and then there is neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.importing.asking import as_condition
from policies.importing.ctp_calls import Call, meaning, parts
from policies.importing.naming import where
from policies.importing.original import Effect

_ROOT = "root:"
_MOST = 64


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A part of a rule and the conditions under which it is carried out; of those that hold, the first decides.

    ``rooted`` says that they are asked of the instance as a whole also where the rule works inside of sequences.
    """

    when: Mapping[str, str] = field(repr=False)
    rule: str = field(repr=False)
    rooted: bool = True


def by_instance(rule: str, parameters: Mapping[str, str]) -> tuple[Part, ...]:
    """Return the parts of a rule that are for some instances each, the last for all others; or none."""
    found = _parts_of(rule, parameters, {}, rooted=True)
    return tuple(found) if found is not None and 1 < len(found) <= _MOST else ()


def _parts_of(
    rule: str, parameters: Mapping[str, str], given: Mapping[str, str], *, rooted: bool
) -> list[Part] | None:
    call = _only_if(rule)
    if call is None:
        return None if "@if(" in rule.lower() else [Part(given, rule, rooted)]
    rooted = rooted and call.arguments[0].startswith(_ROOT)
    asked = where(call.arguments[0].removeprefix(_ROOT))
    text = _value(call, parameters)
    condition = as_condition(asked.tag, text) if asked is not None and text is not None else None
    if condition is None:
        return None
    name, value = condition
    then, otherwise = (*call.clauses, "", "")[:2]
    also = {**given, name: value}
    # What asks for two values of one attribute never comes to pass.
    possible = given.get(name, value).lower() == value.lower()
    yes = _parts_of(then, parameters, also, rooted=rooted) if possible else []
    no = _parts_of(otherwise, parameters, given, rooted=rooted)
    return None if yes is None or no is None else [*yes, *no]


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """What each value of an attribute becomes; any other becomes ``otherwise``, or goes."""

    lines: Mapping[str, str] = field(repr=False)
    otherwise: str | None = field(repr=False)


def by_value(rule: str, tag: int, parameters: Mapping[str, str]) -> Table | None:
    """Return the table that a rule for an attribute is, or nothing where it is none."""
    lines: dict[str, str] = {}
    while len(lines) < _MOST:
        call = _only_if(rule)
        if call is None:
            break
        asked = where(call.arguments[0])
        value = _value(call, parameters)
        if value is None or (call.arguments[0] != "this" and (asked is None or asked.tag != tag)):
            return None
        then, rule = (*call.clauses, "", "")[:2]
        said = meaning(then, parameters)
        if said.effects != {Effect.CONSTANT} or said.value is None or said.lost:
            return None
        if value.casefold() not in map(str.casefold, lines):
            lines[value] = said.value
    last = meaning(rule, parameters)
    if not lines or last.lost or len(last.effects) != 1 or max(last.effects) > Effect.CONSTANT:
        return None
    if last.effects == {Effect.CONSTANT} and last.value is None:
        return None
    return Table(lines, last.value)


def _only_if(rule: str) -> Call | None:
    """Return the test of which a rule consists, ``@always()`` before it apart."""
    said = [part for part in parts(rule) if not (isinstance(part, str) and not part.strip())]
    tests = [part for part in said if not (isinstance(part, Call) and part.name == "always")]
    call = tests[0] if len(tests) == 1 else None
    return call if isinstance(call, Call) and call.name == "if" else None


def _value(call: Call, parameters: Mapping[str, str]) -> str | None:
    """Return what a test compares with, or nothing where it does not compare, or with what is not known here."""
    if len(call.arguments) != 3 or call.arguments[1] != "equals":
        return None
    text = call.arguments[2]
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if text.startswith("@"):
        text = parameters.get(text[1:], "")
    plain = text.isascii() and text.isprintable() and text == text.strip() and "\\" not in text
    return text if text and plain and text[0] not in "@$" else None
