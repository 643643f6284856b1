"""Forgetting a case: its keys are destroyed, and with them every way from a pseudonym back to a patient.

Two people do it, whom the server tells apart: an approver orders it and allows that the keys are deleted, a custodian
deletes them; neither role may do both. What the program does on top of that (records, refusals) is the caller's
business. Each step may be repeated, so that one that was cut short is finished by the next run; design.md section 5.

    order (approver) ─► ForgetOrder ─► allow (approver) ─► destroy (custodian) ─► remove rows ─► nothing leads back
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum

from vault.assignments import Assignments, Stage
from vault.client import Client, Sealing
from vault.custody import checked_ticket
from vault.errors import Forbidden, Malformed, NotFound, NoWayBack, WrongDigest
from vault.keys import CASE_MOUNTS, Mount, ways_back
from vault.mapping import MappingStore
from vault.moments import timestamp
from vault.sealing import share_context
from vault.secrecy import safe_name
from vault.trust import Trust, check_signature

FORM = "tce-forget-1"
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
        values = {"form": FORM, **asdict(self)}
        del values["signature"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def to_json(self) -> str:
        """The order as a file."""
        return json.dumps({"form": FORM, **asdict(self)}, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ForgetOrder:
        """Read an order. Raises Malformed; the signature is not checked here."""
        try:
            values = json.loads(text)
            if values.pop("form") != FORM or set(values) != {field.name for field in fields(cls)}:
                raise ValueError
            if not all(isinstance(value, str) for value in values.values()):
                raise ValueError
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Malformed(
                "the order to forget a case is not readable", next_step="have an approver order it anew"
            ) from None


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


def verify_order(given: ForgetOrder, case: str, digest: str, trust: Trust) -> None:
    """Return if an approver of the site signed this order for this text of this case; offline.

    Raises WrongDigest, Untrusted or BadSignature.
    """
    if (given.case, given.digest) != (case, digest):
        raise WrongDigest(
            "the order to forget is for another case, or for another text of it",
            next_step="have an approver order it for the case as it is",
        )
    check_signature(trust.approvers.get(given.approver), given.payload(), given.signature, "order to forget")


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
