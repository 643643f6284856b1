"""Proving a release offline: is this release what it says it is? (``tce verify``)

Asks the record, the site's public keys and the files, and nobody else. Every question is answered, also after
one was answered with no, so that a person sees all of what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tce import counts, release
from tce.errors import ReleaseError
from tce.release import ReleaseRecord
from vault.approvals import Approval, verify, verify_release
from vault.errors import ApprovalRefusal
from vault.trust import Trust


@dataclass(frozen=True, slots=True)
class Answer:
    """One question about a release and its answer."""

    question: str
    holds: bool
    what: str


@dataclass(frozen=True, slots=True)
class Proof:
    """All answers about one release."""

    release: str
    case: str
    instances: int
    answers: tuple[Answer, ...]

    @property
    def holds(self) -> bool:
        """Whether every answer is yes."""
        return all(answer.holds for answer in self.answers)


def prove(path: Path, trust: Trust, folder: Path | None = None) -> Proof:
    """Prove a release record, and with a folder that its files are the ones that were released.

    Raises ReleaseError for what is no record or no folder.
    """
    record, signature = release.read(path)
    made = datetime.fromisoformat(record.made)
    answers = [
        _asked("signature of the record", lambda: verify_release(record.payload(), signature, trust)),
        _asked(
            "approval of the case",
            lambda: _approved(record.approvals, "case", record.case_digest, record.case, trust, made),
        ),
        _asked(
            "approval of the policy",
            lambda: _approved(record.approvals, "policy", record.policy["digest"], record.case, trust, made),
        ),
        _whole(record),
    ]
    if folder is not None:
        answers.append(_files(record, folder))
    return Proof(record.release, record.case, len(record.instances), tuple(answers))


def _asked(question: str, ask: Callable[[], None]) -> Answer:
    try:
        ask()
    except ApprovalRefusal as exc:
        return Answer(question, False, exc.what)
    except (KeyError, TypeError, AttributeError):
        return Answer(question, False, "the record does not hold it")
    return Answer(question, True, "verified")


def _approved(
    signed: Mapping[str, Mapping[str, Any]], kind: str, digest: str, case: str, trust: Trust, made: datetime
) -> None:
    """Return if an approval was good for this digest when the release was made."""
    approval = Approval.from_json(json.dumps(signed[kind]))
    if approval.submission.document.kind != kind:
        raise KeyError(kind)
    verify(approval, digest, trust, made, case=case)


def _whole(record: ReleaseRecord) -> Answer:
    """A record without instances, or with one twice, accounts for nothing."""
    uids = [instance.sop_instance_uid for instance in record.instances]
    holds = bool(uids) and len(set(uids)) == len(uids)
    return Answer(
        "account of instances", holds, counts.instances(len(uids)) if holds else "empty or ambiguous"
    )


def _files(record: ReleaseRecord, folder: Path) -> Answer:
    match = release.compare(record, folder)
    what = f"{match.found} of {len(record.instances)} instances found with their bytes"
    if match.altered:
        what += f", {match.altered} altered"
    if match.missing:
        what += f", {match.missing} missing"
    if match.others:
        what += f"; {counts.files(match.others)} that this release does not speak of"
    return Answer("files", not match.altered and not match.missing, what)


def require(proof: Proof) -> None:
    """Raise ReleaseError unless everything holds."""
    if not proof.holds:
        wrong = "; ".join(f"{answer.question}: {answer.what}" for answer in proof.answers if not answer.holds)
        raise ReleaseError(
            f"the release {proof.release} is not what it says it is: {wrong}",
            next_step="do not use these files; ask the site that released them",
        )
