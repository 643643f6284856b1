"""Whether a value that stays may be what its Value Representation says (PS3.5 6.2), and whether a text looks personal.

A decimal string with letters, a code string with an unknown word in lower case, a date of other signs: somebody wrote
something else there, and nobody knows what. A text that no table names may hold a model name or a kernel, but no
electronic address, telephone number, date, UID, age or numbered record. Checked while an instance is read, so each
check is one expression. Who is *known* is searched for elsewhere (:mod:`policies.known`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Final, TypeAlias

from policies.remembered import remembered
from policies.text import safe_words

Check: TypeAlias = Callable[[bytes], bool]

_DECIMAL = rb" *[+-]?(?:\d{1,17}(?:\.\d{0,17})?|\.\d{1,17})(?:[eE][+-]?\d{1,3})? *"
_DAY = rb"(?:1[6-9]|20)\d\d\.?(?:0[1-9]|1[0-2])\.?(?:0[1-9]|[12]\d|3[01])"
_TIME = rb"(?:[01]?\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?(?:\.0{0,6})?"
_MOMENT = (
    rb"(?:1[6-9]|20)\d\d(?:(?:0[1-9]|1[0-2])(?:[0-3]\d(?:[0-2]\d(?:[0-5]\d(?:[0-6]\d(?:\.\d{1,6})?)?)?)?)?)?"
    rb"(?:[+-]\d{4})?"
)


def _values_of(one: bytes, padding: bytes = rb"[ \0]*") -> Check:
    """Return a check that every value of a multi-valued element is empty or like ``one``."""
    part = rb"(?:" + one + rb")?" + padding
    fits = re.compile(part + rb"(?:\\" + part + rb")*").fullmatch
    return lambda raw: fits(raw) is not None


_code_string = re.compile(rb"[A-Z0-9_ \\]*\0?").fullmatch
_WORD = re.compile(r"[^\W_]+")


def _is_code_string(raw: bytes) -> bool:
    """Say whether a value is a code string, or at least of safe words where a writer used other signs."""
    if _code_string(raw) is not None:
        return True
    return raw.isascii() and safe_words().issuperset(_WORD.findall(raw.decode("ascii").lower()))


@cache
def defined_terms() -> frozenset[str]:
    """Return words of the defined terms and enumerated values of PS3.3, in lower case; beside the safe words."""
    text = (resources.files("policies") / "defined_terms.txt").read_text(encoding="utf-8")
    return frozenset(
        word.lower() for line in text.splitlines() if not line.startswith("#") for word in line.split()
    )


def only_terms(raw: bytes) -> bool:
    """Say whether a code string is made of defined terms and safe words, with no more than one short number."""
    if _code_string(raw) is None:
        return False
    words = _WORD.findall(raw.decode("ascii").lower())
    unknown = [word for word in words if word not in defined_terms() and word not in safe_words()]
    return not unknown or (len(unknown) == 1 and unknown[0].isdigit() and len(unknown[0]) <= 2)


BY_VR: Final[dict[bytes, Check]] = {
    b"AS": _values_of(rb"\d{1,3}[DWMYdwmy]?"),
    b"CS": _is_code_string,
    b"DA": _values_of(_DAY),
    b"DS": _values_of(_DECIMAL),
    b"DT": _values_of(_MOMENT),
    b"IS": _values_of(_DECIMAL),
    b"TM": _values_of(_TIME),
    b"UI": _values_of(rb"[0-9.]{1,64}"),
}
"""For each VR with a form of its own, whether a value has it."""

_RECORDS = (
    rb"mrn|pid|pat(?:ient|ienten)?|case|fall|record|dob|born|geb|ssn|nhs|acc(?:ession)?|tel|phone|fax|mobile"
)
_PERSONAL = re.compile(
    b"|".join(
        (
            rb"[\w.+-]@[\w-]+\.[a-z]",  # an electronic address
            rb"[a-z]{2}\^ ?[a-z]{2}",  # a name as PN has it
            rb"(?<![a-z])(?:dr|prof|mrs|mr|ms)\. ?[a-z]{2}|(?<![a-z])(?:herr|frau|mme|mrs) [a-z]{2}",
            rb"(?<![a-z])(?:" + _RECORDS + rb")(?:[ ._-]?(?:id|nr|no|num|number|nummer))?[ .:#=_-]{1,3}\d",
            rb"(?<![a-z])id[:#=] ?\d",
            rb"\+\d{1,3}[ ()/.-]{0,2}\d{1,5}[ ()/.-]{1,2}\d{2,}",  # a telephone number
            rb"(?<!\d)\(?0\d{1,4}\)?[ /-]\d{3}[ /-]?\d{2,}",
            rb"(?<!\d)\(\d{3}\) ?\d{3}-\d{4}|(?<!\d)\d{3}-\d{3}-\d{4}(?!\d)",
            rb"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",  # a social security number
            rb"(?<![\d.])[0-2](?:\.\d+){4,}(?<=[\d.]{16})",  # a UID
            rb"(?<!\d)\d{1,3} ?-?(?:yo|y/o|yrs?|years?|jahre|jaehrig|ans|anni)(?![a-z])",
            rb"(?<![0-9a-z])[01]\d\d[ym](?![a-z0-9])",
            # A number as long as those of records, and no date: what happens to dates is said elsewhere.
            rb"(?<![\d.])(?!" + _DAY + rb"(?:\d{6})?(?!\d))\d{7,}(?![\d.])",
        )
    )
)


@remembered(8192)
def is_impersonal(raw: bytes) -> bool:
    """Say whether nothing in a text looks personal by its form."""
    return _PERSONAL.search(raw.lower().replace(b"\0", b"")) is None


def holds_text(raw: bytes) -> bool:
    """Say whether there may be text in binary data: twelve signs together, four in UTF-16, three in a short value."""
    return _TEXT.search(raw) is not None or (len(raw) <= 64 and _SHORT_TEXT.search(raw) is not None)


_TEXT = re.compile(rb"[0-9A-Za-z\x80-\xff ^=_.,:;/@+()'-]{12}|(?:[\x20-\x7e]\0){4}|(?:\0[\x20-\x7e]){4}")
_SHORT_TEXT = re.compile(
    rb"[0-9A-Za-z\x80-\xff]{3}|\x1b|\d[^0-9A-Za-z]\d|(?:[0-9A-Za-z]\0){3}|(?:\0[0-9A-Za-z]){3}"
)
_TEXTS: Final = frozenset({b"AE", b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UR", b"UT"})
_CHARACTER_SET: Final = 0x00080005
_CONTENT_LABEL: Final = 0x00700080
TIMEZONE = 0x00080201
_character_set = _values_of(rb"ISO[_ -]?(?:IR|2022|2022[ _-]IR)?[ _-]?\d{1,4}|GB18030|GBK|UTF-?8")
_UID_IN_TEXT = re.compile(rb"(?<![\d.])[0-2](?:\.\d+){4,}(?<=[\d.]{16})")


def check_of(tag: int, vr: bytes, *, listed: bool) -> Check | None:
    """Return what a value that stays must be like, or None where anything may stay.

    ``listed`` says that a table or the policy has decided about this attribute: then its text is what it should be.
    """
    if tag == _CHARACTER_SET:
        return _character_set
    if tag == _CONTENT_LABEL and not listed:
        # A code string without terms: people name what they made.
        return only_terms
    if tag == TIMEZONE:
        return _values_of(rb"[+-](?:0\d|1[0-4])[0-5]\d")
    return is_impersonal if vr in _TEXTS and not listed else BY_VR.get(vr)


def check_of_private(vr: bytes) -> Check | None:
    """Return what a private value that the policy keeps must be like, or None where anything may stay."""
    return _without_uid if vr in _TEXTS else BY_VR.get(vr)


def _without_uid(raw: bytes) -> bool:
    return _UID_IN_TEXT.search(raw.replace(b"\0", b"")) is None
