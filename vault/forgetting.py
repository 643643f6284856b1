"""Forgetting a case: its keys are destroyed, and with them every way from a pseudonym back to a patient.

Two people do it, whom the server tells apart: an approver orders it and allows that the keys are deleted, a custodian
deletes them; neither role may do both. What the program does on top of that (records, refusals) is the caller's
business. Each step may be repeated, so that one that was cut short is finished by the next run; design.md section 5.

    order (approver) ─► ForgetOrder ─► allow (approver) ─► destroy (custodian) ─► remove rows ─► nothing leads back
                            └► take back (approver) ─► ForgetWithdrawal
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from vault.assignments import Assignments, Stage
from vault.client import Client, Sealing
from vault.custody import checked_ticket
from vault.errors import Forbidden, Malformed, NotFound, NoWayBack, Withdrawn, WrongDigest
from vault.keys import CASE_MOUNTS, Mount, ways_back
from vault.mapping import MappingStore
from vault.moments import moment, timestamp
from vault.sealing import share_context
from vault.secrecy import safe_name
from vault.trust import Trust, check_signature

FORM = "tce-forget-1"
WITHDRAWAL_FORM = "tce-forget-withdrawal-1"
_AT_ONCE = 5_000


class ForgetReason(StrEnum):
    """Why a case is forgotten."""

    TRIAL_ENDED = "trial-ended"
    RETENTION_ENDED = "retention-ended"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    LEGAL_DUTY = "legal-duty"
    KEYS_AT_RISK = "keys-at-risk"


@dataclass(frozen=True, slots=True)
class ForgetOrder:
    """An approver's signed word that a case shall be forgotten."""

    case: str
    digest: str
    approver: str
    agreed: str
    reason: str
    ticket: str
    signature: str

    def payload(self) -> bytes:
        """What the approver signs."""
        return _payload(FORM, asdict(self))

    def reference(self) -> str:
        """What names this very order where it is taken back."""
        return f"sha256:{hashlib.sha256(self.payload()).hexdigest()}"

    def is_ended(self, reference: str, taken_back: datetime) -> bool:
        """Whether a withdrawal ends this order: the one that it names, and every order of the case before it.

        Earlier ones too, since one order may have replaced another, and nobody should be able to put it back. Orders
        are dated to the second; in the second of the withdrawal only the one that is named is ended.
        Raises Malformed when the order tells no time.
        """
        return reference == self.reference() or _moment(self.agreed) < taken_back.replace(microsecond=0)

    def to_json(self) -> str:
        """The order as a file."""
        return json.dumps({"form": FORM, **asdict(self)}, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ForgetOrder:
        """Read an order. Raises Malformed; the signature is not checked here."""
        return cls(**_values(text, FORM, {field.name for field in fields(cls)}))


@dataclass(frozen=True, slots=True)
class ForgetWithdrawal:
    """An approver's signed word that an order is taken back, and with it every earlier one of the case."""

    case: str
    order: str
    approver: str
    taken_back: str
    signature: str

    def payload(self) -> bytes:
        """What the approver signs."""
        return _payload(WITHDRAWAL_FORM, asdict(self))

    def to_json(self) -> str:
        """The withdrawal as a file."""
        return json.dumps({"form": WITHDRAWAL_FORM, **asdict(self)}, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ForgetWithdrawal:
        """Read a withdrawal. Raises Malformed; the signature is not checked here."""
        return cls(**_values(text, WITHDRAWAL_FORM, {field.name for field in fields(cls)}))


def order(
    approver: Client,
    case: str,
    digest: str,
    *,
    reason: ForgetReason,
    ticket: str,
    now: datetime | None = None,
) -> ForgetOrder:
    """Sign that a case shall be forgotten. Raises Forbidden for who is no approver, BadRequest for the ticket."""
    name = approver.whoami()
    draft = ForgetOrder(
        safe_name(case, "case"), digest, name, timestamp(now), str(reason), checked_ticket(ticket), ""
    )
    values = asdict(draft) | {"signature": approver.sign(Mount.APPROVAL, name, draft.payload())}
    return ForgetOrder(**values)


def take_back(approver: Client, given: ForgetOrder, *, now: datetime | None = None) -> ForgetWithdrawal:
    """Sign that an order is taken back. Any approver of the site may. Raises Forbidden for others."""
    name = approver.whoami()
    draft = ForgetWithdrawal(given.case, given.reference(), name, timestamp(now), "")
    values = asdict(draft) | {"signature": approver.sign(Mount.APPROVAL, name, draft.payload())}
    return ForgetWithdrawal(**values)


def verify_order(
    given: ForgetOrder,
    case: str,
    digest: str,
    trust: Trust,
    *,
    withdrawals: Iterable[ForgetWithdrawal] = (),
) -> None:
    """Return if an approver of the site signed this order for this text of this case, and none took it back; offline.

    A withdrawal that does not verify is no reason to go on. Raises WrongDigest, Untrusted, BadSignature or Withdrawn.
    """
    if (given.case, given.digest) != (case, digest):
        raise WrongDigest(
            "the order to forget is for another case, or for another text of it",
            next_step="have an approver order it for the case as it is",
        )
    check_signature(trust.approvers.get(given.approver), given.payload(), given.signature, "order to forget")
    for one in withdrawals:
        check_signature(trust.approvers.get(one.approver), one.payload(), one.signature, "withdrawal")
        if one.case == case and given.is_ended(one.order, _moment(one.taken_back)):
            raise Withdrawn(
                f"the order to forget was taken back by {one.approver} at {one.taken_back}",
                next_step="if the case shall be forgotten after all, an approver orders it anew",
            )


def allow(approver: Client, case: str, *, allowed: bool = True) -> None:
    """Allow that a case's keys are deleted, or take that back. Raises NotFound when it has none, Forbidden."""
    found = False
    for mount in CASE_MOUNTS:
        try:
            approver.write(f"{mount}/keys/{safe_name(case, 'case')}/config", {"deletion_allowed": allowed})
            found = True
        except NotFound:
            continue
    if not found:
        raise NotFound(
            f"the case {case} has no key at the key server",
            next_step="nothing leads back; see: tce case forget CASE --status",
        )


def destroy(custodian: Client, mount: Mount, case: str) -> bool:
    """Destroy the key of a case at one mount; return whether there was one.

    Raises Forbidden for who is no custodian, and as long as no approver has allowed it.
    """
    try:
        custodian.delete(f"{mount}/keys/{safe_name(case, 'case')}")
    except NotFound:
        return False
    except Forbidden:
        raise Forbidden(
            f"the key server does not let {mount}/{case} be destroyed by you, or not yet",
            next_step="an approver orders it, a custodian carries it out: tce case forget --help",
        ) from None
    return True


def remove_rows(store: MappingStore, case: str, *, told: Callable[[int], None] = lambda removed: None) -> int:
    """Remove what the mapping holds of a case, in parts that are each durable; return how many rows went.

    What was drawn or imported goes first, of both stages.
    """
    removed = sum(Assignments(store.database, stage=stage, case=case).forget() for stage in Stage)
    while part := store.remove_some(case, _AT_ONCE):
        removed += part
        told(part)
    return removed


def opens_a_row(custodian: Client, store: MappingStore, case: str) -> bool | None:
    """Try to come to the key of a row of a case as far as a custodian can; None when there is no row left.

    A patient who was sealed before fields had keys of their own needs no way back: only removing the rows helps.
    """
    patient = store.any_patient(case)
    if patient is None:
        return None
    name, keys = custodian.whoami(), store.keys(case, [patient])
    if store.field_keys([key.id for key in keys]).keys() != {key.id for key in keys}:
        return True
    own = [Sealing(key.shares[name], share_context(key.id, name)) for key in keys if name in key.shares]
    custodian.decrypt_batch(Mount.CUSTODY, name, own)
    try:
        ways_back(custodian, case, [key.id for key in keys])
    except NoWayBack:
        return False
    return True


def _payload(form: str, values: dict[str, Any]) -> bytes:
    content = {"form": form, **values}
    del content["signature"]
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _values(text: str, form: str, names: set[str]) -> dict[str, str]:
    """Return the fields of a file of a form: exactly these, each of them text. Raises Malformed."""
    try:
        values = json.loads(text)
        if values.pop("form") != form or set(values) != names:
            raise ValueError
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError
        return dict(values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _malformed() from None


def _moment(written: str) -> datetime:
    try:
        return moment(written)
    except ValueError:
        raise _malformed() from None


def _malformed() -> Malformed:
    return Malformed(
        "the order to forget a case, or its withdrawal, is not readable",
        next_step="have an approver order it anew, or take it back anew",
    )
