"""What custodians asked for, who decided, and the shares that wait to be used: the tables behind custody.

It keeps states and changes them only in the allowed order, each change in one transaction together with its
record in the trail. It decides nothing about persons and opens nothing (:mod:`vault.custody` does).

    requested -> approved -> used
    requested -> denied          approved -> denied
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from vault.errors import NotApproved, UnknownRequest
from vault.moments import timestamp
from vault.tables import Database, granted_shares, requests

Record = Callable[[], None]
Granted = tuple[str, str]  # a patient's key and the field that the share is of


class State(StrEnum):
    """Where a request stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


ALLOWED: Mapping[State, tuple[State, ...]] = {
    State.APPROVED: (State.REQUESTED,),
    State.DENIED: (State.REQUESTED, State.APPROVED),
    State.USED: (State.APPROVED,),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: whose patients (by pseudonym), which fields, why, by whom, until when, and its state.

    ``decided_by`` is who approved or denied it last; the use by its requester changes nothing of that.
    """

    id: str
    case_id: str
    patients: tuple[str, ...]
    fields: tuple[str, ...]
    purpose: str
    ticket: str
    requester: str
    requested: str
    expires: str
    state: State
    decided_by: str
    decided: str

    def digest(self) -> str:
        """What the trail says of the content, so that an auditor sees whether it was changed on the way."""
        content = [
            self.case_id,
            self.patients,
            self.fields,
            self.purpose,
            self.ticket,
            self.requester,
            self.expires,
        ]
        return hashlib.sha256(json.dumps([self.id, *content]).encode()).hexdigest()[:32]


_COLUMNS = tuple(field.name for field in fields(Request))


class Ledger:
    """The requests and granted shares of one mapping database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, request: Request, record: Record) -> None:
        """Write a new request, on the record."""
        values = {name: getattr(request, name) for name in _COLUMNS}
        values |= {
            "patients": list(request.patients),
            "fields": list(request.fields),
            "state": str(request.state),
        }
        with self._database.writing() as connection:
            connection.execute(sa.insert(requests).values(values))
            record()

    def get(self, request_id: str) -> Request:
        """The request of that id. Raises UnknownRequest."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(requests).where(requests.c.id == request_id)).one_or_none()
        if row is None:
            raise UnknownRequest(
                "there is no request of that id", next_step="see `tce reidentify list` for those there are"
            )
        return _request(row._mapping)

    def all(self) -> list[Request]:
        """Every request, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(requests).order_by(requests.c.requested, requests.c.id)).all()
        return [_request(row._mapping) for row in rows]

    def decide(
        self,
        request_id: str,
        state: State,
        who: str,
        record: Record,
        shares: Mapping[Granted, str] | None = None,
    ) -> None:
        """Change the state, with the granted shares; whatever was granted before is gone.

        Raises NotApproved when the request is not in a state that allows it, for instance because somebody
        else was quicker. If the change cannot be recorded it is not made.
        """
        changes = {"state": str(state)}
        if state is not State.USED:
            changes |= {"decided_by": who, "decided": timestamp()}
        with self._database.writing() as connection:
            changed = connection.execute(
                sa.update(requests)
                .where(requests.c.id == request_id, requests.c.state.in_([str(s) for s in ALLOWED[state]]))
                .values(changes)
            )
            if changed.rowcount != 1:
                raise NotApproved(
                    f"the request cannot become {state} any more: it was decided or used already",
                    next_step="see `tce reidentify list`; make a new request if it is still needed",
                )
            connection.execute(sa.delete(granted_shares).where(granted_shares.c.request_id == request_id))
            if shares:
                rows = [
                    {"request_id": request_id, "key_id": key_id, "field": field, "ciphertext": ciphertext}
                    for (key_id, field), ciphertext in shares.items()
                ]
                connection.execute(sa.insert(granted_shares), rows)
            record()

    def granted(self, request_id: str) -> dict[Granted, str]:
        """The granted shares of a request, each closed for its requester."""
        question = sa.select(granted_shares).where(granted_shares.c.request_id == request_id)
        with self._database.reading() as connection:
            return {(row.key_id, row.field): row.ciphertext for row in connection.execute(question)}


def _request(values: Mapping[Any, Any]) -> Request:
    content = dict(values)
    content |= {
        "patients": tuple(content["patients"]),
        "fields": tuple(content["fields"]),
        "state": State(content["state"]),
    }
    return Request(**content)
