"""Attributes as a policy names them: by keyword, ``(gggg,eeee)`` or a path of them, looked up in the data dictionary.

It says what an attribute is and whether a value is legal for its VR (PS3.5 6.2), not what happens to it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache

from pydicom import config
from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword
from pydicom.valuerep import validate_value

from policies.standard.rows import printed, tag_of
from policies.standard.tables import rows

_TEXT = frozenset(("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_TEMPORAL = frozenset(("DA", "DT", "TM"))
_WITHOUT_TEXT_VALUE = frozenset(("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_NUMBERS = frozenset(("FL", "FD", "SL", "SS", "SV", "UL", "US", "UV", "AT"))
_FORMS = {
    "AS": "three digits and D, W, M or Y, for example 045Y",
    "CS": "at most 16 capital letters, digits, spaces and underscores",
    "DA": "a date as YYYYMMDD",
    "DS": "a decimal number of at most 16 characters",
    "DT": "a date and time as YYYYMMDDHHMMSS",
    "IS": "a whole number",
    "TM": "a time as HHMMSS",
    "UI": "digits and dots, at most 64 characters",
}
# What PS3.15 E.1.1 has the de-identifier write: no policy decides about it.
_MARKS = frozenset(
    (
        "PatientIdentityRemoved",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "LongitudinalTemporalInformationModified",
        "BurnedInAnnotation",
        "RecognizableVisualFeatures",
    )
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the data dictionary. ``written`` is its keyword, or its tag where it has none."""

    tag: int
    keyword: str
    vr: str

    @property
    def written(self) -> str:
        """How a policy writes it, always in the same way."""
        if self.repeats:
            # One keyword stands for all groups, and names none.
            number = printed(self.tag)
            return number if self.tag >> 16 & 0xFF else number.replace("00,", "xx,", 1)
        return self.keyword or printed(self.tag)

    @property
    def private(self) -> bool:
        """Whether its group is odd."""
        return bool(self.tag >> 16 & 1)

    @property
    def repeats(self) -> bool:
        """Whether it is of a repeating group of overlays or curves: ``(60xx,eeee)``, ``(50xx,eeee)``."""
        return self.tag >> 24 in (0x50, 0x60)

    @property
    def written_by_us(self) -> bool:
        """Whether the de-identifier writes it itself: commands, file meta, group lengths, its own marks."""
        return self.tag >> 16 < 8 or self.tag & 0xFFFF == 0 or self.keyword in _MARKS

    @property
    def cleanable(self) -> bool:
        """Whether C has a meaning for its VR: text, dates and times, sequences."""
        return self.vr == "SQ" or self.vr in _TEXT or self.vr in _TEMPORAL


@cache
def path_named(name: str) -> tuple[Attribute, ...]:
    """Return the sequences before an attribute, and the attribute: ``Sequence.Sequence.Attribute``.

    Raises ValueError where one of them is none.
    """
    path = tuple(attribute_named(part.strip()) for part in name.split("."))
    for one in path[:-1]:
        if one.vr != "SQ":
            raise ValueError(f"{one.written} is no sequence, so nothing lies in it; write only the attribute")
    return path


@cache
def attribute_named(name: str) -> Attribute:
    """Return the attribute for a keyword or ``(gggg,eeee)``.

    Raises ValueError, with the nearest right keyword, where there is none.
    """
    if re.fullmatch(r"\((50|60)[xX]{2},[0-9A-Fa-f]{4}\)", name):
        return attribute_named(name[:3] + "00" + name[5:])
    if re.fullmatch(r"\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)", name):
        tag = tag_of(name)
        try:
            return Attribute(tag, keyword_for_tag(tag), dictionary_VR(tag))
        except KeyError:
            # Table E.1-1 may be newer than the dictionary.
            row = rows().get(tag)
            return Attribute(tag, "", "UN") if row is None else Attribute(tag, row.keyword, row.vr or "UN")
    tag = tag_for_keyword(name)
    if tag is None:
        newer = next((row for row in rows().values() if row.keyword == name), None)
        if newer is not None:
            return Attribute(newer.tag, name, newer.vr or "UN")
        near = difflib.get_close_matches(name, keyword_dict, n=1)
        hint = f"write {near[0]}" if near else "write a keyword of PS3.6, or (gggg,eeee)"
        raise ValueError(f"'{name}' is no attribute; {hint}")
    return Attribute(tag, name, dictionary_VR(tag))


def check_value(attribute: Attribute, value: str) -> None:
    """Raise ValueError where ``value`` cannot be the attribute's value."""
    if attribute.vr in _WITHOUT_TEXT_VALUE or " or " in attribute.vr:
        raise ValueError(f"{attribute.written} (VR {attribute.vr}) takes no written value; leave 'value' out")
    if not value:
        raise ValueError("'value' is empty; write action: Z for an empty attribute")
    if attribute.vr in _NUMBERS:
        try:
            float(value)
        except ValueError:
            raise ValueError(f"'value' is no number, as VR {attribute.vr} wants; write a number") from None
        return
    try:
        validate_value(attribute.vr, value, config.RAISE)
    except ValueError:
        form = _FORMS.get(attribute.vr, "fewer characters, or others")
        raise ValueError(f"'value' is not legal for VR {attribute.vr}; write {form}") from None
