"""What pseudonyms and new UIDs look like: their forms, for who looks at a result and knows the case that it is for.

Written from the documentation of the pseudonym scheme, not from the code that makes them. A value has the form of a
pseudonym when its length, alphabet and check character are those that the case chose; pseudonyms that an import
brought are known by themselves, because they have any form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from policies.layout import Element
from policies.silence import is_registered, is_silent, is_structural, says_nothing

_PADDING = " \t\n\v\f\r\0"
_STRUCTURAL_CODES = {0x00080102}
_LONGEST_PREFIX = 5
_PREFIXED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_ALPHABETS: Mapping[str, str] = {
    "base32": "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    "letters": "ABCDEFGHJKMNPQRSTUVWXYZ",
    "digits": "0123456789",
}
# M. Damm's quasigroup of order 10, row by row.
_DAMM = "0317598642709215486342068713591750983426612304597836742095815869720134894536201794386172052581436790"


@dataclass(frozen=True, slots=True)
class Forms:
    """The forms of a case's pseudonyms. Left as it is, it knows those of a case that chose nothing, with any prefix.

    ``drawn`` says that UIDs come from chance (UUID version 4) rather than from a key (version 8); ``imported`` are
    pseudonyms and UIDs that a list brought. Under a ``legacy_root`` no UID is from a key: each is the unkeyed MD5 of
    its original, as CTP's ``@hashuid`` makes it.
    """

    prefix: str | None = None
    alphabet: str = "base32"
    length: int = 16
    drawn: bool = False
    imported: frozenset[str] = field(default=frozenset(), repr=False)
    legacy_root: str = ""

    def is_pseudonym(self, text: str) -> bool:
        """Has the text the form of a pseudonym, the last character of which checks the others, or is it imported?

        The prefix does not count in the check. Where it is not known, any that fits will do.
        """
        if text in self.imported:
            return True
        if len(text) != self.length:
            return False
        lengths = range(_LONGEST_PREFIX + 1) if self.prefix is None else (len(self.prefix),)
        return any(self._checks(text[:start], text[start:-1], text[-1]) for start in lengths)

    def _checks(self, prefix: str, body: str, check: str) -> bool:
        signs = _ALPHABETS[self.alphabet]
        if not _PREFIXED.issuperset(prefix) if self.prefix is None else prefix != self.prefix:
            return False
        if not all(sign in signs for sign in body):
            return False
        step, state = _STEPS[self.alphabet], 0
        for sign in body:
            state = step(state, signs.index(sign))
        return check == signs[state]

    def is_derived(self, uid: str) -> bool:
        """Is the UID imported, or ``2.25.`` and the number of a UUID of version 8 (from a key) or 4 (from chance)?

        Under a legacy root: is it the root and a number of 128 bits, as far as 64 characters show it?
        """
        if uid in self.imported:
            return True
        if self.legacy_root:
            return self._is_legacy(uid)
        number = uid.removeprefix("2.25.")
        if number == uid or not number.isdigit() or len(number) > 39 or int(number) >> 128:
            return False
        bits = int(number)
        return bits >> 76 & 0xF == (4 if self.drawn else 8) and bits >> 62 & 0b11 == 0b10

    def _is_legacy(self, uid: str) -> bool:
        number = uid.removeprefix(f"{self.legacy_root}.")
        if number == uid or not number.isascii() or not number.isdigit() or number[0] == "0" or len(uid) > 64:
            return False
        return len(number) <= 39 and int(number) >> 128 == 0

    def may_come_of(self, uid: str, original: str) -> bool:
        """May the new UID be that of this original? Only a legacy one says it: any other one is under a key."""
        if not self.legacy_root or uid in self.imported:
            return True
        digest = hashlib.md5(original.strip(_PADDING).encode("utf-8", "surrogatepass"), usedforsecurity=False)
        return uid == f"{self.legacy_root}.{int(digest.hexdigest(), 16)}"[:64]

    def mapped(self, element: Element) -> bool:
        """Is every UID of the element a new one, or one that the standard itself registers?"""
        return all(self.is_derived(uid) or is_registered(uid) for uid in element.texts())

    def replaced(self, element: Element) -> bool:
        """Does every value say nothing, or have the form of a pseudonym?"""
        if element.vr not in ("LO", "SH", "PN", "UC", "AE", "UN") or element.items is not None:
            return says_nothing(element)
        return all(is_silent(part) or self.is_pseudonym(part) for part in element.texts())

    def dummy(self, element: Element) -> bool:
        """Does the element, with all that lies in it, hold nothing but dummies, pseudonyms and new UIDs?"""
        if element.items is not None:
            return all(self.dummy(inner) for item in element.items for inner in item.values())
        if element.tag in _STRUCTURAL_CODES:
            return element.text() in ("99TCE", "DCM") or says_nothing(element)
        if element.vr == "UI":
            return is_structural(element.tag) or self.mapped(element)
        return self.replaced(element)


def _in_the_field_of_32(state: int, value: int) -> int:
    """x times the sum, modulo x^5 + x^2 + 1."""
    product = (state ^ value) << 1
    return product ^ 0b100101 if product & 0b100000 else product


def _modulo_23(state: int, value: int) -> int:
    return (state + value) * 2 % 23


def _damm(state: int, value: int) -> int:
    return int(_DAMM[state * 10 + value])


_STEPS: Mapping[str, Callable[[int, int], int]] = {
    "base32": _in_the_field_of_32,
    "letters": _modulo_23,
    "digits": _damm,
}
