"""A policy tried on files: the engine for real, with pseudonyms that are drawn for this alone and forgotten.

No key and no approval is needed, nothing is written but results into a folder that the caller removes. Names, new UIDs
and numbers of days will be others when the stage runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from policies.engine import Draft, Engine
from policies.errors import Refusal
from policies.grounds import Grounds
from policies.model import Policy
from policies.movement import Events
from policies.pseudonyms import Identifier, Subject
from policies.rules import Rules
from tce.errors import Refused
from tce.pseudonym_stores import legacy_uids
from tce.walking import files_under
from vault.keys import Kind
from vault.scheme import Form, drawn

_FURTHEST = 3650


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named, or lie in folders that are named. Raises TceError where there is none."""
    files = [file for file in files_under(paths) if file.is_file()]
    if not files:
        raise Refused("there is no file to try it on", next_step="name DICOM files or folders of them")
    return files


class DrawnPseudonyms:
    """Answers with pseudonyms from chance, the same for the same identifier as long as this lives."""

    def __init__(self) -> None:
        self._drawn: dict[Identifier, str] = {}
        self.given: set[str] = set()
        """Every pseudonym that was given out."""

    def __repr__(self) -> str:
        return f"DrawnPseudonyms({len(self._drawn)})"

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        """Return a pseudonym for every identifier of every subject (:class:`policies.pseudonyms.Pseudonyms`)."""
        asked = {one for subject in subjects for one in (subject.patient, *subject.identifiers)}
        return {one: self._pseudonym(one) for one in asked}

    def became(self, kind: str) -> dict[str, str]:
        """Return which identifier of a kind became which. It leads back to originals: never print it."""
        return {one.value: given for one, given in self._drawn.items() if one.kind == kind}

    def _pseudonym(self, identifier: Identifier) -> str:
        found = self._drawn.get(identifier)
        if found is None:
            kind = Kind(identifier.kind)
            days = kind is Kind.DATE_OFFSET
            found = str(-1 - secrets.randbelow(_FURTHEST)) if days else drawn(kind, Form())
            self._drawn[identifier] = found
            self.given.add(found)
        return found


class TrialRun:
    """The engine under one policy. Runs that share pseudonyms differ by their policies alone."""

    def __init__(
        self,
        policy: Policy,
        pseudonyms: DrawnPseudonyms | None = None,
        *,
        trial: Mapping[str, str] | None = None,
        events: Events | None = None,
    ) -> None:
        self.policy = policy
        self.pseudonyms = pseudonyms or DrawnPseudonyms()
        self._engine = Engine(policy, trial=trial, events=events)
        self._legacy = legacy_uids(policy)
        self._grounds: dict[tuple[Rules, str], Grounds] = {}

    def carry(self, file: Path, out: Path) -> Rules:
        """Write what becomes of a file to ``out``, and return the rules that were for it.

        Raises Refusal where the policy does not let it pass or it cannot be read, and OSError where nothing can be
        written.
        """
        with self._read(file) as draft:
            self._engine.write(draft, self._answers(draft.subject), out)
            return draft.rules

    def _read(self, file: Path) -> Draft:
        try:
            return self._engine.read(file)
        except OSError:
            raise Refusal(
                "unreadable", "The file cannot be read.", next_step="Check its permissions and its disk."
            ) from None

    def grounds(self, rules: Rules, sop_class_uid: str) -> Grounds:
        """Return what says why, for all instances of one SOP Class and the same rules."""
        key = (rules, sop_class_uid)
        if key not in self._grounds:
            self._grounds[key] = Grounds(self.policy, rules, sop_class_uid)
        return self._grounds[key]

    def _answers(self, subject: Subject) -> Mapping[Identifier, str]:
        answers = dict(self.pseudonyms.resolve([subject]))
        if self._legacy is not None:
            # They are under no key, so they are those that will be.
            uids = {one: self._legacy.uid(one.value) for one in answers if one.kind == Kind.UID}
            self.pseudonyms.given.update(uids.values())
            answers |= uids
        return answers
