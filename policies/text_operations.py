"""What can happen to a text, and to any value that may name somebody: its dates move, its safe words stay, or it goes.

Each class is one :class:`policies.pieces.Change`, like those of :mod:`policies.operations`. Who is known of an
instance is :mod:`policies.known`, which words are safe :mod:`policies.text`, what a value may look like
:mod:`policies.legality`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policies.errors import Held
from policies.known import hidden_in, is_known_number, names_a_place, names_in_letters, names_somebody
from policies.legality import Check, holds_text, only_terms
from policies.operations import Operation, is_registered, values_of
from policies.pieces import Answers, Facts
from policies.pseudonyms import Identifier
from policies.text import Cleaner
from policies.written_dates import has_date, move_written

_LONGEST = {b"SH": 16, b"LO": 64}
"""Bytes of one value. More may be legal in other character sets, and are not needed."""
_NUMBERS = frozenset({b"AS", b"DA", b"DS", b"DT", b"IS", b"TM"})
_BINARY = frozenset(b" AT FD FL OB OD OF OL OV OW SL SS SV UL UN US UV".split(b" "))


@dataclass(frozen=True, slots=True)
class MoveInText(Operation):
    """A kept text in which dates are written: they move like the others where ``moves``, and go where not.

    A text that names somebody becomes ``otherwise``, because what is moved is not searched again.
    """

    vr: bytes
    otherwise: bytes | None
    moves: bool
    asks: ClassVar[bool] = True

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether a date is written there."""
        return has_date(buf, start, end)

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need the number of days where a date is written."""
        facts.moves_dates = facts.moves_dates or (self.moves and has_date(raw, 0, len(raw)))
        return ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the text with its dates moved."""
        if _names_somebody(self.vr, raw, facts):
            return self.otherwise
        return self.moved(raw, answers)

    def moved(self, raw: bytes, answers: Answers) -> bytes | None:
        """Return the text with its dates moved, whoever it names; what would grow too long loses them."""
        days = answers.date_offset if self.moves else None
        text = move_written(raw, days)
        longest = _LONGEST.get(self.vr)
        if longest and len(text) > len(raw) and any(len(part) > longest for part in text.split(b"\\")):
            text = move_written(raw, None)
        if text == raw:
            return raw
        return text if text.strip(b" \0\\") else self.otherwise


@dataclass(frozen=True, slots=True)
class CleanText(Operation):
    """Action C of Clean Descriptors: safe words stay; when none is left, the value becomes ``otherwise``."""

    vr: bytes
    cleaner: Cleaner
    otherwise: bytes | None

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the safe words."""
        text = raw.decode("latin-1") if raw.isascii() and b"\x1b" not in raw else facts.decode(raw)
        parts = [text] if self.vr in (b"LT", b"ST", b"UT") else text.split("\\")
        kept = "\\".join(self.cleaner.clean(part.strip(" \0"), facts.known.words) for part in parts)
        return kept.encode("ascii") if kept.strip("\\") else self.otherwise


@dataclass(frozen=True, slots=True)
class KeepLawful(Operation):
    """Action K for a value that has a form to keep to: one that ``check`` does not pass becomes ``otherwise``.

    Where ``dates`` is given, the dates in what stays are treated as well.
    """

    vr: bytes
    otherwise: bytes | None
    check: Check | None
    dates: MoveInText | None = None

    @property
    def asks(self) -> bool:  # type: ignore[override]
        """Ask what the dates ask."""
        return self.dates is not None

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether the value has another form than it should have, or holds a date."""
        if self.check is not None and not self.check(buf[start:end]):
            return True
        return self.dates is not None and self.dates.touches(buf, start, end)

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need what the dates need."""
        return self.dates.identifiers(raw, facts) if self.dates is not None else ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged when it has the form that it should have, its dates apart."""
        if self.check is not None and not self.check(raw):
            return self.otherwise
        return raw if self.dates is None else self.dates.value(raw, facts, answers)


@dataclass(frozen=True, slots=True)
class DropKnown(Operation):
    """A kept value that turned out to hold a value of the subject's: it becomes ``otherwise``.

    One that ``check`` does not pass does so too. Where ``dates`` is given, the dates in what stays are treated as well.
    """

    vr: bytes
    otherwise: bytes | None
    dates: MoveInText | None = None
    check: Check | None = None
    asks: ClassVar[bool] = True
    searches: ClassVar[bool] = True

    def identifiers(self, raw: bytes, facts: Facts) -> tuple[Identifier, ...]:
        """Need what the dates need."""
        return self.dates.identifiers(raw, facts) if self.dates is not None else ()

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged when it has the form that it should have, and names nobody."""
        if self.check is not None and not self.check(raw):
            return self.otherwise
        if _names_somebody(self.vr, raw, facts):
            return self._without(raw, facts)
        return raw if self.dates is None else self.dates.moved(raw, answers)

    def _without(self, raw: bytes, facts: Facts) -> bytes | None:
        """Return the other values of a code string, each in its place: one of Image Type's may be a local word."""
        parts = raw.split(b"\\")
        if self.vr != b"CS" or len(parts) == 1:
            return self.otherwise
        left = b"\\".join(b"" if _names_somebody(self.vr, part, facts) else part for part in parts)
        if left == raw:
            # Only the end of one value and the beginning of the next spell something, and that is chance.
            return raw
        return self.otherwise if not left.strip(b" \\\0") or _names_somebody(self.vr, left, facts) else left


def _names_somebody(vr: bytes, raw: bytes, facts: Facts) -> bool:
    """Say whether a value names the subject, another person, or an institution that may not be named.

    A code string of safe words does not: that a BRAIN was examined names nobody, not even a patient of that name. A
    short number may equal somebody's number by chance; letters have no business in a number.
    """
    if vr in _NUMBERS:
        whole = vr in (b"DS", b"IS") and is_known_number(raw, facts.known)
        return whole or names_in_letters(raw, facts.known)
    if vr in _BINARY:
        return hidden_in(raw, facts.known)
    if vr == b"CS":
        return not only_terms(raw) and names_somebody(raw, facts.known)
    return names_somebody(raw, facts.known) or names_a_place(raw, facts.known)


@dataclass(frozen=True, slots=True)
class HoldKnown(Operation):
    """A kept value that cannot be taken out of its instance: where it names somebody, the instance is held."""

    vr: bytes

    def touches(self, buf: bytes, start: int, end: int) -> bool:
        """Say whether there is anything in the value that could be text."""
        return holds_text(buf[start:end])

    def value(self, raw: bytes, facts: Facts, answers: Answers) -> bytes | None:
        """Return the value unchanged when it names nobody.

        Raises:
            Held: ``names-the-patient``.
        """
        if self.vr == b"UI":
            found = not all(map(is_registered, values_of(raw))) and names_somebody(raw, facts.known)
        else:
            found = hidden_in(raw, facts.known)
        if found:
            raise names_the_patient()
        return raw


def names_the_patient() -> Held:
    """Return why an instance is held in which somebody is named where nothing can be taken out."""
    return Held(
        "names-the-patient",
        "Binary data, or a term of the standard, contains a word that names somebody.",
        next_step="Have the instance reviewed, or leave it out of the selection.",
    )
