"""Forgetting a case of a site, in two acts: an approver orders it, a custodian carries it out.

The custodian's act, each step on the audit trail, each repeated harmlessly by a run that finishes a killed one::

    1. the order is verified, and that the case is closed
    2. the key of the way back is destroyed, then the key of stage 2
    3. what must fail now is tried: both derivations, and opening a row of the mapping
    4. the rows of the case are removed from the mapping
    5. the record is written and signed

What the server allows to whom is :mod:`vault.forgetting`'s; whether a case is forgotten is asked at
:mod:`tce.approvals_desk`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tce import __version__, cases, counts, forgotten, release
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.cases import Case
from tce.config import Site
from tce.errors import CaseError, Refused
from tce.forgotten import FORGOTTEN_FILE, ORDER_FILE, Attempt, ForgottenRecord
from tce.logins import Logins
from vault import forgetting
from vault.approvals import sign_forgotten
from vault.client import Client
from vault.forgetting import ForgetOrder, ForgetReason
from vault.keys import CASE_MOUNTS, Mount, has_case_key
from vault.mapping import MappingStore
from vault.roles import Service
from vault.trust import Trust

Told = Callable[[str], None]
_DERIVES = {Mount.WAYS_BACK: Service.PSEUDONYMIZER, Mount.CASES: Service.MANAGER}
_UNKNOWN = "unknown: no login of its service is kept here"
_WORDS = {
    Mount.WAYS_BACK: "derive a way back, as the pseudonymizer",
    Mount.CASES: "derive a pseudonym of the case, as the manager",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the forgetting of a case has come."""

    case: str
    order: ForgetOrder | None
    record: ForgottenRecord | None
    keys: dict[str, str]
    patients_left: bool


class Forgetting:
    """The forgetting of one case of a site."""

    def __init__(self, site: Site, case: Case) -> None:
        self._site = site
        self._case = case
        self._logins = Logins(site)
        folder = cases.case_dir(site.cases_dir, case.id)
        self.order_path = folder / ORDER_FILE
        self.record_path = folder / FORGOTTEN_FILE

    def agree(self, person: str, reason: ForgetReason, ticket: str) -> ForgetOrder:
        """Order it as an approver: sign, record, and allow at the key server that the keys are deleted.

        Raises CaseError for a case that is open or forgotten, Forbidden for who is no approver.
        """
        Desk(self._site).require_not_forgotten(self._case)
        self._require_closed()
        approver = self._logins.person(person)
        order = forgetting.order(approver, self._case.id, self._case.digest, reason=reason, ticket=ticket)
        _write(self.order_path, order.to_json())
        self._tell(person, "case.forget-ordered", {"reason": order.reason, "ticket": order.ticket})
        forgetting.allow(approver, self._case.id)
        return order

    def take_back(self, person: str) -> None:
        """Take the order back as an approver.

        Raises CaseError without an order, and NotApproved once a key is destroyed.
        """
        self.order()
        Desk(self._site).require_not_forgotten(self._case)
        approver = self._logins.person(person)
        forgetting.allow(approver, self._case.id, allowed=False)
        self._tell(person, "case.forget-taken-back", {})
        self.order_path.unlink()

    def order(self) -> ForgetOrder:
        """The order, its signature verified. Raises CaseError when there is none, and what verifying raises."""
        try:
            order = ForgetOrder.from_json(self.order_path.read_text("utf-8"))
        except FileNotFoundError:
            raise CaseError(
                f"nobody has ordered that the case {self._case.id} is forgotten",
                next_step=f"an approver does: tce --as APPROVER case forget {self._case.id} --reason … --ticket …",
            ) from None
        forgetting.verify_order(order, self._case.id, self._case.digest, Trust.load(self._site.trust_path))
        return order

    def carry_out(self, person: str, told: Told = lambda step: None) -> ForgottenRecord:
        """Carry the order out as a custodian, or finish what a killed run began; return the signed record.

        Raises CaseError without an order, Forbidden for who is no custodian or while no approver has allowed it,
        Refused when something that must fail afterwards did not, and what verifying a record raises.
        """
        if self.record_path.exists():
            record, signature = forgotten.read(self.record_path)
            forgotten.require_signed(record, signature, Trust.load(self._site.trust_path))
            return record
        # 1. Ordered, closed, and everybody logged in who is needed to the end.
        order = self.order()
        self._require_closed()
        custodian, sign = self._logins.person(person), self._signer()
        self._tell(person, "case.forget-begun", {"ordered_by": order.approver, "ticket": order.ticket})
        # 2. The keys.
        for mount in CASE_MOUNTS:
            was_there = forgetting.destroy(custodian, mount, self._case.id)
            self._tell(
                person, "case.key-destroyed", {"key": mount, "was_there": "yes" if was_there else "no"}
            )
            told(f"key {mount}/{self._case.id} destroyed")
        # 3. What must fail.
        store = MappingStore(self._site.mapping_url)
        try:
            attempts = tuple(self._attempts(custodian, store))
            # 4. The rows.
            removed = forgetting.remove_rows(store, self._case.id)
            self._tell(person, "case.mapping-removed", {"rows": str(removed)})
            told(f"{counts.counted(removed, 'row', 'rows')} removed from the mapping")
        finally:
            store.close()
        # 5. The record.
        record = self._record(order, person, attempts)
        forgotten.write(record, sign, self.record_path)
        digest, _ = release.digests_of(self.record_path)
        proved = "yes" if record.irreversible else "no"
        self._tell(person, "case.forgotten", {"record": digest, "proved": proved})
        if not record.irreversible:
            wrong = "; ".join(one.what for one in attempts if not one.failed)
            raise Refused(
                f"the case {self._case.id} was forgotten, but this did not fail afterwards: {wrong}",
                next_step="report it; the record says so, and no release counts as irreversible",
            )
        return record

    def standing(self) -> Standing:
        """How far it has come. Keys are asked for where this site keeps the login of the service that uses them."""
        order = (
            ForgetOrder.from_json(self.order_path.read_text("utf-8")) if self.order_path.exists() else None
        )
        record = forgotten.read(self.record_path)[0] if self.record_path.exists() else None
        keys = {str(mount): self._key_standing(mount) for mount in CASE_MOUNTS}
        store = MappingStore(self._site.mapping_url)
        try:
            left = store.any_patient(self._case.id) is not None
        finally:
            store.close()
        return Standing(self._case.id, order, record, keys, left)

    def _key_standing(self, mount: Mount) -> str:
        if not self._logins.keeps(_DERIVES[mount]):
            return _UNKNOWN
        there = has_case_key(self._logins.service(_DERIVES[mount]), mount, self._case.id)
        return "there" if there else "none"

    def _require_closed(self) -> None:
        standing = Desk(self._site).case_standing(self._case)
        if standing.approved:
            raise CaseError(
                f"the case {self._case.id} is open: {standing.words}",
                next_step=f"close it first: tce --as APPROVER case close {self._case.id} --reason …",
            )

    def _attempts(self, custodian: Client, store: MappingStore) -> Iterator[Attempt]:
        for mount in CASE_MOUNTS:
            standing = self._key_standing(mount)
            if standing != _UNKNOWN:  # who cannot log in here cannot try
                yield _tried(_WORDS[mount], standing == "there")
            there = forgetting.destroy(custodian, mount, self._case.id)
            yield _tried(f"find the key {mount}/{self._case.id}, as a custodian", there)
        there = has_case_key(custodian, Mount.WAYS_BACK, self._case.id)
        yield _tried("derive a way back, as a custodian", there)
        opened = forgetting.opens_a_row(custodian, store, self._case.id)
        answers = {None: "no row is left", False: "refused: no way back", True: "possible"}
        yield Attempt("open a row of the mapping, as a custodian", not opened, answers[opened])

    def _record(self, order: ForgetOrder, person: str, attempts: tuple[Attempt, ...]) -> ForgottenRecord:
        head = Trail(self._site.audit_trail).head()
        return ForgottenRecord(
            case=self._case.id,
            case_digest=self._case.digest,
            order=json.loads(order.to_json()),
            carried_out_by=person,
            attempts=attempts,
            releases=tuple(self._releases()),
            audit_head={"records": head.records, "size": head.size, "hash": head.hash},
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            software=f"tce {__version__}",
        )

    def _releases(self) -> Iterator[dict[str, str]]:
        for path in sorted(self._site.releases_dir.glob(f"*/{release.RELEASE_FILE}")):
            made, _ = release.read(path)
            if made.case == self._case.id:
                yield {"release": made.release, "digest": release.digests_of(path)[0]}

    def _signer(self) -> Callable[[bytes], str]:
        kept = next((one for one in _DERIVES.values() if self._logins.keeps(one)), Service.PSEUDONYMIZER)
        service = self._logins.service(kept)
        return lambda payload: sign_forgotten(service, payload)

    def _tell(self, person: str, event: str, detail: dict[str, str]) -> None:
        about = {"case": self._case.id, "digest": self._case.digest}
        Journal(self._site, person).record(event, detail=about | detail)


def _tried(what: str, possible: bool) -> Attempt:
    return Attempt(what, not possible, "possible" if possible else "refused: no such key")


def summary(record: ForgottenRecord) -> dict[str, object]:
    """Return a record for programs: without signatures and digests of others."""
    return {
        "case": record.case,
        "irreversible": record.irreversible,
        "ordered_by": record.order.get("approver", ""),
        "carried_out_by": record.carried_out_by,
        "made": record.made,
        "attempts": [asdict(one) for one in record.attempts],
        "releases": [one["release"] for one in record.releases],
    }


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text, "utf-8")
    draft.replace(path)
