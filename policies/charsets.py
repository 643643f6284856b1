"""Text in the character sets that an instance declares (Specific Character Set, PS3.3 C.12.1.1.2, PS3.5 6.1).

Strict and silent: what is not text of its set is no text at all here, because a reader that puts a replacement in
place of what it cannot read makes one patient of two; and no message quotes what somebody wrote.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, handled_encodings, python_encoding

_DEFAULT: Final = "iso8859"
_ALONE: Final = frozenset({"UTF8", "GB18030", "GBK"})
"""Sets that have no code extensions."""
_EXTENDED: Final = re.compile(r"ISO.2022.IR.(\d+)")
_PLAIN: Final = re.compile(r"ISO.IR.(\d+)")
_ESCAPE: Final = b"\x1b"
_FRAGMENTS: Final = re.compile(rb"[^\x1b]+|\x1b[^\x1b]*")
_DELIMITERS: Final = re.compile(rb"[\\^=]")


@lru_cache(maxsize=64)
def encodings_of(declared: str) -> tuple[str, ...]:
    """Return Python's names of declared character sets, none where none is declared.

    Common misspellings are understood; a set that nobody knows counts as the default one.
    """
    if not declared:
        return ()
    found = [_encoding(term.strip()) for term in declared.split("\\")]
    if len(found) > 1:
        found = (
            found[:1] if found[0] in _ALONE else [encoding for encoding in found if encoding not in _ALONE]
        )
    return tuple(found)


def _encoding(term: str) -> str:
    if term.upper() in ("UTF-8", "UTF8"):
        return "UTF8"
    if misspelt := _EXTENDED.fullmatch(term):
        term = f"ISO 2022 IR {misspelt[1]}"
    elif misspelt := _PLAIN.fullmatch(term):
        term = f"ISO_IR {misspelt[1]}"
    return str(python_encoding.get(term, _DEFAULT))


def decoded(raw: bytes, encodings: tuple[str, ...]) -> str:
    """Return a value as text; ``encodings`` are those of :func:`encodings_of`, at least one.

    Raises:
        UnicodeError: it is not text of these sets.
    """
    if _ESCAPE not in raw:
        return raw.decode(encodings[0])
    return "".join(_fragment(part, encodings) for part in _FRAGMENTS.findall(raw))


def _fragment(part: bytes, encodings: tuple[str, ...]) -> str:
    """Return the text from one escape sequence to the next; a delimiter leads back to the first set."""
    if not part.startswith(_ESCAPE):
        return part.decode(encodings[0])
    width = 4 if part.startswith((b"\x1b$(", b"\x1b$)")) else 3
    encoding = CODES_TO_ENCODINGS.get(part[:width], "")
    if encoding not in encodings and encoding != _DEFAULT:
        raise UnicodeError("an escape sequence of no declared character set")
    if encoding in handled_encodings:
        return part.decode(encoding)
    text = part[width:]
    reset = _DELIMITERS.search(text)
    if reset is None:
        return text.decode(encoding)
    return text[: reset.start()].decode(encoding) + text[reset.start() :].decode(encodings[0])
