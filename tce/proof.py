"""Proving a release offline: is this release what it says it is, and does anything still lead back? (``tce verify``)

Asks the record, the site's public keys and the files; of a forgotten case also the site's folder and audit trail, where
these are at hand. Every question is answered, also after one was answered with no, so that a person sees all of what
is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tce import counts, forgotten, release
from tce.config import Site
from tce.errors import AuditError, ReleaseError
from tce.forgotten import ForgottenRecord
from tce.release import Match, ReleaseRecord
from vault.approvals import Approval, verify
from vault.errors import ApprovalRefusal
from vault.trust import Trust

_NO_WAY_BACK = "irreversible"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question about a release and its answer."""

    question: str
    holds: bool
    what: str


@dataclass(frozen=True, slots=True)
class Proof:
    """All answers about one release; about the record of a forgotten case, where ``release`` is empty."""

    release: str
    case: str
    instances: int
    answers: tuple[Answer, ...]
    others: tuple[Path, ...] = ()
    """Files of the folder of which the release does not speak."""
    about: str = ""
    """What was approved, where this is about an approval."""

    @property
    def what(self) -> str:
        """What it is a proof of, for a sentence."""
        if self.about:
            return f"the approval of the {self.about}"
        return f"the release {self.release}" if self.release else "the record"

    @property
    def holds(self) -> bool:
        """Whether every answer is yes."""
        return all(answer.holds for answer in self.answers)


def prove(
    path: Path,
    trust: Trust,
    folder: Path | None = None,
    *,
    forgotten_record: Path | None = None,
    site: Site | None = None,
) -> Proof:
    """Prove a release record, and with a folder that its files are the ones that were released.

    With the record that its case was forgotten, prove as well that the release is irreversible, as
    :func:`prove_forgotten` does. Raises ReleaseError for what is no record or no folder.
    """
    signed = release.read(path)
    record = signed.record
    made = datetime.fromisoformat(record.delivered or record.made)
    answers = [
        asked("signature of the record", lambda: signed.require_signed(trust)),
        asked(
            "approval of the case",
            lambda: _approved(record.approvals, "case", record.case_digest, record.case, trust, made),
        ),
        asked(
            "approval of the policy",
            lambda: _approved(record.approvals, "policy", record.policy["digest"], record.case, trust, made),
        ),
        _whole(record),
    ]
    if forgotten_record is not None:
        answers.append(_irreversible(record, forgotten_record, trust, site))
    others: tuple[Path, ...] = ()
    if folder is not None:
        match = release.compare(record, folder)
        answers.append(_files(record, match))
        others = match.others
    return Proof(record.release, record.case, len(record.instances), tuple(answers), others)


def prove_forgotten(path: Path, trust: Trust, site: Site | None = None) -> Proof:
    """Prove the record of a forgotten case. Raises ReleaseError for what is none.

    With the site that it is of, its trail is asked too whether the order was taken back and the keys were destroyed.
    """
    record, signature = forgotten.read(path)
    answers = _witnessed(record, signature, path, trust, site)
    answers += [Answer(f"tried to {one.what}", one.failed, one.answer) for one in record.attempts]
    answers.append(_said(record))
    return Proof("", record.case, 0, tuple(answers))


def _witnessed(
    record: ForgottenRecord, signature: str, path: Path, trust: Trust, site: Site | None
) -> list[Answer]:
    """Ask everything but the record itself: its signatures, and what is at hand beside it."""
    signed = asked(
        "signatures of the record and of the order",
        lambda: forgotten.require_signed(record, signature, trust),
    )
    if not signed.holds:
        return [signed]
    answers = [
        signed,
        asked(
            "the order was not taken back",
            lambda: forgotten.require_order_stands(record, path, trust, site),
            "nothing here says so",
        ),
    ]
    if site is not None:
        answers.append(
            asked(
                "audit trail of the site", lambda: forgotten.require_destroyed(record, site), "keys destroyed"
            )
        )
    return answers


def _said(record: ForgottenRecord) -> Answer:
    named = counts.counted(len(record.releases), "release", "releases")
    who = f"ordered by {record.order.get('approver', '')}, carried out by {record.carried_out_by} at {record.made}"
    return Answer(_NO_WAY_BACK, record.irreversible, "; ".join([*record.faults, named, who]))


def _irreversible(released: ReleaseRecord, path: Path, trust: Trust, site: Site | None) -> Answer:
    """Say whether a release is of a case that was forgotten, by a signed record that nothing speaks against."""
    record, signature = forgotten.read(path)
    for answer in _witnessed(record, signature, path, trust, site):
        if not answer.holds:
            return Answer(_NO_WAY_BACK, False, answer.what)
    if record.case != released.case:
        return Answer(_NO_WAY_BACK, False, f"the record is of another case, {record.case}")
    if not record.names(released.release):
        return Answer(_NO_WAY_BACK, False, "the record does not name this release")
    return _said(record)


def asked(question: str, ask: Callable[[], None], holds: str = "verified") -> Answer:
    """Return the answer to a question that raises where the answer is no."""
    try:
        ask()
    except (ApprovalRefusal, AuditError, ReleaseError) as exc:
        return Answer(question, False, exc.what)
    except (KeyError, TypeError, AttributeError):
        return Answer(question, False, "the record does not hold it")
    return Answer(question, True, holds)


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


def _files(record: ReleaseRecord, match: Match) -> Answer:
    what = f"{match.found} of {len(record.instances)} instances found with their bytes"
    if match.altered:
        what += f", {match.altered} altered"
    if match.missing:
        what += f", {match.missing} missing"
    if match.others:
        what += f", {counts.files(len(match.others))} of which this release does not speak"
    if match.of_medium:
        what += f"; {counts.files(match.of_medium)} of the medium itself, not judged"
    return Answer("files", not (match.altered or match.missing or match.others), what)


def require(proof: Proof) -> None:
    """Raise ReleaseError unless everything holds."""
    if not proof.holds:
        wrong = "; ".join(f"{answer.question}: {answer.what}" for answer in proof.answers if not answer.holds)
        raise ReleaseError(
            f"{proof.what} is not what it says it is: {wrong}",
            next_step="do not rely on it; ask the site that it comes from",
        )
