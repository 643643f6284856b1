"""What one element of a de-identified instance may hold, judged from the result alone.

    path, VR ──▶ private? unknown? ──▶ overridden? ──▶ name, UID, age, date ──▶ Table E.1-1, what it forgets, VR
                                                                                    │
    element ──────────────────────────── what it must be ◀─────────────────────────┘ ──▶ complaint

The engine decides what to do; this says what can be right, and was written without it: it takes the standard's
tables, the shipped words and what a policy declares, and no code of the engine. Where the two disagree, the instance
is held. Values are looked at and never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pydicom.datadict import dictionary_VR, keyword_for_tag, repeater_has_tag

from policies.coarseness import Said, is_coarse, telling_beside, untold
from policies.forms import Forms
from policies.layout import Element, Level, creator_of
from policies.silence import (
    SafeWords,
    is_band,
    is_structural,
    number_in_years,
    says_nothing,
    zone,
)
from policies.standard.beyond import beyond
from policies.standard.tables import Option, attribute_type, concepts, row_of, safe_private

if TYPE_CHECKING:
    from policies.clauses import Override
    from policies.model import Policy
    from policies.quasi_identifiers import Generalization

PATIENT_AGE = 0x00101010
CONTENT_SEQUENCE = 0x0040A730
TEXT_VALUE = 0x0040A160
UID_VALUE = 0x0040A124
# Sequences whose items are content items with a concept name (PS3.3 C.17.3, 10.9.1).
CONTENT_ITEMS = frozenset({CONTENT_SEQUENCE, 0x00400555, 0x00400612})
AGES = frozenset({("121033", "DCM"), ("30525-0", "LN"), ("424144002", "SCT"), ("397669002", "SCT")})
"""Concepts whose value is an age in years."""

# Text, date and time, name, UID, code, numbers, references, items below: what a content item says.
_CONTENT_VALUES = (
    *(TEXT_VALUE, 0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, UID_VALUE, 0x0040A168, 0x0040A300),
    *(0x0040A30A, 0x00081199, CONTENT_SEQUENCE),
)

_REFERENCES = frozenset({"UIDREF", "IMAGE", "COMPOSITE", "WAVEFORM"})
_MAC_PARAMETERS = 0x4FFE0001
_DATES = frozenset({"DA", "DT", "TM"})
_LINES = frozenset({"LO", "SH", "UC"})
_LONG_TEXT = frozenset({"LT", "ST", "UT"})
_TEXT = _LINES | _LONG_TEXT
# What people write freely, whatever table forgets it.
_WRITTEN_BY_PEOPLE = ("Comment", "Comments", "Description", "Label", "Note", "Notes", "Title")


WHOLE_BLOCK = -1
"""In place of a low byte: every element of a private block."""


class Complaint(NamedTuple):
    """Why an element cannot be right: a stable code and one sentence without its value.

    Of a content item ``tag`` says which of its elements it is, 0 for the item as a whole.
    """

    code: str
    what: str
    tag: int = 0


class Expectation(NamedTuple):
    """One thing that must be true of an element, and the complaint where it is not."""

    right: Callable[[Element], bool]
    complaint: Complaint


def _never(element: Element) -> bool:
    return False


def _empty(element: Element) -> bool:
    return not element.items if element.items is not None else says_nothing(element)


class Expectations:
    """What a policy promises of each element of one SOP Class.

    ``written`` are top-level tags whose content :mod:`policies.claims` judges. ``declared_safe`` are the private
    elements (creator, group, low byte) that the source itself declares to be safe
    (PS3.15 E.3.10). ``forms`` are those of the case's pseudonyms.
    """

    def __init__(
        self,
        policy: Policy,
        sop_class_uid: str,
        *,
        written: frozenset[int],
        declared_safe: frozenset[tuple[str, int, int]] = frozenset(),
        forms: Forms = Forms(),
    ) -> None:
        self._policy = policy
        self.forms = forms
        self._sop_class_uid = sop_class_uid
        self.written = written
        self._said = Said(policy)
        self._untold, self._beside = untold(policy), telling_beside(policy)
        self.words = SafeWords(policy.vocabulary)
        self._private_kept = {(keep.creator, keep.group, keep.element) for keep in policy.private}
        if Option.RETAIN_SAFE_PRIVATE in policy.options:
            self._private_kept |= safe_private().keys() | declared_safe
        self._blocks_kept = {
            (creator, group) for creator, group, low in self._private_kept if low == WHOLE_BLOCK
        }
        self._creators = {creator for creator, _, _ in self._private_kept}
        self._kept: dict[tuple[tuple[int, ...], str, str], bool] = {}
        self._known: dict[tuple[tuple[int, ...], str, str], tuple[Expectation, ...]] = {}

    def complaint(self, element: Element, level: Level, path: tuple[int, ...], vr: str) -> Complaint | None:
        """Say what is wrong with ``element`` of ``level``, at ``path``, or None where nothing is."""
        creator = creator_of(level, element) if element.private else ""
        key = (path, vr, creator)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(self._of(path, vr, creator))
        for right, complaint in known:
            if not right(element):
                return complaint
        return None

    def keeps(self, path: tuple[int, ...], vr: str, element: Element, level: Level) -> bool:
        """Say whether profile, options and overrides leave the value at ``path`` as it is (action K, or none)."""
        key = (path, vr, creator_of(level, element) if element.private else "")
        known = self._kept.get(key)
        if known is None:
            known = self._kept[key] = self._keeps(*key)
        return known

    def _keeps(self, path: tuple[int, ...], vr: str, creator: str) -> bool:
        tag = path[-1]
        if tag >> 16 & 1:
            kept = self._is_kept(creator, tag >> 16, tag & 0xFF)
            return kept and vr not in _TEXT | _DATES | {"UI", "UN", "SQ"}
        if tag & 0xFFFF == 0 or tag >> 24 in (0x50, 0x60) or (len(path) == 1 and tag in self.written):
            return False
        override = self._said.override(path)
        if override is not None:
            return str(override.action) == "K"
        if self._said.anything(path) or tag in self._beside:
            return False
        row, further = row_of(tag), beyond().get(tag)
        retained = self._retained(tag)
        if row is None and further is not None:
            retained = {
                further.options[option] for option in self._policy.options if option in further.options
            }
        if row is not None or further is not None:
            return retained == {"K"}
        if _dictionary_vr(tag) is None or vr in ("PN", "UR", "AE") or vr in _LONG_TEXT:
            return False
        if vr in _DATES:
            return self._policy.dates == "keep"
        if vr == "UI":
            return is_structural(tag) or Option.RETAIN_UIDS in self._policy.options
        return not (vr in _LINES and keyword_for_tag(tag).endswith(_WRITTEN_BY_PEOPLE))

    def item_complaint(self, item: Level) -> Complaint | None:
        """Say what is wrong with what a content item says, by its concept (PS3.15 Table E.3.4-1)."""
        code, scheme = _concept(item)
        value_type = _value_type(item)
        if (code, scheme) in AGES and not self._age_in_bands(item):
            return Complaint("age", "an age in a report that is not the lower bound of a band")
        if (code, scheme) in self._untold:
            return Complaint("generalized", "a content item that tells what the policy generalizes")
        action = self._item_action(item)
        values = [item[tag] for tag in _CONTENT_VALUES if tag in item]
        gone = action == "X" or (action == "X/D" and value_type not in _REFERENCES)
        if gone and not all(self.forms.dummy(value) for value in values):
            return Complaint("retained-item", "a content item that profile and options remove")
        if action == "K":
            return None
        if (
            UID_VALUE in item
            and not self.forms.mapped(item[UID_VALUE])
            and Option.RETAIN_UIDS not in self._policy.options
        ):
            return Complaint("uid", "a content item's UID that is not derived", UID_VALUE)
        text = item.get(TEXT_VALUE)
        if text is None or says_nothing(text):
            return None
        if action in ("D", "X/D") or not self._cleans_text():
            what = "a content item's text where profile and options demand a dummy"
            return Complaint("retained-value", what, TEXT_VALUE)
        if not self.words.only(text):
            return Complaint("text", "words that are not known to be safe", TEXT_VALUE)
        return None

    def keeps_item(self, item: Level) -> bool:
        """Say whether the options keep what a content item says as it is."""
        return self._item_action(item) == "K"

    def _item_action(self, item: Level) -> str:
        row = concepts().get((*_concept(item), _value_type(item)))
        if row is None:
            return ""
        chosen = {row.options[option] for option in self._policy.options if option in row.options}
        return "C" if "C" in chosen else "K" if "K" in chosen else row.basic

    def _age_in_bands(self, item: Level) -> bool:
        measured = item.get(0x0040A300)
        values = (
            [number[0x0040A30A] for number in (measured.items or ()) if 0x0040A30A in number]
            if measured
            else []
        )
        return all(is_band(number_in_years(value), self._policy.ages) for value in values)

    def _of(self, path: tuple[int, ...], vr: str, creator: str) -> list[Expectation]:
        tag = path[-1]
        if tag >> 16 & 1:
            return self._private(tag, vr, creator)
        if tag & 0xFFFF == 0 or tag >> 16 < 8:
            return [
                Expectation(_never, Complaint("unknown-element", "no element of a data set stands there"))
            ]
        dictionary = _dictionary_vr(tag)
        row = row_of(tag)
        if dictionary is None and row is None:
            what = "the data dictionary does not know it, so it may hold anything"
            return [Expectation(_never, Complaint("unknown-element", what))]
        if tag >> 24 in (0x50, 0x60) or (tag >> 24 == 0x7F and tag >> 16 != 0x7FE0):
            what = "part of an overlay, a curve or a retired picture, of which nobody can say what it shows"
            return [Expectation(_never, Complaint("overlay", what))]
        if tag == _MAC_PARAMETERS or (repeater_has_tag(tag) and tag >> 16 == 0x0020):
            return [
                Expectation(_empty, Complaint("retained-sequence", "a rest of a signature, or of ACR-NEMA"))
            ]
        rule = self._said.generalization(path)
        if rule is not None:
            what = "a value that is not one of the general ones of the policy"
            return [Expectation(partial(is_coarse, rule), Complaint("generalized", what))]
        override = self._said.override(path)
        if override is not None:
            return _overridden(override, self.forms)
        if tag in self._beside:
            what = "it would tell what the policy generalizes"
            return [Expectation(self.forms.dummy, Complaint("generalized", what))]
        if len(path) == 1 and tag in self.written:
            return []
        if tag in (TEXT_VALUE, UID_VALUE) and len(path) > 1 and path[-2] in CONTENT_ITEMS:
            # Its item's concept decides, and is asked there.
            return []
        vrs = {vr, *(dictionary or "").split(" or ")} - {""}
        return [*self._by_vr(tag, vrs), *self._by_table(path, vrs)]

    def _private(self, tag: int, vr: str, creator: str) -> list[Expectation]:
        group, low = tag >> 16, tag & 0xFF
        if 0x10 <= tag & 0xFFFF <= 0xFF:
            what = "a private creator of which neither the policy nor the safe list keeps anything"
            return [
                Expectation(
                    lambda element: element.text() in self._creators, Complaint("private-element", what)
                )
            ]
        if not self._is_kept(creator, group, low):
            what = "a private element that neither the policy nor the safe list names"
            return [Expectation(_never, Complaint("private-element", what))]
        if vr in ("PN", "UR", "AE"):
            return [Expectation(says_nothing, Complaint("private-element", f"a private value of VR {vr}"))]
        if vr == "UI" and Option.RETAIN_UIDS not in self._policy.options:
            return [Expectation(self.forms.mapped, Complaint("uid", "a private UID that is not derived"))]
        if vr in _DATES and self._policy.dates == "remove":
            return [
                Expectation(
                    says_nothing, Complaint("date", "a private date under a policy that removes dates")
                )
            ]
        return []

    def _is_kept(self, creator: str, group: int, low: int) -> bool:
        if not creator:
            return False
        return (creator, group, low) in self._private_kept or (creator, group) in self._blocks_kept

    def overrides(self, path: tuple[int, ...]) -> bool:
        """Say whether the policy has a rule of its own for the attribute, so that its source tells nothing."""
        return self._said.anything(path) and not path[-1] >> 16 & 1

    def generalization(self, path: tuple[int, ...]) -> Generalization | None:
        """Return how the policy generalizes the attribute, or None where it does not."""
        return self._said.generalization(path)

    def _by_vr(self, tag: int, vrs: set[str]) -> list[Expectation]:
        found = []
        retained = self._retained(tag)
        if "PN" in vrs:
            what = "a person's name that is neither empty nor a pseudonym"
            found.append(Expectation(self.forms.replaced, Complaint("name", what)))
        keeps_uids = "K" in retained or Option.RETAIN_UIDS in self._policy.options
        if "UI" in vrs and not is_structural(tag) and not keeps_uids:
            what = "a UID that is neither of the standard nor derived (2.25 with a UUID of version 8)"
            found.append(Expectation(self.forms.mapped, Complaint("uid", what)))
        if tag == PATIENT_AGE and self._policy.ages is not None:
            what = "an age that is not the lower bound of a band of the policy"
            found.append(Expectation(self._banded, Complaint("age", what)))
        if vrs & _DATES and self._policy.dates == "remove" and not retained:
            found.append(
                Expectation(says_nothing, Complaint("date", "a date under a policy that removes dates"))
            )
        return found

    def _banded(self, element: Element) -> bool:
        text = element.text()
        years = text[:3] if text.endswith("Y") and len(text) == 4 else ""
        return says_nothing(element) or (years.isdigit() and is_band(float(years), self._policy.ages))

    def _by_table(self, path: tuple[int, ...], vrs: set[str]) -> list[Expectation]:
        """Table E.1-1, what it forgets, and rules by VR where neither speaks (PS3.15 E.1.1)."""
        tag = path[-1]
        if "UI" in vrs or "PN" in vrs:
            return []
        row = row_of(tag)
        if row is None:
            return self._beyond(tag, vrs)
        retained = self._retained(tag)
        if "C" in retained:
            return self._cleaned(tag, vrs)
        if "K" in retained or row.basic == "X/Z/U*":
            return []
        return self._gone(path, vrs, row.basic)

    def _gone(self, path: tuple[int, ...], vrs: set[str], code: str) -> list[Expectation]:
        """Actions X, Z and D: removed, empty, or something that says nothing."""
        if "SQ" in vrs:
            what = "a sequence that profile and options remove"
            right = self.forms.dummy if code != "X" or self._required(path) else _empty
            return [Expectation(right, Complaint("retained-sequence", what))]
        right = says_nothing if code == "X" else self.forms.replaced
        return [
            Expectation(
                right, Complaint("retained-value", f"a value where profile and options demand {code}")
            )
        ]

    def _cleaned(self, tag: int, vrs: set[str]) -> list[Expectation]:
        """Action C: text holds safe words, a sequence's items are judged by themselves, the rest says nothing."""
        if vrs & _DATES or "SQ" in vrs:
            return []
        if tag == 0x00080201:
            what = "a time zone that is none"
            return [Expectation(zone, Complaint("retained-value", what))]
        if vrs & (_TEXT | {"CS"}):
            return [Expectation(self.words.only, Complaint("text", "words that are not known to be safe"))]
        return [Expectation(says_nothing, Complaint("retained-value", "a value that cannot be cleaned"))]

    def _beyond(self, tag: int, vrs: set[str]) -> list[Expectation]:
        row = beyond().get(tag)
        if row is not None:
            chosen = {row.options[option] for option in self._policy.options if option in row.options}
            if "C" in chosen:
                return self._cleaned(tag, vrs)
            if chosen:
                return []
            what = "a value that Table E.1-1 forgets and that identifies"
            return [
                Expectation(_empty if "SQ" in vrs else self.forms.replaced, Complaint("retained-value", what))
            ]
        if vrs & {"UR", "AE"}:
            return [
                Expectation(
                    says_nothing, Complaint("retained-value", "an address, or a title of an application")
                )
            ]
        if vrs & _LINES and keyword_for_tag(tag).endswith(_WRITTEN_BY_PEOPLE):
            return [Expectation(self.words.only, Complaint("text", "words that are not known to be safe"))]
        if vrs & _LONG_TEXT:
            right = self.words.only if Option.CLEAN_DESCRIPTORS in self._policy.options else says_nothing
            return [Expectation(right, Complaint("text", "free text that is not known to be safe"))]
        return []

    def _cleans_text(self) -> bool:
        return bool({Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_DESCRIPTORS} & self._policy.options)

    def _retained(self, tag: int) -> set[str]:
        """The actions K and C that the policy's options give to the attribute."""
        row = row_of(tag)
        options: Mapping[Option, str] = {} if row is None else row.options
        return {options[option] for option in self._policy.options if option in options}

    def _required(self, path: tuple[int, ...]) -> bool:
        use = attribute_type(self._sop_class_uid, path)
        return use is not None and use.type in ("1", "1C")


def _overridden(override: Override, forms: Forms) -> list[Expectation]:
    action = str(override.action)
    if action in ("K", "C"):
        return []
    right: Callable[[Element], bool]
    if action == "U":
        right = forms.mapped
    elif override.value is not None:
        right = _is(override.value)
    else:
        right = _empty if action in ("X", "Z") else forms.dummy
    what = f"the policy's override (action {action}) was not followed"
    return [Expectation(right, Complaint("override", what))]


def _is(expected: str) -> Callable[[Element], bool]:
    def same(element: Element) -> bool:
        text = element.text()
        try:
            return text == expected or float(text) == float(expected)
        except ValueError:
            return False

    return same


def _value_type(item: Level) -> str:
    return item[0x0040A040].text() if 0x0040A040 in item else ""


def _concept(item: Level) -> tuple[str, str]:
    names = item.get(0x0040A043)
    name = names.items[0] if names is not None and names.items else {}
    code, scheme = (name[tag].text() if tag in name else "" for tag in (0x00080100, 0x00080102))
    return code, scheme


def _dictionary_vr(tag: int) -> str | None:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        row = row_of(tag)
        return row.vr if row is not None else "OB" if repeater_has_tag(tag) else None
