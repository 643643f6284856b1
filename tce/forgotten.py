"""The record that a case was forgotten: who ordered it, who carried it out, and what was tried afterwards in vain.

It holds the approver's order as it was signed, names the releases of the case that are irreversible since, and says
where the audit trail stood. The site signs it as it signs a release. Like a release it is verified offline: with the
site's public keys, without network and without Vault. It holds no pseudonym and no original.

The signature is one service's. So a record says that a case is irreversible only with the whole fixed set of
attempts, and where more is at hand it is asked too: whether the order was taken back, by the file of that or by the
site's audit trail, and whether the trail tells that the keys were destroyed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tce import cases
from tce.audit.trail import Trail
from tce.audit.withdrawals import destroyed_within, taken_back_by
from tce.cases import Case
from tce.config import Site
from tce.errors import CaseError, ReleaseError
from tce.statements import canonical
from vault.approvals import verify_forgotten
from vault.errors import Withdrawn
from vault.forgetting import ForgetOrder, ForgetWithdrawal, verify_order
from vault.keys import CASE_MOUNTS, Mount
from vault.trust import Trust

FORMAT = "tce-forgotten-1"
FORGOTTEN_FILE = "forgotten.json"
ORDER_FILE = "forget-order.json"
WITHDRAWAL_FILE = "forget-order.withdrawal.json"

POSSIBLE = "possible"
NO_KEY = "refused: no such key"
NO_ROW = "no row is left"
NO_WAY_BACK = "refused: no way back"
DERIVE_AS_SERVICE: Mapping[Mount, str] = {
    Mount.WAYS_BACK: "derive a way back, as the pseudonymizer",
    Mount.CASES: "derive a pseudonym of the case, as the manager",
}
DERIVE_AS_CUSTODIAN = "derive a way back, as a custodian"
OPEN_A_ROW = "open a row of the mapping, as a custodian"


def find_as_custodian(mount: Mount, case: str) -> str:
    """What the attempt to find a key of a case is called."""
    return f"find the key {mount}/{case}, as a custodian"


def must_fail(case: str) -> Mapping[str, frozenset[str]]:
    """Return everything that is tried after a case was forgotten, with the answers that are a failure of it."""
    by_key = [
        what for mount in CASE_MOUNTS for what in (DERIVE_AS_SERVICE[mount], find_as_custodian(mount, case))
    ]
    refused = frozenset({NO_KEY})
    return dict.fromkeys((*by_key, DERIVE_AS_CUSTODIAN), refused) | {
        OPEN_A_ROW: frozenset({NO_ROW, NO_WAY_BACK})
    }


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that was tried after the keys were destroyed; ``failed`` is how it should end."""

    what: str
    failed: bool
    answer: str


@dataclass(frozen=True, slots=True)
class ForgottenRecord:
    """That a case was forgotten. The order is kept as it was signed; releases are named by id and digest."""

    case: str
    case_digest: str
    order: Mapping[str, str]
    carried_out_by: str
    attempts: Sequence[Attempt]
    releases: Sequence[Mapping[str, str]]
    audit_head: Mapping[str, Any]
    made: str
    software: str
    format: str = field(default=FORMAT)

    def payload(self) -> bytes:
        """Return the canonical bytes that are signed."""
        return canonical(asdict(self))

    @property
    def irreversible(self) -> bool:
        """Whether everything that must fail was tried afterwards, and failed as it must."""
        return not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the attempts: one was left out, did not fail as it must, is twice, or is none of them."""
        must, tried = must_fail(self.case), Counter(one.what for one in self.attempts)
        return (
            *(f"not tried: {what}" for what in must if what not in tried),
            *(f"none of the attempts: {what}" for what in tried if what not in must),
            *(f"there more than once: {what}" for what, times in tried.items() if times > 1),
            *(
                f"did not fail: {one.what}"
                for one in self.attempts
                if not one.failed or one.answer not in must.get(one.what, ())
            ),
        )

    def names(self, release: str) -> bool:
        """Whether a release is one of those that this record speaks of."""
        return any(one.get("release") == release for one in self.releases)


def write(record: ForgottenRecord, sign: Callable[[bytes], str], path: Path) -> None:
    """Sign a record and write it, durably and in one step."""
    signature = sign(record.payload())
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"forgotten": asdict(record), "signature": signature}, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def is_one(path: Path) -> bool:
    """Say whether a file claims to be the record of a forgotten case."""
    try:
        return "forgotten" in json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read(path: Path) -> tuple[ForgottenRecord, str]:
    """Read a record and its signature, unverified. Raises ReleaseError when it is none."""
    try:
        document = json.loads(path.read_text("utf-8"))
        content = dict(document["forgotten"])
        if content["format"] != FORMAT:
            raise ReleaseError(f"{path} has a format that this version does not know", next_step="update tce")
        content["attempts"] = tuple(_attempt(**one) for one in content["attempts"])
        return ForgottenRecord(**content), str(document["signature"])
    except FileNotFoundError:
        raise ReleaseError(
            f"there is no record of a forgotten case at {path}", next_step="see: tce case list"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ReleaseError(
            f"{path} is not the record of a forgotten case", next_step="name a forgotten.json of the site"
        ) from None


def _attempt(what: str, failed: bool, answer: str) -> Attempt:
    if not (isinstance(what, str) and isinstance(failed, bool) and isinstance(answer, str)):
        raise TypeError
    return Attempt(what, failed, answer)


def require_signed(record: ForgottenRecord, signature: str, trust: Trust) -> None:
    """Return if the site signed the record, and an approver the order in it; offline.

    Raises Untrusted, BadSignature, Malformed or WrongDigest.
    """
    verify_forgotten(record.payload(), signature, trust)
    order = ForgetOrder.from_json(json.dumps(dict(record.order)))
    verify_order(order, record.case, record.case_digest, trust)


def withdrawals_in(folders: Iterable[Path]) -> list[ForgetWithdrawal]:
    """Return what lies in folders of orders that were taken back, unverified. Raises Malformed."""
    paths = {folder / WITHDRAWAL_FILE for folder in folders}
    return [ForgetWithdrawal.from_json(path.read_text("utf-8")) for path in sorted(paths) if path.exists()]


def require_not_taken_back(order: ForgetOrder, trail: Trail) -> None:
    """Return unless the trail says that an order was taken back, whatever files are there.

    Raises Withdrawn, and AuditError when the trail cannot tell.
    """
    for told in taken_back_by(trail, order.case):
        if order.is_ended(told.order, datetime.fromisoformat(told.time)):
            raise Withdrawn(
                f"the order to forget was taken back by {told.actor} at {told.time[:19]}Z, as record {told.n} of the "
                f"audit trail says",
                next_step="if the case shall be forgotten after all, an approver orders it anew",
            )


def require_order_stands(record: ForgottenRecord, path: Path, trust: Trust, site: Site | None) -> None:
    """Return unless the order in a record was taken back, as far as what is at hand can tell.

    At hand are the folder of the record's file and, if ``site`` is the one that it is of, that site's folder of the
    case and its trail. Raises Withdrawn, AuditError, and what verifying an order raises.
    """
    order = ForgetOrder.from_json(json.dumps(dict(record.order)))
    folders = [path.parent] + ([cases.case_dir(site.cases_dir, record.case)] if site else [])
    withdrawals = withdrawals_in(folders)
    verify_order(order, record.case, record.case_digest, trust, withdrawals=withdrawals)
    if site is not None:
        require_not_taken_back(order, Trail(site.audit_trail))


def require_destroyed(record: ForgottenRecord, site: Site) -> None:
    """Return if the trail of the site tells that both keys of the case were destroyed before the record was made.

    Raises ReleaseError, and AuditError when the trail cannot tell.
    """
    stood = record.audit_head.get("records")
    if not isinstance(stood, int):
        raise ReleaseError(
            "the record does not say where the audit trail stood", next_step="do not rely on it"
        )
    lacking = frozenset(CASE_MOUNTS) - destroyed_within(Trail(site.audit_trail), record.case, stood)
    if lacking:
        keys = ", ".join(f"{mount}/{record.case}" for mount in CASE_MOUNTS if mount in lacking)
        raise ReleaseError(
            f"the audit trail does not tell that the key was destroyed before the record: {keys}",
            next_step="do not rely on it; tell the auditor",
        )


def of_case(site: Site, case: Case) -> ForgottenRecord | None:
    """Return the record that a case of a site was forgotten, proved in everything that the site knows; None without.

    Raises CaseError for the record of another case or of another text of it, ReleaseError for what is none,
    AuditError, and what verifying raises.
    """
    path = cases.case_dir(site.cases_dir, case.id) / FORGOTTEN_FILE
    if not path.exists():
        return None
    trust = Trust.load(site.trust_path)
    record, signature = read(path)
    require_signed(record, signature, trust)
    if (record.case, record.case_digest) != (case.id, case.digest):
        raise CaseError(
            f"the {FORGOTTEN_FILE} beside the case {case.id} is of another case, or of another text of it",
            next_step="ask who put it there, set it aside, and give the same command again",
        )
    require_order_stands(record, path, trust, site)
    require_destroyed(record, site)
    return record
