"""Reads recipes of deid: ``%header`` with actions on fields, ``%filter`` with labels, criteria and coordinates.

Actions have a rank, whatever their order: KEEP, ADD, REPLACE, JITTER, REMOVE, BLANK. A field is a keyword, a tag, a
private element or an expander; lists of fields and values that are gathered from a file cannot be told beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from policies.errors import Fault
from policies.importing.masks import Criterion, mask_of
from policies.importing.naming import where
from policies.importing.original import Dialect, Effect, Lost, Mask, Original, Private, Rest, Rule, Where

_RANK = ("KEEP", "ADD", "REPLACE", "JITTER", "REMOVE", "BLANK")
_EFFECTS = {
    "KEEP": Effect.KEPT,
    "JITTER": Effect.MOVED,
    "REMOVE": Effect.REMOVED,
    "BLANK": Effect.EMPTIED,
}
# Without repetition, so that no expression can be made to run for ever.
_HARMLESS = re.compile(r"[\w|.^$ ]{1,200}")
_LABEL = re.compile(r"LABEL\s+(.*)")
_COORDINATES = re.compile(r"(ctp)?(keep)?coordinates\s+(\S.*)", re.IGNORECASE)
_CRITERION = re.compile(
    r"(contains|notcontains|equals|notequals|missing|present|empty)\s+(\w+)\s*(.*)", re.IGNORECASE
)


def read(text: str) -> tuple[Original, list[Fault]]:
    """Return what a recipe says, and its faults."""
    ranked: list[tuple[int, Rule]] = []
    lost: list[Lost] = []
    masks: list[Mask] = []
    for section, lines in _sections(text):
        kind = section.split()[0].lower() if section else ""
        if kind == "%header":
            for number, line in lines:
                _header(number, line, ranked, lost)
        elif kind == "%filter":
            _filter(lines, masks, lost)
        elif kind in ("%values", "%fields"):
            number = lines[0][0] if lines else 0
            lost.append(Lost(number, kind, "what it gathers is known only when a file is read"))
    ranked.sort(key=lambda pair: pair[0])
    rules = tuple(rule for _, rule in ranked)
    return Original(Dialect.DEID, rules, Rest.KEPT, 0, Private.KEPT, masks=tuple(masks), lost=tuple(lost)), []


def _sections(text: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    section, lines = "", list[tuple[int, str]]()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if line.startswith("%"):
            yield section, lines
            section, lines = line, []
        elif line:
            lines.append((number, line))
    yield section, lines


def _header(number: int, line: str, ranked: list[tuple[int, Rule]], lost: list[Lost]) -> None:
    action, _, rest = line.partition(" ")
    action = action.upper()
    if action not in _RANK:
        lost.append(Lost(number, "a line of %header", "its action is not one of deid's"))
        return
    place, value = _field(rest.strip())
    if place is None:
        loosens = action in ("REMOVE", "BLANK", "REPLACE", "JITTER")
        lost.append(Lost(number, action, "its field is none that can be told beforehand", loosens))
        return
    effect = _EFFECTS[action] if action in _EFFECTS else _written(value)
    sometimes = action == "REMOVE" and ":" in value
    if sometimes and not place.named:
        why = "what it removes depends on values; here the patient's own are searched for in all that stays"
        lost.append(Lost(number, action, why, loosens=True))
        return
    literal = value if effect is Effect.CONSTANT else None
    more = ("creates the attribute where it is missing",) if action == "ADD" else ()
    rule = Rule(number, place, frozenset({effect}), action, literal, sometimes=sometimes, lost=more)
    ranked.append((_RANK.index(action), rule))


def _written(value: str) -> Effect:
    if value.startswith("deid_func:"):
        if "jitter" in value:
            return Effect.MOVED
        return Effect.UID if "uid" in value.partition(" ")[0] else Effect.COMPUTED
    return Effect.COMPUTED if value.startswith(("func:", "var:")) else Effect.CONSTANT


def _field(text: str) -> tuple[Where | None, str]:
    """Return what a field stands for, and the value behind it."""
    private = re.match(r'\(?[0-9A-Fa-f]{4},\s*"[^"]+",\s*[0-9A-Fa-f]{2}\)?', text)
    name = private[0] if private else text.split(" ", 1)[0]
    value = text[len(name) :].strip()
    kind, colon, wanted = name.partition(":")
    if colon and not private and kind.lower() not in ("fields", "values"):
        return _expander(kind.lower(), wanted), value
    if name.upper() == "ALL":
        return Where("all attributes", everything=True), value
    return where(name), value


def _expander(kind: str, wanted: str) -> Where | None:
    if kind == "select":
        what, _, which = wanted.partition(":")
        if what.upper() == "VR":
            return Where(f"attributes of VR {which[:2].upper()}", vr=which[:2].upper())
        group = re.fullmatch(r"[0-9A-Fa-f]{4}", which)
        return Where(f"group {which.upper()}", pattern=f"{which.upper()}XXXX") if group else None
    if not _HARMLESS.fullmatch(wanted):
        return None
    form = {"startswith": "^(?:{})", "endswith": "(?:{})$", "contains": "{}"}.get(kind)
    if form is None:
        return None
    try:
        found = re.compile(form.format(wanted), re.IGNORECASE)
    except re.error:
        return None
    return Where(f"attributes by a pattern ({kind})", keyword=found)


def _filter(lines: list[tuple[int, str]], masks: list[Mask], lost: list[Lost]) -> None:
    """Take the labels of a filter in: each with criteria, and coordinates behind them."""
    for number, block in _labels(lines):
        criteria: list[Criterion] | None = []
        regions: list[tuple[int, int, int, int]] = []
        possible = True
        for _, line in block:
            drawn = _COORDINATES.fullmatch(line)
            if drawn is None:
                criteria = _criteria(line, criteria)
                continue
            numbers = re.findall(r"-?\d+", drawn[3])
            if drawn[2] or len(numbers) != 4:
                possible = False
                continue
            x, y, right, bottom = map(int, numbers)
            regions.append((x, y, right, bottom) if drawn[1] else (x, y, right - x, bottom - y))
        if not regions and possible:
            lost.append(
                Lost(
                    number, "a label without coordinates", "it only sorts images; ours holds what is at risk"
                )
            )
        elif criteria is None or not possible:
            lost.append(
                Lost(
                    number,
                    "a label",
                    "no pixel rule has its criteria or coordinates; such images are held if they are at risk",
                )
            )
        else:
            found = mask_of(number, criteria, regions, wider=0)
            lost.append(found) if isinstance(found, Lost) else masks.append(found)


def _labels(lines: list[tuple[int, str]]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    number, block = 0, list[tuple[int, str]]()
    for at, line in lines:
        if _LABEL.match(line):
            if number:
                yield number, block
            number, block = at, []
        else:
            block.append((at, line))
    if number:
        yield number, block


def _criteria(line: str, so_far: list[Criterion] | None) -> list[Criterion] | None:
    """Return the criteria with those of a line, or None where they are not all to be met."""
    if so_far is None or "||" in line:
        return None
    found = list(so_far)
    for part in line.split("+"):
        if not part.strip():
            continue
        criterion = _CRITERION.fullmatch(part.strip())
        if criterion is None or criterion[1].lower() not in ("contains", "equals"):
            return None
        value = criterion[3].strip()
        if re.search(r"[|^$*+?.\[\](){}\\]", value):
            return None
        found.append(Criterion(criterion[2], criterion[1].lower(), value))
    return found
