"""A name as it looks when it is written otherwise: in another case, alphabet, character set, or without accents.

The character set that an instance declares may be wrong, and another element may have been written by somebody who
used another one; so a word beyond ASCII is looked for in all that DICOM allows (PS3.3 C.12.1.1.2) and in UTF-16.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_LOWER = bytes(ord(chr(code).lower()) if code != 0xD7 else code for code in range(0x100))
_PUNCTUATION = bytes(code for code in range(0x80) if not chr(code).isalnum())
_SINGLE_BYTE = (
    *("latin-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8"),
    *(
        "iso8859-9",
        "iso8859-15",
        "tis-620",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "koi8-r",
        "cp437",
        "cp850",
    ),
)
_MULTI_BYTE = ("utf-8", "gb18030", "shift_jis", "euc_jp", "euc_kr", "big5")
_ESCAPED = ("iso2022_jp", "iso2022_jp_2", "iso2022_kr")
_ESCAPES = re.compile(rb"\x1b\$[()*+,-]?[@-Z]|\x1b[()*+-.][0-9@-Z]|[\x0e\x0f]")
_WIDE = ("utf-16-le", "utf-16-be")
_LATIN = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "å": "aa",
        "ø": "oe",
        "æ": "ae",
        "œ": "oe",
        "đ": "d",
        "ł": "l",
    }
    | {"Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Å": "Aa", "Ø": "Oe", "Æ": "Ae", "Œ": "Oe", "Đ": "D", "Ł": "L"}
    | {"þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "\u0131": "i", "ĸ": "k"}
)
_STROKES = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ß": "ss", "\u0131": "i"}
)
_LONG = 5


@dataclass(frozen=True, slots=True, repr=False)
class Respelled:
    """Other spellings. ``words`` are of ASCII; ``compact`` and ``written`` hold bytes beyond it, in lower case.

    ``compact`` are without punctuation, ``written`` as they are. ``unmistakable`` stand nowhere by chance.
    """

    words: frozenset[bytes] = frozenset()
    compact: frozenset[bytes] = frozenset()
    written: frozenset[bytes] = frozenset()
    unmistakable: frozenset[bytes] = frozenset()


@lru_cache(maxsize=1024)
def respelled(values: frozenset[str]) -> Respelled:
    """Return the words of decoded values as they look when they are written otherwise."""
    words: set[bytes] = set()
    compact: set[bytes] = set()
    written: set[bytes] = set()
    for value in values:
        for word in re.findall(r"\w+", unicodedata.normalize("NFC", value)):
            if not word.isascii() and not any("\x80" <= character < "\xa0" for character in word):
                words |= without_accents(word)
                compact |= _encoded(word)
                written |= _as_written(word)
    return Respelled(
        frozenset(words),
        frozenset(compact),
        frozenset(written),
        frozenset(form for form in compact if len(form) > _LONG),
    )


def without_accents(word: str) -> frozenset[bytes]:
    """Return a word as systems write it that know ASCII only, in lower case; nothing where no letter is Latin."""
    forms = (word.translate(_LATIN), word.translate(_STROKES), word)
    bare = (unicodedata.normalize("NFKD", form).encode("ascii", "ignore").lower() for form in forms)
    # What lost letters on the way, and not only their accents, is no spelling of the word.
    return frozenset(form for form in bare if len(form) >= len(word))


def _forms(word: str) -> set[str]:
    cased = {word, word.lower(), word.upper(), word.title()}
    return cased | {unicodedata.normalize("NFD", form) for form in cased}


def _encoded(word: str) -> set[bytes]:
    found: set[bytes] = set()
    for form in _forms(word):
        for encoding in (*_SINGLE_BYTE, *_MULTI_BYTE):
            with contextlib.suppress(UnicodeError):
                octets = form.encode(encoding)
                found.add(octets.translate(_LOWER, _PUNCTUATION))
                # UTF-8 that somebody took for Latin-1 and wrote as UTF-8 once more.
                if encoding == "utf-8":
                    found.add(octets.decode("latin-1").encode().translate(_LOWER, _PUNCTUATION))
    return {form for form in found if len(form) >= 3}


def _as_written(word: str) -> set[bytes]:
    found: set[bytes] = set()
    if any(ord(character) > 0xFF for character in word):
        for form in _forms(word):
            for encoding in _MULTI_BYTE:
                with contextlib.suppress(UnicodeError):
                    octets = form.encode(encoding)
                    if octets.translate(None, _PUNCTUATION) != octets:
                        # Its second bytes look like punctuation, so that it is found only as it is.
                        found.add(octets.translate(_LOWER))
            for encoding in _WIDE:
                found.add(form.encode(encoding).translate(_LOWER))
            for encoding in _ESCAPED:
                with contextlib.suppress(UnicodeError):
                    # The escape may stand far before the word, so that only its own bytes count.
                    octets = _ESCAPES.sub(b"", form.encode(encoding)).translate(_LOWER)
                    found |= {octets, bytes(octet | 0x80 for octet in octets)}
    return {form for form in found if len(form) >= 4}
