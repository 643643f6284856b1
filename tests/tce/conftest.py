"""Fixtures of the tests of the application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tce.arrivals import ArrivalDesk
from tce.exports import Exports
from tce.spool import Spool
from tce.worker import Worker
from tests.tce.parts import CASE, MANAGER, CaseShelf, Log, ReleaseShelf, pseudonymized_ct, rooms, terms
from tests.tce.workbench import NOWHERE, Bench, Clock


@pytest.fixture(scope="session")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A pseudonymized CT study."""
    return pseudonymized_ct(tmp_path_factory.mktemp("stage-1") / "ct")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock, log, releases = Clock(), Log(), ReleaseShelf()
    cases = CaseShelf({CASE: terms(NOWHERE)})
    spool, exports = Spool(tmp_path / "spool"), Exports(f"sqlite:///{tmp_path / 'exports.db'}", clock=clock)
    desk = ArrivalDesk(spool, exports)
    worker = Worker(exports, spool, rooms(cases, log, releases), MANAGER)
    yield Bench(tmp_path, spool, exports, desk, worker, cases, releases, log, clock)
    exports.close()
