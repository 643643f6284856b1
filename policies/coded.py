"""What a coded entry of a result may hold: a public code and its meaning, or what says nothing (PS3.3 8.8).

    value      a code of PS3.16, one that looks like a code of its scheme, a pseudonym, or safe words
    designator of the standard's list, of a maker, or L for what is local
    version    a number with a few letters
    meaning    words of the code's own meaning, and safe words

Part of the verification: the codes are the standard's, and how they are judged is written here once more.
"""

from __future__ import annotations

import re

from policies.expected import Complaint, Expectations
from policies.layout import Level
from policies.silence import is_silent
from policies.standard.codes import PUBLIC_SCHEMES, VENDOR_SCHEMES, public_meaning

_VALUE, _SCHEME, _VERSION, _MEANING, _LONG_VALUE = 0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119
_PARTS = (_VALUE, _SCHEME, _VERSION, _MEANING, _LONG_VALUE)
_LOCAL = "L"
_MISSPELT_UNITS = ("UCM", "UCUN", "UCUM")
_CODE_LIKE = re.compile(r"[A-Za-z0-9%_.:,;+*^'/()\[\]{}-]{1,64}")
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LONGEST = 4
_LONGEST_UNIT = 5
"""Letters in a row that a code may have and that are no word: those of a system, or two units without a sign."""
_NOTES = re.compile(
    r"(?i)x|rays?|sources?|events?|suv(?:bw|bsa|i?lbm|ibw)|counts?|ratio|beats?|cells?|particles?|frames?"
)
"""Words in the braces of a unit that say what is counted."""
_LOCAL_UNIT = re.compile(r"(?:[A-Za-z%]{1,3}[1-3]?[./]?){1,3}")
_VERSION_LIKE = re.compile(r"(?=.*\d)[A-Za-z]{0,5}(?:[ ._:/-]?(?:\d{1,8}[A-Za-z]{0,3}))+")
_IN_BRACES = re.compile(r"[{(][^})]*[})]")


def coded_complaint(item: Level, expectations: Expectations) -> Complaint | None:
    """Say what is wrong with the coded entry in ``item``; None where nothing is, or where none is there."""
    judged = _Entry(item, expectations)
    for tag, right, what in (
        (
            _LONG_VALUE,
            judged.second_value,
            "a second code value that is neither a pseudonym nor of safe words",
        ),
        (_VALUE, judged.value, "a code value that is neither public nor a pseudonym"),
        (_SCHEME, judged.scheme, "a coding scheme that nobody publishes"),
        (_VERSION, judged.version, "a version of a coding scheme that is none"),
        (_MEANING, judged.meaning, "a meaning with words that are neither the code's nor known to be safe"),
    ):
        if tag in item and not expectations.overrides((tag,)) and not right():
            return Complaint("code", what, tag)
    return None


class _Entry:
    """One coded entry, asked part by part whether it is right."""

    def __init__(self, item: Level, expectations: Expectations) -> None:
        self._words = expectations.words
        self._is_pseudonym = expectations.forms.is_pseudonym
        texts = {tag: item[tag].text() if tag in item else "" for tag in _PARTS}
        self._short, self._long = texts[_VALUE], texts[_LONG_VALUE]
        self._code = self._short or self._long
        self._scheme, self._version, self._meaning = texts[_SCHEME], texts[_VERSION], texts[_MEANING]
        self._public = public_meaning(self._scheme, self._code)

    def value(self) -> bool:
        return not self._short or self._is_code()

    def second_value(self) -> bool:
        return self._says_nothing(self._long) if self._short else self._is_code()

    def scheme(self) -> bool:
        listed = PUBLIC_SCHEMES.fullmatch(self._scheme) or VENDOR_SCHEMES.fullmatch(self._scheme)
        if self._scheme.upper() in _MISSPELT_UNITS:
            return True
        return self._scheme == _LOCAL or is_silent(self._scheme) or listed is not None

    def version(self) -> bool:
        return self._says_nothing(self._version) or _VERSION_LIKE.fullmatch(self._version) is not None

    def meaning(self) -> bool:
        if self._meaning == self._code or is_silent(self._meaning):
            return True
        own = set(_WORD.findall((self._public or "").lower()))
        others = [word for word in _WORD.findall(self._meaning.lower()) if word not in own]
        return not self._words.tells_more(" ".join(others))

    def _says_nothing(self, text: str) -> bool:
        return is_silent(text) or self._is_pseudonym(text) or not self._words.tells_more(text)

    def _is_code(self) -> bool:
        if self._public is not None or self._says_nothing(self._code):
            return True
        bare = _IN_BRACES.sub("", self._code)
        if self._scheme in ("", _LOCAL) and not _LOCAL_UNIT.fullmatch(bare):
            return False
        longest = _LONGEST_UNIT if self._scheme == "UCUM" else _LONGEST
        runs = [run for run in _LETTERS.findall(bare) if len(run) > longest]
        notes = _LETTERS.findall(" ".join(_IN_BRACES.findall(self._code)))
        words = [*runs, *(note for note in notes if not _NOTES.fullmatch(note))]
        return _CODE_LIKE.fullmatch(bare or "0") is not None and not self._words.tells_more(" ".join(words))
