"""What can happen to the value of one element: the actions D, Z, C and U of PS3.15 Table E.1-1a as functions on bytes.

Removing and keeping need no code. Each class is one :class:`policies.pieces.Change`: stateless, built once when a
policy is compiled. Values written here are of the default character repertoire, so they are legal in every character
set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydicom._uid_dict import UID_dictionary

from policies.dates import (
    DUMMY_DATE,
    DUMMY_DATETIME,
    DUMMY_TIME,
    is_time,
    is_zone,
    shift_date,
    shift_datetime,
)
from policies.elements import PADDING
from policies.generalize import Bands, Numbers, Words, age_string, read_age
from policies.pieces import Answers, Change, Facts
from policies.pseudonyms import Identifier, Kind
from policies.remembered import remembered

DICOM_ROOT = b"1.2.840.10008."
"""The root of the standard's own UIDs."""

_PADDING = PADDING.encode()

REMOVED = b"REMOVED"


DUMMIES: dict[bytes, bytes] = {
    b"AE": REMOVED,
    b"AS": b"000Y",
    b"AT": b"\0\0\0\0",
    b"CS": REMOVED,
    b"DA": DUMMY_DATE,
    b"DS": b"0",
    b"DT": DUMMY_DATETIME,
    b"FD": b"\0" * 8,
    b"FL": b"\0" * 4,
    b"IS": b"0",
    b"LO": REMOVED,
    b"LT": REMOVED,
    b"OB": b"\0\0",
    b"OD": b"\0" * 8,
    b"OF": b"\0" * 4,
    b"OL": b"\0" * 4,
    b"OV": b"\0" * 8,
    b"OW": b"\0\0",
    b"PN": REMOVED,
    b"SH": REMOVED,
    b"SL": b"\0" * 4,
    b"SS": b"\0\0",
    b"ST": REMOVED,
    b"SV": b"\0" * 8,
    b"TM": DUMMY_TIME,
    b"UC": REMOVED,
    b"UL": b"\0" * 4,
    b"UN": b"\0\0",
    b"UR": b"urn:removed",
    b"US": b"\0\0",
    b"UT": REMOVED,
    b"UV": b"\0" * 8,
}
"""A legal value for each VR that says nothing."""

_OWN_DUMMIES: dict[int, bytes] = {
    0x00080201: b"+0000",  # Timezone Offset From UTC
}
"""Attributes whose values have a form that their VR does not tell."""


def dummy(tag: int, vr: bytes) -> bytes:
    """Return a value that is legal for the attribute and says nothing."""
    return _OWN_DUMMIES.get(tag) or DUMMIES[vr]


class Operation:
    """What most operations have in common: they need no answer, and depend on the raw value and the subject alone."""

    __slots__ = ()
    asks: ClassVar[bool] = False
    lasting: ClassVar[bool] = True
    searches: ClassVar[bool] = False

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need nothing."""
        return ()

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether the value between two places of a buffer may change at all."""
        return True


@dataclass(frozen=True, slots=True)
class Constant(Operation):
    """Action D or Z with the same value everywhere; an empty one is action Z."""

    vr: bytes
    constant: bytes

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the constant."""
        return self.constant


@dataclass(frozen=True, slots=True)
class Keep(Operation):
    """Action K for a value that the engine must see."""

    vr: bytes

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged."""
        return raw


@dataclass(frozen=True, slots=True)
class KeepOffsetTable(Operation):
    """An Extended Offset Table is kept as long as it is one, and the frames stay where it says."""

    vr: bytes
    lasting: ClassVar[bool] = False

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged, or nothing."""
        return raw if facts.keeps_offset_tables else None


@dataclass(frozen=True, slots=True)
class Remove(Operation):
    """Action X for a value that the engine must see."""

    vr: bytes

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return nothing."""
        return None


@dataclass(frozen=True, slots=True)
class MapUid(Operation):
    """Action U: every UID of the value gets its pseudonym; UIDs of the DICOM root stay."""

    vr: bytes = b"UI"
    asks: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Name every UID of the value."""
        return uids_of(raw)

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the pseudonyms in the order of the originals."""
        pseudonyms = answers.pseudonyms
        return b"\\".join(
            pseudonyms[part].encode() if isinstance(part, Identifier) else part for part in uid_parts(raw)
        )


@dataclass(frozen=True, slots=True)
class MapIdentifier(Operation):
    """Action D (or Z with a value) for an identifier: its pseudonym; an empty one stays empty."""

    vr: bytes
    kind: Kind
    issued: bool = False
    asks: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Name the identifier, with the patient's issuer where the kind has one."""
        identifier = self._identifier(raw, facts)
        return (identifier,) if identifier.value else ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the pseudonym."""
        identifier = self._identifier(raw, facts)
        return answers.pseudonyms[identifier].encode() if identifier.value else b""

    def _identifier(self, raw: bytes, facts: Facts) -> Identifier:
        issuer = facts.issuer if self.issued else ""
        return Identifier(self.kind, issuer, facts.decode(raw).strip(PADDING))


@dataclass(frozen=True, slots=True)
class Marked:
    """A value that a mark writes instead; ``change`` says what of it the mark may carry on."""

    vr: bytes
    change: Change

    lasting: ClassVar[bool] = True
    searches: ClassVar[bool] = False

    @property
    def asks(self) -> bool:
        """Ask what the change asks."""
        return self.change.asks

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need what the change needs."""
        return self.change.identifiers(raw, facts)

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say that the value may change."""
        return True

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return nothing here."""
        return None


@dataclass(frozen=True, slots=True)
class MoveDate(Operation):
    """Action C of Modified Dates: DA and DT move by the instance's number of days; others become ``otherwise``."""

    vr: bytes
    otherwise: bytes | None
    asks: ClassVar[bool] = True

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need the number of days."""
        if not facts.moves_dates:
            facts.moves_dates = any(self._shift(part, 0) is not None for part in values_of(raw))
        return ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the moved dates; an empty value stays empty."""
        if not raw.strip(b" \0"):
            return b""
        days = answers.date_offset
        if days is None:
            return self.otherwise
        moved = [self._shift(part, days) for part in values_of(raw)]
        return self.otherwise if any(part is None for part in moved) else b"\\".join(filter(None, moved))

    def _shift(self, part: bytes, days: int) -> bytes | None:
        return shift_datetime(part, days) if self.vr == b"DT" else shift_date(part, days)


@dataclass(frozen=True, slots=True)
class KeepTime(Operation):
    """Action C of Modified Dates for TM: whole days leave the time of day alone; what is no time may be a date."""

    vr: bytes
    otherwise: bytes | None

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the times unchanged when they are nothing else."""
        return raw if all(not part or is_time(part) for part in values_of(raw)) else self.otherwise


@dataclass(frozen=True, slots=True)
class KeepZone(Operation):
    """Action C of Modified Dates for Timezone Offset From UTC: the dates' own zone stays, and nothing else."""

    otherwise: bytes | None
    vr: bytes = b"SH"

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the offset unchanged when it is one."""
        return raw if is_zone(raw) else self.otherwise


@dataclass(frozen=True, slots=True)
class BandAge(Operation):
    """Patient's Age wherever it occurs: the lower bound of its band, or nothing when it is no age."""

    bands: Bands
    vr: bytes = b"AS"

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the band's lower bound."""
        years = read_age(raw)
        return None if years is None else age_string(self.bands.lower(years))


@dataclass(frozen=True, slots=True)
class Generalize(Operation):
    """A quasi-identifier becomes coarser; values for which nothing stands go, and with the last one the element does.

    ``otherwise`` stands where no value is left.
    """

    vr: bytes
    way: Words | Numbers
    otherwise: bytes | None

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the coarser values; an empty value stays empty."""
        text = facts.decode(raw).strip(PADDING)
        if not text:
            return b""
        parts = [text] if self.vr in (b"LT", b"ST", b"UT") else text.split("\\")
        kept = [found for part in parts if (found := self.way.coarser(part)) is not None]
        return "\\".join(dict.fromkeys(kept)).encode("ascii") if kept else self.otherwise


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Renumber(Operation):
    """A content item that another refers to by its place: where it is found when others are gone (PS3.3 C.17.3.2.5).

    ``places`` are the new values by the old ones. A reference that leads nowhere goes.
    """

    places: Mapping[bytes, bytes]
    vr: bytes = b"UL"

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the new place."""
        return self.places.get(raw)


@dataclass(frozen=True, slots=True)
class NoteAnatomy(Operation):
    """A part of the body that an image shows is noted; ``change`` says what else happens to it."""

    vr: bytes
    change: Change | None
    asks: ClassVar[bool] = True

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Note the part of the body."""
        facts.anatomy.add(raw)
        return ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return what the change makes of the value."""
        return raw if self.change is None else self.change.value(raw, facts, answers)


@remembered(4096)
def uid_parts(raw: bytes) -> tuple[Identifier | bytes, ...]:
    """Return the UIDs of a value: identifiers to be replaced, and as bytes those that stay as they are."""
    return tuple(
        part if not part or is_registered(part) else Identifier(Kind.UID, "", part.decode("latin-1"))
        for part in values_of(raw)
    )


@remembered(4096)
def uids_of(raw: bytes) -> tuple[Identifier, ...]:
    """Return the UIDs of a value that are to be replaced."""
    return tuple(part for part in uid_parts(raw) if isinstance(part, Identifier))


def is_registered(uid: bytes) -> bool:
    """Say whether a UID is one of the standard's own (PS3.6 annex A): those name classes and well-known instances.

    That a UID begins like one of them is not enough: anybody can write that.
    """
    return uid.startswith(DICOM_ROOT) and uid.decode("latin-1") in UID_dictionary


def values_of(raw: bytes) -> list[bytes]:
    """Return the values of a multi-valued element, without their padding."""
    return [part.strip(_PADDING) for part in raw.split(b"\\")]
