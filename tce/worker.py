"""Takes ready exports down the road: the numbered story of RAD-51's expected actions and of RAD-53.

One export at a time, leased; whatever happens to this process, the export is taken again, and since
pseudonyms and policy are the same, the same bytes come out. Nothing is decided by guessing: what a check does
not pass is held with its reasons, what a service could not do now is tried again with longer and longer
pauses. Only a key server that is away is waited for without end, and a receiver that is away for days.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policies.errors import Refusal
from tce.cohort import CohortRule, Joining, traits_of
from tce.delivering import ATTEMPTS, Delivery, Outlook, Shortfall
from tce.documents import teaching_file_info
from tce.documents.disposition import DocumentRules
from tce.documents.manifest import DOCUMENT_CLASSES, DocumentKind
from tce.documents.manifest import parse as parse_manifest
from tce.documents.outgoing import outgoing
from tce.documents.reading import read_document
from tce.documents.teaching_file_info import PolicyRequest
from tce.errors import ExportError, IndexAway
from tce.exports import Exports
from tce.ledger import Export
from tce.members import Member
from tce.road import (
    Anonymized,
    CaseTerms,
    Hold,
    PolicyTerms,
    Reason,
    Received,
    Release,
    Rooms,
    Sealed,
    Workshop,
    anonymize,
    digest_of,
    manifest_mark,
    seal,
)
from tce.spool import Spool
from tce.states import State
from vault.errors import Sealed as SealedVault
from vault.errors import Unreachable, VaultRoomError

PATIENCE = 72 * 3600.0
_SHORTEST_WAIT = 2.0
_LONGEST_WAIT = 300.0
_LONGEST_ABSENCE = 60.0


class Worker:
    """Works on the exports of one index and one spool, until there is nothing left to do."""

    def __init__(
        self,
        exports: Exports,
        spool: Spool,
        rooms: Rooms,
        ae_title: str,
        rules: DocumentRules = DocumentRules(),
        patience: float = PATIENCE,
    ) -> None:
        self._exports = exports
        self._spool = spool
        self._rooms = rooms
        self._ae_title = ae_title
        self._rules = rules
        self._patience = patience  # seconds for which a receiver may be away
        self._absences = 0  # times in a row that the key server was away

    def run(self, stop: threading.Event, poll_seconds: float, lull: Callable[[], None]) -> None:
        """Work until ``stop`` is set; whenever there is nothing to do, ``lull`` is called.

        While the index is away, as on a full disk, nothing is done; then it goes on where it was.
        """
        away = False
        while not stop.is_set():
            try:
                if away:
                    self._exports.recover()
                away = False
                if self.step():
                    continue
                lull()
            except IndexAway:
                away = True
            stop.wait(poll_seconds)

    def step(self) -> bool:
        """Take one export as far as it goes now; False when there was none."""
        export = self._exports.lease()
        if export is None:
            return False
        try:
            self._take_down_the_road(export)
        except Hold as exc:
            with _unless_overtaken():
                self._exports.hold(export.id, exc.reasons)
        except (Unreachable, SealedVault) as exc:
            self._wait_for_the_keys(self._exports.get(export.id), exc)
            return True
        except Exception as exc:
            # Our own errors say what happened without a value; of a foreign one only the kind is kept.
            what = str(getattr(exc, "what", f"it failed with {type(exc).__name__}"))
            self._try_later(self._exports.get(export.id), [Reason("failed", what)])
        self._absences = 0
        return True

    def _take_down_the_road(self, export: Export) -> None:
        # 1. What has arrived for this export: instances, additional information, manifests.
        if export.state is State.WORKING:
            members = self._exports.arrived(export, self._spool.path)
            # 2. Which case it is for, and whether that case allows it (RAD-52, design section 6).
            terms = self._decide(export, members)
            # 3. Anonymize everything alike, manifests and information included (RAD-53).
            place = self._spool.workplace(export.id, fresh=True)
            workshop = self._rooms.workshop(terms)
            received = [self._prepared(member, place / "prepared", workshop) for member in members]
            anonymized = anonymize(received, workshop, place / "out")
            # 4. Seal: one finding holds the whole export, and so does a patient without company in the cohort.
            manifests = [
                member.received.sop_instance_uid for member in members if member.kind is DocumentKind.MANIFEST
            ]
            sealed = seal(anonymized, workshop.verifier, manifests)
            tally: Counter[str] = Counter()
            for instance in anonymized:
                tally.update(instance.tally)
            export = self._exports.seal(
                export,
                sealed,
                case_id=terms.id,
                policy_digest=terms.policy.digest,
                tally=tally,
                joining=_joining(anonymized, workshop.cohort),
            )
            if export.state is State.HELD:
                return
        else:
            _prove_unchanged(self._exports.sealed(export))
        # 5. Deliver what is missing to each receiver of the case: instances, then manifests.
        terms = self._terms_still_standing(export)
        sealed = self._exports.sealed(export)
        permission = _Permitted(self._rooms.cases.permission(terms))
        delivery = Delivery(self._exports, self._rooms.auditor, self._ae_title, permission)
        shortfalls = [one for to in terms.receivers for one in delivery.deliver(export, sealed, to)]
        if shortfalls:
            self._deliver_later(export, shortfalls)
            return
        # 6. Close: the signed release record, the audit message, the state.
        self._rooms.releases.close(
            Release(
                export.id,
                terms.id,
                terms.policy,
                terms.receivers,
                tuple(sealed),
                export.tally,
                permission.at,
                tuple(self._exports.holds(export)),
                {what: count for what, count in export.tally.items() if what.startswith("cohort")} or None,
            )
        )
        for to in terms.receivers:
            detail = {"export": export.id, "case": terms.id}
            detail |= {"receiver": to.ae_title, "receiver_address": to.host}
            detail["instances"] = str(len(sealed))
            detail["manifest"] = manifest_mark(one.sop_instance_uid for one in sealed if one.is_manifest)
            self._rooms.auditor.record("export", success=True, detail=detail)
        self._exports.close_export(export)
        self._spool.clear(export.id)

    def _decide(self, export: Export, members: Sequence[Member]) -> CaseTerms:
        """Return the terms of the case that the export is for, or raise Hold with everything that forbids it."""
        requests = [
            teaching_file_info.parse(read_document(member.received.path))[1]
            for member in members
            if member.kind is DocumentKind.INFORMATION
        ]
        manifests = [
            parse_manifest(read_document(member.received.path)).manifest
            for member in members
            if member.kind is DocumentKind.MANIFEST
        ]
        # However it came here: what carries a Delay Reason waits for a manifest that carries none.
        if delays := dict.fromkeys(reason for one in manifests for reason in one.delay_reasons):
            raise Hold([Reason("delay", reason.meaning) for reason in delays])
        case_id = self._rules.disposition.case_of(requests, manifests)
        try:
            terms = self._rooms.cases.terms(case_id)
        except Hold as hold:
            # A case without approval is one that the site knows; of any other it must not seem so.
            if any(reason.code == "not-approved" for reason in hold.reasons):
                self._exports.is_for(export, case_id)
            raise
        self._exports.is_for(export, case_id)
        wrong = [reason for request in requests for reason in _unlike(request, terms)]
        documents = [member for member in members if member.kind is not DocumentKind.INSTANCE]
        if any(member.calling_ae not in terms.selectors for member in documents):
            wrong.append(Reason("selector", f"its sender may not select for the case {terms.id}"))
        if not terms.receivers:
            wrong.append(Reason("receiver", f"the case {terms.id} has no receiver"))
        if wrong:
            raise Hold(wrong)
        return terms

    def _prepared(self, member: Member, place: Path, workshop: Workshop[Any]) -> Received:
        """Take out of documents what is for nobody but the Export Manager; everything else goes as it is."""
        if member.received.sop_class_uid not in DOCUMENT_CLASSES:
            return member.received
        try:
            workshop.engine.read(member.received.path)
        except Refusal:
            return member.received  # and refused again with its place; nothing broken is written anew
        place.mkdir(exist_ok=True)
        path = place / member.received.path.name
        try:
            ds = read_document(member.received.path)
            if not outgoing(ds, self._rules.scheme):
                return member.received
            ds.save_as(path, enforce_file_format=True)
        except Exception:  # a peer's bytes may fail in any way; what it says to whom is then not known
            raise Hold([Reason("malformed-document", "a document of it cannot be read")]) from None
        return Received(
            path=path,
            sop_class_uid=member.received.sop_class_uid,
            sop_instance_uid=member.received.sop_instance_uid,
            transfer_syntax_uid=member.received.transfer_syntax_uid,
        )

    def _terms_still_standing(self, export: Export) -> CaseTerms:
        """Ask for the case again: an approval may have been withdrawn since the export was sealed."""
        terms = self._rooms.cases.terms(export.case_id)
        if terms.policy.digest != export.policy_digest:
            raise Hold([Reason("policy-changed", "the case has another policy since this was anonymized")])
        return terms

    def _deliver_later(self, export: Export, shortfalls: Sequence[Shortfall]) -> None:
        """Give the lease back for a while, or fail: what is refused ends after its attempts, and who is away is
        waited for until patience ends."""
        reasons = [one.reason for one in shortfalls]
        waits = [one.wait for one in shortfalls if one.outlook is Outlook.LATER]
        age = self._exports.age(export)
        if not waits and all(one.outlook is Outlook.REFUSED for one in shortfalls):
            self._try_later(export, reasons)
            return
        with _unless_overtaken():
            if not waits or age > self._patience:
                self._exports.fail(export, reasons)
            else:
                wait = max(*waits, _SHORTEST_WAIT, 0.0 if all(waits) else age / 2)
                self._exports.give_back(export, reasons, wait=min(_LONGEST_WAIT, wait), counted=False)

    def _try_later(self, export: Export, reasons: Sequence[Reason]) -> None:
        """Give the lease back for a while, or fail when it was tried often enough."""
        with _unless_overtaken():
            if export.attempts + 1 >= ATTEMPTS:
                self._exports.fail(export, reasons)
            else:
                wait = min(_LONGEST_WAIT, 2.0**export.attempts)
                self._exports.give_back(export, reasons, wait=wait)

    def _wait_for_the_keys(self, export: Export, exc: VaultRoomError) -> None:
        """Give the lease back without counting: nothing can be done for any export until the keys are back."""
        wait = min(_LONGEST_ABSENCE, 2.0**self._absences)
        self._absences += 1
        reason = Reason("key-server-away", f"{exc.what}; it is asked again at least every minute")
        with _unless_overtaken():
            self._exports.give_back(export, [reason], wait=wait, counted=False)


class _Permitted:
    """A permission that remembers when it was last given: ``at``. It is asked once to begin with."""

    def __init__(self, permission: Callable[[], None]) -> None:
        self._permission = permission
        self()

    def __call__(self) -> None:
        asked = datetime.now(UTC)
        self._permission()
        self.at = asked


def _unless_overtaken() -> contextlib.suppress:
    """Let a change go by that a person's hold or cancellation has made impossible in the meantime."""
    return contextlib.suppress(ExportError)


def _unlike(request: PolicyRequest, terms: CaseTerms) -> list[Reason]:
    """Say whether a request asks for anything but the approved policy of the case."""
    asked = PolicyTerms(request.name, request.version, request.digest)
    if not request.names_a_policy or asked == terms.policy:
        return []
    return [Reason("policy", f"the policy asked for is not the approved one of the case {terms.id}")]


def _joining(anonymized: Sequence[Anonymized], rule: CohortRule | None) -> Joining | None:
    """Return what an export would add to the cohort of its case; it is one patient's."""
    if rule is None:
        return None
    ((patient, traits),) = traits_of((one.path for one in anonymized), rule).items()
    return Joining(patient, traits, rule)


def _prove_unchanged(sealed: Sequence[Sealed]) -> None:
    """Raise Hold unless every file still has the bytes that were sealed."""
    if not all(one.path.is_file() and digest_of(one.path) == one.digest for one in sealed):
        raise Hold([Reason("changed", "a sealed file is gone or not as it was when it was sealed")])
