"""Which exports are to be completed from the archive, and what came of it.

Part of the index of exports: a person asks in one process, the Export Manager fetches in another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from tce.errors import ExportError
from tce.ledger import Export, Transaction, as_export
from tce.states import State
from tce.tables import exports, fetches


class Fetches:
    """The requests of one index."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._transaction = transaction

    def ask(self, export_id: str) -> Export:
        """Ask for what an export waits for. Raises ExportError when it waits for nothing."""
        with self._transaction() as tx:
            export = tx.export(exports.c.id == export_id)
            if export.state is not State.COLLECTING or not export.missing:
                raise ExportError(
                    f"export {export_id} is {export.state}, and waits for no instances",
                    next_step="see: tce exports show; one that failed incomplete is retried first",
                )
            self._write(tx, export, asked_at=tx.now)
            return export

    def due(self, after: float | None) -> Export | None:
        """Return an export that is to be completed now: somebody asked, or it has waited for ``after`` seconds since it
        came or was last tried."""
        with self._transaction() as tx:
            waits = (exports.c.state == State.COLLECTING.value) & (exports.c.missing > 0)
            now: sa.ColumnElement[bool] = fetches.c.asked_at.is_not(None)
            if after is not None:
                since = sa.func.coalesce(fetches.c.tried_at, exports.c.changed_at)
                now |= since <= tx.now - after
            row = tx.db.execute(
                sa.select(exports)
                .join(fetches, fetches.c.export == exports.c.number, isouter=True)
                .where(waits, now)
                .order_by(exports.c.number)
                .limit(1)
            ).first()
            return as_export(row) if row is not None else None

    def tried(self, export: Export, said: str) -> None:
        """Note what came of it."""
        with self._transaction() as tx:
            self._write(tx, export, asked_at=None, tried_at=tx.now, said=said)

    def said(self, export: Export) -> str:
        """Return what came of the last try; empty when there was none."""
        with self._transaction() as tx:
            return tx.db.scalar(sa.select(fetches.c.said).where(fetches.c.export == export.number)) or ""

    def _write(self, tx: Transaction, export: Export, **values: float | str | None) -> None:
        of = fetches.c.export == export.number
        if not tx.db.execute(fetches.update().where(of).values(**values)).rowcount:
            tx.db.execute(fetches.insert().values(**({"said": ""} | values), export=export.number))
