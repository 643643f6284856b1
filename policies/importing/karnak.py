"""Reads profiles of Karnak: YAML with ``profileElements``, of which the first that yields an action decides.

Conditions and expressions (SpEL) are never evaluated: what depends on one may happen or not. Read by a loader that
makes nothing but text, lists and mappings, each with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from policies.errors import Fault
from policies.importing.naming import vr_of, where
from policies.importing.original import Dialect, Effect, Lost, Original, Private, Rest, Rule, Where

_ACTIONS = {
    "K": Effect.KEPT,
    "X": Effect.REMOVED,
    "Z": Effect.EMPTIED,
    "D": Effect.CONSTANT,
    "DDUM": Effect.CONSTANT,
    "U": Effect.UID,
}
_CALLS = {
    "Keep": Effect.KEPT,
    "Remove": Effect.REMOVED,
    "ReplaceNull": Effect.EMPTIED,
    "UID": Effect.UID,
    "Replace": Effect.COMPUTED,
    "ComputePatientAge": Effect.COMPUTED,
}
_TEMPORAL = ("DA", "DT", "TM", "AS")
_UNSUPPORTED = {
    "action.add.tag": "creates an attribute",
    "action.add.private.tag": "creates a private element",
    "action.replace.api": "asks another server for the value",
    "clean.recognizable.visual.features": "distorts faces",
}


@dataclass(frozen=True, slots=True, repr=False)
class Element:
    """One profile element: its settings, each with its line."""

    line: int
    settings: Mapping[str, Any] = field(repr=False)

    def text(self, key: str) -> str:
        """Return a setting that is text, or nothing."""
        found = self.settings.get(key)
        return found.strip() if isinstance(found, str) else ""

    def texts(self, key: str) -> list[str]:
        """Return a setting that is a list of texts."""
        found = self.settings.get(key)
        return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def read(text: str) -> tuple[Original, list[Fault]]:
    """Return what a profile says, and its faults."""
    root, faults = _composed(text)
    elements = _elements(root)
    rules: list[Rule] = []
    lost: list[Lost] = []
    rest, rest_line, private, private_line = Rest.KEPT, 0, Private.KEPT, 0
    for element in elements:
        codename = element.text("codename")
        if codename == "basic.dicom.profile":
            rest, rest_line = Rest.PROFILE, element.line
            private, private_line = Private.REMOVED, private_line or element.line
            break
        if (
            codename == "action.on.privatetags"
            and element.text("action") == "X"
            and not element.texts("tags")
        ):
            private, private_line = Private.REMOVED, element.line
        if codename in _UNSUPPORTED:
            lost.append(Lost(element.line, codename, f"it {_UNSUPPORTED[codename]}, which no policy does"))
        elif codename == "clean.pixel.data":
            lost.append(
                Lost(
                    element.line,
                    codename,
                    "masks go by Station Name, which no pixel rule does; images at risk are held",
                )
            )
        else:
            rules.extend(_rules(element, codename, lost))
    original = Original(
        Dialect.KARNAK, tuple(rules), rest, rest_line, private, private_line, lost=tuple(lost)
    )
    return original, faults


def _rules(element: Element, codename: str, lost: list[Lost]) -> Iterator[Rule]:
    said = _effects(element, codename)
    if said is None:
        lost.append(Lost(element.line, "a profile element", "its codename or action is not one of Karnak's"))
        return
    effects, sometimes, stops = said
    places = [where(tag) for tag in element.texts("tags")]
    if None in places or not (places or codename.endswith("privatetags")):
        lost.append(Lost(element.line, codename, "its tags are missing, or not written as tags"))
    not_for = [place for tag in element.texts("excludedTags") if (place := where(tag)) is not None]
    if len(not_for) < len(element.texts("excludedTags")):
        effects, sometimes = effects - {Effect.KEPT, Effect.MOVED}, True
    for place in places:
        if place is not None:
            yield from _for_place(element.line, codename, place, not_for, effects, sometimes, stops)


def _for_place(
    line: int,
    codename: str,
    place: Where,
    not_for: list[Where],
    effects: frozenset[Effect],
    sometimes: bool,
    stops: tuple[str, ...],
) -> Iterator[Rule]:
    if place.tag is not None and any(out.matches(place.tag, "", vr_of(place.tag)) for out in not_for):
        return
    # An exception to a pattern: the rule may or may not be meant there, and the strictest reading counts.
    unsure = place.tag is None and bool(not_for)
    yield Rule(line, place, effects, codename, sometimes=sometimes or unsure, lost=stops)


def _effects(element: Element, codename: str) -> tuple[frozenset[Effect], bool, tuple[str, ...]] | None:
    """Return what an element may do, whether it sometimes does nothing, and what else it does."""
    sometimes = bool(element.text("condition"))
    action = element.text("action").upper()
    if codename in ("action.on.specific.tags", "action.on.privatetags", "replace.uid"):
        effect = _ACTIONS.get(action or ("U" if codename == "replace.uid" else ""))
        return None if effect is None else (frozenset({effect}), sometimes, ())
    if codename == "action.on.dates":
        option = element.text("option")
        effect = Effect.MOVED if option.startswith("shift") else Effect.COMPUTED
        return frozenset({effect}), sometimes, ()
    if codename == "expression.on.tags":
        arguments = element.settings.get("arguments")
        written = arguments.get("expr", "") if isinstance(arguments, dict) else ""
        called = set(re.findall(r"\b([A-Z]\w+)\(", written if isinstance(written, str) else ""))
        effects = frozenset(_CALLS.get(name, Effect.COMPUTED) for name in called - {"ExcludeInstance"})
        stops = ("stops instances (ExcludeInstance)",) if "ExcludeInstance" in called else ()
        return effects, True, stops
    return None


def _composed(text: str) -> tuple[yaml.Node | None, list[Fault]]:
    try:
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                return None, [Fault(0, "it has aliases (*name), which no profile needs")]
        return yaml.compose(text, Loader=yaml.BaseLoader), []
    except (yaml.YAMLError, RecursionError) as malformed:
        mark = getattr(malformed, "problem_mark", None)
        return None, [Fault(mark.line + 1 if mark else 0, "it is not YAML")]


def _elements(root: yaml.Node | None) -> list[Element]:
    if not isinstance(root, yaml.MappingNode):
        return []
    for key, value in root.value:
        if key.value == "profileElements" and isinstance(value, yaml.SequenceNode):
            return [
                Element(entry.start_mark.line + 1, _plain(entry))
                for entry in value.value
                if isinstance(entry, yaml.MappingNode)
            ]
    return []


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {
            str(key.value): _plain(value) for key, value in node.value if isinstance(key, yaml.ScalarNode)
        }
    if isinstance(node, yaml.SequenceNode):
        return [_plain(entry) for entry in node.value]
    return str(node.value)
