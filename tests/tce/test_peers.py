"""Other people's tools at our doors, and we at theirs: DCMTK and Orthanc, in the clear and over TLS."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from tce.archive import Question, ask, fetch
from tce.network.calling import PeerUnavailable
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import echo, send
from tce.network.store_reader import Arrival, Status
from tce.network.tls import Certificates
from tce.road import Peer
from tests.builders import a_ct_study, written
from tests.tce.listening import Keeping, Kept
from tests.tce.pacs import PACS, a_free_port, an_orthanc, needs_orthanc
from tests.tce.papers import Papers, papers_of

pytestmark = pytest.mark.peer

OURS, THEIRS = "SELECTOR", "DCMTK"


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"DCMTK's {tool} is not installed")


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return papers_of(tmp_path, OURS, [THEIRS, PACS])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return written(a_ct_study(slices=2), tmp_path / "files")


@pytest.fixture(params=["clear", "tls"])
def secured(request: pytest.FixtureRequest, papers: Papers) -> Papers | None:
    """Certificates, or none."""
    return papers if request.param == "tls" else None


@contextmanager
def our_door(kept: list[Kept], secured: Papers | None) -> Iterator[Peer]:
    def take(arrival: Arrival) -> Keeping:
        return Keeping(arrival, kept, Status.SUCCESS)

    certificates = secured.ours if secured else None
    with StorageListener(OURS, "127.0.0.1", 0, [THEIRS], take, certificates=certificates) as listener:
        yield Peer(OURS, "127.0.0.1", listener.port)


def run(tool: str, to: Peer, secured: Papers | None, *more: object) -> subprocess.CompletedProcess[str]:
    words = [tool, *(secured.words if secured else []), "-aet", THEIRS, "-aec", to.ae_title]
    called = subprocess.run(
        [*words, to.host, str(to.port), *map(str, more)], capture_output=True, text=True, timeout=60
    )
    if "unknown option" in called.stderr.lower():
        pytest.skip("this DCMTK was built without OpenSSL")
    return called


@needs("echoscu")
def test_echoscu_is_answered(secured: Papers | None) -> None:
    """C-ECHO from DCMTK, with the transport that the door has."""
    with our_door([], secured) as door:
        called = run("echoscu", door, secured)
    assert called.returncode == 0, called.stderr


@needs("echoscu")
def test_echoscu_in_the_clear_is_shut_out(papers: Papers) -> None:
    """A door with TLS has no other way in."""
    with our_door([], papers) as door:
        assert run("echoscu", door, None).returncode != 0


@needs("storescu")
def test_storescu_is_served(secured: Papers | None, files: list[Path]) -> None:
    """What DCMTK sends is here, every element; the padding of a file is not sent."""
    kept: list[Kept] = []
    with our_door(kept, secured) as door:
        called = run("storescu", door, secured, *files)
    assert called.returncode == 0, called.stderr
    expected = {}
    for path in files:
        ds = dcmread(path)
        ds.pop(0xFFFCFFFC, None)
        expected[str(ds.SOPInstanceUID)] = ds
    assert {one.sop_instance_uid: one.read() for one in kept} == expected


@contextmanager
def a_storescp(folder: Path, secured: Papers | None) -> Iterator[Peer]:
    folder.mkdir()
    port = a_free_port()
    words = ["storescp", *(secured.words if secured else []), "-od", folder, "-aet", THEIRS, port]
    server = subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        peer = Peer(THEIRS, "127.0.0.1", port, secured.ours if secured else None)
        deadline = time.monotonic() + 30
        while True:
            try:
                echo(peer, OURS)
                break
            except PeerUnavailable:
                if secured and server.poll() is not None:
                    pytest.skip("this DCMTK was built without OpenSSL")
                assert server.poll() is None and time.monotonic() < deadline, "storescp did not start"
                time.sleep(0.05)
        yield peer
    finally:
        server.terminate()
        server.wait()


@needs("storescp")
def test_storescp_gets_what_we_send(secured: Papers | None, files: list[Path], tmp_path: Path) -> None:
    """C-ECHO and C-STORE to DCMTK, over the transport that it has."""
    with a_storescp(tmp_path / "got", secured) as peer:
        assert send(files, peer, OURS).failed == ()
    assert uids(list((tmp_path / "got").iterdir())) == uids(files)


@needs("storescp")
def test_a_storescp_with_another_certificate_gets_nothing(
    papers: Papers, files: list[Path], tmp_path: Path
) -> None:
    """A certificate that our authority signed, but for somebody else, is not the receiver's."""
    with a_storescp(tmp_path / "got", papers) as peer:
        strange = {THEIRS: ("sha256:" + "0" * 64,)}
        ours = papers.ours
        mistrusting = Certificates(ours.certificate, ours.key, ours.ca, strange)
        with pytest.raises(PeerUnavailable, match="not its own"):
            send(files, Peer(peer.ae_title, peer.host, peer.port, mistrusting), OURS)
    assert list((tmp_path / "got").iterdir()) == []


@needs_orthanc
@pytest.mark.parametrize("way", ["get", "move"])
def test_orthanc_is_an_archive_over_tls(papers: Papers, files: list[Path], tmp_path: Path, way: str) -> None:
    """Stored to, asked, and fetched from, with certificates on both sides, also when it calls us back."""
    port = a_free_port()
    settings = papers.orthanc(**{OURS: port})
    with an_orthanc(tmp_path / "orthanc", certificates=papers.ours, **settings) as peer:
        assert send(files, peer, OURS).failed == ()
        [study] = ask(peer, OURS, Question(patient=str(dcmread(files[0]).PatientID))).studies
        listen = ("127.0.0.1", port) if way == "move" else None
        came = fetch(peer, OURS, [study], tmp_path / "came", listen=listen)
    assert uids(came) == uids(files)


def uids(paths: Sequence[Path]) -> set[str]:
    return {str(dcmread(path).SOPInstanceUID) for path in paths}
