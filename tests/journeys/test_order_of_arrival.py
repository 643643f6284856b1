"""Manifests first, last, in between or all at once, over one association or many: what comes out is the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tce.actors.receiver import MediumReport
from tce.network.storage_scu import send
from tce.road import Peer
from tce.states import State
from tests.builders import a_ct_study, an_mr_study
from tests.tce.parts import (
    CASE,
    SELECTOR,
    CaseShelf,
    ReleaseShelf,
    a_manager,
    a_receiver,
    a_request,
    documents,
    pseudonymized,
    terms,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Two studies of one patient, pseudonymized, and the documents that select them."""

    instances: list[Path]
    information: Path
    manifests: list[Path]

    @property
    def documents(self) -> list[Path]:
        return [self.information, *self.manifests]

    @property
    def everything(self) -> list[Path]:
        return [*self.instances, *self.documents]

    def shuffled(self, seed: int) -> list[Path]:
        return random.Random(seed).sample(self.everything, len(self.everything))


Associations = list[list[Path]]
ORDERS: dict[str, Callable[[Selection], Associations]] = {
    "instances by themselves, then documents": lambda one: [one.instances, one.documents],
    "instances and documents together": lambda one: [one.everything],
    "documents before the instances": lambda one: [one.documents, one.instances],
    "documents among the instances": lambda one: [
        [*one.instances[:2], *one.documents, *one.instances[2:]],
    ],
    "one manifest first, the other last": lambda one: [
        one.manifests[:1],
        [*one.instances, one.information],
        one.manifests[1:],
    ],
    "additional information last": lambda one: [one.manifests, one.instances, [one.information]],
    "one association for each": lambda one: [[path] for path in reversed(one.everything)],
    "everything twice": lambda one: [[*one.instances, *one.documents], [*one.documents, *one.instances]],
    "by chance, 1": lambda one: [one.shuffled(1)],
    "by chance, 2": lambda one: [one.shuffled(2)[:5], one.shuffled(2)[5:]],
}


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Selection:
    home = tmp_path_factory.mktemp("selection")
    studies = [*a_ct_study(patient=1, slices=2), *an_mr_study(patient=1, slices=2)]
    instances = pseudonymized(home / "studies", studies)
    information, *manifests = documents(instances, home / "documents", request=a_request())
    assert len(manifests) == 2
    return Selection(instances, information, manifests)


@pytest.fixture(scope="module")
def undisturbed(selection: Selection, tmp_path_factory: pytest.TempPathFactory) -> frozenset[bytes]:
    """What comes out when a selector sends one after the other."""
    home = tmp_path_factory.mktemp("undisturbed")
    return export(home, lambda manager: in_turn([[path] for path in selection.everything], manager))


def in_turn(associations: Associations, manager: Peer) -> None:
    for files in associations:
        assert send(files, manager, SELECTOR).failed == ()


def at_once(associations: Associations, manager: Peer) -> None:
    with ThreadPoolExecutor(len(associations)) as pool:
        for account in pool.map(lambda files: send(files, manager, SELECTOR), associations):
            assert account.failed == ()


def export(home: Path, bring: Callable[[Peer], None]) -> frozenset[bytes]:
    """Carry a selection to a receiver's medium; return what its files hold."""
    media: list[MediumReport] = []
    releases = ReleaseShelf()
    with a_receiver(home / "receiver", media) as receiver:
        cases = CaseShelf({CASE: terms(receiver.peer)})
        with a_manager(home / "manager", cases, releases) as manager:
            bring(manager.peer)
            manager.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    (report,) = media
    assert len(releases.releases) == 1
    return frozenset(path.read_bytes() for path in report.path.iterdir())


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_arrival_makes_no_difference(
    tmp_path: Path, selection: Selection, undisturbed: frozenset[bytes], order: str
) -> None:
    """Every order gives one export with the same data sets, byte for byte: both readings of RAD-51 among them."""
    assert len(undisturbed) == len(selection.everything)
    assert export(tmp_path, lambda manager: in_turn(ORDERS[order](selection), manager)) == undisturbed


def test_many_associations_at_once_make_no_difference(
    tmp_path: Path, selection: Selection, undisturbed: frozenset[bytes]
) -> None:
    """Instances, information and both manifests, each on an association that is open beside the others."""
    parts = [selection.instances[::2], selection.instances[1::2], [selection.information]]
    parts += [[manifest] for manifest in selection.manifests]
    assert export(tmp_path, lambda manager: at_once(parts, manager)) == undisturbed
