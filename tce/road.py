"""The road of one export, as a numbered story: received → anonymized → sealed → delivered.

Each state is a frozen type of its own, a step takes the state before it and returns the next, and the sender
takes nothing but :class:`Sealed`. The steps stand in :mod:`tce.worker`; this module holds the states, the two
steps that change an instance, and what the road asks of the other rooms, as protocols of one or two methods
(``tce.wiring`` binds the real ones). It knows neither sockets nor tables (design, section 4; RAD-50 to 53).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from policies.errors import Refusal
from policies.pseudonyms import Identifier, Pseudonyms, Subject
from tce.cohort import CohortRule
from tce.errors import TceError
from tce.network.tls import Certificates

# Instances that are open at one time, and resolved by one request.
BATCH = 200


class Reason(NamedTuple):
    """Why an export waits or failed: a code for machines, a sentence for people; never an instance's value."""

    code: str
    what: str


class Hold(TceError):
    """This export must not go on until a person has looked at it; every reason is named."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        super().__init__(
            "; ".join(reason.what for reason in reasons) or "held without a reason",
            next_step="look at it with: tce exports show",
        )
        self.reasons = tuple(reasons)


class Peer(NamedTuple):
    """Another application entity and where it listens; with certificates it is called over TLS only."""

    ae_title: str
    host: str
    port: int
    certificates: Certificates | None = None


# --- The states. UIDs of received instances stay out of every repr: they lead back to the zone before.


@dataclass(frozen=True, slots=True)
class Received:
    """An instance as it arrived: durable in the spool, not yet touched by a policy."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Anonymized:
    """An instance that the case's policy has treated, not yet verified. All UIDs are new ones."""

    source: Received
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    transfer_syntax_uid: str
    tally: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An instance that passed verification and has not changed since: its bytes have this digest."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    is_manifest: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """A sealed instance that one receiver has answered with Success."""

    sealed: Sealed
    receiver: str


# --- What the road asks of the other rooms.


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """One policy, exactly."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class CaseTerms:
    """What an approved case allows: who may select, which policy, where it goes."""

    id: str
    policy: PolicyTerms
    selectors: frozenset[str]
    receivers: tuple[Peer, ...]
    minimum_cohort: int = 1


class CaseBook(Protocol):
    """The site's cases and their approvals."""

    def terms(self, case_id: str) -> CaseTerms:
        """Return the terms of a case whose own approval and whose policy's approval both stand now.

        Raises :class:`Hold` when the case is unknown, or an approval is missing, altered, expired or
        withdrawn.
        """
        ...

    def permission(self, terms: CaseTerms) -> Callable[[], None]:
        """Return what is called before each instance leaves.

        It returns while the case still has these terms, and raises :class:`Hold` as soon as it has not.
        """
        ...


class Draft(Protocol):
    """An instance that the engine has read and can write; says which identifiers it contains."""

    @property
    def subject(self) -> Subject: ...
    @property
    def sop_instance_uid(self) -> str: ...


class Written(Protocol):
    """What the engine wrote. All values are new ones."""

    @property
    def path(self) -> Path: ...
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def series_uid(self) -> str: ...
    @property
    def study_uid(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def tally(self) -> Mapping[str, int]: ...


D = TypeVar("D", bound=Draft)


class Deidentifier(Protocol[D]):
    """One compiled policy (:class:`policies.engine.Engine`); raises policies.errors.Refusal."""

    def read(self, path: Path) -> D: ...
    def write(self, draft: D, pseudonyms: Mapping[Identifier, str], out: Path) -> Written: ...


class Verifier(Protocol):
    """Looks at what came out, without sharing a rule with the engine that made it."""

    def findings(self, instances: Sequence[Anonymized]) -> Sequence[Reason]:
        """Return everything wrong with this set: policy, IOD, references, residue of the sources."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop(Generic[D]):
    """What it takes to anonymize for one case: its policy compiled, its keys, its verification, what its cohort keeps.

    Without ``cohort`` nothing is asked of it.
    """

    engine: Deidentifier[D]
    pseudonyms: Pseudonyms
    verifier: Verifier
    cohort: CohortRule | None = None


class Auditor(Protocol):
    """Takes events for the audit trail. ``detail`` holds job ids, counts, digests and AE titles."""

    def record(self, event: str, *, success: bool, detail: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class PastHold:
    """That an export was held, why (codes of reasons), and who let it go on; moments in ISO 8601, UTC."""

    held: str
    reasons: tuple[str, ...]
    resolved: str
    by: str


@dataclass(frozen=True, slots=True)
class Release:
    """Everything a release record accounts for: one export, delivered to all of its receivers.

    ``allowed_at`` is the last moment at which case and policy were asked for, and approved, before an instance left.
    """

    export_id: str
    case_id: str
    policy: PolicyTerms
    receivers: tuple[Peer, ...]
    instances: tuple[Sealed, ...]
    tally: Mapping[str, int]
    allowed_at: datetime
    holds: tuple[PastHold, ...] = ()
    disclosure: Mapping[str, object] | None = None


class ReleaseBook(Protocol):
    """Writes signed release records."""

    def close(self, release: Release) -> None:
        """Write the signed record of a release, durably. A second call for one export changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the Export Manager takes from the other rooms."""

    cases: CaseBook
    workshop: Callable[[CaseTerms], Workshop[Any]]
    auditor: Auditor
    releases: ReleaseBook


class MediumWriter(Protocol):
    """Writes portable media for the Receiver (:func:`media.pdi.write_medium`)."""

    def __call__(self, instances: Sequence[Path], out: Path) -> None:
        """Write a complete medium into the folder ``out``, which does not exist yet, or raise."""
        ...


# --- The two steps that change an instance.


def anonymize(received: Sequence[Received], workshop: Workshop[D], out: Path) -> list[Anonymized]:
    """Treat a whole export by its policy.

    Returns one anonymized instance for each received one, in order. Raises :class:`Hold` naming the refused
    instances of a batch by their places, when the engine refuses any, when an instance is not the one that
    the index says, or when they are not all of one patient (RAD-51: one patient a manifest). Then nothing is
    passed on.
    """
    out.mkdir(parents=True, exist_ok=True)
    result: list[Anonymized] = []
    patients: set[Identifier] = set()
    for start in range(0, len(received), BATCH):
        batch = received[start : start + BATCH]
        # 1. Read the batch; a refusal of one holds all (an export is complete or it is not made).
        drafts = _drafts(batch, workshop.engine, start + 1)
        # 2. One patient a manifest.
        patients |= {draft.subject.patient for draft in drafts}
        if len(patients) > 1:
            raise Hold([Reason("several-patients", "the selection holds more than one patient")])
        # 3. One request derives the pseudonyms of all identifiers of the batch.
        pseudonyms = workshop.pseudonyms.resolve([draft.subject for draft in drafts])
        # 4. One pass writes.
        for place, (instance, draft) in enumerate(zip(batch, drafts, strict=True), start + 1):
            result.append(_written(instance, draft, pseudonyms, workshop.engine, out, place))
    return result


def _drafts(batch: Sequence[Received], engine: Deidentifier[D], first: int) -> list[D]:
    drafts: list[D] = []
    refused: list[Reason] = []
    for place, instance in enumerate(batch, first):
        try:
            draft = engine.read(instance.path)
        except Refusal as exc:
            refused.append(Reason(exc.reason, f"instance {place}: {exc.what}"))
            continue
        if draft.sop_instance_uid != instance.sop_instance_uid:
            refused.append(
                Reason("uid-mismatch", f"instance {place} is not the one its C-STORE request named")
            )
        drafts.append(draft)
    if refused:
        raise Hold(refused)
    return drafts


def _written(
    instance: Received,
    draft: D,
    pseudonyms: Mapping[Identifier, str],
    engine: Deidentifier[D],
    out: Path,
    place: int,
) -> Anonymized:
    try:
        written = engine.write(draft, pseudonyms, out / f"{place:06d}")
    except Refusal as exc:
        raise Hold([Reason(exc.reason, f"instance {place}: {exc.what}")]) from None
    return Anonymized(
        source=instance,
        path=written.path,
        sop_class_uid=written.sop_class_uid,
        sop_instance_uid=written.sop_instance_uid,
        series_uid=written.series_uid,
        study_uid=written.study_uid,
        patient_id=written.patient_id,
        transfer_syntax_uid=written.transfer_syntax_uid,
        tally=dict(written.tally),
    )


def seal(instances: Sequence[Anonymized], verifier: Verifier, manifests: Collection[str]) -> list[Sealed]:
    """Verify a whole export and fix its bytes; manifests (original UIDs of ``manifests``) come last.

    Raises :class:`Hold` with every finding: one finding holds the whole export.
    """
    if not instances:
        raise Hold([Reason("empty", "there is nothing to export")])
    findings = list(verifier.findings(instances))
    if len({instance.sop_instance_uid for instance in instances}) != len(instances):
        findings.append(Reason("uid-collision", "two instances came out with one SOP Instance UID"))
    if findings:
        raise Hold(findings)
    # Hashing and flushing leave the interpreter to others, so that threads share them.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = list(threads.map(lambda one: digest_of(one.path, durable=True), instances))
    sealed = [
        Sealed(
            path=instance.path,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            digest=digest,
            is_manifest=instance.source.sop_instance_uid in manifests,
        )
        for instance, digest in zip(instances, digests, strict=True)
    ]
    return sorted(sealed, key=lambda one: one.is_manifest)


def manifest_mark(uids: Iterable[str]) -> str:
    """Return twelve characters for the manifests of one export, the same at its sender and at its receiver.

    They are made of the new SOP Instance UIDs: people can compare them, and they name no instance.
    """
    return hashlib.sha256("\n".join(sorted(uids)).encode()).hexdigest()[:12]


def digest_of(path: Path, *, durable: bool = False) -> str:
    """Return ``sha256:…`` of a file's bytes; ``durable`` also puts them on the disk first."""
    with path.open("rb") as file:
        if durable:
            os.fsync(file.fileno())
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
