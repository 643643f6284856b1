"""Manifest first, last, or in between: what comes out is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tce.actors.receiver import MediumReport
from tce.network.storage_scu import send
from tce.states import State
from tests.tce.parts import (
    CASE,
    SELECTOR,
    CaseShelf,
    ReleaseShelf,
    a_manager,
    a_receiver,
    a_request,
    documents,
    pseudonymized_ct,
    terms,
)

Arrange = Callable[[list[Path], list[Path]], list[list[Path]]]
ORDERS: dict[str, Arrange] = {
    "instances-first": lambda instances, docs: [instances, docs],
    "manifest-first": lambda instances, docs: [docs, instances],
    "manifest-in-between": lambda instances, docs: [[*instances[:2], *docs, *instances[2:]]],
    "one-association-each": lambda instances, docs: [[path] for path in [docs[-1], *instances, *docs[:-1]]],
    "everything-twice": lambda instances, docs: [[*instances, *docs], [*docs, *instances]],
}


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """A pseudonymized study, and the documents that select it."""
    home = tmp_path_factory.mktemp("selection")
    instances = pseudonymized_ct(home / "ct")
    return instances, documents(instances, home / "documents", request=a_request())


def export(home: Path, associations: list[list[Path]]) -> frozenset[bytes]:
    """Carry a selection to a receiver's medium; return what its files hold."""
    media: list[MediumReport] = []
    releases = ReleaseShelf()
    with a_receiver(home / "receiver", media) as receiver:
        cases = CaseShelf({CASE: terms(receiver.peer)})
        with a_manager(home / "manager", cases, releases) as manager:
            for files in associations:
                assert send(files, manager.peer, SELECTOR).failed == ()
            manager.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    (report,) = media
    assert len(releases.releases) == 1
    return frozenset(path.read_bytes() for path in report.path.iterdir())


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_arrival_makes_no_difference(
    tmp_path: Path, selection: tuple[list[Path], list[Path]], order: str
) -> None:
    """Every order gives one export with the same data sets, byte for byte."""
    instances, docs = selection
    undisturbed = export(tmp_path / "undisturbed", [instances, docs])
    assert len(undisturbed) == len(instances) + len(docs)
    assert export(tmp_path / "ordered", ORDERS[order](instances, docs)) == undisturbed
