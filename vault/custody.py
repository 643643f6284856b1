"""Re-identification by two custodians: one requests, another approves, the first reveals once, within a
window.

Each works with the own login at the server. Approving means opening the own shares of exactly these
patients' and fields' keys and closing them again for the requester; revealing means opening these and the own ones, and
putting both together. So one person alone is stopped three times: by the rule here, by the server, which
opens for nobody what was closed for another, and by the mathematics of the shares. design.md section 5.

Every step is recorded before it takes effect, refusals too; the record never holds an original.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NoReturn

from vault.client import Client, Sealable, Sealing
from vault.custody_ledger import Granted, Ledger, Request, State
from vault.errors import (
    BadRequest,
    CustodyRefusal,
    Expired,
    Forbidden,
    NotApproved,
    NotYours,
    NoWayBack,
    SamePerson,
    SharedPseudonym,
    Tampered,
    UnknownPseudonym,
    UnknownRequest,
)
from vault.field_keys import Seed, sealing_key, share_of
from vault.key_ids import is_of
from vault.keys import Kind, Mount, ways_back
from vault.mapping import MappingStore, SubjectKey
from vault.moments import moment, timestamp
from vault.pseudonyms import ATTRIBUTE_KIND, content_of
from vault.scheme import SCHEME
from vault.sealing import open_row, share_context
from vault.secrecy import Secret
from vault.shares import Share, combine

RecordEvent = Callable[[str, Mapping[str, str]], None]

LONGEST_WINDOW = timedelta(days=7)
FIELDS = tuple(kind for kind in Kind if kind is not Kind.DATE_OFFSET)
_WHOLE_PATIENT = ""  # what was sealed before fields had keys of their own
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
# A ticket goes into records, so it must not have room for a sentence about the patient.
_TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,39}")


class Purpose(StrEnum):
    """What a patient may be re-identified for."""

    INCIDENTAL_FINDING = "incidental-finding"
    WITHDRAWN_CONSENT = "withdrawn-consent"
    PATIENT_SAFETY = "patient-safety"
    DATA_CORRECTION = "data-correction"
    LEGAL_DUTY = "legal-duty"


@dataclass(frozen=True, slots=True)
class Line:
    """One original of a revealed patient: its field, where it belongs, and the value, which does not
    print."""

    patient: str
    pseudonym: str
    field: str
    issuer: Secret[str]
    original: Secret[str]


@dataclass(frozen=True, slots=True)
class _Lock:
    """One key that a request asks for: that of a field of a patient, or of all of him (``field`` empty)."""

    key: SubjectKey
    field: str
    parts: bytes

    @property
    def name(self) -> Granted:
        return self.key.id, self.field


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a grant opened. ``withheld`` counts the keys of fields made after the approval: they need a new
    one."""

    request: Request
    lines: tuple[Line, ...]
    withheld: int


class Custody:
    """Custody as one person: the one whose token ``client`` holds."""

    def __init__(self, client: Client, store: MappingStore, record: RecordEvent) -> None:
        """Raises Forbidden for who is no custodian at the server."""
        self._client = client
        self._store = store
        self._ledger = Ledger(store.database)
        self._record = record
        self.person = client.whoami()
        if "update" not in client.capabilities(f"{Mount.CUSTODY}/decrypt/{self.person}"):
            raise Forbidden(
                f"{self.person} is not a custodian",
                next_step="act as one of the site's custodians (--as NAME)",
            )

    def request(
        self,
        case: str,
        pseudonyms: Collection[str],
        *,
        purpose: Purpose,
        ticket: str,
        fields: Sequence[str],
        window: timedelta,
    ) -> Request:
        """Ask for the patients that these pseudonyms belong to, be they of patients, studies or instances.

        Raises UnknownPseudonym if any of them is not of this case, SharedPseudonym if any is of several patients,
        BadRequest for an unusable ticket, field or window.
        """
        _check_words(pseudonyms, ticket, fields, window)
        known = self._store.patients(case, pseudonyms)
        asked = {"person": self.person, "purpose": purpose, "ticket": ticket}
        unknown = len(set(pseudonyms)) - len(known)
        if unknown:
            # Neither case nor pseudonyms are recorded: what is not known may be anything, a patient's name too.
            detail = asked | {"unknown": str(unknown), "reason": UnknownPseudonym.__name__}
            self._record("reidentify.refused", detail)
            raise UnknownPseudonym(
                f"{unknown} of the pseudonyms {'is' if unknown == 1 else 'are'} not known in case {case}",
                next_step="check the case and the spelling; the last character of a pseudonym is a check",
            )
        shared = sum(len(patients) > 1 for patients in known.values())
        if shared:
            detail = asked | {"case": case, "shared": str(shared), "reason": SharedPseudonym.__name__}
            self._record("reidentify.refused", detail)
            raise SharedPseudonym(
                f"{shared} of the pseudonyms {'is' if shared == 1 else 'are'} of several patients of case {case}",
                next_step="name each patient that is meant: by a patient ID, a study or an instance",
            )
        now = datetime.now(UTC)
        request = Request(
            id=secrets.token_hex(8),
            case_id=case,
            patients=tuple(sorted(frozenset().union(*known.values()))),
            fields=tuple(dict.fromkeys(fields)),
            purpose=purpose,
            ticket=ticket,
            requester=self.person,
            requested=timestamp(now),
            expires=timestamp(now + window),
            state=State.REQUESTED,
            decided_by="",
            decided="",
        )
        self._ledger.add(request, lambda: self._tell("requested", request))
        return request

    def approve(self, request_id: str, agrees: Callable[[Request], bool] = lambda request: True) -> Request:
        """Grant another custodian's request with the own shares of exactly its patients and fields.

        ``agrees`` is shown the request as it is granted: what somebody writes into the database meanwhile does not
        count.

        Raises SamePerson, NotApproved (also where ``agrees`` says no), Expired, Tampered, or NoWayBack for a case that
        was forgotten.
        """
        request = self._asked(request_id)
        if request.requester == self.person:
            self._refuse(request, SamePerson("nobody approves the own request", next_step=_ANOTHER))
        self._check_window(request)
        self._check_state(request, State.REQUESTED)
        self._check_way_back(request)
        if not agrees(request):
            raise NotApproved(
                "the request was not approved; it goes on waiting",
                next_step=f"deny it, if it is not to be: tce reidentify deny {request.id}",
            )
        locks = [lock for lock in self._locks(request) if self.person in lock.key.shares]
        if not locks:
            self._refuse(
                request, NotApproved("you hold no share of these patients' keys", next_step=_ANOTHER)
            )
        items = [
            Sealable(share.to_bytes(), _grant_context(request, lock))
            for lock, share in zip(locks, self._own_shares(locks), strict=True)
        ]
        closed = self._client.encrypt_batch(Mount.CUSTODY, request.requester, items)
        granted = {lock.name: ciphertext for lock, ciphertext in zip(locks, closed, strict=True)}
        self._ledger.decide(
            request.id, State.APPROVED, self.person, lambda: self._tell("approved", request), granted
        )
        return self._ledger.get(request.id)

    def deny(self, request_id: str) -> Request:
        """Refuse a request or take an approval back; also the way for requesters to give up their own."""
        request = self._asked(request_id)
        self._ledger.decide(request.id, State.DENIED, self.person, lambda: self._tell("denied", request))
        return self._ledger.get(request.id)

    def usable(self, request_id: str) -> Request:
        """A request that its requester can reveal now; nothing is opened, and it is not used up.

        Raises UnknownRequest, NotYours, NotApproved or Expired, each on the record.
        """
        request = self._asked(request_id)
        if request.requester != self.person:
            self._refuse(
                request, NotYours("only the requester reveals", next_step="make a request of your own")
            )
        self._check_window(request)
        self._check_state(request, State.APPROVED)
        return request

    def reveal(self, request_id: str, *, form: str = "screen") -> Revealed:
        """Open what was granted, once. The grant is used up, on the record, before anything is returned.

        ``form`` says for the record where it is going to be.

        Raises NotYours, NotApproved, Expired, Tampered, or NoWayBack for a case that was forgotten.
        """
        # 1. The requester, with an approval, in the window.
        request = self.usable(request_id)
        # 2. Two shares of each secret give it; with the case's way back it is the key.
        granted = self._ledger.granted(request.id)
        every = self._locks(request)
        locks = [lock for lock in every if lock.name in granted and self.person in lock.key.shares]
        back = self._check_way_back(request, locks)
        own = self._own_shares(locks)
        foreign = self._client.decrypt_batch(
            Mount.CUSTODY,
            self.person,
            [Sealing(granted[lock.name], _grant_context(request, lock)) for lock in locks],
        )
        opened = {
            lock.name: _joined(lock, back, combine(mine, Share.from_bytes(theirs)))
            for lock, mine, theirs in zip(locks, own, foreign, strict=True)
        }
        # 3. The keys open the rows that were asked for.
        lines = tuple(self._lines(request, opened))
        # 4. Used up and recorded; then shown.
        detail = {"lines": str(len(lines)), "form": form}
        self._ledger.decide(
            request.id, State.USED, self.person, lambda: self._tell("revealed", request, detail)
        )
        return Revealed(self._ledger.get(request.id), lines, len(every) - len(locks))

    def requests(self) -> list[Request]:
        """Every request of the database, the oldest first."""
        return self._ledger.all()

    def _lines(self, request: Request, opened: Mapping[Granted, Secret[bytes]]) -> list[Line]:
        lines = []
        for row in self._store.rows(request.case_id, request.patients):
            field = row.kind.removeprefix(ATTRIBUTE_KIND)
            key = opened.get((row.key_id, row.kind)) or opened.get((row.key_id, _WHOLE_PATIENT))
            if field in request.fields and key is not None:
                issuer, original = content_of(open_row(row, key))
                pseudonym = "" if row.kind.startswith(ATTRIBUTE_KIND) else row.pseudonym
                lines.append(Line(row.patient, pseudonym, field, Secret(issuer), Secret(original)))
        return lines

    def _asked(self, request_id: str) -> Request:
        try:
            return self._ledger.get(request_id)
        except UnknownRequest:
            detail = {"person": self.person, "reason": UnknownRequest.__name__}
            self._record("reidentify.refused", detail)
            raise

    def _locks(self, request: Request) -> list[_Lock]:
        """Every key that is needed for what a request asks for."""
        keys = self._store.keys(request.case_id, request.patients)
        if not all(is_of(key.id, key.case_id, key.patient) for key in keys):
            moved = Tampered(
                "a key of another patient stands among those that were asked for",
                next_step="restore the mapping from its backup and report the incident",
            )
            self._tell("refused", request, {"reason": Tampered.__name__})
            raise moved
        fields = self._store.field_keys([key.id for key in keys])
        locks = [_Lock(key, _WHOLE_PATIENT, b"") for key in keys if key.id not in fields]
        locks += [
            _Lock(key, one.field, one.parts)
            for key in keys
            for one in fields.get(key.id, [])
            if one.field.removeprefix(ATTRIBUTE_KIND) in request.fields
        ]
        return locks

    def _own_shares(self, locks: Sequence[_Lock]) -> list[Share]:
        """The own share of each. The seeds that they are made of go no further than here."""
        keys = {lock.key.id: lock.key for lock in locks}
        sealed = [
            Sealing(key.shares[self.person], share_context(key.id, self.person)) for key in keys.values()
        ]
        opened = dict(zip(keys, self._client.decrypt_batch(Mount.CUSTODY, self.person, sealed), strict=True))
        return [_own_share(lock, opened[lock.key.id]) for lock in locks]

    def _check_way_back(self, request: Request, locks: Sequence[_Lock] = ()) -> dict[str, Secret[bytes]]:
        """The way back of each patient's key. A case that was forgotten has none, and that is on the record."""
        ids = list(dict.fromkeys(lock.key.id for lock in locks))
        try:
            return dict(zip(ids, ways_back(self._client, request.case_id, ids), strict=True))
        except NoWayBack as forgotten:
            self._refuse(request, forgotten)

    def _check_window(self, request: Request) -> None:
        if datetime.now(UTC) >= moment(request.expires):
            self._refuse(
                request, Expired(f"the window of the request ended {request.expires}", next_step=_NEW)
            )

    def _check_state(self, request: Request, wanted: State) -> None:
        if request.state is not wanted:
            self._refuse(
                request, NotApproved(f"the request is {request.state}, not {wanted}", next_step=_NEW)
            )

    def _refuse(self, request: Request, refusal: CustodyRefusal | NoWayBack) -> NoReturn:
        self._tell("refused", request, {"reason": type(refusal).__name__})
        raise refusal

    def _tell(self, what: str, request: Request, more: Mapping[str, str] | None = None) -> None:
        detail = {
            "request": request.id,
            "case": request.case_id,
            "person": self.person,
            "purpose": request.purpose,
            "ticket": request.ticket,
            "patients": str(len(request.patients)),
            "fields": " ".join(request.fields),
            "content": request.digest(),
        }
        self._record(f"reidentify.{what}", detail | dict(more or {}))


_ANOTHER = "have another custodian approve it"
_NEW = "see `tce reidentify list`; make a new request if it is still needed"


def _grant_context(request: Request, lock: _Lock) -> bytes:
    return f"{SCHEME}-grant\0{request.id}\0{lock.key.id}\0{lock.field}\0{request.requester}".encode()


def _own_share(lock: _Lock, opened: Secret[bytes]) -> Share:
    # The form of what was opened decides, not the database: a seed is never handed over as if it were a share.
    if lock.field == _WHOLE_PATIENT:
        return Share.from_bytes(opened)
    return share_of(Seed.from_bytes(opened), lock.key.id, lock.field, lock.parts)


def _joined(lock: _Lock, back: Mapping[str, Secret[bytes]], secret: Secret[bytes]) -> Secret[bytes]:
    if lock.field == _WHOLE_PATIENT:
        return secret
    return sealing_key(secret, back[lock.key.id], lock.key.id, lock.field)


def checked_ticket(ticket: str) -> str:
    """Return the number of a decision if it can go into a record; else raise BadRequest."""
    if not _TICKET.fullmatch(ticket):
        raise BadRequest(
            "the ticket is not usable", next_step="use at most 40 letters, digits, '.', '_', '/', '#', '-'"
        )
    return ticket


def _check_words(pseudonyms: Collection[str], ticket: str, fields: Sequence[str], window: timedelta) -> None:
    if not pseudonyms:
        raise BadRequest("no pseudonym was asked for", next_step="name at least one")
    checked_ticket(ticket)
    if not fields or not all(field in FIELDS or _KEYWORD.fullmatch(field) for field in fields):
        raise BadRequest(
            "the fields are not usable",
            next_step=f"name any of {', '.join(FIELDS)}, or keywords such as PatientName",
        )
    if not timedelta(0) < window <= LONGEST_WINDOW:
        raise BadRequest(
            "the window is not usable",
            next_step=f"ask for more than nothing and at most {LONGEST_WINDOW.days} days",
        )
