"""Which module reads which dialect, and whether a file is of the dialect that was asked for.

One text can mean two things in two languages, so the dialect is never guessed: it is asked for, and a file that is
another is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from policies.errors import Fault, PolicyFault
from policies.importing import ctp, ctp_pixels, deid, dicomedit, karnak
from policies.importing.original import Dialect, Original

LARGEST = 4_000_000
_MOST_RULES = 20_000
_LONGEST_LINE = 20_000
_NEXT = "mend the file, or name the right one"

_READERS: dict[Dialect, Callable[[str], tuple[Original, list[Fault]]]] = {
    Dialect.CTP: ctp.read,
    Dialect.CTP_PIXELS: ctp_pixels.read,
    Dialect.KARNAK: karnak.read,
    Dialect.DEID: deid.read,
    Dialect.DICOMEDIT: dicomedit.read,
}
# In this order: what stands first is told apart most surely. None of them may take long on any text.
_SIGNS = (
    (Dialect.DEID, re.compile(r"^\s*(?:#[^\n]*\n\s*)*FORMAT\s+dicom\b", re.IGNORECASE)),
    (Dialect.KARNAK, re.compile(r"^profileElements\s*:", re.MULTILINE)),
    (
        Dialect.CTP,
        re.compile(
            r"^ {0,9}#?(?:set\.\[|remove\.(?:privategroups|unspecifiedelements|overlays|curves))",
            re.MULTILINE,
        ),
    ),
    (
        Dialect.CTP_PIXELS,
        re.compile(
            r'\.(?:equals|matches|contains|startsWith|endsWith|isLessThan|isGreaterThan)(?:IgnoreCase)?\("'
        ),
    ),
    (
        Dialect.DICOMEDIT,
        re.compile(
            r"^ {0,9}(?:version +\"6|- *\([0-9A-Fa-fXx#@]{4},|removeAllPrivateTags|\([^)\n]{9,80}\) *:=)",
            re.MULTILINE,
        ),
    ),
    (Dialect.CTP_LOOKUP, re.compile(r"^[\w.-]{1,64}/[^=\n]{1,200}=", re.MULTILINE)),
)


def recognized(text: str) -> Dialect | None:
    """Return the dialect that a text is surely in, or None."""
    if _begins_as_script(text):
        return Dialect.CTP
    return next((dialect for dialect, sign in _SIGNS if sign.search(text)), None)


def _begins_as_script(text: str) -> bool:
    """Say whether the first element of an XML text is ``script``."""
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        closing = "-->" if text.startswith("<!--", at) else "?>" if text.startswith("<?", at) else ""
        if not closing:
            return text.startswith(("<script>", "<script ", "<!DOCTYPE script"), at)
        at = text.find(closing, at)
        if at < 0:
            return False
        at += len(closing)


def require(text: str, dialect: Dialect) -> None:
    """Raise PolicyFault where a text is not in the dialect that was asked for."""
    found = recognized(text)
    if found is dialect:
        return
    if found is None:
        what, step = (
            f"it is not {dialect.words}, nor anything else that can be imported",
            "name the right file",
        )
    else:
        what, step = f"it is {found.words}, not {dialect.words}", f"write --from {found}, if that is meant"
    raise PolicyFault("to be imported", [Fault(0, what)], next_step=step)


def read(text: str, dialect: Dialect) -> Original:
    """Return what a file of another de-identifier says. Raises PolicyFault with its faults, without any value of it."""
    require(text, dialect)
    longest = max(map(len, text.splitlines()), default=0)
    if longest > _LONGEST_LINE and not _begins_as_script(text):
        raise PolicyFault("to be imported", [Fault(0, "it has lines too long for its kind")], next_step=_NEXT)
    original, faults = _READERS[dialect](text)
    if not faults and not (original.rules or original.masks or original.lost or original.rest_line):
        faults = [Fault(0, "it has no rule")]
    if max(len(original.rules), len(original.masks), len(original.lost)) > _MOST_RULES:
        faults.append(Fault(0, f"it has more than {_MOST_RULES} rules"))
    if faults:
        raise PolicyFault("to be imported", faults, next_step=_NEXT)
    return original
