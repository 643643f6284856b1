"""Approvals: an author signs what was written, another person approves it, everyone can verify it offline.

A record is canonical JSON; the approver's signature covers the author's, so neither can be exchanged.
Signing needs the person's own login at the server, verifying needs only :class:`vault.trust.Trust`. What a
policy or case says is not looked at here, only its digest; where records are kept is the caller's business;
design.md section 6.

    document -> submit (author) -> Submission -> approve (approver) -> Approval -> [withdraw -> Withdrawal]
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from vault.client import Client
from vault.errors import ApprovalExpired, Malformed, SelfApproval, Withdrawn, WrongDigest
from vault.keys import RELEASE_KEY, Mount
from vault.moments import moment, timestamp
from vault.trust import Trust, check_signature

FORM = "tce-approval-1"
_RELEASE_FORM = b"tce-release-1\0"
_ATTACHMENT_FORM = b"tce-attachment-1\0"
_FORGOTTEN_FORM = b"tce-forgotten-1\0"
_KINDS = ("policy", "case")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CLOCKS_DIFFER = timedelta(minutes=5)

R = TypeVar("R", "Document", "Submission", "Approval", "Withdrawal")


@dataclass(frozen=True, slots=True)
class Document:
    """What is approved: a policy or a case by name, version and digest; ``case`` is empty for the whole
    site."""

    kind: str
    name: str
    version: str
    digest: str
    case: str

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or not self.name or not self.version or not _DIGEST.fullmatch(self.digest):
            raise _malformed("document")


@dataclass(frozen=True, slots=True)
class Submission:
    """A document with its author's signature."""

    document: Document
    author: str
    submitted: str
    signature: str

    def payload(self) -> bytes:
        """What the author signs."""
        return _payload("submission", self)

    def to_json(self) -> str:
        """The record as a file."""
        return _to_json("submission", self)

    @classmethod
    def from_json(cls, text: str) -> Submission:
        """Read a record. Raises Malformed; signatures are not checked here."""
        return _from_json("submission", cls, text)


@dataclass(frozen=True, slots=True)
class Approval:
    """A submission with an approver's signature and an end."""

    submission: Submission
    approver: str
    approved: str
    expires: str
    signature: str

    def payload(self) -> bytes:
        """What the approver signs: all of the above, the author's signature included."""
        return _payload("approval", self)

    def digest(self) -> str:
        """What names this very approval in a withdrawal and in a release record."""
        return f"sha256:{hashlib.sha256(self.payload()).hexdigest()}"

    def to_json(self) -> str:
        """The record as a file."""
        return _to_json("approval", self)

    @classmethod
    def from_json(cls, text: str) -> Approval:
        """Read a record. Raises Malformed; signatures are not checked here."""
        return _from_json("approval", cls, text)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An approver's word that an approval no longer holds."""

    approval: str
    approver: str
    withdrawn: str
    reason: str
    signature: str

    def payload(self) -> bytes:
        """What the approver signs."""
        return _payload("withdrawal", self)

    def to_json(self) -> str:
        """The record as a file."""
        return _to_json("withdrawal", self)

    @classmethod
    def from_json(cls, text: str) -> Withdrawal:
        """Read a record. Raises Malformed; signatures are not checked here."""
        return _from_json("withdrawal", cls, text)


def submit(author: Client, document: Document, *, now: datetime | None = None) -> Submission:
    """Sign a document as its author. Raises Forbidden for who is no coordinator."""
    name = author.whoami()
    draft = Submission(document, name, timestamp(now), "")
    signature = author.sign(Mount.AUTHORSHIP, name, draft.payload())
    return Submission(document, name, draft.submitted, signature)


def approve(
    approver: Client, submission: Submission, expires: datetime, *, now: datetime | None = None
) -> Approval:
    """Sign a submission as its approver, until ``expires``.

    Raises SelfApproval for its author, Forbidden for who is no approver, BadSignature when the submission was
    changed, ApprovalExpired for an end in the past.
    """
    name = approver.whoami()
    if name == submission.author:
        raise _self_approval()
    begin = now or datetime.now(UTC)
    if expires <= begin:
        raise ApprovalExpired("the approval would end before it begins", next_step="give a later end")
    keys = approver.public_keys(Mount.AUTHORSHIP, submission.author)
    check_signature(keys, submission.payload(), submission.signature, "submission")
    draft = Approval(submission, name, timestamp(begin), timestamp(expires), "")
    signature = approver.sign(Mount.APPROVAL, name, draft.payload())
    return Approval(submission, name, draft.approved, draft.expires, signature)


def withdraw(approver: Client, approval: Approval, reason: str, *, now: datetime | None = None) -> Withdrawal:
    """Sign that an approval no longer holds. Any approver of the site may. Raises Forbidden for others."""
    name = approver.whoami()
    draft = Withdrawal(approval.digest(), name, timestamp(now), reason, "")
    signature = approver.sign(Mount.APPROVAL, name, draft.payload())
    return Withdrawal(draft.approval, name, draft.withdrawn, reason, signature)


def verify(
    approval: Approval,
    digest: str,
    trust: Trust,
    now: datetime,
    *,
    withdrawals: Iterable[Withdrawal] = (),
    case: str | None = None,
) -> None:
    """Return if the approval is good for the text with this digest, now; offline.

    With ``case`` an approval that was given for another case is refused. A withdrawal that does not verify
    is no reason to go on: it raises too. Raises a leaf of ApprovalRefusal.
    """
    submission = approval.submission
    # 1. Two people, both known, and nothing changed since they signed.
    if approval.approver == submission.author:
        raise _self_approval()
    check_signature(
        trust.authors.get(submission.author), submission.payload(), submission.signature, "submission"
    )
    check_signature(
        trust.approvers.get(approval.approver), approval.payload(), approval.signature, "approval"
    )
    # 2. For this text and this case.
    document = submission.document
    if not hmac.compare_digest(document.digest.encode(), digest.encode()):
        raise WrongDigest(
            "this is not the text that was approved",
            next_step="submit the changed text as a new version and have it approved",
        )
    if case is not None and document.case not in ("", case):
        raise WrongDigest(
            "the approval is for another case",
            next_step="have it approved for this case",
        )
    # 3. In force.
    if not _moment(approval.approved) - _CLOCKS_DIFFER <= now < _moment(approval.expires):
        raise ApprovalExpired(
            f"the approval is in force from {approval.approved} until {approval.expires}, and not now",
            next_step="have it approved again",
        )
    for withdrawal in withdrawals:
        _check_withdrawal(withdrawal, approval, trust)


def sign_attachment(author: Client, payload: bytes) -> str:
    """Sign what an author puts beside a submission. Raises Forbidden for who is no coordinator."""
    return author.sign(Mount.AUTHORSHIP, author.whoami(), _record_payload(_ATTACHMENT_FORM, payload))


def verify_attachment(author: str, payload: bytes, signature: str, trust: Trust) -> None:
    """Return if this author signed it; offline. Raises Untrusted or BadSignature."""
    keys = trust.authors.get(author)
    check_signature(keys, _record_payload(_ATTACHMENT_FORM, payload), signature, "attachment")


def verify_release(payload: bytes, signature: str, trust: Trust) -> None:
    """Return if the site signed this release record of the first format; offline. Raises Untrusted or BadSignature.

    Since then records are statements (:mod:`vault.attestations`).
    """
    check_signature(trust.release, _record_payload(_RELEASE_FORM, payload), signature, "release record")


def sign_forgotten(service: Client, payload: bytes) -> str:
    """Sign the record of a forgotten case as the site. Needs the login of the manager or the pseudonymizer."""
    return service.sign(Mount.RELEASE, RELEASE_KEY, _record_payload(_FORGOTTEN_FORM, payload))


def verify_forgotten(payload: bytes, signature: str, trust: Trust) -> None:
    """Return if the site signed this record of a forgotten case; offline. Raises Untrusted or BadSignature."""
    check_signature(
        trust.release, _record_payload(_FORGOTTEN_FORM, payload), signature, "record of the forgotten case"
    )


def _check_withdrawal(withdrawal: Withdrawal, approval: Approval, trust: Trust) -> None:
    keys = trust.approvers.get(withdrawal.approver)
    check_signature(keys, withdrawal.payload(), withdrawal.signature, "withdrawal")
    if withdrawal.approval == approval.digest():
        raise Withdrawn(
            f"the approval was withdrawn by {withdrawal.approver} at {withdrawal.withdrawn}",
            next_step="settle the reason with the approvers and have it approved again",
        )


def _record_payload(form: bytes, payload: bytes) -> bytes:
    # The digest, because the server takes no request as large as a release record can become.
    return form + hashlib.sha512(payload).digest()


def _payload(record: str, content: Submission | Approval | Withdrawal) -> bytes:
    values: dict[str, Any] = {"form": FORM, "record": record, **asdict(content)}
    del values["signature"]
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _to_json(record: str, content: Submission | Approval | Withdrawal) -> str:
    values = {"form": FORM, "record": record, **asdict(content)}
    return json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _from_json(record: str, kind: type[R], text: str) -> R:
    try:
        values = json.loads(text)
    except ValueError:
        raise _malformed(record) from None
    if not isinstance(values, dict) or (values.pop("form", None), values.pop("record", None)) != (
        FORM,
        record,
    ):
        raise _malformed(record)
    return _build(record, kind, values)


def _build(record: str, kind: type[R], values: object) -> R:
    """A record from parsed JSON: exactly its fields, each of its type."""
    if not isinstance(values, Mapping) or set(values) != {field.name for field in fields(kind)}:
        raise _malformed(record)
    built: dict[str, Any] = dict(values)
    if kind is Submission:
        built["document"] = _build(record, Document, values["document"])
    if kind is Approval:
        built["submission"] = _build(record, Submission, values["submission"])
    if not all(isinstance(value, str | Document | Submission) for value in built.values()):
        raise _malformed(record)
    return kind(**built)


def _moment(written: str) -> datetime:
    try:
        return moment(written)
    except ValueError:
        raise _malformed("approval") from None


def _malformed(record: str) -> Malformed:
    return Malformed(f"the {record} is not a record of this form", next_step="submit or approve it anew")


def _self_approval() -> SelfApproval:
    return SelfApproval(
        "nobody approves what they wrote themselves", next_step="have another approver of the site approve it"
    )
