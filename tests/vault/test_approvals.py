"""Tests of approvals: signed with people's own tokens, verified without any server."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import SiteVault
from vault.approvals import (
    Approval,
    Document,
    Submission,
    Withdrawal,
    approve,
    submit,
    verify,
    withdraw,
)
from vault.attestations import Envelope, sign_statement, verify_statement
from vault.errors import (
    ApprovalExpired,
    ApprovalRefusal,
    BadSignature,
    Forbidden,
    Malformed,
    SelfApproval,
    Untrusted,
    Withdrawn,
    WrongDigest,
)
from vault.trust import Trust, read_trust

pytestmark = pytest.mark.vault

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
DIGEST, OTHER = f"sha256:{'a1' * 32}", f"sha256:{'b2' * 32}"
DOCUMENT = Document("policy", "longitudinal-trial", "1.0", DIGEST, "C-1")


@pytest.fixture(scope="module")
def submission(embedded_site_vault: SiteVault) -> Submission:
    """What alice wrote."""
    return submit(embedded_site_vault.person("alice"), DOCUMENT, now=NOW)


@pytest.fixture(scope="module")
def approval(embedded_site_vault: SiteVault, submission: Submission) -> Approval:
    """What bob approved."""
    return approve(embedded_site_vault.person("bob"), submission, LATER, now=NOW)


@pytest.fixture(scope="module")
def trust(embedded_site_vault: SiteVault) -> Trust:
    """The site's public keys, after a journey through a file."""
    return Trust.from_json(read_trust(embedded_site_vault.person("grace")).to_json())


def test_two_people_make_an_approval(approval: Approval, trust: Trust) -> None:
    """What one wrote and another approved is good, without any server, until it ends."""
    verify(approval, DIGEST, trust, NOW, case="C-1")
    assert (approval.submission.author, approval.approver) == ("alice", "bob")


def test_records_survive_their_files(
    embedded_site_vault: SiteVault, approval: Approval, trust: Trust
) -> None:
    """Submission, approval and withdrawal are read as they were written."""
    withdrawal = withdraw(embedded_site_vault.person("bob"), approval, "two readers found a name", now=NOW)
    assert Approval.from_json(approval.to_json()) == approval
    assert Submission.from_json(approval.submission.to_json()) == approval.submission
    assert Withdrawal.from_json(withdrawal.to_json()) == withdrawal
    verify(Approval.from_json(approval.to_json()), DIGEST, trust, NOW)


ALTERATIONS: dict[str, Callable[[dict[str, object]], object]] = {
    "digest": lambda r: r["submission"]["document"].update(digest=OTHER),  # type: ignore[index]
    "case": lambda r: r["submission"]["document"].update(case="C-2"),  # type: ignore[index]
    "name": lambda r: r["submission"]["document"].update(name="basic"),  # type: ignore[index]
    "submitted": lambda r: r["submission"].update(submitted="2020-01-01T00:00:00Z"),  # type: ignore[attr-defined]
    "expires": lambda r: r.update(expires="2036-01-01T00:00:00Z"),
    "approved": lambda r: r.update(approved="2020-01-01T00:00:00Z"),
    "approver": lambda r: r.update(approver="carol"),
    "author": lambda r: r["submission"].update(author="bob"),  # type: ignore[attr-defined]
    "author's signature": lambda r: r["submission"].update(signature=r["signature"]),  # type: ignore[attr-defined]
    "approver's signature": lambda r: r.update(signature=r["submission"]["signature"]),  # type: ignore[index]
    "no signature": lambda r: r.update(signature=""),
    "other version": lambda r: r.update(signature=str(r["signature"]).replace(":v1:", ":v7:")),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_altered_record_is_refused(
    approval: Approval, trust: Trust, alter: Callable[[dict[str, object]], object]
) -> None:
    """Whichever field is changed after signing, the approval is void, also for the text it then names."""
    record = json.loads(approval.to_json())
    alter(record)
    altered = Approval.from_json(json.dumps(record))
    with pytest.raises(ApprovalRefusal) as refusal:
        verify(altered, altered.submission.document.digest, trust, NOW)
    assert isinstance(refusal.value, BadSignature | Untrusted | SelfApproval)


def test_another_text_is_refused(approval: Approval, trust: Trust) -> None:
    """An approval is good for the digest that was approved, and for no other."""
    with pytest.raises(WrongDigest):
        verify(approval, OTHER, trust, NOW)


def test_another_case_is_refused(approval: Approval, trust: Trust) -> None:
    """A policy that was approved for one case is not approved for another."""
    with pytest.raises(WrongDigest):
        verify(approval, DIGEST, trust, NOW, case="C-2")


@pytest.mark.parametrize("when", [LATER, LATER + timedelta(days=1), NOW - timedelta(days=1)])
def test_an_approval_has_a_beginning_and_an_end(approval: Approval, trust: Trust, when: datetime) -> None:
    """Before it was given and from its end on an approval is not good."""
    with pytest.raises(ApprovalExpired):
        verify(approval, DIGEST, trust, when)


def test_an_approval_in_the_past_is_not_made(embedded_site_vault: SiteVault, submission: Submission) -> None:
    """An approval that would be over already is refused."""
    with pytest.raises(ApprovalExpired):
        approve(embedded_site_vault.person("bob"), submission, NOW, now=NOW)


def test_nobody_approves_the_own_text(embedded_site_vault: SiteVault, submission: Submission) -> None:
    """Author and approver are two people, also when the author's name is put on another's submission."""
    own = dataclasses.replace(submission, author="bob")
    with pytest.raises(SelfApproval):
        approve(embedded_site_vault.person("bob"), own, LATER, now=NOW)


def test_a_self_approval_from_elsewhere_is_refused(approval: Approval, trust: Trust) -> None:
    """Whoever has both roles and other software still cannot make an approval that is believed here."""
    key = Ed25519PrivateKey.generate()
    both = {"zoe": {1: key.public_key().public_bytes_raw()}}

    def signed(payload: bytes) -> str:
        return f"vault:v1:{base64.b64encode(key.sign(payload)).decode()}"

    draft = dataclasses.replace(approval.submission, author="zoe")
    own = dataclasses.replace(draft, signature=signed(draft.payload()))
    draft_approval = dataclasses.replace(approval, submission=own, approver="zoe")
    forged = dataclasses.replace(draft_approval, signature=signed(draft_approval.payload()))
    with pytest.raises(SelfApproval):
        verify(forged, DIGEST, Trust(both, both, {}), NOW)
    other = dataclasses.replace(forged, approver="bob")
    with pytest.raises(BadSignature):
        verify(other, DIGEST, Trust(both, trust.approvers, {}), NOW)


def test_who_is_not_trusted_is_refused(approval: Approval, trust: Trust) -> None:
    """Signatures of people whose keys are not in the trusted file count for nothing."""
    with pytest.raises(Untrusted):
        verify(approval, DIGEST, dataclasses.replace(trust, authors={}), NOW)
    with pytest.raises(Untrusted):
        verify(approval, DIGEST, dataclasses.replace(trust, approvers={}), NOW)


@pytest.mark.parametrize("who", ["carol", "grace", "alice"])
def test_only_approvers_approve(embedded_site_vault: SiteVault, submission: Submission, who: str) -> None:
    """The server signs approvals for approvers only."""
    other = dataclasses.replace(submission, author="alice") if who != "alice" else submission
    with pytest.raises((Forbidden, SelfApproval)):
        approve(embedded_site_vault.person(who), other, LATER, now=NOW)


@pytest.mark.parametrize("who", ["bob", "carol", "grace"])
def test_only_coordinators_submit(embedded_site_vault: SiteVault, who: str) -> None:
    """The server signs submissions for coordinators only."""
    with pytest.raises(Forbidden):
        submit(embedded_site_vault.person(who), DOCUMENT)


def test_an_altered_submission_is_not_approved(
    embedded_site_vault: SiteVault, submission: Submission
) -> None:
    """What was changed after its author signed it is not put before the approver's key."""
    altered = dataclasses.replace(submission, document=dataclasses.replace(DOCUMENT, digest=OTHER))
    with pytest.raises(BadSignature):
        approve(embedded_site_vault.person("bob"), altered, LATER, now=NOW)


def test_a_withdrawn_approval_is_refused(
    embedded_site_vault: SiteVault, approval: Approval, submission: Submission, trust: Trust
) -> None:
    """A withdrawal ends its approval at once, and no other approval of the same text."""
    bob = embedded_site_vault.person("bob")
    withdrawal = withdraw(bob, approval, "two readers found a name", now=NOW)
    with pytest.raises(Withdrawn):
        verify(approval, DIGEST, trust, NOW, withdrawals=[withdrawal])
    again = approve(bob, submission, LATER, now=NOW + timedelta(minutes=1))
    verify(again, DIGEST, trust, NOW + timedelta(minutes=1), withdrawals=[withdrawal])


def test_an_unreadable_withdrawal_is_not_passed_over(
    embedded_site_vault: SiteVault, approval: Approval, trust: Trust
) -> None:
    """A withdrawal that was damaged stops the work rather than being ignored."""
    withdrawal = withdraw(embedded_site_vault.person("bob"), approval, "reason", now=NOW)
    damaged = dataclasses.replace(withdrawal, approval=OTHER)
    with pytest.raises(BadSignature):
        verify(approval, DIGEST, trust, NOW, withdrawals=[damaged])


MALFORMED = {
    "not json": "approved!",
    "a list": "[]",
    "empty": "{}",
    "another record": '{"form": "tce-approval-1", "record": "submission"}',
    "another form": '{"form": "tce-approval-2", "record": "approval"}',
    "no fields": '{"form": "tce-approval-1", "record": "approval"}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_record_is_refused(text: str) -> None:
    """A file of something else is told as such."""
    with pytest.raises(Malformed):
        Approval.from_json(text)


@pytest.mark.parametrize("change", [{"more": "x"}, {"expires": 5}, {"submission": None}, {"submission": []}])
def test_a_record_with_other_fields_is_refused(approval: Approval, change: dict[str, object]) -> None:
    """Nothing is passed over in a record: a field too many or of another type is refused."""
    with pytest.raises(Malformed):
        Approval.from_json(json.dumps(json.loads(approval.to_json()) | change))


@pytest.mark.parametrize(
    "change", [{"digest": ""}, {"digest": "sha256:abc"}, {"kind": "release"}, {"name": ""}]
)
def test_an_empty_document_is_none(change: dict[str, str]) -> None:
    """A document without name, version, known kind or full digest cannot be submitted."""
    with pytest.raises(Malformed):
        dataclasses.replace(DOCUMENT, **change)


@pytest.mark.parametrize("service", ["manager", "pseudonymizer"])
def test_a_release_is_signed_by_the_site(embedded_site_vault: SiteVault, trust: Trust, service: str) -> None:
    """Both services sign statements of the largest size that is made, and every changed byte is found."""
    payload = b'{"subject": [""]}' * 40_000
    envelope = Envelope(payload, sign_statement(embedded_site_vault.service(service), payload))
    read = Envelope.from_json(envelope.to_json())
    assert read == envelope
    verify_statement(read, trust)
    with pytest.raises(BadSignature):
        verify_statement(dataclasses.replace(read, payload=payload[:-1] + b"]"), trust)


def test_an_approval_is_no_release(embedded_site_vault: SiteVault, approval: Approval, trust: Trust) -> None:
    """A signature for one thing does not serve for another."""
    with pytest.raises(BadSignature):
        verify_statement(Envelope(approval.payload(), approval.signature), trust)


def test_the_trusted_keys_are_a_file(embedded_site_vault: SiteVault, tmp_path: Path) -> None:
    """The file is the same for the same keys, and one that is not readable is refused."""
    path, found = tmp_path / "trust.json", read_trust(embedded_site_vault.service("manager"))
    found.save(path)
    assert Trust.load(path) == found
    assert sorted(found.authors) == ["alice"]
    assert sorted(found.approvers) == ["bob"]
    for text in ("", "{}", '{"form": "tce-trust-1", "authors": [], "approvers": {}, "release": {}}'):
        path.write_text(text)
        with pytest.raises(Malformed):
            Trust.load(path)
    with pytest.raises(Malformed):
        Trust.load(tmp_path / "none.json")
