"""Free text that stays: only words that are known to be safe (PS3.15 E.3.5, Clean Descriptors Option).

The approach is the one that PS3.15 itself names as the surest: keep known-safe terms, drop everything else. So a name
that no header knows goes too. Numbers stay only with a unit or inside a known abbreviation, because a bare number may
be an age, a date or an identifier. Searching for values that *are* known is :mod:`policies.known`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from importlib import resources

_TOKEN = re.compile(
    r"[A-Za-z][A-Za-z0-9]*|[0-9]+(?:[.,][0-9]+)?(?:mm|cm|kv|kvp|sec|ms|t|d)?\b|[^A-Za-z0-9]+", re.I
)
_MEASURE = re.compile(r"(?:[0-9]{1,3}(?:[.,][0-9]{1,3})?)(?:mm|cm|kv|kvp|sec|ms|t|d)", re.I)
_NUMBER = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{1,3})?")
_REMEMBERED = 4096
_UNITS = frozenset({"mm", "cm", "kv", "kvp", "ma", "mas", "sec", "ms", "hz", "t", "tesla", "deg"})
_CONNECTING = frozenset(
    {"and", "or", "of", "the", "in", "on", "at", "for", "no", "not", "is", "are"}
    | {"was", "seen", "noted", "new", "none", "with", "without", "w", "wo"}
)
_SEPARATORS = frozenset(" +-/.,:;()&*_<>=[]\n\r\t")


@cache
def shipped_vocabulary() -> frozenset[str]:
    """Return the shipped safe words, in lower case."""
    text = (resources.files("policies") / "vocabulary.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


class Cleaner:
    """Keeps the safe words of a text."""

    def __init__(self, further_words: Collection[str] = ()) -> None:
        self._cleaned: dict[tuple[str, frozenset[str]], str] = {}
        self._safe = shipped_vocabulary() | {
            word.lower() for entry in further_words for word in entry.split()
        }

    def clean(self, text: str, known: frozenset[str] = frozenset()) -> str:
        """Return ``text`` with its safe words only, in their order; empty when none is safe.

        ``known`` are words (lower case) that name the subject; they go even where the vocabulary has them.
        """
        remembered = self._cleaned.get((text, known))
        if remembered is None:
            if len(self._cleaned) >= _REMEMBERED:
                self._cleaned.clear()
            remembered = self._cleaned[text, known] = self._clean(text, known)
        return remembered

    def _clean(self, text: str, known: frozenset[str]) -> str:
        tokens: list[str] = _TOKEN.findall(text)
        words = [token for token in tokens if token[0].isalnum()]
        kept: list[str] = []
        dropped = False
        place = 0
        for token in tokens:
            if not token[0].isalnum():
                if kept and not dropped and all(character in _SEPARATORS for character in token):
                    kept.append(token)
                continue
            place += 1
            following = words[place].lower() if place < len(words) else ""
            if self._is_safe(token, following, known):
                if dropped and kept:
                    kept.append(" ")
                kept.append(token)
                dropped = False
            else:
                dropped = True
                while kept and not kept[-1][0].isalnum():
                    kept.pop()
        # Words that only connect say nothing without those they connected.
        while kept and (not kept[-1][0].isalnum() or kept[-1].lower() in _CONNECTING):
            kept.pop()
        return "".join(kept)

    def _is_safe(self, token: str, following: str, known: frozenset[str]) -> bool:
        word = token.lower()
        if word in known:
            return False
        if word in self._safe or word in _CONNECTING or _MEASURE.fullmatch(token):
            return True
        return bool(_NUMBER.fullmatch(token)) and following in _UNITS
