"""Is every element legal by itself: its VR, its multiplicity, the length and the characters of its values?

    Instance ──▶ faults of the encoding + faults of the values ──minus those that the source had──▶ Faults

PS3.5 6.1, 6.2 and 7 for values, PS3.6 for VR and multiplicity. A fault that the source had in the same attribute is
the source's; one more of it is ours. Words in the place of a number, a date or an age are never excused: nobody knows
what they say (PS3.15 E.1.1).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache

from pydicom.datadict import dictionary_VM, dictionary_VR, repeater_has_tag

from policies.layout import Element, Fault, Instance, Level

_UNITS = {
    **dict.fromkeys(("SS", "US", "OW"), 2),
    **dict.fromkeys(("AT", "FL", "SL", "UL", "OF", "OL"), 4),
    **dict.fromkeys(("FD", "SV", "UV", "OD", "OV"), 8),
}
_COUNTED = {"AT", "FL", "SL", "UL", "SS", "US", "FD", "SV", "UV"}
_LONGEST = {"AE": 16, "LO": 64, "SH": 16, "CS": 16, "DS": 16, "IS": 12, "UI": 64}
_LONGEST_TEXT = {"LT": 10240, "ST": 1024}
_FORMS = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]*"),
    "DA": re.compile(r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"),
    "DS": re.compile(r" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *"),
    "DT": re.compile(
        r"\d{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])?"
        r"(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?)?(?:[+-]\d{4})?"
    ),
    "IS": re.compile(r" *[+-]?\d+ *"),
    "TM": re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"),
    "UI": re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+"),
    "AE": re.compile(r"[ -\[\]-~]*"),
}
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0e-\x1a\x1c-\x1f]")
_LINE_CONTROL = re.compile(r"[\x00-\x1a\x1c-\x1f]")
_ONE_TEXT = {"LT", "ST", "UT", "UR"}
_WITHOUT_WORDS = {"AS", "DA", "DS", "DT", "IS", "TM", "UI"}
_WORD = re.compile(r"[^\W\d_]{2}")
_TEXT = {"LO", "SH", "PN", "UC", "LT", "ST", "UT"}
_CHARACTER_SET = 0x00080005
_SHORT = 64


def illegal(instance: Instance, source: Instance | None) -> Iterator[Fault]:
    """Yield the faults of ``instance``, encoding and values, that ``source`` did not have as often."""
    excused: Counter[tuple[object, ...]] = Counter()
    found = list(_faults(instance))
    if found and source is not None:
        excused.update(fault.kind for fault in _faults(source))
    for fault in found:
        if excused[fault.kind] > 0 and fault.steps and fault.code != "words":
            excused[fault.kind] -= 1
        else:
            yield fault


def _faults(instance: Instance) -> Iterator[Fault]:
    yield from instance.faults
    declared = {id(instance.top): _declares(instance.top)}
    for steps, element, level in instance.elements():
        foreign = declared.get(id(level))
        if foreign is None:
            foreign = declared[id(level)] = declared[id(instance.top)] or _declares(level)
        for what in _wrong_in(element, instance.explicit, foreign):
            yield Fault(what[0], steps, what[1])


def _declares(level: Level) -> bool:
    element = level.get(_CHARACTER_SET)
    return element is not None and any(part for part in element.texts() if part != "ISO_IR 6")


def _wrong_in(element: Element, explicit: bool, foreign: bool) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with an element. What a short value says is the same wherever it stands."""
    if element.length > _SHORT or element.items is not None or element.fragments is not None:
        return tuple(_wrong(element, explicit, foreign=foreign))
    return _wrong_with(element.tag, element.vr, element.raw(), explicit, foreign)


@lru_cache(maxsize=1 << 14)
def _wrong_with(
    tag: int, vr: str, value: bytes, explicit: bool, foreign: bool
) -> tuple[tuple[str, str], ...]:
    return tuple(_wrong(Element(tag, vr, 0, len(value), value), explicit, foreign=foreign))


def _wrong(element: Element, explicit: bool, *, foreign: bool) -> Iterator[tuple[str, str]]:
    legal, least, most, step = _dictionary(element.tag)
    vr = element.vr
    if explicit and legal and vr not in legal and vr != "UN":
        yield "vr", "the data dictionary gives it another Value Representation"
    if element.items is not None or element.fragments is not None or not element.length:
        return
    unit = _UNITS.get(vr)
    if unit is not None:
        if element.length % unit:
            yield "value-length", f"its length is no multiple of {unit} bytes"
        elif vr in _COUNTED and legal:
            yield from _multiplicity(element.length // unit, least, most, step)
        return
    if vr in _FORMS or vr in _TEXT or vr == "UR":
        yield from _text(element, foreign=foreign)
        if legal and vr not in _ONE_TEXT and not (foreign and vr in _TEXT):
            yield from _multiplicity(element.text().count("\\") + 1, least, most, step)


def _text(element: Element, *, foreign: bool) -> Iterator[tuple[str, str]]:
    vr, raw = element.vr, element.raw()
    text = raw.decode("latin-1").rstrip("\0 ")
    if not raw.isascii() or b"\x1b" in raw:
        if vr not in _TEXT:
            yield "characters", f"characters that VR {vr} does not allow"
        elif not foreign:
            yield "character-set", "characters of a character set that is not declared"
        return
    control = _CONTROL if vr in _ONE_TEXT else _LINE_CONTROL
    form = _FORMS.get(vr)
    parts = [text] if vr in _ONE_TEXT else text.split("\\")
    if vr in _TEXT and control.search(text):
        yield "characters", f"control characters that VR {vr} does not allow"
    if vr in _WITHOUT_WORDS and _WORD.search(text):
        yield "words", f"letters where VR {vr} has none"
    elif form and any(part.strip(" ") and not form.fullmatch(part.rstrip(" ")) for part in parts):
        yield "characters", f"a value that is not of the form of VR {vr}"
    longest = _LONGEST.get(vr)
    if longest and any(len(part) > longest for part in parts):
        yield "value-length", f"a value longer than {longest} characters"
    if vr in _LONGEST_TEXT and len(text) > _LONGEST_TEXT[vr]:
        yield "value-length", f"a value longer than {_LONGEST_TEXT[vr]} characters"
    if vr == "PN" and any(len(group) > 64 for part in parts for group in part.split("=")):
        yield "value-length", "a component group of a name longer than 64 characters"


def _multiplicity(count: int, least: int, most: int, step: int) -> Iterator[tuple[str, str]]:
    if count < least or (most and count > most) or (step > 1 and count % step):
        yield "multiplicity", "not as many values as the data dictionary wants"


def is_legal(element: Element) -> bool:
    """Has the element a VR that the data dictionary gives it, and a value that this VR allows?"""
    return next(_wrong(element, True, foreign=True), None) is None


def legal_vrs(tag: int) -> frozenset[str]:
    """Return the Value Representations that the data dictionary gives an attribute, none where it knows none."""
    return _dictionary(tag)[0]


@cache
def _dictionary(tag: int) -> tuple[frozenset[str], int, int, int]:
    """Return the legal VRs of a tag (none where it is not known), and how many values it has."""
    if tag >> 16 & 1:
        return frozenset(), 0, 0, 1
    try:
        vrs, vm = dictionary_VR(tag), dictionary_VM(tag)
    except KeyError:
        return frozenset(), 0, 0, 1
    legal = frozenset(vrs.replace(" or ", ",").split(","))
    if legal & {"OB", "OW"} and not repeater_has_tag(tag):
        legal |= {"OB", "OW"} if tag == 0x7FE00010 else frozenset()
    least, _, most = vm.partition("-")
    if not most:
        return legal, int(least), int(least), 1
    step = int(most[:-1]) if most.endswith("n") and most != "n" else 1
    return legal, int(least), 0 if most.endswith("n") else int(most), step
