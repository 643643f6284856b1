"""Reads scripts of CTP's DicomAnonymizer: XML, and the older properties.

    <e en="T" t="00100010" n="PatientName">@empty()</e>        set.[0010,0010]PatientName=@empty()

Rows that are not enabled are no rows. Entities, DTDs and anything outside the file are refused. What a rule does is
:mod:`policies.importing.ctp_calls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lxml import etree
from pydicom.datadict import dictionary_has_tag, dictionary_VM

from policies.errors import Fault
from policies.importing.ctp_calls import calls, meaning
from policies.importing.ctp_conditions import by_instance, by_value
from policies.importing.naming import where
from policies.importing.original import Branch, Dialect, Lost, Original, Private, Rest, Rule, Where

_ROW = re.compile(r"(#?)\s*(set|keep|remove|param)\.(\[[^=]*\]|[^=\s:\[]*)([^=\]]*?)\s*=(.*)")
# What CTP keeps although it removes what no row names.
_PROTECTED = ("0002", "0028", "7FE0")
_ALWAYS_WRITTEN = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280301, 0x00280303})


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One row of a script: ``e`` an element, ``p`` a parameter, ``k`` what is kept, ``r`` what is removed."""

    line: int
    kind: str
    enabled: bool
    target: str = field(repr=False)
    text: str = field(repr=False)


def read(text: str) -> tuple[Original, list[Fault]]:
    """Return what a script says, and its faults."""
    faults: list[Fault] = []
    rows = list(rows_of(text, faults))
    parameters = {row.target: row.text for row in rows if row.kind == "p"}
    rules: dict[object, Rule] = {}
    lost: list[Lost] = []
    descends = any(meaning(row.text, parameters).descends for row in rows if row.kind == "e" and row.enabled)
    for row in rows:
        if row.kind != "e" or not row.enabled:
            continue
        place = where(row.target)
        if place is None:
            lost.append(Lost(row.line, "a row", "its attribute is not written in a form that CTP documents"))
            continue
        rule = _rule(row.line, place, row.text, parameters)
        branches = _branches(row, place, parameters, descends)
        table = by_value(row.text, place.tag, parameters) if place.tag and _is_single(place.tag) else None
        if branches:
            rule = replace(rule, branches=branches)
        elif table is not None:
            rule = replace(rule, table=table.lines, otherwise=table.otherwise)
        rules[place.tag if place.tag is not None else place.words + repr(place.private)] = rule
    return _with_defaults(rows, tuple(rules.values()), lost, _going_on(rows, parameters)), faults


def _rule(line: int, place: Where, text: str, parameters: Mapping[str, str]) -> Rule:
    said = meaning(text, parameters)
    does = " ".join(f"@{name}()" for name in said.names) or "fixed text"
    return Rule(
        line,
        place,
        said.effects,
        does,
        said.value,
        said.width,
        descends=said.descends,
        unkeyed=said.unkeyed,
        lost=said.lost if place.tag not in _ALWAYS_WRITTEN else (),
    )


def _is_single(tag: int) -> bool:
    """Whether an attribute has one value: of several, CTP looks all up as one text."""
    return dictionary_has_tag(tag) and str(dictionary_VM(tag)) == "1"


def _branches(row: Row, place: Where, parameters: Mapping[str, str], descends: bool) -> tuple[Branch, ...]:
    """Return what a row does to which instances, where that is certain; inside of sequences it asks their items."""
    found = by_instance(row.text, parameters)
    if place.tag is None or (descends and not all(part.rooted for part in found)):
        return ()
    branches = tuple(Branch(part.when, _rule(row.line, place, part.rule, parameters)) for part in found)
    rules = [branch.rule for branch in branches if branch.rule is not None]
    certain = all(len(rule.effects) == 1 and not rule.lost and not rule.descends for rule in rules)
    return branches if certain else ()


def _going_on(rows: Iterable[Row], parameters: Mapping[str, str]) -> str:
    """Say whether the UIDs of ``@hashuid`` can be made here too, and in which line their root is."""
    hashes = [
        (row.line, call.arguments)
        for row in rows
        if row.kind == "e" and row.enabled
        for call in calls(row.text)
        if call.name == "hashuid"
    ]
    if not hashes:
        return ""
    roots = {
        parameters.get(text[1:], text) if (text := arguments[0])[:1] in ("@", "$") else text
        for _, arguments in hashes
    }
    if len(roots) > 1 or any(len(arguments) != 2 for _, arguments in hashes):
        return "Its UIDs cannot be made here: it has @hashuid() with several roots, or with a third argument."
    return (
        "A trial that began with it may go on with the same UIDs: write legacy_uids into the policy, with method:"
        f" ctp-hashuid and the root of line {hashes[0][0]}. They are not pseudonyms; read what the documents say of it"
        " first."
    )


def _with_defaults(rows: list[Row], rules: tuple[Rule, ...], lost: list[Lost], uids: str) -> Original:
    switches = {(row.kind, row.target.lower()): row.line for row in rows if row.enabled and row.kind in "kr"}
    unspecified = switches.get(("r", "unspecifiedelements"), 0)
    private = switches.get(("r", "privategroups"), 0) or unspecified
    safe = switches.get(("k", "safeprivateelements"), 0)
    groups = tuple(target.upper() for kind, target in switches if kind == "k" and len(target) == 4)
    kept = Private.REMOVED if private else Private.KEPT
    return Original(
        Dialect.CTP,
        rules,
        Rest.REMOVED if unspecified else Rest.KEPT,
        unspecified,
        Private.SAFE if private and safe else kept,
        safe or private,
        descends=False,
        untouched=(*_PROTECTED, *groups),
        lost=tuple(lost),
        uids=uids,
    )


def rows_of(text: str, faults: list[Fault]) -> Iterator[Row]:
    """Yield the rows of a script in either encoding; what is wrong with it goes to ``faults``."""
    if any(line.lstrip().startswith("<") for line in text.splitlines()):
        yield from _xml(text, faults)
    else:
        yield from _properties(text)


def _xml(text: str, faults: list[Fault]) -> Iterator[Row]:
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        faults.append(Fault(0, "it declares a document type or entities, which no script of CTP needs"))
        return
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    # The declaration may not stand behind white space, nor name an encoding for text that is decoded already.
    body = re.sub(r"^\s*<\?xml.*?\?>", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    try:
        root = etree.fromstring(body.encode(), parser)
    except etree.XMLSyntaxError as malformed:
        faults.append(Fault(malformed.lineno or 0, "it is not well-formed XML"))
        return
    if root.tag != "script":
        faults.append(Fault(1, "its root is not <script>"))
        return
    for element in root.iterchildren():
        if element.tag in ("e", "p", "k", "r"):
            line = element.sourceline if isinstance(element.sourceline, int) else 0
            enabled = element.tag == "p" or str(element.get("en") or "").strip().upper() == "T"
            written = "".join(map(str, element.itertext()))
            yield Row(line, str(element.tag), enabled, str(element.get("t") or "").strip(), written.strip())
        else:
            faults.append(Fault(0, "it has elements that no script of CTP has"))
            return


def _properties(text: str) -> Iterator[Row]:
    kinds = {"set": "e", "keep": "k", "remove": "r", "param": "p"}
    for number, line in _logical_lines(text):
        found = _ROW.fullmatch(line.strip())
        if found is None:
            continue
        off, word, target, more, written = found.groups()
        named = (target + more).strip() if word != "set" else target
        if word == "keep":
            named = re.sub(r"^group", "", named)
        yield Row(
            number,
            kinds[word],
            not off,
            named.strip().strip("[]") if word != "set" else named,
            written.strip(),
        )


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with those that they are continued on (a backslash at the end)."""
    first, joined = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        first = first or number
        odd = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        joined += line.lstrip() if joined else line
        if odd:
            joined = joined[:-1]
            continue
        yield first, joined
        first, joined = 0, ""
    if joined:
        yield first, joined
