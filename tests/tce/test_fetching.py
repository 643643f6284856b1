"""Missing instances from an archive: tce.fetching and tce.fetches, with DCMTK's archive and Orthanc."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from tce import wiring
from tce.cli import main
from tce.config import Settings, Site, loads, save
from tce.errors import ConfigFault, ExportError
from tce.exports import Exports
from tce.fetching import Archive, Fetcher
from tce.network.query_retrieve import Method
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import send
from tce.network.store_reader import Limits
from tce.road import Peer
from tce.states import State
from tests.tce.pacs import PACS, a_dcmqrscp, a_free_port, an_orthanc, needs_dcmqrscp, needs_orthanc
from tests.tce.parts import CASE, MANAGER, a_request, documents
from tests.tce.test_exports import INSTANCES, a_manifest, an_instance
from tests.tce.workbench import NOWHERE, Bench

Start = Callable[[Path, Sequence[Peer]], AbstractContextManager[Peer]]
ARCHIVES = [
    pytest.param(a_dcmqrscp, marks=[pytest.mark.peer, needs_dcmqrscp], id="dcmqrscp"),
    pytest.param(an_orthanc, marks=[pytest.mark.peer, needs_orthanc], id="orthanc"),
]


def a_fetcher(bench: Bench, peer: Peer, method: Method = Method.GET, after: float | None = None) -> Fetcher:
    archive = Archive(peer, method, after)
    return Fetcher(bench.exports, bench.spool, bench.desk, bench.log, MANAGER, archive, Limits())


@contextmanager
def a_door(bench: Bench, port: int) -> Iterator[None]:
    """The Export Manager's listener."""
    with StorageListener(MANAGER, "127.0.0.1", port, [PACS], bench.desk.open):
        yield


@pytest.fixture
def incomplete(bench: Bench, ct: list[Path]) -> Bench:
    """A worker with an export of which three instances and nothing else are missing."""
    bench.hand_in(*ct[3:], *documents(ct, bench.home / "docs", request=a_request()))
    (export,) = bench.exports.listing()
    assert (export.state, export.missing) == (State.COLLECTING, 3)
    return bench


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("start", ARCHIVES)
def test_an_export_is_completed_from_an_archive(
    incomplete: Bench, ct: list[Path], tmp_path: Path, start: Start, method: Method
) -> None:
    """What is missing comes, is entered as from the archive, and the export goes down the road."""
    here = Peer(MANAGER, "127.0.0.1", a_free_port())
    (export,) = incomplete.exports.listing()
    with start(tmp_path / "archive", [here]) as archive, a_door(incomplete, here.port):
        assert send(ct, archive, "SELECTOR").failed == ()
        incomplete.exports.fetches.ask(export.id)
        fetcher = a_fetcher(incomplete, archive, method)
        assert fetcher.step()
        assert not fetcher.step(), "once is enough"
    completed = incomplete.work()
    assert (completed.state, completed.case_id) == (State.DELIVERING, CASE)
    members = incomplete.exports.arrived(completed, incomplete.spool.path)
    came = {str(dcmread(path).SOPInstanceUID) for path in ct[:3]}
    assert {one.received.sop_instance_uid for one in members if one.calling_ae == PACS} == came
    assert incomplete.exports.fetches.said(completed) == f"{PACS}: 3 instances sent; 0 instances missing"
    assert ("export.fetched", True) in [(event, success) for event, success, _ in incomplete.log.events]


@pytest.mark.parametrize("start", ARCHIVES)
def test_what_an_archive_does_not_have_stays_missing(incomplete: Bench, tmp_path: Path, start: Start) -> None:
    """The export goes on waiting, and says what came of it."""
    (export,) = incomplete.exports.listing()
    with start(tmp_path / "archive", []) as archive:
        incomplete.exports.fetches.ask(export.id)
        assert a_fetcher(incomplete, archive).step()
    assert incomplete.work().state is State.COLLECTING
    assert "3 instances missing" in incomplete.exports.fetches.said(export)


def test_an_archive_that_is_away_is_told_and_asked_again_when_it_is_time(incomplete: Bench) -> None:
    """Without being asked it is tried after the time of the settings, and after as long again."""
    fetcher = a_fetcher(incomplete, NOWHERE, after=60)
    (export,) = incomplete.exports.listing()
    assert not fetcher.step()
    for _ in range(2):
        incomplete.clock.now += 61
        assert fetcher.step()
        assert not fetcher.step()
    assert "does not answer" in incomplete.exports.fetches.said(export)
    assert incomplete.exports.get(export.id).state is State.COLLECTING


def test_nothing_is_fetched_without_being_asked_where_no_time_is_set(incomplete: Bench) -> None:
    """An archive in the settings is not yet a wish."""
    incomplete.clock.now += 1e6
    assert not a_fetcher(incomplete, NOWHERE).step()


def test_only_what_waits_can_be_fetched_for(bench: Bench, ct: list[Path]) -> None:
    """An export that is complete, or over, is refused by name of its state."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    with pytest.raises(ExportError, match="is delivering"):
        bench.exports.fetches.ask(bench.work().id)


def test_who_is_asked_to_move_must_be_let_in() -> None:
    """An archive that could not call the Export Manager is a fault of the settings, and named as such."""
    with pytest.raises(ConfigFault, match=r"network\.manager\.allowed"):
        loads('[network.pacs]\nae_title = "PACS"\nmethod = "move"\n', "tce.toml")


def test_a_person_asks_and_is_on_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command leaves a request that the Export Manager finds; without an archive it is refused."""

    def tce(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path), "--as", "carol", *words])
        return int(str(ended.value.code))

    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    index = Exports(site.exports_url)
    an_instance(index, INSTANCES[0])
    a_manifest(index)
    (export,) = index.listing()
    assert tce("exports", "fetch", export.id) == 1
    assert index.fetches.due(None) is None
    save(loads('[network.pacs]\nae_title = "PACS"\n', "tce.toml"), tmp_path / "tce.toml")
    assert tce("exports", "fetch", export.id) == 0
    due = index.fetches.due(None)
    assert due is not None and due.id == export.id
    index.fetches.tried(export, "PACS: 0 instances sent; 2 instances missing")
    index.close()
    capsys.readouterr()
    assert tce("exports", "show", export.id) == 0
    assert "PACS: 0 instances sent" in capsys.readouterr().out
    archive = wiring.archive(Site(tmp_path))
    assert archive is not None and (archive.peer.ae_title, archive.after) == ("PACS", None)
