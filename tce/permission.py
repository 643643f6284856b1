"""What was allowed is asked again before every instance that leaves, and costs a few looks at the disk.

An approval rests on files: what was approved, the signatures beside it, the trusted keys, the audit trail. While none
of them looks different and no approval has come to its end, the answer is the one before; else everything is asked
anew. So a withdrawal stops what is under way, and not only what begins after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from policies.model import Stage
from tce import cases
from tce.approvals_desk import Desk
from tce.cases import Case
from tce.config import Site
from tce.errors import CaseError
from tce.shelf import Shelf

Looks = tuple[tuple[str, int, int, int], ...]


class Permission:
    """Something that was allowed. Calling it returns while it still is, and raises what ``ask`` raises.

    ``ask`` says until when it is allowed, unless a file of ``rests_on``, or one in a folder of it, changes before.
    """

    def __init__(self, rests_on: Sequence[Path], ask: Callable[[], datetime]) -> None:
        self._rests_on = rests_on
        self._ask = ask
        self._looks: Looks | None = None
        self._until = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> None:
        """Return if it is allowed now."""
        looks = _looks(self._rests_on)  # before asking: what changes meanwhile is seen next time
        if looks == self._looks and datetime.now(UTC) < self._until:
            return
        self._looks = None
        self._until = self._ask()
        self._looks = looks


def require_stage(site: Site, case: Case, stage: Stage) -> datetime:
    """Return until when a stage may work for a case. Raises NotApproved."""
    desk, shelf = Desk(site), Shelf(site.policies_dir)
    if stage is Stage.ANONYMIZE:
        return min(desk.require_policy(shelf.exactly(case.stage2)), desk.require_case(case))
    # Who may open the originals is for two to decide, like who may receive anything.
    asked = desk.require_case if case.encrypt_for else desk.require_open
    return min(desk.require_policy(shelf.exactly(case.stage1)), asked(case))


def permission_of(site: Site, case_id: str, stage: Stage) -> Permission:
    """Return what raises NotApproved, or CaseError, as soon as a stage may not go on for a case as it is now."""
    case = cases.load(site.cases_dir, case_id)
    return Permission(Desk(site).rests_on(case_id), partial(_ask_for, site.home, case, stage))


def _ask_for(home: Path, case: Case, stage: Stage) -> datetime:
    site = Site(home)
    if cases.load(site.cases_dir, case.id) != case:
        raise CaseError(
            f"the case {case.id} was changed while it was worked for",
            next_step="have it approved as it is now, and run the same command again",
        )
    return require_stage(site, case, stage)


def _looks(paths: Sequence[Path]) -> Looks:
    """Return what changes when somebody writes to a file, puts another one in its place, or takes it away."""
    seen: list[tuple[str, int, int, int]] = []
    for path in paths:
        try:
            if path.is_dir():
                with os.scandir(path) as entries:
                    seen += sorted(_look(entry.path, entry.stat()) for entry in entries)
            else:
                seen.append(_look(str(path), path.stat()))
        except OSError:
            seen.append((str(path), 0, 0, 0))
    return tuple(seen)


def _look(path: str, status: os.stat_result) -> tuple[str, int, int, int]:
    return path, status.st_ino, status.st_size, status.st_mtime_ns
