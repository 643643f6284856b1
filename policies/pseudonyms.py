"""What the engine needs from above: these identifiers in, these pseudonyms out.

``policies`` never sees a key. It names each identifier it meets by kind, issuer and value; whoever runs it
answers with a pseudonym for each (in production :mod:`vault.pseudonyms`, handed over by ``tce``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class Kind(StrEnum):
    """The kinds of identifier that are pseudonymized, each under a purpose label of its own."""

    UID = "uid"
    PATIENT_ID = "patient"
    ACCESSION_NUMBER = "accession"
    STUDY_ID = "study"
    DEVICE = "device"
    PERSON = "person"
    FREE = "free"
    DATE_OFFSET = "days"


class Identifier(NamedTuple):
    """One original identifier. Equal identifiers get equal pseudonyms, wherever they occur.

    ``kind`` is a :class:`Kind` value. ``issuer`` is the assigning authority where the kind has one (Patient ID,
    Accession Number), else empty. ``value`` is the value as read, padding removed.
    """

    kind: str
    issuer: str
    value: str

    def __repr__(self) -> str:
        return f"Identifier(kind={self.kind!r}, issuer=…, value=…)"


@dataclass(frozen=True, slots=True)
class Subject:
    """One patient as the input names him, and all of his identifiers that a batch meets.

    ``patient`` is the identifier that decides the subject's pseudonym and date offset. ``attributes`` are
    further original values that only custody needs (keyword to value: PatientName, PatientBirthDate, …); they
    get no pseudonym.
    """

    patient: Identifier
    identifiers: frozenset[Identifier] = field(repr=False)
    attributes: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Pseudonyms(Protocol):
    """Answers for identifiers. Implementations derive from keys that this package never sees."""

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        """Return a pseudonym for every identifier of every subject, ``patient`` included, or raise.

        A patient whom the case's closed list of subjects does not have is left out, with all that is his alone.

        The pseudonym of a :attr:`Kind.UID` is a UID; of a :attr:`Kind.DATE_OFFSET` a signed decimal number of
        days; of every other kind a string of ASCII, of at most 16 characters and legal in the VR SH; one of
        :attr:`Kind.PATIENT_ID` that a list brought may have 64, legal in LO and PN.
        """
        ...
