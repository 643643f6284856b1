"""What the input itself says about the person, as words to look for in everything that is kept.

Stage 1 knows the patient: his names, identifiers, addresses. Whatever it keeps is searched for them, in any case and
order (PS3.15 E.1.1: protecting an attribute protects its value wherever else it is written).
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from policies.dates import read_date
from policies.text import shipped_vocabulary

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff\x1b$()]+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4


def words_of(raw: bytes) -> frozenset[str]:
    """Return the words of a value in lower case; bytes beyond ASCII stand for themselves (any character set)."""
    return frozenset(word.decode("latin-1").lower() for word in _WORD.findall(raw))


@lru_cache(maxsize=1024)
def respelled(value: str, encodings: tuple[str, ...]) -> frozenset[str]:
    """Return the words of a decoded value as they look when they are written otherwise.

    A word with letters beyond ASCII may stand elsewhere in another case, in another character set than declared, or
    without its accents. The words come in the form of :func:`words_of`.
    """
    found: set[str] = set()
    for word in re.findall(r"\w+", value):
        if word.isascii():
            continue
        for form in {word, word.lower(), word.upper(), word.title()}:
            for encoding in (*encodings, *_ENCODINGS):
                with contextlib.suppress(LookupError, UnicodeError):
                    found |= words_of(form.encode(encoding))
            for plain in (form.translate(_LATIN), form):
                bare = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore")
                found |= words_of(bare)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class KnownWords:
    """What names the subject of an instance, or another person in it, in the form of :func:`words_of`.

    ``telling`` are words that say something on their own. ``unmistakable`` are those that can hardly stand anywhere
    by chance: at least five letters and no safe word, or eight digits. ``compact`` are whole identifiers and names
    without spaces and punctuation, to be found in a text without its own.
    """

    telling: frozenset[str] = frozenset()
    unmistakable: frozenset[str] = frozenset()
    compact: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def known_words(
    names: frozenset[bytes], identifiers: frozenset[bytes], further: frozenset[str] = frozenset()
) -> KnownWords:
    """Return what to search for, from names of persons and from other identifying values.

    ``further`` are words of names in other spellings (:func:`respelled`). Words below three letters and numbers below
    four digits occur everywhere; alone they are left out. Shorter numbers occur inside UIDs, numbers that could be
    dates among dates, and safe words inside code strings.
    """
    words = further.union(*map(words_of, names)) | (
        frozenset[str]().union(*map(words_of, identifiers)) - _COMMON
    )
    words -= _PLACEHOLDERS
    telling = frozenset(
        word
        for word in words
        if len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD) and not _YEAR.fullmatch(word)
    )
    unmistakable = frozenset(
        word
        for word in telling
        if len(word) >= (8 if word.isdigit() else 5)
        and word not in shipped_vocabulary()
        and read_date(word.encode("latin-1")) is None
    )
    compact = {compacted(value) for value in identifiers} | {
        form for name in names for form in _joined_names(name)
    }
    compact |= {word.lstrip("0") for word in compact if word.isdigit()}
    return KnownWords(
        telling,
        unmistakable,
        frozenset(
            word
            for word in compact
            if len(word) >= (5 if word.isdigit() else _SHORTEST_COMPACT) and word not in _PLACEHOLDERS
        ),
    )


def compacted(raw: bytes) -> str:
    """Return the letters and digits of a value in lower case."""
    return raw.decode("latin-1").translate(_NO_PUNCTUATION).lower()


def _joined_names(name: bytes) -> Iterator[str]:
    for group in name.split(b"="):
        family, _, given = (part.strip() for part in group.partition(b"^"))
        given = given.split(b"^")[0].strip()
        for part in (family, given):
            if not part.isalnum():
                yield compacted(part)  # a double name, written in one
        if family and given:
            yield compacted(family + given)
            yield compacted(given + family)


@lru_cache(maxsize=8192)
def words_found(raw: bytes, known: KnownWords) -> frozenset[str]:
    """Return the telling words among the words of a value, the unmistakable and the compact ones anywhere in it."""
    text, compact = raw.decode("latin-1").lower(), compacted(raw)
    found = {word for word in known.unmistakable if word in text} | {
        word for word in known.compact if word in compact
    }
    return (known.telling & words_of(raw)) | found


class WordSearch:
    """Looks for words in what stays of an instance, in any case.

    Most of a header is the same in a whole series: a chunk that holds none of the words is remembered, and not
    searched again.
    """

    def __init__(self, words: frozenset[str], compact: frozenset[str] = frozenset()) -> None:
        self._words = words
        self._compact = compact
        self._clear: set[bytes] = set()
        self._remembered = 0

    def finds_in_any(self, chunks: Iterable[bytes]) -> bool:
        """Say whether any of the words stands in any of the chunks."""
        clear = self._clear
        return any(chunk not in clear and self.finds(chunk) for chunk in chunks)

    def finds(self, chunk: bytes) -> bool:
        """Say whether any of the words stands in the chunk."""
        lower = chunk.decode("latin-1").lower()
        if any(word in lower for word in self._words):
            return True
        if self._compact:
            compact = lower.translate(_NO_PUNCTUATION)
            if any(word in compact for word in self._compact):
                return True
        if self._remembered > _MOST_REMEMBERED:
            self._clear.clear()
            self._remembered = 0
        self._clear.add(chunk)
        self._remembered += len(chunk)
        return False


@lru_cache(maxsize=32)
def search_for(words: frozenset[str], compact: frozenset[str] = frozenset()) -> WordSearch:
    """Return the search for these words that this process has used before, with what it remembers."""
    return WordSearch(words, compact)


_SHORTEST_COMPACT = 4
_NO_PUNCTUATION = {code: None for code in range(0x80) if not chr(code).isalnum()}
_ENCODINGS = (
    *("utf-8", "latin-1", "iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9"),
    *("gb18030", "shift_jis", "euc_jp", "euc_kr"),
)
_LATIN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"}
    | {"Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Å": "Aa", "Ø": "Oe", "Æ": "Ae"}
)
_MOST_REMEMBERED = 1 << 22
_COMMON = frozenset({"street", "road", "avenue", "hospital", "clinic", "doctor", "prof"})
"""Words of addresses and institutions that name nobody."""
_PLACEHOLDERS = frozenset({"none", "unknown", "removed", "anonymous", "anonymized", "patient", "subject"})
