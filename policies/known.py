"""What the input itself says about the person, as words to look for in everything that is kept.

Stage 1 knows the patient: his names, identifiers, addresses. Whatever it keeps is searched for them, in any case and
order (PS3.15 E.1.1: protecting an attribute protects its value wherever else it is written).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from policies.dates import read_date
from policies.text import shipped_vocabulary

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff\x1b$()]+")
_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4


def words_of(raw: bytes) -> frozenset[str]:
    """Return the words of a value in lower case; bytes beyond ASCII stand for themselves (any character set)."""
    return frozenset(word.decode("latin-1").lower() for word in _WORD.findall(raw))


@lru_cache(maxsize=256)
def telling_words(values: frozenset[bytes]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words of identifying values that tell something on their own, and the unmistakable among them.

    Words below three letters and numbers below four digits occur everywhere; they are left out. Unmistakable words can
    hardly stand anywhere by chance: at least five letters and no safe word, or eight digits. Shorter numbers occur
    inside UIDs, numbers that could be dates among dates, and safe words inside code strings.
    """
    telling = frozenset(
        word
        for value in values
        for word in words_of(value)
        if len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD) and word not in _COMMON
    )
    unmistakable = frozenset(
        word
        for word in telling
        if len(word) >= (8 if word.isdigit() else 5)
        and word not in shipped_vocabulary()
        and read_date(word.encode("latin-1")) is None
    )
    return telling, unmistakable


@lru_cache(maxsize=8192)
def words_found(raw: bytes, telling: frozenset[str], unmistakable: frozenset[str]) -> frozenset[str]:
    """Return the telling words among the words of a value, and the unmistakable ones anywhere in it."""
    text = raw.decode("latin-1").lower()
    return (telling & words_of(raw)) | {word for word in unmistakable if word in text}


class WordSearch:
    """Looks for words in what stays of an instance, in any case.

    Most of a header is the same in a whole series: a chunk that holds none of the words is remembered, and not
    searched again.
    """

    def __init__(self, words: frozenset[str]) -> None:
        self._words = [word.encode("latin-1") for word in words]
        self._clear: set[bytes] = set()
        self._remembered = 0

    def finds_in_any(self, chunks: Iterable[bytes]) -> bool:
        """Say whether any of the words stands in any of the chunks."""
        clear = self._clear
        return any(chunk not in clear and self._finds(chunk) for chunk in chunks)

    def _finds(self, chunk: bytes) -> bool:
        lower = chunk.lower()
        if any(word in lower for word in self._words):
            return True
        if self._remembered > _MOST_REMEMBERED:
            self._clear.clear()
            self._remembered = 0
        self._clear.add(chunk)
        self._remembered += len(chunk)
        return False


@lru_cache(maxsize=16)
def search_for(words: frozenset[str]) -> WordSearch:
    """Return the search for these words that this process has used before, with what it remembers."""
    return WordSearch(words)


_MOST_REMEMBERED = 1 << 22
_COMMON = frozenset(
    {"street", "road", "avenue", "hospital", "clinic", "doctor", "prof", "none", "unknown", "removed"}
    | {"anonymous", "anonymized", "patient", "subject"}
)
