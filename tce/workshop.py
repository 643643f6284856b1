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
from policies.layout import read_source
from policies.model import Policy
from policies.movement import Events
from policies.originals import ALL, Trait, originals_of
from policies.pseudonyms import Identifier, Pseudonyms, Subject
from policies.residue import Residue
from policies.standard.tables import Option
from policies.verify import Verification
from tce.road import Anonymized, Reason, Workshop

# What an option leaves in place cannot be residue.
_RETAINED_BY: Mapping[Option, Trait] = {
    Option.RETAIN_UIDS: Trait.UID,
    Option.RETAIN_INSTITUTION_IDENTITY: Trait.PLACE,
    Option.RETAIN_DEVICE_IDENTITY: Trait.DEVICE,
}

_MANUFACTURER, _MODEL = 0x00080070, 0x00081090
_THINGS = frozenset({Trait.PLACE, Trait.DEVICE})


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

    def __init__(self, policy: Policy, trial: Mapping[str, str], minimum_cohort: int) -> None:
        self._policy = policy
        self._trial = trial
        self._minimum_cohort = minimum_cohort

    def findings(self, instances: Sequence[Anonymized]) -> list[Reason]:
        """Return everything wrong with a set; an empty list lets it pass.

        1. each instance: policy, claims, legality, Types of its IOD, and what became of its source;
        2. the set: references resolve as they did before, UIDs and patients are one for one, intervals are kept;
        3. residue: no identifying value of the sources in any byte;
        4. the cohort: a k above one cannot be shown for one patient, so it holds.
        """
        verification = Verification(self._policy, trial=self._trial)
        findings = [finding for one in instances for finding in verification.check(one.path, one.source.path)]
        findings += verification.whole()
        found = [
            Reason(
                finding.code,
                f"instance {finding.instance}, {finding.where or finding.channel}: {finding.what}",
            )
            for finding in findings
        ]
        paths = [one.path for one in instances]
        sources = [one.source.path for one in instances]
        found += self._residue(sources, paths)
        needed = max(self._minimum_cohort, self._policy.minimum_cohort)
        if needed > 1:
            what = f"the case wants {needed} patients who share their traits, and an export holds one"
            found.append(Reason("cohort", what))
        return found

    def _residue(self, sources: Sequence[Path], paths: Sequence[Path]) -> list[Reason]:
        sought = ALL - {trait for option, trait in _RETAINED_BY.items() if option in self._policy.options}
        values = set(originals_of(sources, sought - _THINGS))
        # A hospital whose name is written as the maker's, which stays, cannot be told from the maker.
        makers = [maker.casefold() for maker in _makers(sources)]
        things = originals_of(sources, sought & _THINGS)
        values |= {value for value in things if not any(value.casefold() in maker for maker in makers)}
        if not values:
            return []
        search = Residue(sorted(values))
        found = []
        for place, path in enumerate(paths, 1):
            for where in sorted({hit.where or hit.channel for hit in search.search_instance(path)}):
                found.append(
                    Reason("residue", f"instance {place}, {where}: a value of the sources stands there")
                )
        return found


def _makers(sources: Sequence[Path]) -> set[str]:
    """Return manufacturers and model names of the sources, which no policy removes by default."""
    instances = (read_source(path) for path in sources)
    return {instance.text(tag) for instance in instances for tag in (_MANUFACTURER, _MODEL)}


def workshop(
    policy: Policy,
    pseudonyms: Pseudonyms,
    *,
    trial: Mapping[str, str],
    events: Events | None = None,
    minimum_cohort: int = 1,
) -> Workshop[OpenDraft]:
    """Put a workshop together for a policy and the keys of a case."""
    return Workshop(
        engine=RoadEngine(Engine(policy, trial=trial, events=events)),
        pseudonyms=pseudonyms,
        verifier=SetVerifier(policy, trial, minimum_cohort),
    )
