"""Takes over pseudonyms that exist already: of a running trial, or a coordinator's list of subjects.

A list is taken as a whole or not at all. Before anything is written it is compared with itself, with the rules of the
VRs, and with what the case gave so far; every fault is named by its line, never by a value. What a list brings is found
again by the keyed digest of its original (:mod:`vault.assignments`), and in stage 1 each original is sealed for the
custodians like any other. Taking the same list again changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vault.assignments import Assignments, Given, Origin, Original
from vault.errors import BadList
from vault.keys import Kind
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.scheme import PADDING, fingerprint, known_kind

Triple = tuple[str, str, str]

MOST_TOLD = 20
_MOST_DAYS = 36_500
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_STANDARD_ROOT = "1.2.840.10008."
# No backslash (PS3.5 6.2), none of PN's own signs, no wildcard, and nothing that is a path.
_LINE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._+:#@()-]*[A-Za-z0-9._+:#@()-])?")
_DAYS = re.compile(r"[+-]?[0-9]{1,5}")
_LONGEST_ORIGINAL = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: an original as kind, issuer and value, and its pseudonym. Prints no value."""

    line: int
    identifier: Triple = field(repr=False)
    pseudonym: str = field(repr=False)


class Taken(NamedTuple):
    """What one list did: how many pseudonyms are ``new``, and how many the case had already."""

    new: int
    known: int


class Fault(NamedTuple):
    """What is wrong with one line."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Intake:
    """The way into one stage of a case. ``mapping`` and ``seal`` are stage 1's; stage 2 has neither.

    ``begin`` makes the store where there is none; ``digests`` asks the key server; ``seal`` returns when every original
    is sealed under its pseudonym.
    """

    case: str
    naming: Naming
    store: Assignments
    begin: Callable[[], object]
    digests: Callable[[Collection[Triple]], Mapping[Triple, bytes]]
    mapping: MappingStore | None = None
    seal: Callable[[Mapping[Triple, str]], None] | None = None

    def take(self, entries: Sequence[Entry]) -> Taken:
        """Take a whole list over. Raises BadList with every fault, and then nothing was written."""
        # 1. What each line says by itself.
        _refuse(entries, list(_illegal(entries)))
        # 2. What the lines say together, and beside what the case gave before.
        found = self.digests({entry.identifier for entry in entries})
        originals = [Original(known_kind(one.identifier[0]), found[one.identifier]) for one in entries]
        _refuse(entries, list(_contradicting(entries, originals)))
        given = self.store.given(originals)
        _refuse(entries, list(self._opposed(entries, originals, found)))
        # 3. All or none.
        self.begin()
        offered = dict(zip(originals, (_normal(entry) for entry in entries), strict=True))
        self.store.give(offered, Origin.IMPORTED, all_or_none=True)
        # 4. Also those that were there: a run that was cut short may have left them unsealed.
        if self.seal is not None:
            named = {one.identifier: _normal(one) for one in entries if one.identifier[0] != Kind.DATE_OFFSET}
            self.seal(named)
        return Taken(len(offered) - len(given), len(given))

    def _opposed(
        self, entries: Sequence[Entry], originals: Sequence[Original], digests: Mapping[Triple, bytes]
    ) -> Iterator[Fault]:
        """Yield the lines that contradict what the case gave or knows so far.

        All in one sentence, also where what is offered is what the case gave by itself: whoever imports guesses must
        not learn from the answer which of them was right.
        """
        given = self.store.given(originals)
        derived = self._derived(digests)
        named = [one.pseudonym for one in entries if one.identifier[0] != Kind.DATE_OFFSET]
        holders = self.store.holders([*named, *(_value(one) for one in entries)])
        claims = self.mapping.claims(self.case, named) if self.mapping else {}
        known = self._known(entries)
        for entry, original in zip(entries, originals, strict=True):
            text, mark = _normal(entry), fingerprint(original.digest)
            same = Given(text, Origin.IMPORTED)
            opposed = given.get(original, None if original in derived else same) != same
            if original.kind is not Kind.DATE_OFFSET:
                opposed |= holders.get(text, original.place) != original.place
                opposed |= bool(claims.get(text, set()) - {mark})
                opposed |= holders.get(_value(entry), ("", b""))[0] == original.kind
                opposed |= entry in known
            if opposed:
                yield Fault(entry.line, "it contradicts what the case gave or knows already")

    def _known(self, entries: Sequence[Entry]) -> set[Entry]:
        """The entries that give as pseudonym what the case knows as an original, of any issuer that the list names."""
        issuers: dict[str, set[str]] = {}
        for entry in entries:
            kind, issuer, _ = entry.identifier
            if kind != Kind.DATE_OFFSET:
                issuers.setdefault(kind, {""}).add(issuer)
        asked = {
            (kind, issuer, entry.pseudonym)
            for entry in entries
            for kind in issuers.keys() & {entry.identifier[0]}
            for issuer in issuers[kind]
        }
        digests = self.digests(asked)
        originals = {one: Original(known_kind(one[0]), digests[one]) for one in asked}
        met = self.store.given(originals.values()).keys() | self._derived(digests)
        names = {(kind, text) for (kind, _, text), original in originals.items() if original in met}
        return {entry for entry in entries if (entry.identifier[0], entry.pseudonym) in names}

    def _derived(self, digests: Mapping[Triple, bytes]) -> set[Original]:
        """Those that stage 1 pseudonymized already, with a derived pseudonym."""
        names = {
            Original(known_kind(one[0]), digest): self.naming.derived(one, digest)
            for one, digest in digests.items()
            if one[0] != Kind.DATE_OFFSET
        }
        claims = self.mapping.claims(self.case, names.values()) if self.mapping else {}
        return {one for one, name in names.items() if fingerprint(one.digest) in claims.get(name, ())}


def _illegal(entries: Sequence[Entry]) -> Iterator[Fault]:
    lines = {
        (one.identifier[0], _value(one)): one.line
        for one in reversed(entries)
        if one.identifier[0] != Kind.DATE_OFFSET
    }
    for entry in entries:
        kind, issuer, value = entry.identifier
        if not value.strip(PADDING) or len(value) > _LONGEST_ORIGINAL or _CONTROL.search(issuer + value):
            yield Fault(
                entry.line, "the original is empty, too long, or has characters that no identifier has"
            )
        what = _illegal_pseudonym(known_kind(kind), entry.pseudonym)
        if what:
            yield Fault(entry.line, what)
        elif _value(entry) == entry.pseudonym:
            yield Fault(entry.line, "the pseudonym is the original itself")
        elif (kind, entry.pseudonym) in lines:
            yield Fault(entry.line, f"the pseudonym is the original of line {lines[kind, entry.pseudonym]}")


def _illegal_pseudonym(kind: Kind, text: str) -> str:
    if kind is Kind.UID:
        if not _UID.fullmatch(text) or len(text) > 64 or text.startswith(_STANDARD_ROOT):
            return (
                "the new UID is not legal (VR UI: numbers and dots, at most 64; none of the standard's own)"
            )
        return ""
    if kind is Kind.DATE_OFFSET:
        if not _DAYS.fullmatch(text) or not 0 < abs(int(text)) <= _MOST_DAYS:
            return f"the date offset is no whole number of days from 1 to {_MOST_DAYS}, back or forth"
        return ""
    longest, vr = (64, "LO") if kind is Kind.PATIENT_ID else (16, "SH")
    if not _LINE.fullmatch(text) or len(text) > longest:
        return (
            f"the pseudonym is not usable (VR {vr}: at most {longest} characters; letters, digits, space and"
            " . _ + : # @ ( ) -, beginning with a letter or digit)"
        )
    return ""


def _contradicting(entries: Sequence[Entry], originals: Sequence[Original]) -> Iterator[Fault]:
    """Yield the lines that contradict earlier ones; a line that says the same again is no fault."""
    first: dict[Original, Entry] = {}
    by_pseudonym: dict[str, tuple[Original, int]] = {}
    for entry, original in zip(entries, originals, strict=True):
        before = first.setdefault(original, entry)
        if _normal(before) != _normal(entry):
            yield Fault(entry.line, f"the original of line {before.line} has another pseudonym here")
        if original.kind is Kind.DATE_OFFSET:
            continue
        other, line = by_pseudonym.setdefault(entry.pseudonym, (original, entry.line))
        if other != original:
            yield Fault(entry.line, f"the pseudonym of line {line} stands for another original here")


def _value(entry: Entry) -> str:
    """The original as it is compared."""
    return unicodedata.normalize("NFC", entry.identifier[2]).strip(PADDING)


def _normal(entry: Entry) -> str:
    """The pseudonym as it is told: a number of days without plus sign or zeros in front."""
    return str(int(entry.pseudonym)) if entry.identifier[0] == Kind.DATE_OFFSET else entry.pseudonym


def _refuse(entries: Sequence[Entry], faults: Sequence[Fault]) -> None:
    if not entries:
        raise BadList("the list names nobody", next_step="write one original a line, with its pseudonym")
    if faults:
        raise BadList(told(faults), next_step="correct these lines; nothing was imported")


def told(faults: Sequence[Fault]) -> str:
    """Faults in the order of their lines, as many as anybody reads."""
    ordered = sorted(set(faults))
    more = f"; and {len(ordered) - MOST_TOLD} more" if len(ordered) > MOST_TOLD else ""
    return "; ".join(f"line {fault.line}: {fault.what}" for fault in ordered[:MOST_TOLD]) + more
