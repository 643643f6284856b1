"""Delivery to receivers of every kind: tce.delivering, with real associations and other people's software."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import UID
from pynetdicom import AE, evt

from tce.actors.receiver import MediumReport
from tce.delivering import ATTEMPTS
from tce.exports import Exports
from tce.ledger import Export
from tce.network.commitment import NO_SUCH_INSTANCE, PUSH_MODEL, Item, Report, committing, hearing
from tce.network.storage_scp import Service, StorageListener
from tce.network.store_reader import WINDOW, Status
from tce.road import Peer
from tce.states import State
from tests.tce.listening import Keeping, Kept
from tests.tce.pacs import PACS, a_dcmqrscp, a_free_port, an_orthanc, needs_dcmqrscp, needs_orthanc
from tests.tce.parts import CASE, MANAGER, RECEIVER, a_receiver, a_request, documents, terms
from tests.tce.workbench import NOWHERE, Bench

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def ready(bench: Bench, ct: list[Path]) -> Bench:
    """A worker whose one export is sealed, and has nobody to go to yet."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    assert bench.work().state is State.DELIVERING
    bench.clock.now += 1000
    return bench


@contextmanager
def a_listener(kept: list[Kept], *services: Service, answer: Status = Status.SUCCESS) -> Iterator[Peer]:
    """A receiver that keeps what comes."""
    with StorageListener(
        RECEIVER, "127.0.0.1", 0, [MANAGER], lambda of: Keeping(of, kept, answer), services=services
    ) as listener:
        yield Peer(RECEIVER, "127.0.0.1", listener.port)


def deliver(bench: Bench, *receivers: Peer, until: Callable[[Export], bool] = lambda export: False) -> Export:
    """Try as often as an export is tried; return it as it is then."""
    bench.cases.cases[CASE] = terms(*receivers)
    for _ in range(2 * ATTEMPTS):
        bench.clock.now += 1000
        export = bench.work()
        if export.state is not State.DELIVERING or until(export):
            break
    return export


def uids(bench: Bench, export: Export) -> set[str]:
    return {one.sop_instance_uid for one in bench.exports.sealed(export)}


@pytest.fixture
def only_ct() -> Iterator[tuple[Peer, list[str]]]:
    """A receiver that takes CT images and nothing else; with the SOP Classes of what came."""
    came: list[str] = []

    def handle(event: evt.Event) -> int:
        came.append(str(event.request.AffectedSOPClassUID))
        return 0x0000

    ae = AE(RECEIVER)
    ae.add_supported_context(CT, "1.2.840.10008.1.2")
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    yield Peer(RECEIVER, "127.0.0.1", server.server_address[1]), came
    ae.shutdown()


def test_what_a_receiver_refuses_does_not_keep_the_rest_from_it(
    ready: Bench, only_ct: tuple[Peer, list[str]]
) -> None:
    """The images arrive once; the manifest, which references more than arrived, does not; the export ends as failed,
    and says by SOP Class what was refused."""
    peer, came = only_ct
    export = deliver(ready, peer)
    assert came == [CT] * len(came) and len(came) == 3
    assert export.state is State.FAILED
    assert export.attempts == ATTEMPTS - 1
    assert {reason.code for reason in export.reasons} == {"refused"}
    sealed = ready.exports.sealed(export)
    refused = {one.sop_class_uid for one in sealed if not one.is_manifest} - {CT}
    assert len(export.reasons) == len(refused) > 1
    for sop_class in refused:
        assert any(UID(sop_class).name in reason.what for reason in export.reasons)


def test_a_receiver_that_refuses_does_not_stop_the_next_export(
    ready: Bench, ct: list[Path], only_ct: tuple[Peer, list[str]]
) -> None:
    """While one export waits for another try, others are worked on."""
    ready.cases.cases[CASE] = terms(only_ct[0])
    ready.clock.now += 1000
    ready.worker.step()
    other = documents(ct[:1], ready.home / "other", request=a_request())
    ready.hand_in(*other)
    assert ready.work().state is not State.READY


def test_a_receiver_that_is_away_does_not_keep_the_export_from_others(ready: Bench) -> None:
    """Each receiver of a case gets what it can get; the export is delivered when all have everything."""
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        export = deliver(ready, NOWHERE, peer, until=lambda export: bool(kept))
    assert {one.sop_instance_uid for one in kept} == uids(ready, export)
    assert export.state is State.DELIVERING
    assert [reason.code for reason in export.reasons] == ["receiver-away"]


def test_a_receiver_without_room_is_tried_later(ready: Bench) -> None:
    """Out of resources is no refusal: what is not under way is not sent now, and the same goes out later."""
    kept: list[Kept] = []
    with a_listener(kept, answer=Status.OUT_OF_RESOURCES) as peer:
        export = deliver(ready, peer, until=lambda export: True)
    assert 1 <= len(kept) <= WINDOW
    assert (export.state, export.attempts) == (State.DELIVERING, 0)
    with a_listener(kept) as peer:
        assert deliver(ready, peer).state is State.DELIVERED


def test_our_receiver_commits_itself(ready: Bench, tmp_path: Path) -> None:
    """Delivered means that the Receiver has said of every instance that it is durable there."""
    media: list[MediumReport] = []
    with a_receiver(tmp_path / "receiver", media) as receiver:
        export = deliver(ready, receiver.peer)
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    assert export.state is State.DELIVERED
    committed = ready.exports.commitments.committed(export, RECEIVER)
    assert {uid for uid, _ in committed} == uids(ready, export)


def test_what_is_not_committed_is_sent_again(ready: Bench) -> None:
    """A receiver that has lost an instance says so, and gets it once more; then the export is delivered."""
    kept: list[Kept] = []
    lost: list[str] = []

    def judge(items: Sequence[Item]) -> list[int]:
        if not lost:
            lost.append(items[0].sop_instance_uid)
            return [NO_SUCH_INSTANCE] + [0] * (len(items) - 1)
        return [0] * len(items)

    with a_listener(kept, committing(judge)) as peer:
        export = deliver(ready, peer)
    assert export.state is State.DELIVERED
    came = [one.sop_instance_uid for one in kept]
    assert sorted(came) == sorted([*uids(ready, export), *lost])


def test_a_commitment_that_is_always_refused_ends_as_failed(ready: Bench) -> None:
    """The reason of the receiver is the reason of the export, by SOP Class, after its attempts."""
    kept: list[Kept] = []
    with a_listener(kept, committing(lambda items: [NO_SUCH_INSTANCE] * len(items))) as peer:
        export = deliver(ready, peer)
    assert export.state is State.FAILED
    assert [reason.code for reason in export.reasons] == ["commitment-refused"]
    assert "CT Image Storage: it does not have the instance (0x0112)" in export.reasons[0].what
    assert len(kept) == ATTEMPTS * len(uids(ready, export))
    assert ready.releases.releases == {}


def test_without_a_report_nothing_is_delivered(ready: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that takes the request and is silent keeps the export in delivery, and is asked again."""
    monkeypatch.setattr("tce.delivering._REPORT_SECONDS", 0.3)
    asked: list[int] = []

    def take(event: evt.Event) -> tuple[int, None]:
        asked.append(1)
        return 0x0000, None

    silent = Service(committing(lambda items: []).contexts, ((evt.EVT_N_ACTION, take),))
    kept: list[Kept] = []
    with a_listener(kept, silent) as peer:
        export = deliver(ready, peer, until=lambda export: len(asked) == 2)
    assert export.state is State.DELIVERING
    assert [reason.code for reason in export.reasons] == ["commitment-awaited"]
    assert len(kept) == len(uids(ready, export)), "what was answered with Success is not sent again"


@pytest.mark.parametrize(
    ("answer", "said"), [(None, "ends the association"), (0x0124, "answers status 0x0124")]
)
def test_a_receiver_that_does_not_take_the_request_ends_as_failed(
    ready: Bench, answer: int | None, said: str
) -> None:
    """It breaks the association off, or answers that we may not ask: nothing is sent twice, nobody waits for ever,
    and the reason says whom the receiver may not know. Once a person has seen to that, it can still commit itself."""
    asked: list[int] = []

    def refuse(event: evt.Event) -> tuple[int, None]:
        asked.append(1)
        if answer is None:
            event.assoc.abort()
        return answer or 0x0110, None

    refusing = Service(committing(lambda items: []).contexts, ((evt.EVT_N_ACTION, refuse),))
    kept: list[Kept] = []
    with a_listener(kept, refusing) as peer:
        export = deliver(ready, peer)
    assert export.state is State.FAILED
    assert len(asked) == ATTEMPTS
    [reason] = export.reasons
    assert reason.code == "commitment-not-taken"
    assert said in reason.what and MANAGER in reason.what
    assert len(kept) == len(uids(ready, export))
    ready.exports.retry(export.id)
    with a_listener(kept, committing(lambda items: [0] * len(items))) as peer:
        assert deliver(ready, peer).state is State.DELIVERED
    assert len(kept) == len(uids(ready, export)), "of what it has nothing is sent again"


def test_a_receiver_that_ends_any_association_with_commitment_is_not_away(ready: Bench) -> None:
    """That it answers otherwise is found out, and it is not waited for like one that is switched off."""
    kept: list[Kept] = []

    def end_it(event: evt.Event) -> None:
        proposed = event.assoc.requestor.primitive.presentation_context_definition_list
        if any(cx.abstract_syntax == PUSH_MODEL for cx in proposed):
            event.assoc.dul.socket.close()

    with a_listener(kept, Service((), ((evt.EVT_REQUESTED, end_it),))) as peer:
        export = deliver(ready, peer)
    assert (export.state, [reason.code for reason in export.reasons]) == (
        State.FAILED,
        ["commitment-not-taken"],
    )


def test_a_report_that_comes_after_a_restart_counts(ready: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked is in the index, not in the process that asked."""
    monkeypatch.setattr("tce.delivering._REPORT_SECONDS", 0.3)
    asked: list[str] = []

    def take(event: evt.Event) -> tuple[int, None]:
        asked.append(str(event.action_information.TransactionUID))
        return 0x0000, None

    silent = Service(committing(lambda items: []).contexts, ((evt.EVT_N_ACTION, take),))
    with a_listener([], silent) as peer:
        export = deliver(ready, peer, until=lambda export: bool(asked))
        assert export.state is State.DELIVERING
        another = Exports(f"sqlite:///{ready.home / 'exports.db'}", clock=ready.clock)
        items = tuple(Item(one.sop_class_uid, one.sop_instance_uid) for one in ready.exports.sealed(export))
        assert another.commitments.report(RECEIVER, Report(asked[0], items, ()))
        assert another.commitments.progress(export) == {RECEIVER: (len(items), len(items))}
        another.close()
        assert ready.work().state is State.DELIVERED
    assert len(asked) == 1


def test_a_report_of_somebody_else_counts_for_nothing(ready: Bench) -> None:
    """Only who was asked can commit himself."""
    export = ready.exports.listing()[0]
    ready.exports.commitments.ask(export, RECEIVER, "2.25.1")
    report = Report("2.25.1", tuple(Item(CT, uid) for uid in uids(ready, export)), ())
    assert not ready.exports.commitments.report("OTHER", report)
    assert not ready.exports.commitments.answered("2.25.1")
    assert not ready.exports.commitments.report(RECEIVER, Report("2.25.2", (), ()))


def test_a_request_of_a_process_that_died_is_made_again_at_once(ready: Bench) -> None:
    """The report may have gone with the association; nobody waits for it after the start of another process."""
    export = ready.exports.listing()[0]
    ready.exports.commitments.ask(export, RECEIVER, "2.25.1")
    assert ready.exports.commitments.standing(export, RECEIVER).awaited is not None
    ready.exports.recover()
    assert ready.exports.commitments.standing(export, RECEIVER).awaited is None


@pytest.mark.peer
@needs_orthanc
def test_orthanc_commits_itself_on_an_association_of_its_own(ready: Bench, tmp_path: Path) -> None:
    """Its report comes to our listener, and makes the export delivered."""
    here = Peer(MANAGER, "127.0.0.1", a_free_port())
    service = hearing(ready.exports.commitments.report)
    kept: list[Kept] = []
    with (
        an_orthanc(tmp_path / "orthanc", [here], calling=MANAGER) as orthanc,
        StorageListener(
            here.ae_title,
            here.host,
            here.port,
            [PACS],
            lambda of: Keeping(of, kept, Status.SUCCESS),
            services=[service],
        ),
    ):
        export = deliver(ready, orthanc)
    assert (export.state, export.reasons) == (State.DELIVERED, ())
    committed = ready.exports.commitments.committed(export, PACS)
    assert {uid for uid, _ in committed} == uids(ready, export)


@pytest.mark.peer
@needs_orthanc
def test_orthanc_that_does_not_know_us_is_told_to_the_operator(ready: Bench, tmp_path: Path) -> None:
    """It takes instances from anybody, and commitment from those it knows: the export fails with that reason."""
    with an_orthanc(tmp_path / "orthanc", [], calling=MANAGER) as orthanc:
        export = deliver(ready, orthanc)
    assert (export.state, [reason.code for reason in export.reasons]) == (
        State.FAILED,
        ["commitment-not-taken"],
    )
    assert {uid for uid, _ in ready.exports.has(export, PACS)} == uids(ready, export)


@pytest.mark.peer
@needs_dcmqrscp
def test_dcmqrscp_offers_no_commitment(ready: Bench, tmp_path: Path) -> None:
    """There delivered means that it has answered Success for everything."""
    with a_dcmqrscp(tmp_path / "pacs", calling=MANAGER) as pacs:
        export = deliver(ready, pacs)
    assert (export.state, export.reasons) == (State.DELIVERED, ())
    assert {uid for uid, _ in ready.exports.has(export, PACS)} == uids(ready, export)
    assert ready.exports.commitments.committed(export, PACS) == set()
