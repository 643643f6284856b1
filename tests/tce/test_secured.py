"""Delivery, storage commitment and fetching over TLS with certificates on both sides: our actors, and Orthanc."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from tce.actors.receiver import MediumReport
from tce.fetching import Archive, Fetcher
from tce.ledger import Export
from tce.network.commitment import hearing
from tce.network.query_retrieve import Method
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import send
from tce.network.store_reader import Limits
from tce.network.tls import Certificates
from tce.road import Peer
from tce.states import State
from tests.tce.pacs import PACS, a_free_port, an_orthanc, needs_orthanc
from tests.tce.papers import Papers, papers_of
from tests.tce.parts import CASE, MANAGER, RECEIVER, a_receiver, a_request, documents, terms
from tests.tce.workbench import Bench


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """Our Export Manager's certificate, and that of whoever it works with."""
    return papers_of(tmp_path, MANAGER, [RECEIVER, PACS])


def deliver(bench: Bench, to: Peer) -> Export:
    """Try to deliver as often as is needed, or a few times."""
    bench.cases.cases[CASE] = terms(to)
    for _ in range(4):
        bench.clock.now += 1000
        export = bench.work()
        if export.state is not State.DELIVERING:
            break
    return export


@pytest.fixture
def ready(bench: Bench, ct: list[Path]) -> Bench:
    """A worker whose one export is sealed, and has nobody to go to yet."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    assert bench.work().state is State.DELIVERING
    return bench


def door(bench: Bench, port: int, certificates: Certificates) -> StorageListener:
    """The Export Manager's listener: it takes instances and reports of commitment, over TLS only."""
    services = [hearing(bench.exports.commitments.report)]
    return StorageListener(
        MANAGER,
        "127.0.0.1",
        port,
        [PACS, RECEIVER],
        bench.desk.open,
        certificates=certificates,
        services=services,
    )


def test_our_receiver_commits_itself_over_tls(ready: Bench, papers: Papers, tmp_path: Path) -> None:
    """Instances, the request and the report travel over TLS, with the certificates that both sides know."""
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "receiver", media, certificates=papers.theirs) as receiver:
        export = deliver(ready, receiver.peer._replace(certificates=papers.ours))
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    assert (export.state, export.reasons) == (State.DELIVERED, ())
    committed = ready.exports.commitments.committed(export, RECEIVER)
    assert len(committed) == len(ready.exports.sealed(export)) == media[0].instances


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's"])
def test_without_the_right_certificate_nothing_is_delivered(
    ready: Bench, papers: Papers, tmp_path: Path, whose: str
) -> None:
    """In the clear, or with a certificate that is not the Export Manager's: nothing arrives or is committed."""
    strange = replace(papers.ours, certificate=papers.theirs.certificate, key=papers.theirs.key)
    with a_receiver(tmp_path / "receiver", [], certificates=papers.theirs) as receiver:
        to = receiver.peer._replace(certificates=None if whose == "nobody's" else strange)
        export = deliver(ready, to)
        assert receiver.wait_for(lambda found: True) == []
    assert (export.state, [one.code for one in export.reasons]) == (State.DELIVERING, ["receiver-away"])
    assert ready.exports.has(export, RECEIVER) == set()


@pytest.mark.peer
@needs_orthanc
def test_orthanc_commits_itself_over_tls(ready: Bench, papers: Papers, tmp_path: Path) -> None:
    """It takes instances and the request, and reports on an association of its own, all with certificates."""
    port = a_free_port()
    settings = papers.orthanc(**{MANAGER: port})
    with (
        an_orthanc(tmp_path / "orthanc", calling=MANAGER, certificates=papers.ours, **settings) as orthanc,
        door(ready, port, papers.ours),
    ):
        export = deliver(ready, orthanc)
    assert (export.state, export.reasons) == (State.DELIVERED, ())
    assert len(ready.exports.commitments.committed(export, PACS)) == len(ready.exports.sealed(export))


@pytest.mark.peer
@needs_orthanc
@pytest.mark.parametrize("method", Method)
def test_an_export_is_completed_from_an_archive_over_tls(
    bench: Bench, papers: Papers, ct: list[Path], tmp_path: Path, method: Method
) -> None:
    """What is missing comes by C-GET over the association that asks, by C-MOVE over one that the archive opens."""
    bench.hand_in(*ct[3:], *documents(ct, bench.home / "docs", request=a_request()))
    [export] = bench.exports.listing()
    port = a_free_port()
    settings = papers.orthanc(**{MANAGER: port})
    with (
        an_orthanc(tmp_path / "archive", calling=MANAGER, certificates=papers.ours, **settings) as archive,
        door(bench, port, papers.ours),
    ):
        assert send(ct, archive, MANAGER).failed == ()
        bench.exports.fetches.ask(export.id)
        wanted = Archive(archive, method)
        assert Fetcher(bench.exports, bench.spool, bench.desk, bench.log, MANAGER, wanted, Limits()).step()
    completed = bench.work()
    assert completed.state is State.DELIVERING
    members = bench.exports.arrived(completed, bench.spool.path)
    came = {one.received.sop_instance_uid for one in members if one.calling_ae == PACS}
    assert came == {str(dcmread(path).SOPInstanceUID) for path in ct[:3]}
