"""One instance through a policy: read, ask for pseudonyms, write.

    path ──read──▶ Draft ──(identifiers out, pseudonyms in)──▶ write ──▶ Written

``read`` goes over the file once and names the identifiers it met; ``write`` puts the pieces together. Between the two
the caller resolves a whole batch in one request. The engine holds no key, asks no network and leaves the source
alone. It serves PS3.15 Annex E.1.1 (de-identifier).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from policies.conditions import Kinds
from policies.draft import Answered, Draft, Names
from policies.elements import FileMeta, file_head, style_of
from policies.encrypted_attributes import Envelope, with_encrypted_attributes
from policies.errors import Held, Refusal, Unconforming
from policies.instances import Instance, mended, open_instance
from policies.known import (
    KnownWords,
    Remembering,
    hidden_in,
    search_for,
    unmistakable_search_for,
)
from policies.known_uids import uids_stand_in
from policies.marks import marks_for, placed
from policies.model import Policy, Stage
from policies.movement import Events, Movement
from policies.pieces import Block, Changed, Copy, Facts, Piece
from policies.pixels.kinds import regions_of, risks_of, rules_for, settled_by, words_of_risk
from policies.pixels.regions import not_cleaned
from policies.pixels.treatment import Treatment, require_pixels_here, treat
from policies.plan import Plan
from policies.pseudonyms import Identifier
from policies.rules import STRUCTURAL_UIDS, Rules
from policies.scan import scan
from policies.source import FileSource, Source
from policies.standard.beyond import BURNED_IN_RISKS, Risk, opaque_syntaxes, risks
from policies.standard.tables import attribute_type, iod_of, is_known_sop_class
from policies.subject import carried, learn
from policies.text_operations import (
    names_the_patient,
)
from policies.writing import Part, alike, looked_at, write_file

__all__ = ["Draft", "Engine", "Names", "Written"]

_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_MOST_CONTEXTS = 256
_HEAD_OF_FRAGMENT = 1 << 12
_WARY_FOR = 512
"""For how many instances texts are searched one by one, after one of them named somebody."""


@dataclass(frozen=True, slots=True)
class Written:
    """One instance as it was written. ``changed`` counts elements with a new value; removed ones are not counted."""

    path: str | Path
    names: Names
    transfer_syntax_uid: str
    changed: int


class Engine:
    """Carries instances through one policy.

    ``trial`` are values of the Clinical Trial modules (keyword to value), written where the policy says so.
    ``events`` are the dates from which study days count, by the Patient ID that is read. In an ``envelope`` stage 1
    keeps what it takes out, for a re-identifier (PS3.15 E.1.1); stage 2 leaves no way back. An engine may be used for
    any number of instances, one at a time.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        trial: Mapping[str, str] | None = None,
        events: Events | None = None,
        envelope: Envelope | None = None,
    ) -> None:
        if envelope is not None and policy.stage is not Stage.PSEUDONYMIZE:
            raise ValueError("only stage 1 writes Encrypted Attributes")
        self.policy = policy
        self._envelope = envelope
        self._movement = Movement(policy.dates, events or {})
        self._accepted = policy.accepted_risks
        self._admitted: set[tuple[str, str]] = set()
        self._contexts: dict[object, object] = {}
        self._unfounded: dict[tuple[Plan, KnownWords], Remembering] = {}
        self._wary = 0
        self._plans: dict[tuple[str, Rules, bool, bool], Plan] = {}
        self._rules = Rules(policy)
        self._kinds = Kinds(policy, self._rules)
        marks = marks_for(policy, self._rules, trial or {})
        self._marks = {explicit: placed(marks, explicit=explicit) for explicit in (False, True)}
        self._marked = frozenset(mark.tag for mark in marks)

    @property
    def recipients(self) -> int:
        """For how many recipients originals are encrypted; 0 where they are not."""
        return 0 if self._envelope is None else len(self._envelope)

    def read(self, path: str | Path) -> Draft:
        """Read one instance and decide what happens to it; the file is not changed.

        Raises:
            Held: it may show the patient where no attribute rule reaches; a person must look first.
            Refusal: it cannot be de-identified; ``reason`` says why.
            OSError: it cannot be opened.
        """
        # A pipe or a device would never end; opening must not wait for one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return self._read(FileSource(descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def _read(self, source: FileSource) -> Draft:
        instance = open_instance(source)
        try:
            draft = self._draft(source, instance)
        except Unconforming as turned_down:
            if instance.mended:
                raise
            draft = self._draft(source, mended(instance, turned_down))
        source.forget()
        return draft

    def _draft(self, source: FileSource, instance: Instance) -> Draft:
        # 1. What kind of instance is it, and may its kind pass at all?
        meta, explicit = instance.meta, instance.style.explicit
        self._admit(meta.sop_class_uid, meta.transfer_syntax_uid)
        # 2. One pass over its elements. Where an instance named somebody, its neighbours will: search at once.
        rules = self._kinds.rules_for(instance)
        plan = self._plan(meta.sop_class_uid, rules, explicit=explicit, suspicious=self._wary > 0)
        facts = Facts(explicit=explicit, encapsulated=instance.style.encapsulated)
        pieces = scan(instance.data, instance.offset, plan.top, facts, self._marks[explicit], plan.memory)
        # 3. Who is it about, and which identifiers wait for pseudonyms?
        original = learn(
            facts,
            needs_study=_needs_study(meta.sop_class_uid),
            dates_from_key=self._movement.asks_key,
            institution_retained=rules.institution_retained,
        )
        if original.sop_class_uid != meta.sop_class_uid:
            raise Refusal(
                "malformed", "The File Meta Information and the data set name different SOP Classes."
            )
        # 4. What no attribute rule can see is cleaned, or held.
        treatment = self._treat(instance.data, meta, facts)
        # 5. By how many days do its dates move? An instance of no study and no patient has none to count from.
        days = None
        if facts.study is not None:
            days = self._movement.days(facts.study_date, original.patient_id, dated=facts.moves_dates)
        self._wary = max(0, self._wary - 1)
        return Draft(
            source, instance.data, instance.offset, meta, pieces, facts, original, plan, treatment, days
        )

    def _treat(self, data: Source, meta: FileMeta, facts: Facts) -> Treatment:
        """Decide what becomes of the pixels. Raises Held where they may show the patient afterwards."""
        raws = {tag: piece.raw for tag, piece in facts.top.items()}
        found = risks_of(meta.sop_class_uid, raws, facts.anatomy, facts.decode, self.policy)
        rules = rules_for(meta.sop_class_uid, raws, found, self.policy)
        for risk in sorted(found - self._accepted - settled_by(rules)):
            raise _held(risk)
        if facts.pixels is None:
            facts.keeps_offset_tables = False
            return Treatment()
        if meta.transfer_syntax_uid in opaque_syntaxes():
            # Accepted by the policy, with a reason; what no rule may change is not changed.
            if rules:
                raise not_cleaned("its pixels are compressed")
            heads = tuple((at, min(length, _HEAD_OF_FRAGMENT)) for at, length in facts.pixels.fragments or ())
            return Treatment((replace(facts.pixels.copy, looked_at=heads),))
        treatment = treat(data, facts.pixels, meta.transfer_syntax_uid, raws, regions_of(rules))
        facts.pixels_cleaned, facts.keeps_offset_tables = treatment.cleaned, treatment.keeps_offset_tables
        return treatment

    def names(self, draft: Draft, pseudonyms: Mapping[Identifier, str]) -> Names:
        """Return what the instance will be called.

        Raises:
            KeyError: a pseudonym is missing.
            Refusal: ``not-listed``, the patient got no pseudonym.
        """
        return draft.names(draft.answers(pseudonyms))

    def write(
        self,
        draft: Draft,
        pseudonyms: Mapping[Identifier, str],
        out: str | Path,
        *,
        scratch: str | Path | None = None,
    ) -> Written:
        """Write the instance to ``out``, which must not exist; on any failure nothing is left there.

        The file is put together in the folder ``scratch`` (default: beside ``out``) on the same file system, and
        gets its name when every byte is there.

        Raises:
            KeyError: a pseudonym is missing.
            FileExistsError: ``out`` exists.
            Held: a value that cannot be taken out names the patient or another person.
            Refusal: the source changed since it was read, a value is too long for its VR, or the patient got no
                pseudonym.
        """
        facts, answers = draft._facts, draft.answers(pseudonyms)
        names = draft.names(answers)
        transfer_syntax_uid = draft._treatment.syntax or draft._meta.transfer_syntax_uid
        # 1. Put the pieces together; a kept text that names somebody is found, and taken out in a second pass.
        parts, kept = self._render(draft, draft._pieces, facts, answers)
        if draft._plan.suspicious or self._doubts(draft, kept):
            if not draft._plan.suspicious:
                first, (parts, kept) = (parts, kept), self._without_known_words(draft, answers)
            if unmistakable_search_for(facts.known).finds_in_any(kept):
                raise names_the_patient()
            if not draft._plan.suspicious and alike(first[0], parts):
                self._unfounded[draft._plan, facts.known].remember(first[1])
        if uids_stand_in(kept, facts.uids, STRUCTURAL_UIDS) or any(
            hidden_in(block, facts.known) or uids_stand_in((block,), facts.uids)
            for block in looked_at(parts, draft._data)
        ):
            raise names_the_patient()
        if self._envelope is not None:
            parts = with_encrypted_attributes(parts, draft._data, draft._offset, facts, self._envelope)
        # 2. New File Meta Information, from the new UID (PS3.15 E.1.1).
        head = file_head(names.sop_class_uid, names.sop_instance_uid, transfer_syntax_uid)
        # 3. Write under the final name only when every byte is there.
        deflated = style_of(transfer_syntax_uid).deflated
        folder = scratch or Path(out).parent
        write_file(out, folder, head, parts, draft._source, draft._data, deflated=deflated)
        return Written(out, names, transfer_syntax_uid, changed=len(facts.pending))

    def _render(
        self, draft: Draft, pieces: list[Piece], facts: Facts, answers: Answered
    ) -> tuple[list[Part], list[bytes]]:
        """Return the pieces as bytes and copies, and those bytes among them that came from the source as they are."""
        context = self._context(draft, facts, answers)
        parts: list[Part] = []
        kept: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, bytes):
                parts.append(piece)
                kept.append(piece)
            elif isinstance(piece, Changed):
                rendered = piece.render_in(context, facts, answers)
                parts.append(rendered)
                if rendered is piece.whole:
                    kept.append(rendered)
                elif piece.change.searches:
                    self._wary = _WARY_FOR
            elif isinstance(piece, Block):
                together = piece.render_in(context, facts, answers)
                parts.append(together.rendered)
                kept.append(together.kept)
                if together.named:
                    self._wary = _WARY_FOR
            elif isinstance(piece, Copy):
                parts.extend(_instead(piece, draft, facts))
            else:
                rendered = piece.render(facts, answers)
                parts.append(rendered)
                kept.append(rendered)
        return parts, kept

    def _doubts(self, draft: Draft, kept: list[bytes]) -> bool:
        """Say whether anybody may be named in what stays.

        The search knows no value from the next one, so that digits of two numbers may look like one that is known.
        What turned out to name nobody under this plan is not searched again.
        """
        kind = draft._plan, draft._facts.known
        unfounded = self._unfounded.get(kind)
        if unfounded is None:
            if len(self._unfounded) > _MOST_CONTEXTS:
                self._unfounded.clear()
            unfounded = self._unfounded[kind] = Remembering()
        return search_for(draft._facts.known).finds_in_any(unfounded.news(kept))

    def _context(self, draft: Draft, facts: Facts, answers: Answered) -> object:
        """Return one object for all instances whose values, pseudonyms apart, are rendered alike."""
        context = (draft._original.subject.patient, facts.decode, facts.known, answers.date_offset)
        if len(self._contexts) > _MOST_CONTEXTS:
            self._contexts.clear()
        return self._contexts.setdefault(context, context)

    def _without_known_words(self, draft: Draft, answers: Answered) -> tuple[list[Part], list[bytes]]:
        facts = Facts(explicit=draft._facts.explicit)
        plan = self._plan(draft.sop_class_uid, draft._plan.rules, explicit=facts.explicit, suspicious=True)
        pieces = scan(draft._data, draft._offset, plan.top, facts, self._marks[facts.explicit])
        facts.adopt(draft._facts)
        # Not what the first pass left of them, which had not been searched.
        facts.carried = carried(facts)
        return self._render(draft, pieces, facts, answers)

    def _admit(self, sop_class_uid: str, transfer_syntax_uid: str) -> None:
        kind = sop_class_uid, transfer_syntax_uid
        if kind not in self._admitted:
            self._look_at_kind(*kind)
            self._admitted.add(kind)

    def _look_at_kind(self, sop_class_uid: str, transfer_syntax_uid: str) -> None:
        if sop_class_uid == _MEDIA_STORAGE_DIRECTORY:
            raise Refusal(
                "directory", "A DICOMDIR is a directory, not an instance; a new medium gets its own."
            )
        if not sop_class_uid:
            raise Refusal(
                "malformed", "Neither the File Meta Information nor the data set names a SOP Class."
            )
        if not is_known_sop_class(sop_class_uid):
            private = not sop_class_uid.startswith("1.2.840.10008.")
            raise Refusal(
                "private-sop-class" if private else "unknown-sop-class",
                "De-identification is not defined for this SOP Class.",
                next_step="Leave these instances out of the selection.",
            )
        require_pixels_here(transfer_syntax_uid)
        kinds = {risks().get(sop_class_uid)}
        if transfer_syntax_uid in opaque_syntaxes():
            kinds.add(Risk.OPAQUE_STREAM)
        # What a pixel rule may settle is decided when the instance was read.
        settled = BURNED_IN_RISKS if self.policy.pixels else frozenset()
        for risk in sorted(filter(None, kinds - self._accepted - settled)):
            raise _held(risk)

    def _plan(self, sop_class_uid: str, rules: Rules, *, explicit: bool, suspicious: bool = False) -> Plan:
        key = (sop_class_uid, rules, explicit, suspicious)
        plan = self._plans.get(key)
        if plan is None or plan.full:
            plan = Plan(rules, sop_class_uid, explicit=explicit, marked=self._marked, suspicious=suspicious)
            self._plans[key] = plan
        return plan


def _held(risk: Risk) -> Held:
    return Held(
        f"at-risk-{risk}",
        words_of_risk(risk),
        next_step="Review them, and let the policy accept this risk with a reason, or leave them out.",
    )


@cache
def _needs_study(sop_class_uid: str) -> bool:
    # A palette, a hanging protocol or an implant template belongs to no study; of a retired class nobody can say.
    use = attribute_type(sop_class_uid, (0x0020000D,))
    return iod_of(sop_class_uid) is None if use is None else use.type == "1"


def _instead(copy: Copy, draft: Draft, facts: Facts) -> tuple[Part, ...]:
    """Return what is written in place of a range of the source."""
    pieces = draft._treatment.pieces
    return (
        pieces if pieces is not None and facts.pixels is not None and copy is facts.pixels.copy else (copy,)
    )
