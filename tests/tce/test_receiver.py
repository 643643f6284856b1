"""The Receiver: tce.actors.receiver, sent to over real associations."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import dcmread

from tce.actors import receiver
from tce.actors.receiver import MediumReport, ReceiverSettings
from tce.errors import ExportError
from tce.network.storage_scu import send
from tce.road import MediumWriter, Peer, manifest_mark
from tce.states import State
from tests.builders import a_ct_study, written
from tests.tce.parts import MANAGER, RECEIVER, Log, Running, a_receiver, copy_medium, documents


@pytest.fixture
def delivered(tmp_path: Path) -> list[Path]:
    """Instances and a manifest of them, as an Export Manager sends them."""
    instances = written(a_ct_study(slices=1), tmp_path / "in")
    return [*instances, *documents(instances, tmp_path / "documents")]


def done(found: list[object]) -> bool:
    return [getattr(one, "state", None) for one in found] == [State.DELIVERED]


def test_a_medium_is_written_when_everything_is_there(tmp_path: Path, delivered: list[Path]) -> None:
    """Not before the manifest and all it references have arrived; then one medium with all of it."""
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "home", media) as running:
        send(delivered[1:], running.peer, MANAGER)
        running.wait_for(lambda found: [one.state for one in found] == [State.COLLECTING])
        assert media == []
        send(delivered[:1], running.peer, MANAGER)
        running.wait_for(done)
    assert [(report.path.name, report.instances) for report in media] == [("1", len(delivered))]
    assert len(list(media[0].path.iterdir())) == len(delivered)


def test_a_medium_is_told_with_the_mark_of_its_manifest(tmp_path: Path, delivered: list[Path]) -> None:
    """A number of the Receiver's leads to the export that it holds, without any identifier being told."""
    media: list[MediumReport] = []
    other = documents(delivered[:2], tmp_path / "other")
    with a_receiver(tmp_path / "home", media) as running:
        send([*delivered, *other], running.peer, MANAGER)
        running.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED] * 2)
    recorded = {
        detail["medium"]: detail["manifest"] for event, _, detail in running.log.events if event == "import"
    }
    uids = [str(dcmread(path).SOPInstanceUID) for path in (delivered[-1], other[-1])]
    assert {report.path.name: report.manifest for report in media} == recorded
    assert sorted(recorded.values()) == sorted(manifest_mark([uid]) for uid in uids)
    assert not [mark for mark in recorded.values() if mark in "".join(uids)]


def test_instances_without_a_manifest_are_kept_and_make_no_medium(
    tmp_path: Path, delivered: list[Path]
) -> None:
    """They wait for whoever names them, over a restart, too."""
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "home", media) as running:
        send(delivered[:-1], running.peer, MANAGER)
    assert media == []
    with a_receiver(tmp_path / "home", media) as running:
        send(delivered[-1:], running.peer, MANAGER)
        running.wait_for(done)
    assert [report.instances for report in media] == [len(delivered)]


def test_each_export_has_a_medium_of_its_own(tmp_path: Path, delivered: list[Path]) -> None:
    """Numbers count up, and a repeated delivery makes no second medium."""
    media: list[MediumReport] = []
    other = documents(delivered[:2], tmp_path / "other")
    with a_receiver(tmp_path / "home", media) as running:
        send([*delivered, *delivered, *other], running.peer, MANAGER)
        running.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED] * 2)
    assert sorted(report.path.name for report in media) == ["1", "2"]


def run_with_writer(home: Path, files: Sequence[Path], write: MediumWriter) -> list[MediumReport]:
    """Run a receiver with another medium writer until its export is delivered."""
    settings = ReceiverSettings(
        ae_title=RECEIVER,
        host="127.0.0.1",
        port=0,
        allowed=(MANAGER,),
        spool=home / "spool",
        exports_url=f"sqlite:///{home / 'receiver.db'}",
        out=home / "out",
        poll_seconds=0.05,
    )
    home.mkdir()
    stop, listening = threading.Event(), threading.Event()
    ports: list[int] = []
    media: list[MediumReport] = []

    def started(port: int) -> None:
        ports.append(port)
        listening.set()

    thread = threading.Thread(target=receiver.run, args=(settings, write, Log(), stop, started, media.append))
    thread.start()
    try:
        assert listening.wait(30)
        peer = Peer(RECEIVER, "127.0.0.1", ports[0])
        send(files, peer, MANAGER)
        Running(peer, settings.exports_url, Log()).wait_for(done)
    finally:
        stop.set()
        thread.join(30)
    return media


def test_a_writer_that_fails_is_asked_again(tmp_path: Path, delivered: list[Path]) -> None:
    """What it left behind is not taken for a medium, and nothing is lost."""
    tries: list[Path] = []

    def fails_once(instances: Sequence[Path], out: Path) -> None:
        tries.append(out)
        if len(tries) == 1:
            out.mkdir(parents=True)
            (out / "half").write_bytes(b"half a medium")
            raise OSError("the disk is full")
        copy_medium(instances, out)

    (report,) = run_with_writer(tmp_path / "home", delivered, fails_once)
    assert len(tries) == 2
    assert len(list(report.path.iterdir())) == len(delivered)
    assert [path.name for path in report.path.parent.iterdir()] == ["1"]


def test_a_medium_that_was_finished_before_a_crash_is_not_written_again(
    tmp_path: Path, delivered: list[Path]
) -> None:
    """A folder that has its name is complete."""
    media: list[MediumReport] = []
    finished = tmp_path / "home" / "out" / "1"
    finished.mkdir(parents=True)
    with a_receiver(tmp_path / "home", media) as running:
        send(delivered, running.peer, MANAGER)
        running.wait_for(done)
    assert list(finished.iterdir()) == []


def test_two_receivers_on_one_spool_are_refused(tmp_path: Path) -> None:
    """The second one would work on the first one's files."""
    with (
        a_receiver(tmp_path / "home", []),
        pytest.raises(ExportError, match="another process"),
        a_receiver(tmp_path / "home", []),
    ):
        pass
