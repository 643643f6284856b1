"""Twenty thousand queued instances: memory is bounded, and the last ones cost what the first ones did.

Work is counted in steps of the database's own machine, which are the same on every machine.
"""

from __future__ import annotations

import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tce.arrivals import ArrivalDesk
from tce.exports import Exports
from tce.network.store_reader import Arrival
from tce.retention import DAY, Rules
from tce.spool import Durability, Spool
from tests.tce.test_exports import CT, Clock, a_manifest, entry

MANY = 20_000
FILES = 6_000
_STEPS = 1000


def uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.10.1234.5678.20260101120000.{number:010d}"


@pytest.fixture
def steps() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Counts the steps (in thousands) that SQLite takes for something."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    def watch(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(step, _STEPS)

    def count(doing: Callable[[], object]) -> int:
        before = taken
        doing()
        return taken - before

    sa.event.listen(sa.Engine, "connect", watch)
    yield count
    sa.event.remove(sa.Engine, "connect", watch)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most memory in bytes that the block took beyond what was there before."""
    found: list[int] = []
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield found
        found.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone after the test: nobody else should have to look through so many files."""
    yield tmp_path / "place"
    shutil.rmtree(tmp_path / "place")


def spooled(spool: Spool, desk: ArrivalDesk, count: int) -> None:
    for number in range(count):
        # New strings for each, as they come from a socket.
        arrival = Arrival(
            *(bytes(text, "ascii").decode() for text in ("SELECTOR", CT, uid(number))), "1.2.840.10008.1.2.1"
        )
        arriving = desk.open(arrival)
        arriving.write(b"%d" % number)
        arriving.finish()


def test_the_last_arrivals_cost_what_the_first_did(
    tmp_path: Path, steps: Callable[[Callable[[], object]], int]
) -> None:
    """Neither what an export waits for nor what is indexed already makes entering an instance dearer."""
    index = Exports(f"sqlite:///{tmp_path / 'exports.db'}")
    a_manifest(index, of=tuple(uid(number) for number in range(MANY + 1)))
    batches = [[entry(uid(number)) for number in range(at, at + 1000)] for at in range(0, MANY, 1000)]
    taken = [steps(lambda batch=batch: index.arrive(batch)) for batch in batches]  # type: ignore[misc]
    assert index.listing()[0].missing == 1
    assert min(taken) > 0
    assert max(taken[-5:]) < 1.5 * max(taken[:5])


def test_a_purge_costs_what_there_is_to_purge(
    tmp_path: Path, steps: Callable[[Callable[[], object]], int]
) -> None:
    """Four times as much takes not much more than four times the work, and looking again takes next to none."""
    clock, taken = Clock(), []
    for count in (MANY // 4, MANY):
        index = Exports(f"sqlite:///{tmp_path / str(count)}.db", clock=clock)
        index.arrive([entry(uid(number)) for number in range(count)])
        a_manifest(index, of=tuple(uid(number) for number in range(count)))
        index.cancel(index.listing()[0].id)
        clock.now += 2 * DAY
        found: list[int] = []

        def purge(index: Exports = index, found: list[int] = found) -> None:
            pages = index.purge(Rules(cancelled=DAY))
            found.append(sum(purge.instances for page in pages for purge in page))

        taken.append([steps(purge), steps(purge)])
        assert found == [count + 1, 0]
    (few, _), (many, again) = taken
    assert many < 6 * few
    assert again < many / 100


def test_what_waits_for_the_index_takes_little_memory(place: Path) -> None:
    """A hundred thousand instances that wait take less than 60 MB: 600 bytes each."""
    spool = Spool(place / "spool", Durability.PROCESS)
    desk = ArrivalDesk(spool, Exports(f"sqlite:///{place / 'exports.db'}"))
    with peak() as most:
        spooled(spool, desk, FILES)
    assert most[0] < 600 * FILES


def test_taking_up_what_a_dead_process_left_takes_little_memory(place: Path) -> None:
    """The spool is read through a part at a time: four times as much adds the names of what is unknown, and no more."""
    most = []
    for count in (FILES // 4, FILES):
        spool = Spool(place / str(count), Durability.PROCESS)
        url = f"sqlite:///{place / str(count)}.db"
        spooled(spool, ArrivalDesk(spool, Exports(url)), count)
        desk = ArrivalDesk(spool, Exports(url))
        with peak() as found:
            assert desk.adopt() == count
        most += found
        with peak() as found:
            assert desk.adopt() == 0
        assert found[0] < 4_000_000
    assert most[1] - most[0] < 600 * (FILES - FILES // 4)
