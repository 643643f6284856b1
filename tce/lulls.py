"""What Export Manager and Receiver do when there is nothing else to do: look after what has been waiting too long.

Incomplete exports fail, failed ones that nobody retried are cancelled where the site says so, delayed ones and
instances that no manifest names are reported once, and what the rules of retention name goes from the spool. Each of
these is on the audit trail; so is, later, what a process that died could not tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from tce.exports import Exports
from tce.purging import Purge
from tce.retention import Rules
from tce.spool import Spool

_EVERY = 60.0
"""Seconds between two looks at what has been waiting for hours or days."""
_LATE = 60.0
"""Seconds after which a notice that was not told is one that nobody will tell any more."""
_PURGES = 5
"""So many pages go in one lull, so that an export which has become ready does not wait for the rest."""


class Lull:
    """Looks after one index and its spool, a little at a time."""

    def __init__(
        self, exports: Exports, spool: Spool, stale_seconds: float, rules: Callable[[], Rules]
    ) -> None:
        self._exports = exports
        self._spool = spool
        self._stale_seconds = stale_seconds
        self._rules = rules
        self._looked: float | None = None

    def __call__(self) -> None:
        """Do what is due."""
        self._exports.give_up(self._stale_seconds)
        now = time.monotonic()
        if self._looked is not None and now - self._looked < _EVERY:
            return
        self._looked = now
        self._exports.tell_late(_LATE)
        rules = self._rules()
        self._exports.report_unclaimed(rules)
        self._exports.report_delayed(rules.delayed_report)
        if rules.failed is not None:
            self._exports.expire(rules.failed)
        if len(list(islice(carry_out(self._exports, self._spool, rules), _PURGES))) == _PURGES:
            self._looked = None


def carry_out(exports: Exports, spool: Spool, rules: Rules) -> Iterator[list[Purge]]:
    """Purge what the rules name, page by page, and yield what went."""
    for page in exports.purge(rules):
        for purge in page:
            for name in purge.files:
                spool.remove(name)
            if purge.export:
                spool.clear(purge.export)
        yield [purge for purge in page if purge.instances]


def clear_leftovers(exports: Exports, spool: Spool) -> None:
    """Remove the workplaces of exports that are over: a process died before it came to that."""
    for export_id in spool.workplaces():
        if exports.is_over(export_id):
            spool.clear(export_id)
