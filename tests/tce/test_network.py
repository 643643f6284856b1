"""Associations: tce.network. Everything here speaks over real sockets on this machine."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000Lossless, UID_dictionary
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from tce.errors import PortInUse, TceError
from tce.network.calling import PeerUnavailable, asked, associate, end
from tce.network.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from tce.network.dimse import Command, store_response
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import echo, send
from tce.network.store_reader import Arrival, Status
from tce.road import Peer
from tce.spool import Header, part10_header
from tests.builders import a_ct_study, an_mr_study, written
from tests.tce.listening import Keeping, Kept

CT = "1.2.840.10008.5.1.4.1.1.2"


@contextmanager
def a_listener(
    kept: list[Kept], *, allowed: tuple[str, ...] = ("SELECTOR",), answer: Status = Status.SUCCESS
) -> Iterator[Peer]:
    with StorageListener(
        "MANAGER", "127.0.0.1", 0, allowed, lambda arrival: Keeping(arrival, kept, answer)
    ) as listener:
        yield Peer("MANAGER", "127.0.0.1", listener.port)


@pytest.fixture
def ct_files(tmp_path: Path) -> list[Path]:
    return written(a_ct_study(slices=2), tmp_path / "ct")


def data_set_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[144 + int.from_bytes(data[140:144], "little") :]


def test_what_arrives_is_what_lies_in_the_file(ct_files: list[Path]) -> None:
    """Neither side decodes a data set: the bytes of the file are the bytes that are handed on."""
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        account = send(ct_files, peer, "SELECTOR")
    assert account.sent == tuple(range(len(ct_files)))
    assert [one.dataset for one in kept] == [data_set_of(path) for path in ct_files]
    assert {one.calling_ae for one in kept} == {"SELECTOR"}


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda uid: uid.name)
def test_every_transfer_syntax_passes_unchanged(tmp_path: Path, syntax: str) -> None:
    """Compressed or not, the encoding that was sent is the one that is recorded."""
    path = tmp_path / "instance"
    path.write_bytes(part10_header(Header(CT, "1.2.3", str(syntax), "X")) + b"any bytes")
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        assert send([path], peer, "SELECTOR").failed == ()
    assert (kept[0].transfer_syntax_uid, kept[0].dataset) == (str(syntax), b"any bytes")


def test_more_than_128_contexts_become_several_associations(tmp_path: Path) -> None:
    """All Storage SOP Classes of the standard are sent and taken, in the order of the list."""
    paths = []
    for place, sop_class in enumerate(STORAGE_SOP_CLASSES):
        path = tmp_path / f"{place:04d}"
        path.write_bytes(part10_header(Header(sop_class, f"1.2.{place}", "1.2.840.10008.1.2.1", "X")) + b"x")
        paths.append(path)
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        assert send(paths, peer, "SELECTOR").failed == ()
    assert [one.sop_class_uid for one in kept] == list(STORAGE_SOP_CLASSES)


def test_every_storage_sop_class_of_the_dictionary_is_known() -> None:
    """What pydicom calls a storage class, the listener takes; storage commitment is none."""
    assert CT in STORAGE_SOP_CLASSES
    assert "1.2.840.10008.5.1.4.1.1.88.59" in STORAGE_SOP_CLASSES
    assert "1.2.840.10008.1.20.1" not in STORAGE_SOP_CLASSES
    assert all(UID_dictionary[uid][1] == "SOP Class" for uid in STORAGE_SOP_CLASSES)


def test_a_private_sop_class_is_named_and_the_others_go_on(tmp_path: Path, ct_files: list[Path]) -> None:
    """The peer says at negotiation that it takes none of them; that file fails, and only that."""
    private = tmp_path / "private"
    private.write_bytes(
        part10_header(Header("1.3.12.2.1107.5.9.1", "1.2.3", "1.2.840.10008.1.2.1", "X")) + b"x"
    )
    nothing = tmp_path / "nothing"
    nothing.write_text("this is not DICOM")
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        account = send([private, nothing, *ct_files], peer, "SELECTOR")
    assert [(failure.place, failure.why) for failure in account.failed] == [
        (0, "the peer does not take its SOP Class"),
        (1, "it is not a DICOM file with file meta information"),
    ]
    assert len(kept) == len(ct_files)


def test_after_a_failure_nothing_more_is_sent_when_so_asked(tmp_path: Path, ct_files: list[Path]) -> None:
    """A manifest behind an instance that failed does not arrive."""
    private = tmp_path / "private"
    private.write_bytes(
        part10_header(Header("1.3.12.2.1107.5.9.1", "1.2.3", "1.2.840.10008.1.2.1", "X")) + b"x"
    )
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        account = send([ct_files[0], private, *ct_files[1:]], peer, "SELECTOR", stop_at_failure=True)
    assert account.sent == (0,)
    assert len(kept) == 1
    assert len(account.failed) == len(ct_files)


def test_a_caller_that_is_not_allowed_gets_no_association(ct_files: list[Path]) -> None:
    """Who is not on the list is rejected, in one line that says what to compare."""
    kept: list[Kept] = []
    with a_listener(kept, allowed=("SOMEBODY",)) as peer:
        with pytest.raises(PeerUnavailable, match="does not accept") as refused:
            send(ct_files, peer, "SELECTOR")
        with pytest.raises(PeerUnavailable, match="does not accept"):
            send(ct_files, peer._replace(ae_title="ANOTHER"), "SOMEBODY")
    assert kept == []
    assert refused.value.next_step


def test_nobody_allowed_means_nobody() -> None:
    """An empty list does not open the door to everybody."""
    with pytest.raises(ValueError, match="nobody"):
        StorageListener(
            "MANAGER", "127.0.0.1", 0, (), lambda arrival: Keeping(arrival, [], Status.SUCCESS)
        ).start()


def test_a_peer_that_is_not_there_is_one_line(ct_files: list[Path]) -> None:
    """Nothing listens: the message names the peer and what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PeerUnavailable, match="does not answer") as refused:
        send(ct_files, Peer("MANAGER", "127.0.0.1", port), "SELECTOR")
    assert "\n" not in refused.value.what


def test_a_busy_port_is_one_line() -> None:
    """Two listeners on one port: the second is told which port, and what to do."""
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        second = StorageListener(
            "OTHER", "127.0.0.1", peer.port, ("X",), lambda arrival: Keeping(arrival, [], Status.SUCCESS)
        )
        with pytest.raises(PortInUse) as refused:
            second.start()
    assert str(peer.port) in refused.value.what
    assert "\n" not in refused.value.what
    assert isinstance(refused.value, TceError)


def test_an_answer_other_than_success_is_a_failure(ct_files: list[Path]) -> None:
    """The status that the peer gave is kept."""
    kept: list[Kept] = []
    with a_listener(kept, answer=Status.OUT_OF_RESOURCES) as peer:
        account = send(ct_files[:1], peer, "SELECTOR")
    assert [failure.status for failure in account.failed] == [0xA700]


def test_when_storing_raises_the_peer_is_not_told_success(ct_files: list[Path]) -> None:
    """An error while storing becomes a failure status, whatever it was."""

    def broken(arrival: Arrival) -> Keeping:
        raise RuntimeError("the disk burns")

    with StorageListener("MANAGER", "127.0.0.1", 0, ["SELECTOR"], broken) as listener:
        account = send(ct_files, Peer("MANAGER", "127.0.0.1", listener.port), "SELECTOR")
    assert {failure.status for failure in account.failed} == {0xA700}
    assert account.sent == ()


def test_a_peer_that_goes_away_is_noticed(tmp_path: Path, ct_files: list[Path]) -> None:
    """The sender stops waiting, says that the peer was lost, and does not count what got no answer."""

    def hang_up(event: evt.Event) -> int:
        event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        return 0x0000

    ae = AE("FAINT")
    for path in ct_files:
        ae.add_supported_context(dcmread(path, stop_before_pixels=True).SOPClassUID)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, hang_up)])
    try:
        account = send(ct_files, Peer("FAINT", "127.0.0.1", server.server_address[1]), "SELECTOR")
    finally:
        ae.shutdown()
    assert account.lost
    assert account.sent == ()
    assert len(account.failed) == len(ct_files)


def test_an_illegal_uid_is_not_taken(tmp_path: Path) -> None:
    """A SOP Instance UID that could be anything else is refused at the door."""
    path = tmp_path / "instance"
    path.write_bytes(part10_header(Header(CT, "../../etc", "1.2.840.10008.1.2.1", "X")) + b"x")
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        account = send([path], peer, "SELECTOR")
    assert kept == []
    assert len(account.failed) == 1


def test_a_receiver_that_takes_only_implicit_gets_it(ct_files: list[Path]) -> None:
    """Uncompressed instances are encoded anew for a peer that accepts nothing else."""
    stored: list[str] = []

    def handle(event: evt.Event) -> int:
        stored.append(str(event.context.transfer_syntax))
        return 0x0000

    ae = AE("OLD")
    for sop_class in STORAGE_SOP_CLASSES[:120]:
        ae.add_supported_context(sop_class, "1.2.840.10008.1.2")
    ae.add_supported_context(CT, "1.2.840.10008.1.2")
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        account = send(ct_files[:1], Peer("OLD", "127.0.0.1", server.server_address[1]), "SELECTOR")
    finally:
        ae.shutdown()
    assert account.failed == ()
    assert stored == ["1.2.840.10008.1.2"]


def test_compressed_instances_are_not_decompressed_for_a_peer(tmp_path: Path) -> None:
    """What a peer does not take as it is, it does not get."""
    path = tmp_path / "j2k"
    path.write_bytes(part10_header(Header(CT, "1.2.3", str(JPEG2000Lossless), "X")) + b"x")
    ae = AE("OLD")
    ae.add_supported_context(CT, "1.2.840.10008.1.2")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1")
    server = ae.start_server(("127.0.0.1", 0), block=False)
    other = tmp_path / "mr"
    other.write_bytes(
        part10_header(Header("1.2.840.10008.5.1.4.1.1.4", "1.2.4", "1.2.840.10008.1.2.1", "X")) + b"x"
    )
    try:
        account = send([path, other], Peer("OLD", "127.0.0.1", server.server_address[1]), "SELECTOR")
    finally:
        ae.shutdown()
    assert account.failed[0].why == "the peer does not take its transfer syntax"


def test_both_sides_send_at_once(ct_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP_NODELAY is set where associations are accepted and where they are requested."""
    delays: list[int] = []
    real = socket.socket.setsockopt

    def watch(self: socket.socket, *args: object) -> None:
        if args[:2] == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            delays.append(int(str(args[2])))
        real(self, *args)  # type: ignore[call-overload]

    kept: list[Kept] = []
    monkeypatch.setattr(socket.socket, "setsockopt", watch)
    with a_listener(kept) as peer:
        send(ct_files[:1], peer, "SELECTOR")
    assert delays == [1, 1]


def test_an_association_that_cannot_end_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the toolkit waits for at the end of an association, the caller goes on."""
    monkeypatch.setattr("tce.network.calling._END_SECONDS", 0.2)
    with a_listener([]) as peer:
        assoc = associate(peer, "SELECTOR", [build_context("1.2.840.10008.1.1")])
        never = threading.Event()
        monkeypatch.setattr(assoc, "release", never.wait)
        end(assoc, well=True)
        assert not never.is_set()
        never.set()


@pytest.mark.parametrize("ended", [True, False])
def test_a_question_that_the_toolkit_never_asks_keeps_nobody(ended: bool) -> None:
    """An association that ends just before a question, or a peer that is silent: the caller goes on."""
    with a_listener([]) as peer:
        assoc = associate(peer, "SELECTOR", [build_context("1.2.840.10008.1.1")])
        never = threading.Event()

        def ask() -> None:
            while ended and not assoc._is_paused:  # as the toolkit waits for its thread, which has ended
                time.sleep(0.001)
            if not ended:
                never.wait()

        if ended:
            assoc.abort()
            assoc.join()
            assoc._is_paused = False
            asked(assoc, ask)
            return
        with pytest.raises(PeerUnavailable):
            asked(assoc, ask, 0.2)
        never.set()


def test_c_echo_is_answered() -> None:
    """A peer can ask whether the listener is there."""
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        echo(peer, "SELECTOR")
        with pytest.raises(PeerUnavailable):
            echo(peer, "STRANGER")


def test_no_logger_hears_an_identifier(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two studies sent and received, one of them refused: not a record, not a byte on the terminal."""
    files = written([*a_ct_study(slices=1), *an_mr_study(slices=1)], tmp_path)
    kept: list[Kept] = []
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("pynetdicom").setLevel(logging.DEBUG)
        with a_listener(kept) as peer:
            send(files, peer, "SELECTOR")
            with pytest.raises(PeerUnavailable):
                send(files, peer, "STRANGER")
        with a_listener(kept, answer=Status.CANNOT_UNDERSTAND) as peer:
            send(files, peer, "SELECTOR")
    assert [record for record in caplog.records if record.name.startswith("pynetdicom")] == []
    assert capfd.readouterr() == ("", "")


def test_rle_is_decoded_for_a_peer_that_takes_no_rle(tmp_path: Path) -> None:
    """Without a loss: the same instance with the same pixel values, in its own colour space."""
    path = tmp_path / "rle"
    path.write_bytes(Path(str(get_testdata_file("SC_rgb_rle_2frame.dcm"))).read_bytes())
    source = dcmread(path)
    came: list[Dataset] = []

    def handle(event: evt.Event) -> int:
        ds = event.dataset
        ds.file_meta = event.file_meta
        came.append(ds)
        return 0x0000

    ae = AE("OLD")
    ae.add_supported_context(source.SOPClassUID, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        account = send([path], Peer("OLD", "127.0.0.1", server.server_address[1]), "SELECTOR")
    finally:
        ae.shutdown()
    assert account.failed == ()
    assert came[0].file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert came[0].SOPInstanceUID == source.SOPInstanceUID
    assert came[0].PhotometricInterpretation == source.PhotometricInterpretation
    assert (pixel_array(came[0], raw=True) == pixel_array(source, raw=True)).all()


def test_an_answer_to_another_message_is_none(ct_files: list[Path]) -> None:
    """A peer that answers what was not asked, or nothing that is an answer, is lost: nothing counts as sent."""

    def nonsense(event: evt.Event) -> int:
        event.assoc.dul.socket.send(store_response(event.context.context_id, _answer_to(99), 0))
        return 0x0000

    ae = AE("ODD")
    for path in ct_files:
        ae.add_supported_context(dcmread(path, stop_before_pixels=True).SOPClassUID)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, nonsense)])
    try:
        account = send(ct_files, Peer("ODD", "127.0.0.1", server.server_address[1]), "SELECTOR")
    finally:
        ae.shutdown()
    assert account.sent == ()
    assert account.lost


def _answer_to(message: int) -> Command:
    return Command(1, message, True, CT, "1.2.3")


def test_an_instance_of_many_pieces_arrives_whole(tmp_path: Path) -> None:
    """Larger than any PDU, of a length that no piece divides: the bytes that are handed on are the file's."""
    content = bytes(range(256)) * 4099 + b"end"
    path = tmp_path / "instance"
    path.write_bytes(part10_header(Header(CT, "1.2.3", "1.2.840.10008.1.2.1", "X")) + content)
    kept: list[Kept] = []
    with a_listener(kept) as peer:
        assert send([path], peer, "SELECTOR").failed == ()
    assert kept[0].dataset == content


def test_an_answer_without_end_is_not_taken(ct_files: list[Path]) -> None:
    """Whoever answers at a receiver's place cannot fill our memory with one PDU."""
    sent = 0

    def answer(door: socket.socket) -> None:
        nonlocal sent
        connection, _ = door.accept()
        with connection, suppress(OSError):
            connection.settimeout(20)
            connection.recv(1 << 16)
            connection.sendall(b"\2\0\xff\xff\xff\xff")
            while sent < 64 << 20:
                sent += connection.send(bytes(1 << 16))

    with socket.create_server(("127.0.0.1", 0)) as door:
        answering = threading.Thread(target=answer, args=(door,), daemon=True)
        answering.start()
        with pytest.raises(PeerUnavailable):
            send(ct_files, Peer("RECEIVER", "127.0.0.1", door.getsockname()[1]), "MANAGER")
        answering.join(30)
    assert sent < 64 << 20
