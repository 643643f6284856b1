"""One instance between reading and writing: what was learnt of it, and what it waits for.

It holds the source file open, and never shows a value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from policies.elements import FileMeta, text_of
from policies.errors import Refusal
from policies.pieces import Facts, Piece
from policies.pixels.treatment import Treatment
from policies.plan import Plan
from policies.pseudonyms import Identifier, Subject
from policies.rules import Rules
from policies.source import FileSource, MemorySource, Source
from policies.subject import SERIES_UID, SOP_INSTANCE_UID, STUDY_UID, Original


@dataclass(frozen=True, slots=True)
class Names:
    """What an instance is called after a stage; every identifier here is a pseudonym."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str


@dataclass(frozen=True, slots=True, repr=False)
class Answered:
    """What was answered for one instance."""

    pseudonyms: Mapping[Identifier, str]
    patient_pseudonym: str
    date_offset: int | None


class Draft:
    """One instance that was read and waits for pseudonyms. Close it, or use it as a context."""

    def __init__(
        self,
        source: FileSource,
        data: Source,
        offset: int,
        meta: FileMeta,
        pieces: list[Piece],
        facts: Facts,
        original: Original,
        plan: Plan,
        treatment: Treatment,
        days: int | None,
    ) -> None:
        self._source = source
        self._data = data
        self._offset = offset
        self._plan = plan
        self._meta = meta
        self._pieces = pieces
        self._facts = facts
        self._original = original
        self._names: tuple[Mapping[Identifier, str], Names] | None = None
        self._treatment = treatment
        self._days = days

    def __repr__(self) -> str:
        return f"Draft({self.sop_class_uid})"

    @property
    def subject(self) -> Subject:
        """The patient, and every identifier of this instance that must be answered before it can be written."""
        return self._original.subject

    @property
    def rules(self) -> Rules:
        """The policy's rules that are for this instance; those whose conditions do not hold are left out."""
        return self._plan.rules

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""
        return self._original.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """The original SOP Instance UID."""
        return self._original.sop_instance_uid

    @property
    def series_uid(self) -> str:
        """The original Series Instance UID, empty where the IOD has none."""
        return self._original.series_uid

    @property
    def study_uid(self) -> str:
        """The original Study Instance UID, empty where the IOD has none."""
        return self._original.study_uid

    @property
    def weight(self) -> int:
        """How many bytes of the instance are held in memory."""
        held = self._data.size if isinstance(self._data, MemorySource) else 0
        return held + sum(len(piece) for piece in self._pieces if isinstance(piece, bytes))

    def answers(self, pseudonyms: Mapping[Identifier, str]) -> Answered:
        """Pick what concerns this instance from the answers of a batch.

        Raises Refusal (``not-listed``) when its patient got none, and KeyError when another pseudonym is missing.
        """
        if self.subject.patient not in pseudonyms:
            raise Refusal(
                "not-listed",
                "The case has a closed list of subjects, and this patient is not on it.",
                next_step="Have the list completed (tce mapping import), or leave the patient out.",
            )
        days = self._days
        if self._original.date_offset in self.subject.identifiers:
            days = int(pseudonyms[self._original.date_offset])
        return Answered(pseudonyms, pseudonyms[self.subject.patient], days)

    def names(self, answers: Answered) -> Names:
        """Return what the instance will be called; asked twice of each, for its place and for its head."""
        if self._names is None or self._names[0] is not answers.pseudonyms:
            uids = {
                tag: text_of(piece.change.value(piece.raw, self._facts, answers) or b"")
                for tag, piece in self._original.identity.items()
            }
            names = Names(
                sop_class_uid=self.sop_class_uid,
                sop_instance_uid=uids[SOP_INSTANCE_UID],
                series_uid=uids.get(SERIES_UID, ""),
                study_uid=uids.get(STUDY_UID, ""),
                patient_id=answers.patient_pseudonym,
            )
            self._names = answers.pseudonyms, names
        return self._names[1]

    def close(self) -> None:
        """Let the source file go; closing twice is harmless."""
        if self._source.descriptor >= 0:
            os.close(self._source.descriptor)
            self._source.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
