"""What it takes to anonymize for one case, put together from the policy, the engine and the verification.

The engine makes, the verifier looks at what came out with rules of its own, and the search for residue looks for
every identifying value of what came in. Any finding holds the export (design, section 4, step 7). Keys are
handed in as :class:`policies.pseudonyms.Pseudonyms`; nothing here can lead back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.engine import Draft as EngineDraft
from policies.engine import Engine
from policies.forms import Forms
from policies.model import Policy
from policies.movement import Events
from policies.pseudonyms import Identifier, Pseudonyms, Subject
from tce.cohort import rule_of
from tce.proving import Provers, prove_set
from tce.road import Anonymized, Reason, Workshop


class OpenDraft:
    """A draft of the engine that lets its source file go when nobody needs it any more."""

    def __init__(self, draft: EngineDraft) -> None:
        self.draft = draft
        self._open = True

    @property
    def subject(self) -> Subject:
        """The patient and his identifiers."""
        return self.draft.subject

    @property
    def sop_instance_uid(self) -> str:
        """The original SOP Instance UID."""
        return self.draft.sop_instance_uid

    def close(self) -> None:
        """Let the source file go; a second call does nothing."""
        if self._open:
            self._open = False
            self.draft.close()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Made:
    """What the engine wrote, in the shape of the road. All values are new ones."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    transfer_syntax_uid: str
    tally: Mapping[str, int]


class RoadEngine:
    """The engine in the shape that the road asks for (:class:`tce.road.Deidentifier`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, path: Path) -> OpenDraft:
        """Read one instance. Raises Refusal or Held."""
        return OpenDraft(self._engine.read(path))

    def write(self, draft: OpenDraft, pseudonyms: Mapping[Identifier, str], out: Path) -> Made:
        """Write one instance and let its source go."""
        try:
            written = self._engine.write(draft.draft, pseudonyms, out)
        finally:
            draft.close()
        names = written.names
        return Made(
            path=Path(written.path),
            sop_class_uid=names.sop_class_uid,
            sop_instance_uid=names.sop_instance_uid,
            series_uid=names.series_uid,
            study_uid=names.study_uid,
            patient_id=names.patient_id,
            transfer_syntax_uid=written.transfer_syntax_uid,
            tally={"instances": 1, "elements changed": written.changed},
        )


class SetVerifier:
    """Verification of a whole set against its policy and against what it was made from."""

    def __init__(
        self,
        policy: Policy,
        trial: Mapping[str, str],
        forms: Forms = Forms(),
        provers: Provers | None = None,
    ) -> None:
        self._provers = provers
        self._policy = policy
        self._trial = trial
        self._forms = forms

    def findings(self, instances: Sequence[Anonymized]) -> list[Reason]:
        """Return everything wrong with a set by :mod:`tce.proving`; an empty list lets it pass."""
        return [
            Reason(
                finding.code,
                f"instance {finding.instance}, {finding.where or finding.channel}: {finding.what}",
            )
            for finding in prove_set(
                [(one.path, one.source.path) for one in instances],
                self._policy,
                trial=self._trial,
                forms=self._forms,
                provers=self._provers,
            )
        ]


def workshop(
    policy: Policy,
    pseudonyms: Pseudonyms,
    *,
    trial: Mapping[str, str],
    events: Events | None = None,
    minimum_cohort: int = 1,
    forms: Forms = Forms(),
    provers: Provers | None = None,
) -> Workshop[OpenDraft]:
    """Put a workshop together for a policy and the keys of a case; ``provers`` share the proof of large exports."""
    rule = rule_of(policy, minimum_cohort)
    return Workshop(
        engine=RoadEngine(Engine(policy, trial=trial, events=events)),
        pseudonyms=pseudonyms,
        verifier=SetVerifier(policy, trial, forms, provers),
        cohort=rule if rule.limits.ask else None,
    )
