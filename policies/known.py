"""What the input itself says about the person, as words to look for in everything that is kept.

Stage 1 knows the patient: his names, identifiers, addresses. Whatever it keeps is searched for them, in any case and
order (PS3.15 E.1.1: protecting an attribute protects its value wherever else it is written).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from policies.dates import read_date
from policies.text import shipped_vocabulary

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff\x1b$()]+")
_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4


def words_of(raw: bytes) -> frozenset[str]:
    """Return the words of a value in lower case; bytes beyond ASCII stand for themselves (any character set)."""
    return frozenset(word.decode("latin-1").lower() for word in _WORD.findall(raw))


def telling_words(values: Iterable[bytes]) -> frozenset[str]:
    """Return those words of identifying values that are long enough to tell something on their own.

    Words below three letters and numbers below four digits occur everywhere; they are left out.
    """
    return frozenset(
        word
        for value in values
        for word in words_of(value)
        if len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD) and word not in _COMMON
    )


def unmistakable(words: Iterable[str]) -> frozenset[str]:
    """Return those words that can hardly stand anywhere by chance: five letters that are no safe word, or eight digits.

    Shorter numbers occur inside UIDs, numbers that could be dates among dates, and safe words inside code strings.
    """
    return frozenset(
        word
        for word in words
        if len(word) >= (8 if word.isdigit() else 5)
        and word not in shipped_vocabulary()
        and read_date(word.encode("latin-1")) is None
    )


_COMMON = frozenset(
    {"street", "road", "avenue", "hospital", "clinic", "doctor", "prof", "none", "unknown", "removed"}
    | {"anonymous", "anonymized", "patient", "subject"}
)
