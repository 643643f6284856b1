"""Forgetting a case of a site, in two acts: an approver orders it, a custodian carries it out.

The custodian's act, each step on the audit trail, each repeated harmlessly by a run that finishes a killed one::

    1. the order is verified, that the case is closed, and that every login is there that is needed to the end
    2. the key of the way back is destroyed, then the key of stage 2
    3. what must fail now is tried: both derivations, and opening a row of the mapping
    4. the rows of the case are removed from the mapping, and those of its cohort
    5. the record is written and signed

What the server allows to whom is :mod:`vault.forgetting`'s; whether a case is forgotten is asked at
:mod:`tce.approvals_desk`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tce import __version__, cases, counts, forgotten, release
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.cases import Case
from tce.config import Site
from tce.errors import CaseError, Refused, ReleaseError
from tce.exports import Exports
from tce.forgotten import FORGOTTEN_FILE, ORDER_FILE, WITHDRAWAL_FILE, Attempt, ForgottenRecord
from tce.logins import Logins
from vault import forgetting
from vault.approvals import sign_forgotten
from vault.client import Client
from vault.errors import ApprovalRefusal
from vault.forgetting import ForgetOrder, ForgetReason
from vault.keys import CASE_MOUNTS, Mount, has_case_key
from vault.mapping import MappingStore
from vault.roles import Service
from vault.trust import Trust

T = TypeVar("T")
Told = Callable[[str], None]
_DERIVES = {Mount.WAYS_BACK: Service.PSEUDONYMIZER, Mount.CASES: Service.MANAGER}
_UNKNOWN = "unknown: no login of its service is kept here"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the forgetting of a case has come. An order or a record that does not count is told of in words."""

    case: str
    order: ForgetOrder | str | None
    record: ForgottenRecord | str | None
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
        self._withdrawal_path = folder / WITHDRAWAL_FILE

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
        """Take the order back as an approver: first at the key server, then by a signed file and on the trail.

        It may be repeated. Raises CaseError without an order, and NotApproved once a key is destroyed.
        """
        order = self._written_order()
        forgetting.verify_order(order, self._case.id, self._case.digest, Trust.load(self._site.trust_path))
        Desk(self._site).require_keys(self._case)  # whatever file lies there: the keys stay
        approver = self._logins.person(person)
        forgetting.allow(approver, self._case.id, allowed=False)
        _write(self._withdrawal_path, forgetting.take_back(approver, order).to_json())
        self._tell(person, "case.forget-taken-back", {"order": order.reference()})
        self.order_path.unlink()

    def order(self) -> ForgetOrder:
        """The order, after verifying its signature and that nobody took it back.

        Raises CaseError when there is none, and what verifying raises.
        """
        order, trust = self._written_order(), Trust.load(self._site.trust_path)
        withdrawals = forgotten.withdrawals_in([self.order_path.parent])
        forgetting.verify_order(order, self._case.id, self._case.digest, trust, withdrawals=withdrawals)
        forgotten.require_not_taken_back(order, Trail(self._site.audit_trail))
        return order

    def _written_order(self) -> ForgetOrder:
        try:
            return ForgetOrder.from_json(self.order_path.read_text("utf-8"))
        except FileNotFoundError:
            raise CaseError(
                f"nobody has ordered that the case {self._case.id} is forgotten",
                next_step=f"an approver does: tce --as APPROVER case forget {self._case.id} --reason … --ticket …",
            ) from None

    def carry_out(self, person: str, told: Told = lambda step: None) -> ForgottenRecord:
        """Carry the order out as a custodian, or finish what a killed run began; return the signed record.

        Raises CaseError without an order, Forbidden for who is no custodian or while no approver has allowed it,
        LoginFailed where a service's login is not kept, Refused when something that must fail afterwards did not, and
        what verifying a record raises.
        """
        done = forgotten.of_case(self._site, self._case)
        if done is not None:
            return self._irreversible(done)
        # 1. Ordered, closed, and everybody logged in who is needed to the end.
        order = self.order()
        self._require_closed()
        custodian = self._logins.person(person)
        services = {mount: self._logins.service(service) for mount, service in _DERIVES.items()}
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
            attempts = tuple(self._attempts(custodian, services, store))
            # 4. The rows.
            removed = forgetting.remove_rows(store, self._case.id)
            self._tell(person, "case.mapping-removed", {"rows": str(removed)})
            told(f"{counts.counted(removed, 'row', 'rows')} removed from the mapping")
        finally:
            store.close()
        self._forget_cohort(told)
        # 5. The record.
        record = self._record(order, person, attempts)
        signer = services[Mount.WAYS_BACK]
        forgotten.write(record, lambda payload: sign_forgotten(signer, payload), self.record_path)
        digest, _ = release.digests_of(self.record_path)
        proved = "yes" if record.irreversible else "no"
        self._tell(person, "case.forgotten", {"record": digest, "proved": proved})
        return self._irreversible(record)

    def _forget_cohort(self, told: Told) -> None:
        index = Exports(self._site.exports_url)
        try:
            removed = index.forget_cohort(self._case.id)
        finally:
            index.close()
        told(f"{counts.counted(removed, 'row', 'rows')} removed from the cohort")

    def _irreversible(self, record: ForgottenRecord) -> ForgottenRecord:
        if not record.irreversible:
            raise Refused(
                f"the case {self._case.id} was forgotten, but not all of what must fail: {'; '.join(record.faults)}",
                next_step="report it; the record says so, and no release counts as irreversible",
            )
        return record

    def standing(self) -> Standing:
        """How far it has come. Keys are asked for where this site keeps the login of the service that uses them.

        An order that was carried out stays beside its record. Raises AuditError.
        """
        order = _counts(self.order) if self.order_path.exists() else None
        record = _counts(lambda: forgotten.of_case(self._site, self._case))
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

    def _attempts(
        self, custodian: Client, services: Mapping[Mount, Client], store: MappingStore
    ) -> Iterator[Attempt]:
        for mount in CASE_MOUNTS:
            there = has_case_key(services[mount], mount, self._case.id)
            yield _tried(forgotten.DERIVE_AS_SERVICE[mount], there)
            there = forgetting.destroy(custodian, mount, self._case.id)
            yield _tried(forgotten.find_as_custodian(mount, self._case.id), there)
        there = has_case_key(custodian, Mount.WAYS_BACK, self._case.id)
        yield _tried(forgotten.DERIVE_AS_CUSTODIAN, there)
        opened = forgetting.opens_a_row(custodian, store, self._case.id)
        answers = {None: forgotten.NO_ROW, False: forgotten.NO_WAY_BACK, True: forgotten.POSSIBLE}
        yield Attempt(forgotten.OPEN_A_ROW, not opened, answers[opened])

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
            made = release.read(path).record
            if made.case == self._case.id:
                yield {"release": made.release, "digest": release.digests_of(path)[0]}

    def _tell(self, person: str, event: str, detail: dict[str, str]) -> None:
        about = {"case": self._case.id, "digest": self._case.digest}
        Journal(self._site, person).record(event, detail=about | detail)


def _tried(what: str, possible: bool) -> Attempt:
    return Attempt(what, not possible, forgotten.POSSIBLE if possible else forgotten.NO_KEY)


def _counts(ask: Callable[[], T]) -> T | str:
    """Return what was found, or in words why it does not count."""
    try:
        return ask()
    except (ApprovalRefusal, CaseError, ReleaseError) as exc:
        return exc.what


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
