"""Plants canaries into attributes: what nobody knows where the rules take it, what the header knows where they let
it stay.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.datadict import keyword_for_tag

from policies.model import Policy
from policies.selftest.canary import Canary, Kind, Mint, Until
from policies.selftest.expectations import content_must_be_gone, must_be_gone
from policies.selftest.families import Path
from policies.selftest.forgotten import GIVEN_NAMES
from policies.selftest.known import KnownPatient

_TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN"})
_SEARCHED = frozenset({"LO", "SH", "UC", "ST", "LT", "UT"})


def said(path: Path) -> str:
    """Return a path in words, for findings."""
    return "/".join(keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)


@dataclass
class Unknown:
    """Fills every attribute that the strictest policy empties with a value that nobody knows."""

    mint: Mint
    strict: Policy
    planted: list[Canary] = field(default_factory=list)
    channel: str = ""

    def __call__(self, path: Path, vr: str, concept: tuple[str, str, str] | None = None) -> object:
        """Return a canary and note it, or None where such a value may stay; ``concept`` is that of a content item."""
        if not (
            content_must_be_gone(concept, vr, self.strict) if concept else must_be_gone(path, vr, self.strict)
        ):
            return None
        made = canary_value(self.mint, vr)
        if made is None:
            return None
        written, value, kind = made
        given = path[-1] in GIVEN_NAMES
        channel = self.channel if self.channel and not given else channel_of(path, vr)
        self.planted.append(Canary(channel, value, kind, Until.BY_RULE, said(path), path, vr, concept))
        return written


@dataclass
class Known:
    """Fills every text that may stay with what the header knows, each form in its turn."""

    patient: KnownPatient
    first: Policy
    vrs: frozenset[str] = _SEARCHED
    planted: list[Canary] = field(default_factory=list)
    _turn: int = 0

    def __call__(self, path: Path, vr: str) -> object:
        """Return a known text and note it, or None for attributes that hold other values."""
        if vr not in self.vrs or must_be_gone(path, vr, self.first):
            return None
        forms = self.patient.forms(vr)
        channel, text = forms[self._turn % len(forms)]
        self._turn += 1
        channel += ", in code strings" if vr == "CS" else ""
        self.planted.append(Canary(channel, text, Kind.TEXT, Until.STAGE_1, said(path), path, vr))
        return text


def canary_value(mint: Mint, vr: str) -> tuple[object, str | bytes, Kind] | None:
    """Return (what to write, what to search for, its kind) for a VR; None where no value of it would be
    unmistakable.
    """
    if vr in _MAKERS:
        return _MAKERS[vr](mint)
    return None


def _text(mint: Mint) -> tuple[object, str, Kind]:
    word = mint.word()
    return word, word, Kind.WORD


def _name(mint: Mint) -> tuple[object, str, Kind]:
    word = mint.word()
    return f"{word}^Ann", word, Kind.WORD


def _capitals(mint: Mint) -> tuple[object, str, Kind]:
    word = mint.word()
    return word.upper(), word, Kind.WORD


def _address(mint: Mint) -> tuple[object, str, Kind]:
    word = mint.word()
    return f"http://{word}.example/?name={word}", word, Kind.WORD


def _octets(mint: Mint) -> tuple[object, str, Kind]:
    word = mint.word()
    return f"\1\2{word}\3\4".encode(), word, Kind.WORD


def _number(mint: Mint) -> tuple[object, str, Kind]:
    number = mint.number()
    return number, number, Kind.NUMBER


def _uid(mint: Mint) -> tuple[object, str, Kind]:
    uid = mint.uid()
    return uid, uid, Kind.UID


def _day(mint: Mint) -> tuple[object, str, Kind]:
    day = f"{mint.day():%Y%m%d}"
    return day, day, Kind.DATE


def _time(mint: Mint) -> tuple[object, str, Kind]:
    time = mint.time()
    return time, time, Kind.TIME


def _date_time(mint: Mint) -> tuple[object, str, Kind]:
    moment = mint.date_time()
    return moment, moment, Kind.DATE_TIME


def _floating(mint: Mint) -> tuple[object, bytes, Kind]:
    number = 1.0 + int(mint.number()) / 7.0
    return number, struct.pack("<d", number), Kind.BYTES


_MAKERS: dict[str, Callable[[Mint], tuple[object, str | bytes, Kind]]] = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC"), _text),
    **dict.fromkeys(("CS", "AE"), _capitals),
    **dict.fromkeys(("OB", "OW", "UN"), _octets),
    **dict.fromkeys(("DS", "IS"), _number),
    "PN": _name,
    "UR": _address,
    "UI": _uid,
    "DA": _day,
    "TM": _time,
    "DT": _date_time,
    "FD": _floating,
}


def channel_of(path: Path, vr: str) -> str:
    """Name the channel of an attribute: where it lies, and of what kind it is."""
    if path[-1] in GIVEN_NAMES:
        return "names that people give to things"
    groups = set(path[:-1])
    if groups & {0x52009229, 0x52009230}:
        return "functional groups"
    if path[0] == 0x0040A730:
        return "content of reports"
    if path[0] in (0x0040A043, 0x00400555):
        return "content of reports"
    kind = {
        **dict.fromkeys(("LT", "ST", "UT", "LO", "SH", "UC"), "text"),
        **dict.fromkeys(("DA", "DT", "TM"), "dates and times"),
        **dict.fromkeys(("DS", "IS", "FD"), "numbers"),
        "PN": "names",
        "UI": "UIDs",
        "UR": "URLs",
        "AE": "AE titles",
        "CS": "codes",
        "AS": "ages",
    }.get(vr, "bytes")
    depth = "top level" if len(path) == 1 else "nested" if len(path) < 4 else "nested deep"
    return f"{kind}, {depth}"
