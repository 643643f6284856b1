"""Where policies and cases are submitted, approved and withdrawn, and where everything else asks for an approval.

The records lie beside what they are about: ``x.yaml``, ``x.submission.json``, ``x.approval.json``,
``x.withdrawal.json``. They are signatures of people (:mod:`vault.approvals`) and are verified offline against
``trust.json`` at every use: a file that was altered, put there by hand, or has run out is refused. A withdrawal
counts also when only the audit trail tells of it, because its file can be deleted. Refusals are written to the
audit trail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from tce import attached_figures, cases, forgotten
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.audit.withdrawals import EVENT_OF, forgotten_by, told_by
from tce.cases import Case
from tce.config import Site
from tce.errors import AuditError, CaseError, NotApproved, ReleaseError
from tce.forgotten import ORDER_FILE
from tce.logins import Logins
from tce.shelf import Shelved
from tce.trial_figures import Figures
from vault import approvals
from vault.approvals import Approval, Document, Submission, Withdrawal
from vault.errors import ApprovalRefusal, Withdrawn
from vault.keys import create_case_key
from vault.moments import moment
from vault.trust import Trust


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether something may be used now, in which words that is told, and who has the next step."""

    approved: bool
    words: str
    waits_for_approver: bool = False


@dataclass(frozen=True, slots=True)
class _Records:
    """The three records beside one text."""

    text: Path

    @property
    def submission(self) -> Path:
        return self.text.with_suffix(".submission.json")

    @property
    def approval(self) -> Path:
        return self.text.with_suffix(".approval.json")

    @property
    def withdrawal(self) -> Path:
        return self.text.with_suffix(".withdrawal.json")


class Desk:
    """Submissions and approvals of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._logins = Logins(site)
        self._trail = Trail(site.audit_trail)

    # --- policies

    def submit_policy(self, shelved: Shelved, person: str, figures: Figures | None = None) -> None:
        """Sign a policy as its author, and the figures of its trial. Raises Forbidden for who is no coordinator."""
        if figures is not None:
            attached_figures.attach(shelved, figures, self._logins.person(person))
        self._submit(shelved.path, _policy_document(shelved), person)

    def figures(self, shelved: Shelved) -> list[str]:
        """Say what the trial of a policy found, which its author put beside the submission; nothing without one."""
        return attached_figures.in_words(shelved, Trust.load(self._site.trust_path))

    def approve_policy(self, shelved: Shelved, person: str, *, days: int) -> datetime:
        """Sign a submitted policy as its approver; return when that ends. Raises NotApproved, SelfApproval."""
        return self._approve(shelved.path, _policy_document(shelved), person, days)

    def withdraw_policy(self, shelved: Shelved, person: str, *, reason: str) -> None:
        """Sign that the approval of a policy no longer holds. Raises NotApproved when there is none."""
        self._withdraw(shelved.path, _policy_document(shelved), person, reason)

    def require_policy(self, shelved: Shelved) -> datetime:
        """Return until when a policy may be used. Raises NotApproved, which is written to the trail."""
        return self._require(shelved.path, _policy_document(shelved))

    def standing(self, path: Path, digest: str) -> Standing:
        """Say how it stands with the text in a file."""
        try:
            approval = self._verified(path, digest)
        except (NotApproved, ApprovalRefusal, AuditError) as exc:
            records = _Records(path)
            words = exc.what if records.submission.exists() else "draft"
            return Standing(False, words, _waits_for_approver(records))
        return Standing(True, f"approved by {approval.approver} until {approval.expires[:10]}")

    def policy_approval(self, shelved: Shelved, at: datetime | None = None) -> Mapping[str, Any]:
        """Return the approval of a policy as it was signed, for a release record. Raises NotApproved.

        With ``at``, the moment at which the approval was last asked for, what was withdrawn since makes no difference.
        """
        return self._as_signed(shelved.path, shelved.policy.digest, at)

    def rests_on(self, case: str) -> tuple[Path, ...]:
        """Return the files and folders by which it is decided whether a case and its policies may be used."""
        folder = cases.case_dir(self._site.cases_dir, case)
        return folder, self._site.policies_dir, self._site.trust_path, self._trail.path

    # --- cases

    def submit_case(self, case: Case, person: str) -> None:
        """Sign a case as its author. Raises Forbidden for who is no coordinator, NotApproved for a forgotten case."""
        self.require_not_forgotten(case)
        self._submit(self._case_file(case), _case_document(case), person)

    def approve_case(self, case: Case, person: str, *, days: int) -> datetime:
        """Sign a submitted case as its approver and make its key; return when the approval ends.

        The approval ends with the case's own last day, if that comes first. Raises NotApproved also for a case that
        is forgotten, or that an approver has ordered to be.
        """
        self.require_not_forgotten(case)
        if self._beside(case, ORDER_FILE).exists():
            raise NotApproved(
                f"an approver has ordered that the case {case.id} is forgotten",
                next_step=f"take that back first: tce --as APPROVER case forget {case.id} --take-back",
            )
        return self._approve(self._case_file(case), _case_document(case), person, days, case.expires)

    def close_case(self, case: Case, person: str, *, reason: str) -> None:
        """Sign that a case is closed. Raises NotApproved when it was never approved."""
        self._withdraw(self._case_file(case), _case_document(case), person, reason)

    def require_case(self, case: Case) -> datetime:
        """Return until when a case is open and approved. Raises NotApproved, which is written to the trail."""
        self.require_not_forgotten(case)
        return self._require(self._case_file(case), _case_document(case))

    def require_open(self, case: Case) -> datetime:
        """Return until when a case is approved as it is now; if it never was approved, for ever. Raises NotApproved.

        Stage 1 may begin with a draft. Once two people agreed on a case, nothing of it is changed by one: a case that
        was edited or closed is open again when it is approved again; one that was forgotten never is.
        """
        self.require_not_forgotten(case)
        closed = any((told.kind, told.name) == ("case", case.id) for told in told_by(self._trail))
        records = _Records(self._case_file(case))
        if closed or records.withdrawal.exists() or records.approval.exists():
            return self.require_case(case)
        return datetime.max.replace(tzinfo=UTC)

    def require_not_forgotten(self, case: Case) -> None:
        """Return unless a key of a case was destroyed. Raises NotApproved, which is written to the trail.

        A record beside the case that does not count, because it is broken or of another case, stops the work too: it
        may be what is left of a genuine one, and a person looks at it first.
        """
        self.require_keys(case)
        try:
            forgotten.of_case(self._site, case)
        except (ApprovalRefusal, CaseError, ReleaseError) as exc:
            refusal = NotApproved(
                f"a record says that the case {case.id} is forgotten, and does not count: {exc.what}",
                next_step="ask who put it beside the case; if it is not its own, set it aside",
            )
            self._refused("", _case_document(case), refusal)
            raise refusal from None

    def require_keys(self, case: Case) -> None:
        """Return unless the trail tells that a key of a case was destroyed. Raises NotApproved, which is told there."""
        if case.id in forgotten_by(self._trail):
            refusal = NotApproved(
                f"the case {case.id} is forgotten: its keys were destroyed",
                next_step="begin a new case under another id",
            )
            self._refused("", _case_document(case), refusal)
            raise refusal

    def case_standing(self, case: Case) -> Standing:
        """Say how it stands with a case."""
        try:
            if forgotten.of_case(self._site, case) is not None:
                return Standing(False, "forgotten")
        except (ApprovalRefusal, AuditError, CaseError, ReleaseError) as exc:
            return Standing(False, f"stopped by a record of forgetting that does not count: {exc.what}")
        if self._beside(case, ORDER_FILE).exists():
            return Standing(False, "ordered to be forgotten, waits for a custodian")
        return self.standing(self._case_file(case), case.digest)

    def case_approval(self, case: Case, at: datetime | None = None) -> Mapping[str, Any]:
        """Return the approval of a case as it was signed, like :meth:`policy_approval`. Raises NotApproved."""
        return self._as_signed(self._case_file(case), case.digest, at)

    # --- both

    def _case_file(self, case: Case) -> Path:
        return self._beside(case, cases.CASE_FILE)

    def _beside(self, case: Case, name: str) -> Path:
        return cases.case_dir(self._site.cases_dir, case.id) / name

    def _submit(self, text: Path, document: Document, person: str) -> None:
        submission = approvals.submit(self._logins.person(person), document)
        _write(_Records(text).submission, submission.to_json())
        self._journal(person, f"{document.kind}.submitted", document)

    def _approve(
        self, text: Path, document: Document, person: str, days: int, last: date | None = None
    ) -> datetime:
        submission = self._submitted(text, document)
        expires = datetime.now(UTC) + timedelta(days=days)
        if last is not None:
            expires = min(expires, datetime.combine(last, time.max, UTC))
        approver = self._logins.person(person)
        try:
            approval = approvals.approve(approver, submission, expires)
        except ApprovalRefusal as exc:
            self._refused(person, document, exc)
            raise
        if document.kind == "case":
            create_case_key(approver, document.case)  # first, so that no approved case is without its key
        _write(_Records(text).approval, approval.to_json())
        self._journal(person, f"{document.kind}.approved", document)
        return expires

    def _submitted(self, text: Path, document: Document) -> Submission:
        """Return the submission of exactly this text. Raises NotApproved."""
        what = f"the {document.kind} {document.name}"
        try:
            submission = Submission.from_json(_Records(text).submission.read_text("utf-8"))
        except FileNotFoundError:
            raise NotApproved(
                f"{what} was not submitted",
                next_step=f"let its author submit it: tce --as COORDINATOR {document.kind} submit {document.name}",
            ) from None
        if submission.document != document:
            raise NotApproved(
                f"{what} was changed since it was submitted", next_step="let its author submit it again"
            )
        return submission

    def _withdraw(self, text: Path, document: Document, person: str, reason: str) -> None:
        path = _Records(text).approval
        if not path.exists():
            raise NotApproved(
                f"the {document.kind} {document.name} has no approval to withdraw", next_step="nothing to do"
            )
        approval = Approval.from_json(path.read_text("utf-8"))
        withdrawal = approvals.withdraw(self._logins.person(person), approval, reason)
        _write(_Records(text).withdrawal, withdrawal.to_json())
        detail = {**_detail(document), "approval": approval.digest()}
        Journal(self._site, person).record(EVENT_OF[document.kind], detail=detail)

    def _require(self, text: Path, document: Document) -> datetime:
        try:
            return moment(self._verified(text, document.digest).expires)
        except (NotApproved, ApprovalRefusal) as exc:
            self._refused("", document, exc)
            raise NotApproved(
                f"the {document.kind} {document.name} {document.version} is not approved: {exc.what}",
                next_step=f"a coordinator submits it, an approver approves it: tce {document.kind} --help",
            ) from None

    def _verified(self, text: Path, digest: str) -> Approval:
        """Return the approval of a text after verifying it.

        Raises NotApproved or ApprovalRefusal, and AuditError when the trail cannot tell what was withdrawn.
        """
        records = _Records(text)
        if not records.approval.exists():
            waits = "submitted, waits for an approver" if records.submission.exists() else "never submitted"
            raise NotApproved(waits)
        approval = Approval.from_json(records.approval.read_text("utf-8"))
        withdrawals = (
            [Withdrawal.from_json(records.withdrawal.read_text("utf-8"))]
            if records.withdrawal.exists()
            else []
        )
        trust = Trust.load(self._site.trust_path)
        approvals.verify(approval, digest, trust, datetime.now(UTC), withdrawals=withdrawals)
        self._not_withdrawn(records, approval)
        return approval

    def _not_withdrawn(self, records: _Records, approval: Approval) -> None:
        """Return unless the trail says that an approval was withdrawn, whatever files are there."""
        for told in told_by(self._trail):
            if told.ends(approval):
                file = "is that of another one" if records.withdrawal.exists() else "is gone"
                raise Withdrawn(
                    f"the approval was withdrawn by {told.actor} at {told.time[:19]}Z, as record {told.n} of the "
                    f"audit trail says, although the file of that withdrawal {file}",
                    next_step="ask who changed the site's folder; then have it approved again",
                )

    def _as_signed(self, text: Path, digest: str, at: datetime | None) -> Mapping[str, Any]:
        try:
            if at is None:
                approval = self._verified(text, digest)
            else:
                approval = Approval.from_json(_Records(text).approval.read_text("utf-8"))
                approvals.verify(approval, digest, Trust.load(self._site.trust_path), at)
        except ApprovalRefusal as exc:
            raise NotApproved(exc.what, next_step=exc.next_step) from None
        signed: dict[str, Any] = json.loads(approval.to_json())
        return signed

    def _journal(self, person: str, event: str, document: Document) -> None:
        Journal(self._site, person).record(event, detail=_detail(document))

    def _refused(self, person: str, document: Document, exc: Exception) -> None:
        Journal(self._site, person).refused("approval.refused", exc, _detail(document))


def _waits_for_approver(records: _Records) -> bool:
    """Whether there is a submission that nobody has approved; an approval before it does not count."""
    if not records.submission.exists() or not records.approval.exists():
        return records.submission.exists()
    try:
        approval = Approval.from_json(records.approval.read_text("utf-8"))
        return approval.submission != Submission.from_json(records.submission.read_text("utf-8"))
    except ApprovalRefusal:
        return False


def _policy_document(shelved: Shelved) -> Document:
    policy = shelved.policy
    return Document(kind="policy", name=policy.name, version=policy.version, digest=policy.digest, case="")


def _case_document(case: Case) -> Document:
    return Document(kind="case", name=case.id, version="1", digest=case.digest, case=case.id)


def _detail(document: Document) -> dict[str, str]:
    return {document.kind: document.name, "version": document.version, "digest": document.digest}


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text, "utf-8")
    draft.replace(path)
