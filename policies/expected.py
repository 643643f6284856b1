"""What one element of a de-identified instance may hold, judged from the result alone.

    element ──▶ private? unknown? ──▶ overridden? ──▶ name, UID, date, age ──▶ row of Table E.1-1 ──▶ complaint

The engine decides what to do; this asks whether what is there can be right, and was written without it: it takes
facts from the standard's table and the policy, and no code from profile, plan or operations. Where the two disagree,
the instance is held. Values are looked at and never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement

from policies.model import Dates, Override, Policy
from policies.profile import Action
from policies.standard.tables import Option, attribute_type, row_of, safe_private

CONTENT_SEQUENCE = 0x0040A730
_PATIENT_AGE = 0x00101010
_CONTRIBUTING_EQUIPMENT = 0x0018A001
# Written by the de-identifier, at the top level of every instance, and checked as a whole elsewhere.
MARKS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303, _CONTRIBUTING_EQUIPMENT})

_SILENT = frozenset(
    {"", "REMOVED", "ANONYMOUS", "ANONYMIZED", "UNKNOWN", "UNSPECIFIED", "URN:REMOVED", "99TCE"}
)
_SILENT_NUMBER = re.compile(r"0*(?:\.0*)?[DWMY]?|0*1?9000101(?:0{6})?")
# A prefix of the case, at least eight base-32 digits without I, L, O and U, and a check character.
_PSEUDONYM = re.compile(r"(?=.{6,16}$)[0-9A-Z_-]{0,5}[0-9A-HJKMNP-TV-Z]{5,}[0-9A-Z*~$=]?")
_STRUCTURAL = (
    "ClassUID",
    "ClassesInStudy",
    "ClassesSupported",
    "SyntaxUID",
    "CodingSchemeUID",
    "ContextUID",
    "MappingResourceUID",
    "ExtensionCreatorUID",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element stands: the tags that lead to it, the SOP Class, and for private ones their creator."""

    sop_class_uid: str
    path: tuple[int, ...]
    creator: str = ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why an element cannot be right: a stable code and one sentence without its value."""

    code: str
    what: str


def complaint_about(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    """Say what is wrong with ``element`` under ``policy``, or None where nothing is."""
    tag = int(element.tag)
    if tag >> 16 & 1:
        return _private(element, place, policy)
    if not dictionary_has_tag(tag):
        return Complaint("unknown-element", "the data dictionary does not know it, so it may hold anything")
    override = next((override for override in policy.overrides if override.tag == tag), None)
    if override is not None:
        return _overridden(element, override)
    if len(place.path) == 1 and (tag in MARKS or (policy.clinical_trial and tag >> 16 == 0x0012)):
        return None
    for judge in (_name, _uid, _age, _date, _tabled):
        complaint = judge(element, place, policy)
        if complaint is not None:
            return complaint
    return None


def says_nothing(element: DataElement) -> bool:
    """Is the element empty, or does it hold a value that stands for no value?"""
    if element.VR == "SQ":
        return all(says_nothing(inner) for item in element.value or () for inner in item)
    value = element.value
    if isinstance(value, bytes):
        return not value.strip(b"\0 ")
    return all(_silent(str(part)) for part in values_of(element))


def values_of(element: DataElement) -> Iterable[object]:
    """The values of an element, however many there are."""
    if element.value is None:
        return ()
    return element.value if element.VM > 1 else (element.value,)


def _silent(text: str) -> bool:
    bare = text.strip("\0 ^=").upper()
    return bare in _SILENT or _SILENT_NUMBER.fullmatch(bare) is not None


def _replaced(element: DataElement) -> bool:
    """Does every value say nothing, or have the form of a pseudonym?"""
    if element.VR not in ("LO", "SH", "PN"):
        return says_nothing(element)
    return all(_silent(str(part)) or _PSEUDONYM.fullmatch(str(part).strip()) for part in values_of(element))


def _private(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    group, low = element.tag.group, element.tag.element & 0xFF
    if element.tag.is_private_creator:
        return None
    chosen = {(keep.creator, keep.group, keep.element) for keep in policy.private}
    if Option.RETAIN_SAFE_PRIVATE in policy.options:
        chosen |= safe_private().keys()
    if not place.creator or (place.creator, group, low) not in chosen:
        return Complaint(
            "private-element", "a private element that neither the policy nor the safe list names"
        )
    if element.VR in ("SQ", "PN", "UN"):
        return Complaint(
            "private-element", f"a private element of VR {element.VR} cannot be known to be safe"
        )
    return None


def _overridden(element: DataElement, override: Override) -> Complaint | None:
    right: Callable[[DataElement], bool]
    if override.action in (Action.K, Action.C):
        return None
    if override.action == Action.U:
        right = _mapped
    elif override.value is not None:
        right = _is(override.value)
    else:
        right = says_nothing if override.action in (Action.X, Action.Z) else _replaced
    if right(element):
        return None
    return Complaint("override", f"the policy's override (action {override.action}) was not followed")


def _is(expected: str) -> Callable[[DataElement], bool]:
    def same(element: DataElement) -> bool:
        text = "\\".join(str(part) for part in values_of(element))
        try:
            return text == expected or float(text) == float(expected)
        except ValueError:
            return False

    return same


def _name(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    if element.VR != "PN" or _replaced(element):
        return None
    return Complaint("name", "a person's name that is neither empty nor a pseudonym")


def _uid(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    if element.VR != "UI" or element.keyword.endswith(_STRUCTURAL) or _mapped(element):
        return None
    if "K" in _retained(int(element.tag), policy) or Option.RETAIN_UIDS in policy.options:
        return None
    return Complaint(
        "uid", "a UID that is neither of the standard nor derived (2.25 with a UUID of version 8)"
    )


def _mapped(element: DataElement) -> bool:
    return all(_derived(str(part)) for part in values_of(element))


def _derived(uid: str) -> bool:
    if not uid or uid.startswith("1.2.840.10008."):
        return True
    number = uid.removeprefix("2.25.")
    if number == uid or not number.isdigit() or int(number) >> 128:
        return False
    bits = int(number)
    return bits >> 76 & 0xF == 8 and bits >> 62 & 0b11 == 0b10


def _age(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    if policy.ages is None or int(element.tag) != _PATIENT_AGE or says_nothing(element):
        return None
    found = re.fullmatch(r"(\d{3})Y", str(element.value).strip())
    if found and is_band(int(found[1]), policy):
        return None
    return Complaint("age", "an age that is not the lower bound of a band of the policy")


def is_band(years: float, policy: Policy) -> bool:
    """Is ``years`` the lower bound of one of the policy's age bands, or does the policy have none?"""
    if policy.ages is None:
        return True
    return years == policy.ages.top or (years < policy.ages.top and years % policy.ages.width == 0)


def _date(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    if element.VR not in ("DA", "DT") or policy.dates is not Dates.REMOVE or says_nothing(element):
        return None
    return Complaint("date", "a date under a policy that removes dates")


def _tabled(element: DataElement, place: Place, policy: Policy) -> Complaint | None:
    """Table E.1-1: what no option of the policy retains or cleans must be gone, silent, or a pseudonym."""
    tag = int(element.tag)
    row = row_of(tag)
    if row is None or _retained(tag, policy) or element.VR == "UI":
        return None
    if tag == CONTENT_SEQUENCE or (element.VR == "SQ" and row.basic == "X" and not _required(place)):
        empty = not element.value
        return None if empty else Complaint("retained-sequence", "a sequence that profile and options remove")
    if element.VR == "SQ":
        return None
    if says_nothing(element) or (row.basic != "X" and _replaced(element)):
        return None
    return Complaint("retained-value", f"a value where profile and options demand {row.basic}")


def _retained(tag: int, policy: Policy) -> set[str]:
    """The actions K and C that the policy's options give to the attribute."""
    row = row_of(tag)
    return (
        set() if row is None else {row.options[option] for option in policy.options if option in row.options}
    )


def _required(place: Place) -> bool:
    use = attribute_type(place.sop_class_uid, place.path)
    return use is not None and use.type in ("1", "1C")
