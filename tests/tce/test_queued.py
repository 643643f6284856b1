"""Twenty thousand queued instances: memory is bounded, and the last ones cost what the first ones did.

Work is counted in steps of the database's own machine, which are the same on every machine.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tce.exports import Exports
from tce.retention import DAY, Rules
from tests.tce.held_memory import TAKEN_UP, WAITING, measured, uid
from tests.tce.test_exports import Clock, a_manifest, entry

MANY = 20_000
FILES = 6_000
_STEPS = 1000


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


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone after the test: nobody else should have to look through so many files."""
    yield tmp_path / "place"
    shutil.rmtree(tmp_path / "place")


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
    assert 0 < measured(WAITING, place, FILES)["held"] < 600 * FILES


def test_taking_up_what_a_dead_process_left_takes_little_memory(place: Path) -> None:
    """The spool is read through a part at a time: four times as much adds the names of what is unknown, and no more."""
    place.mkdir()
    few, many = (measured(TAKEN_UP, place / str(count), count) for count in (FILES // 4, FILES))
    assert (few["taken"], many["taken"]) == (FILES // 4, FILES)
    assert 0 < many["held"] - few["held"] < 600 * (FILES - FILES // 4)
    assert many["taken again"] == 0
    assert many["held again"] < 4_000_000
