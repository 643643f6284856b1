"""Re-identification by two custodians: one requests, another approves, the first reveals once, within a
window.

Each works with the own login at the server. Approving means opening the own shares of exactly these
patients' keys and closing them again for the requester; revealing means opening these and the own ones, and
putting both together. So one person alone is stopped three times: by the rule here, by the server, which
opens for nobody what was closed for another, and by the mathematics of the shares. design.md section 5.

Every step is recorded before it takes effect, refusals too; the record never holds an original. How fields
are chosen is kept here and not by the mathematics: a grant covers a patient.
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
from vault.custody_ledger import Ledger, Request, State
from vault.errors import (
    BadRequest,
    CustodyRefusal,
    Expired,
    Forbidden,
    NotApproved,
    NotYours,
    SamePerson,
    UnknownPseudonym,
    UnknownRequest,
)
from vault.keys import Kind, Mount
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
class Revealed:
    """What a grant opened. ``withheld`` counts the patient keys made after the approval: they need a new
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

        Raises UnknownPseudonym if any of them is not of this case, BadRequest for an unusable ticket, field
        or window.
        """
        _check_words(pseudonyms, ticket, fields, window)
        known = self._store.patients(case, pseudonyms)
        unknown = len(set(pseudonyms)) - len(known)
        if unknown:
            # Neither case nor pseudonyms are recorded: what is not known may be anything, a patient's name too.
            detail = {"person": self.person, "purpose": purpose, "ticket": ticket, "unknown": str(unknown)}
            self._record("reidentify.refused", detail | {"reason": UnknownPseudonym.__name__})
            raise UnknownPseudonym(
                f"{unknown} of the pseudonyms {'is' if unknown == 1 else 'are'} not known in case {case}",
                next_step="check the case and the spelling; the last character of a pseudonym is a check",
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

    def approve(self, request_id: str) -> Request:
        """Grant another custodian's request with the own shares of exactly its patients.

        Raises SamePerson, NotApproved or Expired.
        """
        request = self._asked(request_id)
        if request.requester == self.person:
            self._refuse(request, SamePerson("nobody approves the own request", next_step=_ANOTHER))
        self._check_window(request)
        self._check_state(request, State.REQUESTED)
        keys = [key for key in self._keys(request) if self.person in key.shares]
        if not keys:
            self._refuse(
                request, NotApproved("you hold no share of these patients' keys", next_step=_ANOTHER)
            )
        opened = self._own_shares(keys)
        contexts = [_grant_context(request, key.id) for key in keys]
        items = [Sealable(share, context) for share, context in zip(opened, contexts, strict=True)]
        closed = self._client.encrypt_batch(Mount.CUSTODY, request.requester, items)
        granted = {key.id: ciphertext for key, ciphertext in zip(keys, closed, strict=True)}
        self._ledger.decide(
            request.id, State.APPROVED, self.person, lambda: self._tell("approved", request), granted
        )
        return self._ledger.get(request.id)

    def deny(self, request_id: str) -> Request:
        """Refuse a request or take an approval back; also the way for requesters to give up their own."""
        request = self._asked(request_id)
        self._ledger.decide(request.id, State.DENIED, self.person, lambda: self._tell("denied", request))
        return self._ledger.get(request.id)

    def reveal(self, request_id: str) -> Revealed:
        """Open what was granted, once. The grant is used up, on the record, before anything is returned.

        Raises NotYours, NotApproved, Expired or Tampered.
        """
        # 1. The requester, with an approval, in the window.
        request = self._asked(request_id)
        if request.requester != self.person:
            self._refuse(
                request, NotYours("only the requester reveals", next_step="make a request of your own")
            )
        self._check_window(request)
        self._check_state(request, State.APPROVED)
        # 2. Two shares of each key give the key.
        granted = self._ledger.granted(request.id)
        every = self._keys(request)
        keys = [key for key in every if key.id in granted and self.person in key.shares]
        own = self._own_shares(keys)
        foreign = self._client.decrypt_batch(
            Mount.CUSTODY,
            self.person,
            [Sealing(granted[key.id], _grant_context(request, key.id)) for key in keys],
        )
        opened = {
            key.id: combine(Share.from_bytes(mine), Share.from_bytes(theirs))
            for key, mine, theirs in zip(keys, own, foreign, strict=True)
        }
        # 3. The keys open the rows that were asked for.
        lines = tuple(self._lines(request, opened))
        # 4. Used up and recorded; then shown.
        detail = {"lines": str(len(lines))}
        self._ledger.decide(
            request.id, State.USED, self.person, lambda: self._tell("revealed", request, detail)
        )
        return Revealed(self._ledger.get(request.id), lines, len(every) - len(keys))

    def requests(self) -> list[Request]:
        """Every request of the database, the oldest first."""
        return self._ledger.all()

    def _lines(self, request: Request, opened: Mapping[str, Secret[bytes]]) -> list[Line]:
        lines = []
        for row in self._store.rows(request.case_id, request.patients):
            field = row.kind.removeprefix(ATTRIBUTE_KIND)
            if field in request.fields and row.key_id in opened:
                issuer, original = content_of(open_row(row, opened[row.key_id]))
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

    def _keys(self, request: Request) -> list[SubjectKey]:
        return self._store.keys(request.case_id, request.patients)

    def _own_shares(self, keys: Sequence[SubjectKey]) -> list[Secret[bytes]]:
        sealed = [Sealing(key.shares[self.person], share_context(key.id, self.person)) for key in keys]
        return self._client.decrypt_batch(Mount.CUSTODY, self.person, sealed)

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

    def _refuse(self, request: Request, refusal: CustodyRefusal) -> NoReturn:
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
        }
        self._record(f"reidentify.{what}", detail | dict(more or {}))


_ANOTHER = "have another custodian approve it"
_NEW = "see `tce reidentify list`; make a new request if it is still needed"


def _grant_context(request: Request, key_id: str) -> bytes:
    return f"{SCHEME}-grant\0{request.id}\0{key_id}\0{request.requester}".encode()


def _check_words(pseudonyms: Collection[str], ticket: str, fields: Sequence[str], window: timedelta) -> None:
    if not pseudonyms:
        raise BadRequest("no pseudonym was asked for", next_step="name at least one")
    if not _TICKET.fullmatch(ticket):
        raise BadRequest(
            "the ticket is not usable", next_step="use at most 40 letters, digits, '.', '_', '/', '#', '-'"
        )
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
