"""Free text that stays: only words that are known to be safe (PS3.15 E.3.5, Clean Descriptors Option).

The approach is the one that PS3.15 itself names as the surest: keep known-safe terms, drop everything else. So a name
that no header knows goes too. Numbers stay only with a unit or inside a known abbreviation, because a bare number may
be an age, a date or an identifier. Words that people are called by as well (Head, Short, Bone) stay only beside a word
that nobody is called by. Searching for values that *are* known is :mod:`policies.known`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache
from importlib import resources

from policies.remembered import LONGEST

_TOKEN = re.compile(
    r"[0-9]+(?:[.,][0-9]+)?(?:mm|cm|kvp?|sec|ms|t|d)?(?![0-9A-Za-z\x80-\U0010ffff])"
    r"|[0-9A-Za-z\x80-\U0010ffff]+|[^0-9A-Za-z\x80-\U0010ffff]+",
    re.I,
)
_MEASURE = re.compile(r"(?:[0-9]{1,3}(?:[.,][0-9]{1,3})?)(?:mm|cm|kv|kvp|sec|ms|t)", re.I | re.A)
_NUMBER = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{1,3})?", re.A)
_ESCAPED = re.compile(r"\x1b\$[(*+,-]?[@-Z](?<!\$\))[^\x1b]*|\x1b\$\)[@-Z]|\x1b[()*+-.][0-9@-Z]")
"""ISO 2022: text in a multi-byte set, whose bytes look like letters; and escapes alone (PS3.5 6.1.2.5)."""
_REMEMBERED = 4096
_UNITS = frozenset({"mm", "cm", "kv", "kvp", "ma", "mas", "sec", "ms", "hz", "t", "tesla", "deg"})
_CONNECTING = frozenset(
    {"and", "or", "of", "the", "in", "on", "at", "for", "no", "not", "is", "are"}
    | {"was", "seen", "noted", "new", "none", "with", "without", "w", "wo"}
    | {"und", "mit", "ohne", "avec", "sans", "senza"}
)
_TITLES = frozenset(
    {
        "dr",
        "prof",
        "mrs",
        "miss",
        "herr",
        "frau",
        "mme",
        "mlle",
        "sig",
        "sra",
        "srta",
        "sir",
        "pat",
        "patient",
    }
    | {"name", "nom", "nome", "nombre", "physician", "doctor", "arzt", "mrn", "id", "dob", "born", "geb"}
)
"""What follows one of these is a name, a number or a date, whatever else the word may mean."""
_TITLES_UNLESS_CAPITAL = frozenset({"mr", "ms", "sr", "fr"})
_SEPARATORS = frozenset(" +-/.,:;()&*_<>=[]\n\r\t")
_LATIN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "æ": "ae", "œ": "oe", "å": "aa"}
    | {"Ä": "AE", "Ö": "OE", "Ü": "UE", "Ø": "OE", "Æ": "AE", "Œ": "OE", "Å": "AA"}
)


@cache
def shipped_vocabulary() -> frozenset[str]:
    """Return the shipped words that are safe wherever they stand, in lower case."""
    return _shipped()[0]


@cache
def ambiguous_words() -> frozenset[str]:
    """Return the shipped words that are also names of people, in lower case: safe only beside a safe word."""
    return _shipped()[1]


@cache
def safe_words() -> frozenset[str]:
    """Return all shipped words, in lower case: those that may equal somebody's name by chance."""
    return shipped_vocabulary() | ambiguous_words()


def _shipped() -> tuple[frozenset[str], frozenset[str]]:
    text = (resources.files("policies") / "vocabulary.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    ambiguous = frozenset(word for line in lines if line.startswith("? ") for word in line[2:].split())
    safe = frozenset(word for line in lines if not line.startswith("? ") for word in line.split())
    return safe - ambiguous, ambiguous


class Cleaner:
    """Keeps the safe words of a text."""

    def __init__(self, further_words: Collection[str] = ()) -> None:
        self._cleaned: dict[tuple[str, frozenset[bytes]], str] = {}
        further = {word.lower() for entry in further_words for word in entry.split()}
        self._safe = shipped_vocabulary() | further
        self._ambiguous = ambiguous_words() - further

    def clean(self, text: str, known: frozenset[bytes] = frozenset()) -> str:
        """Return ``text`` with its safe words only, in their order; empty when none is safe.

        ``known`` are words (lower case) that name the subject; they go even where the vocabulary has them. What comes
        out is ASCII.
        """
        if len(text) > LONGEST:
            return self._clean(text, known)
        remembered = self._cleaned.get((text, known))
        if remembered is None:
            if len(self._cleaned) >= _REMEMBERED:
                self._cleaned.clear()
            remembered = self._cleaned[text, known] = self._clean(text, known)
        return remembered

    def keeps(self, text: str) -> bool:
        """Say whether every word of a text is safe, wherever it stands."""
        words = re.findall(r"[^\W_]+", text)
        return all(
            word.lower() in self._safe or word.lower() in self._ambiguous or _is_short_number(word)
            for word in words
        )

    def _clean(self, text: str, known: frozenset[bytes]) -> str:
        tokens: list[str] = _TOKEN.findall(_ESCAPED.sub("\0", text))
        safe = self._judged([_plain(token) for token in tokens if _is_word(token)], tokens, known)
        kept: list[str] = []
        dropped = False
        place = -1
        for token in tokens:
            if not _is_word(token):
                if kept and not dropped:
                    kept.append(token if all(character in _SEPARATORS for character in token) else " ")
                continue
            place += 1
            if safe[place]:
                if dropped and kept:
                    kept.append(" ")
                kept.append(_plain(token))
                dropped = False
            else:
                dropped = True
                while kept and not _is_word(kept[-1]):
                    kept.pop()
        # Words that only connect say nothing without those they connected.
        while kept and (not _is_word(kept[-1]) or kept[-1].lower() in _CONNECTING):
            kept.pop()
        return "".join(kept)

    def _judged(self, words: list[str], tokens: list[str], known: frozenset[bytes]) -> list[bool]:
        """Say of each word whether it stays."""
        lower = [word.lower() for word in words]
        titles = [_is_title(word, follows) for word, follows in zip(words, _following(tokens), strict=True)]
        certain = [
            not titles[place]
            and not (place and titles[place - 1])
            and self._is_safe(word, lower[place + 1 : place + 2], known)
            for place, word in enumerate(words)
        ]
        judged = list(certain)
        for place, word in enumerate(lower):
            if certain[place] or word not in self._ambiguous or word.encode() in known:
                continue
            beside = [at for at in (place - 1, place + 1) if 0 <= at < len(words)]
            named = any(not certain[at] and lower[at] not in self._ambiguous for at in beside)
            telling = any(certain[at] and lower[at] not in _CONNECTING for at in beside)
            judged[place] = telling and not named
        return judged

    def _is_safe(self, token: str, following: list[str], known: frozenset[bytes]) -> bool:
        word = token.lower()
        if not word.isascii() or word.encode() in known:
            return False
        if word in self._safe or word in _CONNECTING or _MEASURE.fullmatch(token):
            return True
        return bool(_NUMBER.fullmatch(token)) and bool(following) and following[0] in _UNITS


def _is_word(token: str) -> bool:
    return (token[0].isascii() and token[0].isalnum()) or token[0] >= "\x80"


def _is_short_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 2


def _following(tokens: list[str]) -> list[str]:
    """Return for each word what stands between it and the next one."""
    return [
        tokens[place + 1] if place + 1 < len(tokens) and not _is_word(tokens[place + 1]) else ""
        for place, token in enumerate(tokens)
        if _is_word(token)
    ]


def _is_title(word: str, follows: str) -> bool:
    lower = word.lower()
    if lower in _TITLES:
        return True
    return lower in _TITLES_UNLESS_CAPITAL and (not word.isupper() or follows.startswith("."))


def _plain(token: str) -> str:
    """Return a word without its accents where the rest of it is ASCII; otherwise as it is, which is never safe."""
    if token.isascii():
        return token
    for form in (token.translate(_LATIN), token):
        bare = unicodedata.normalize("NFKD", form)
        if all(character.isascii() or unicodedata.combining(character) for character in bare):
            return bare.encode("ascii", "ignore").decode()
    return token
