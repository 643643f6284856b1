"""Proving offline that a policy or a case was approved: the text, and the signed records that lie beside it.

``lung-1.yaml``, ``lung-1.submission.json``, ``lung-1.approval.json``, ``lung-1.withdrawal.json``: four files that
people can read and keep under version control. Any of them may be named; what lies beside it is asked too. No site, no
Vault, no network: the public keys of ``trust.json`` decide. Whether the trail of a site tells of more is the site's own
to ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from policies import loader
from tce import cases
from tce.errors import ReleaseError
from tce.proof import Answer, Proof, asked
from vault.approvals import FORM, Approval, Submission, Withdrawal, verify
from vault.errors import Malformed
from vault.trust import Trust, check_signature

R = TypeVar("R")
_RECORDS = ("submission", "approval", "withdrawal")


def is_one(path: Path) -> bool:
    """Whether a file is a signed record of a policy or a case, or the text of one."""
    if path.suffix in (".yaml", ".yml"):
        return True
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("form") == FORM


def prove_approval(path: Path, trust: Trust, now: datetime | None = None) -> Proof:
    """Prove what a file and those beside it say of an approval. Raises ReleaseError where there is nothing signed.

    It holds if the text is the one that was submitted, and its approval counts now.
    """
    now = now or datetime.now(UTC)
    text = _text_of(path)
    beside = {name: text.with_suffix(f".{name}.json") for name in _RECORDS}
    found = {name: file for name, file in beside.items() if file.is_file()}
    if not found:
        raise ReleaseError(f"there is no signed record beside {text}", next_step="have it submitted")
    approval = _read(found, "approval", Approval.from_json)
    submission = _read(found, "submission", Submission.from_json)
    withdrawal = _read(found, "withdrawal", Withdrawal.from_json)
    if submission is None and approval is not None:
        submission = approval.submission
    answers: list[Answer] = []
    if submission is not None:
        answers.append(_authored(submission, trust))
        if text.is_file():
            answers.append(_same_text(text, submission))
    if withdrawal is not None:
        answers.append(_withdrawn(withdrawal, trust))
    if approval is None:
        answers.append(Answer("approval", False, "there is none beside it"))
    else:
        answers.append(_approved(approval, trust, now, [withdrawal] if withdrawal is not None else []))
        if submission != approval.submission:
            what = "it was submitted again since, and that is not approved"
            answers.append(Answer("what was approved", False, what))
    document = submission.document if submission is not None else None
    about = f"{document.kind} {document.name} {document.version}" if document is not None else text.stem
    return Proof("", "", 0, tuple(answers), about=about)


def _authored(submission: Submission, trust: Trust) -> Answer:
    keys = trust.authors.get(submission.author)
    return asked(
        "signature of its author",
        lambda: check_signature(keys, submission.payload(), submission.signature, "submission"),
        f"{submission.author}, {submission.submitted}",
    )


def _withdrawn(withdrawal: Withdrawal, trust: Trust) -> Answer:
    keys = trust.approvers.get(withdrawal.approver)
    return asked(
        "signature of the withdrawal",
        lambda: check_signature(keys, withdrawal.payload(), withdrawal.signature, "withdrawal"),
        f"{withdrawal.approver}, {withdrawal.withdrawn}",
    )


def _approved(approval: Approval, trust: Trust, now: datetime, withdrawals: Sequence[Withdrawal]) -> Answer:
    digest = approval.submission.document.digest
    return asked(
        "approval",
        lambda: verify(approval, digest, trust, now, withdrawals=withdrawals),
        f"{approval.approver}, from {approval.approved} until {approval.expires}",
    )


def _text_of(path: Path) -> Path:
    """Return the file of the policy or case that a file is or is about."""
    if path.suffix in (".yaml", ".yml"):
        return path
    for name in _RECORDS:
        if path.name.endswith(f".{name}.json"):
            return path.with_name(path.name.removesuffix(f".{name}.json") + ".yaml")
    raise ReleaseError(
        f"{path} has not the name of a signed record",
        next_step="keep it beside its text as NAME.yaml and NAME.approval.json",
    )


def _read(found: dict[str, Path], name: str, read: Callable[[str], R]) -> R | None:
    if name not in found:
        return None
    try:
        return read(found[name].read_text("utf-8"))
    except (Malformed, UnicodeDecodeError):
        raise ReleaseError(f"{found[name]} is not a signed {name}", next_step="get it again") from None


def _same_text(text: Path, submission: Submission) -> Answer:
    if submission.document.kind == "policy":
        digest = loader.load(text).digest
    else:
        digest = cases.loads(text.read_text("utf-8"), str(text)).digest
    same = digest == submission.document.digest
    return Answer("text", same, digest if same else "it is not the text that was submitted")
