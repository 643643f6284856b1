"""The whole road with other people's software at both ends: DCMTK and Orthanc select, and receive."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tce.archive import Question, ask, fetch
from tce.documents.manifest import DocumentKind, parse, recognise
from tce.network.calling import PeerUnavailable
from tce.network.query_retrieve import Wanted, move
from tce.network.storage_scu import echo, send
from tce.road import Peer
from tce.states import State
from tests.tce.pacs import a_free_port, an_orthanc, needs_orthanc
from tests.tce.parts import (
    CASE,
    MANAGER,
    SELECTOR,
    CaseShelf,
    a_manager,
    a_request,
    documents,
    pseudonymized_ct,
    terms,
)

pytestmark = pytest.mark.peer


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"DCMTK's {tool} is not installed")


# --- Who selects: sends the files to the manager as SELECTOR


def by_storescu(files: Sequence[Path], manager: Peer, scratch: Path) -> None:
    """DCMTK proposes every transfer syntax and sends over one association."""
    to = ["-aet", SELECTOR, "-aec", manager.ae_title, manager.host, str(manager.port)]
    subprocess.run(["storescu", *to, *map(str, files)], check=True, capture_output=True, timeout=60)


def by_orthanc(files: Sequence[Path], manager: Peer, scratch: Path) -> None:
    """Orthanc has the study and its documents in its store, and is told to send them on."""
    with an_orthanc(scratch / "selecting", [manager], DicomAet=SELECTOR) as orthanc:
        assert send(files, orthanc, SELECTOR).failed == ()
        studies = sorted({str(dcmread(path).StudyInstanceUID) for path in files})
        moved = move(orthanc, SELECTOR, [Wanted(study) for study in studies], manager.ae_title)
        assert (moved.sent, moved.failed) == (len(files), 0)


# --- Who receives: a peer, and afterwards what it has


@dataclass
class Receiving:
    """A receiver and what it has got."""

    peer: Peer
    got: Callable[[], list[Dataset]]


@contextmanager
def a_storescp(scratch: Path, manager: Peer) -> Iterator[Receiving]:
    folder = scratch / "got"
    folder.mkdir()
    peer = Peer("ARCHIVE", "127.0.0.1", a_free_port())
    words = ["storescp", "+xa", "-od", str(folder), "-aet", peer.ae_title, str(peer.port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                echo(peer, MANAGER)
                break
            except PeerUnavailable:
                assert server.poll() is None and time.monotonic() < deadline, "storescp did not start"
                time.sleep(0.05)
        yield Receiving(peer, lambda: [dcmread(path) for path in folder.iterdir()])
    finally:
        server.terminate()
        server.wait()


@contextmanager
def an_orthanc_that_receives(scratch: Path, manager: Peer) -> Iterator[Receiving]:
    """Orthanc offers storage commitment, and reports to those that it knows on associations of its own."""
    with an_orthanc(scratch / "receiving", [manager], calling=MANAGER) as peer:

        def got() -> list[Dataset]:
            studies = ask(peer, MANAGER, Question(date="19000101-")).studies
            return [dcmread(path) for path in fetch(peer, MANAGER, studies, scratch / "fetched")]

        yield Receiving(peer, got)


@pytest.mark.parametrize(
    "receiving",
    [
        pytest.param(a_storescp, marks=needs("storescp"), id="storescp"),
        pytest.param(an_orthanc_that_receives, marks=needs_orthanc, id="orthanc"),
    ],
)
@pytest.mark.parametrize(
    "select",
    [
        pytest.param(by_storescu, marks=needs("storescu"), id="storescu"),
        pytest.param(by_orthanc, marks=needs_orthanc, id="orthanc"),
    ],
)
def test_a_selection_of_others_arrives_at_others(
    tmp_path: Path,
    select: Callable[[Sequence[Path], Peer, Path], None],
    receiving: Callable[[Path, Peer], AbstractContextManager[Receiving]],
) -> None:
    """Instances, information and manifest of one vendor reach another; references resolve, and no UID is an old one."""
    files = pseudonymized_ct(tmp_path / "ps")
    files += documents(files, tmp_path / "documents", request=a_request())
    with ExitStack() as ending:
        here = Peer(MANAGER, "127.0.0.1", a_free_port())
        there = ending.enter_context(receiving(tmp_path, here))
        shelf, allowed = CaseShelf({CASE: terms(there.peer)}), (SELECTOR, there.peer.ae_title)
        manager = ending.enter_context(
            a_manager(tmp_path / "manager", shelf, port=here.port, allowed=allowed)
        )
        select(files, manager.peer, tmp_path)
        [export] = manager.wait_for(lambda all_: [one.state for one in all_] == [State.DELIVERED])
        assert export.calling_ae == SELECTOR
        got = there.got()
    assert len(got) == len(files)
    [manifest] = [ds for ds in got if recognise(ds.SOPClassUID, ds) is DocumentKind.MANIFEST]
    said = parse(manifest)
    assert said.faults == ()
    uids = {str(ds.SOPInstanceUID) for ds in got}
    assert {one.sop_instance_uid for one in said.manifest.references} == uids - {said.sop_instance_uid}
    sent = [dcmread(path) for path in files]
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        assert {ds[keyword].value for ds in sent}.isdisjoint({ds[keyword].value for ds in got})
    assert {ds.PatientIdentityRemoved for ds in got} == {"YES"}
