"""When an export was held, why, and who let it go on: kept for its release record.

Part of the index of exports. The state of an export tells of the hold that stands; this table tells of all.
Reasons are kept as codes: what they say in words may name a place of an instance, and a record travels.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import sqlalchemy as sa

from tce.ledger import Transaction
from tce.road import PastHold
from tce.tables import holds


def resolved(tx: Transaction, number: int, by: str) -> None:
    """Note who let an export go on that was held until now."""
    last = sa.select(sa.func.max(holds.c.id)).where(holds.c.export == number, holds.c.resolved_at == tx.now)
    tx.db.execute(holds.update().where(holds.c.id == last.scalar_subquery()).values(resolved_by=by[:64]))


def of_export(tx: Transaction, number: int) -> list[PastHold]:
    """Return every hold of an export, oldest first."""
    rows = tx.db.execute(sa.select(holds).where(holds.c.export == number).order_by(holds.c.id))
    return [
        PastHold(
            _moment(row.held_at), tuple(json.loads(row.reasons)), _moment(row.resolved_at), row.resolved_by
        )
        for row in rows
    ]


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
