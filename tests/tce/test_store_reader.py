"""What an association's peer may do and what not: tce.network.store_reader, byte for byte over a real socket."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import AE
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.presentation import build_context

from tce.errors import ExportError
from tce.network.contexts import VERIFICATION
from tce.network.dimse import Command, read_command, store_response
from tce.network.storage_scp import StorageListener
from tce.network.store_reader import MAXIMUM_PDU, WINDOW, Arrival, Limits, Status, settle_each
from tests.tce.listening import Keeping, Kept

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def a_request(uid: str = "1.2.3", sop_class: str = CT, *, message: int = 7, data_set: int = 1) -> bytes:
    def padded(text: str) -> bytes:
        return text.encode() + b"\0" * (len(text) % 2)

    content = b"".join(
        (
            element(0x0002, padded(sop_class)),
            element(0x0100, struct.pack("<H", 1)),
            element(0x0110, struct.pack("<H", message)),
            element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", data_set)),
            element(0x1000, padded(uid)),
        )
    )
    return element(0, struct.pack("<L", len(content))) + content


AN_ACTION = a_request().replace(element(0x0100, b"\1\0"), element(0x0100, struct.pack("<H", 0x0130)))


def value(control: int, content: bytes, *, context: int = 1) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context, control) + content


def pdu(*values: bytes) -> bytes:
    content = b"".join(values)
    return struct.pack(">BBL", 4, 0, len(content)) + content


@dataclass
class Caller:
    """An established association of which the bytes are ours. Context 1 is CT, 3 is Verification."""

    assoc: Any

    @property
    def socket(self) -> Any:
        return self.assoc.dul.socket.socket

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answers(self, count: int) -> list[tuple[int, ...]]:
        """The next answers, as message ID and status."""
        found = []
        for _ in range(count):
            head = self.exactly(6)
            assert head[0] == 4, f"not an answer but a PDU of type {head[0]}"
            content = self.exactly(int.from_bytes(head[2:], "big"))[6:]
            numbers = {}
            while content:
                _, number, length = struct.unpack_from("<HHL", content)
                numbers[number] = content[8 : 8 + length]
                content = content[8 + length :]
            found.append(tuple(int.from_bytes(numbers[at], "little") for at in (0x0120, 0x0900)))
        return found

    def exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            more = self.socket.recv(count - len(content))
            if not more:
                raise ConnectionError
            content += more
        return content

    def was_cut_off(self) -> bool:
        """Whether the listener aborts or closes, and answers nothing before."""
        try:
            return self.exactly(6)[0] == 7
        except OSError:
            return True


@contextlib.contextmanager
def a_call(
    kept: list[Kept],
    limits: Limits | None = None,
    *,
    window: int = 1,
    settle: Callable[[Sequence[Any]], list[Status]] = settle_each,
) -> Iterator[Caller]:
    def take(arrival: Arrival) -> Keeping:
        return Keeping(arrival, kept, Status.SUCCESS)

    with StorageListener("MANAGER", "127.0.0.1", 0, ["SELECTOR"], take, limits, settle=settle) as listener:
        ae = AE("SELECTOR")
        contexts = [build_context(CT, [EXPLICIT]), build_context(VERIFICATION)]
        asked = AsynchronousOperationsWindowNegotiation()
        asked.maximum_number_operations_invoked = window
        wanted = [asked] if window != 1 else []
        assoc = ae.associate("127.0.0.1", listener.port, contexts, ae_title="MANAGER", ext_neg=wanted)
        assert assoc.is_established
        # The toolkit's own thread must not read what is meant for the test.
        assoc.dul._is_transport_event = lambda: False  # type: ignore[method-assign]
        time.sleep(0.05)
        caller = Caller(assoc)
        caller.socket.settimeout(20)
        try:
            yield caller
        finally:
            # The toolkit cannot end what it no longer reads.
            assoc._kill = assoc.dul._kill_thread = True
            with contextlib.suppress(OSError):
                caller.socket.close()


def test_a_message_in_one_pdu_and_one_in_a_hundred_are_the_same() -> None:
    """However the peer cuts it, the data set is the bytes that were sent."""
    kept: list[Kept] = []
    with a_call(kept) as caller:
        caller.send(pdu(value(3, a_request("1.1")), value(2, b"abcdef")))
        request = a_request("1.2", message=8)
        pieces = [value(1, request[:10]), value(3, request[10:])]
        pieces += [value(0, b"abcdef"[at : at + 1]) for at in range(5)] + [value(2, b"f")]
        for piece in pieces:
            for part in (pdu(piece)[:3], pdu(piece)[3:]):
                caller.send(part)
                time.sleep(0.002)
        assert caller.answers(2) == [(7, 0), (8, 0)]
    assert [(one.sop_instance_uid, one.dataset) for one in kept] == [("1.1", b"abcdef"), ("1.2", b"abcdef")]


def test_requests_that_follow_without_waiting_are_answered_in_their_order() -> None:
    """A peer may send the next request before it has read the answer to the last."""
    kept: list[Kept] = []
    with a_call(kept) as caller:
        for number in range(50):
            caller.send(pdu(value(3, a_request(f"1.{number}", message=number)), value(2, b"data")))
        assert caller.answers(50) == [(number, 0) for number in range(50)]
    assert len(kept) == 50


@pytest.mark.parametrize(("asked", "granted"), [(1, 1), (3, 3), (1000, WINDOW), (0, WINDOW)])
def test_a_window_is_granted_up_to_ours(asked: int, granted: int) -> None:
    """A peer may have as many operations under way as it asks for, and no more than we say; 0 asks for any number."""
    with a_call([], window=asked) as caller:
        assert caller.assoc.acceptor.asynchronous_operations[0] == granted


def test_what_comes_within_a_window_is_made_durable_and_answered_together() -> None:
    """Requests that lie there already share the flush of the disk; each gets its own answer."""
    kept: list[Kept] = []
    together: list[int] = []

    def settle(sinks: Sequence[Any]) -> list[Status]:
        together.append(len(sinks))
        return settle_each(sinks)

    with a_call(kept, window=4, settle=settle) as caller:
        some = [pdu(value(3, a_request(f"1.{n}", message=n)), value(2, b"data")) for n in range(10)]
        caller.send(b"".join(some))
        assert sorted(caller.answers(10)) == [(number, 0) for number in range(10)]
    assert len(kept) == 10
    assert sum(together) == 10 and max(together) == 4


def test_a_window_keeps_nobody_waiting() -> None:
    """One request alone is answered although the window has room for more."""
    with a_call([], window=4) as caller:
        caller.send(pdu(value(3, a_request()), value(2, b"data")))
        assert caller.answers(1) == [(7, 0)]


def test_what_cannot_be_made_durable_is_not_answered_with_success() -> None:
    """However it fails: the peer hears that it has to keep what it sent, and the association goes on."""

    def settle(sinks: Sequence[Any]) -> list[Status]:
        raise OSError

    with a_call([], window=4, settle=settle) as caller:
        some = [pdu(value(3, a_request(f"1.{n}", message=n)), value(2, b"data")) for n in range(3)]
        caller.send(b"".join(some))
        assert sorted(caller.answers(3)) == [(number, Status.OUT_OF_RESOURCES) for number in range(3)]


def test_an_echo_between_two_instances_is_answered() -> None:
    """What is no C-STORE reaches the toolkit, whole and in its turn."""
    kept: list[Kept] = []
    echo = element(0x0002, b"1.2.840.10008.1.1\0") + element(0x0100, b"\x30\0") + element(0x0110, b"\5\0")
    echo += element(0x0800, b"\x01\x01")
    echo = element(0, struct.pack("<L", len(echo))) + echo
    with a_call(kept) as caller:
        caller.send(pdu(value(3, a_request("1.1")), value(2, b"one")))
        assert caller.answers(1) == [(7, 0)]
        caller.send(pdu(value(1, echo[:20], context=3)) + pdu(value(3, echo[20:], context=3)))
        assert caller.answers(1) == [(5, 0)]
        caller.send(pdu(value(3, a_request("1.2")), value(2, b"two")))
        assert caller.answers(1) == [(7, 0)]
    assert [one.dataset for one in kept] == [b"one", b"two"]


def test_an_instance_that_stops_half_way_is_forgotten() -> None:
    """The peer goes away in the middle: nothing of the instance stays."""
    discarded: list[str] = []
    kept: list[Kept] = []

    class Half(Keeping):
        def discard(self) -> None:
            discarded.append(self.arrival.sop_instance_uid)

    def take(arrival: Arrival) -> Keeping:
        return Half(arrival, kept, Status.SUCCESS)

    with StorageListener("MANAGER", "127.0.0.1", 0, ["SELECTOR"], take) as listener:
        contexts = [build_context(CT, [EXPLICIT])]
        assoc = AE("SELECTOR").associate("127.0.0.1", listener.port, contexts, ae_title="MANAGER")
        Caller(assoc).send(pdu(value(3, a_request("1.1")), value(0, b"half")))
        time.sleep(0.1)
        assoc.abort()
        deadline = time.monotonic() + 20
        while not discarded and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (kept, discarded) == ([], ["1.1"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (struct.pack(">BBL", 4, 0, MAXIMUM_PDU + 1), "a PDU larger than was agreed"),
        (struct.pack(">BBL", 1, 0, 1 << 31), "an endless PDU of another kind"),
        (struct.pack(">BBL", 9, 0, 4) + b"what", "a PDU of no kind"),
        (pdu(value(2, b"data")), "a data set of nothing"),
        (pdu(value(3, a_request()), value(2, b"data", context=5)), "a data set in another context"),
        (pdu(value(3, a_request(), context=9), value(2, b"x", context=9)), "a context that was not agreed"),
        (pdu(value(3, a_request(data_set=0x0101))), "a C-STORE without data set"),
        (pdu(value(3, a_request()), value(3, a_request())), "a request inside a request"),
        (
            pdu(value(3, AN_ACTION), value(3, a_request()), value(2, b"data")),
            "a request where another message's data set belongs",
        ),
        (pdu(value(3, b"\1\0\2\0\377\377\377\377")), "a command that is none"),
        (pdu(*[value(1, b"\0" * 4096) for _ in range(5)]), "an endless command"),
        (pdu(struct.pack(">LBB", 200, 1, 3)), "a value that is longer than its PDU"),
        (pdu(struct.pack(">LBB", 1, 1, 3)), "a value without its header"),
        (pdu(b"\0\0\0"), "a PDU that ends in a value's header"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_the_protocol_does_not_allow_ends_the_association(content: bytes, why: str) -> None:
    """Nothing is stored, nothing is answered, and the connection is gone."""
    kept: list[Kept] = []
    with a_call(kept) as caller:
        caller.send(content)
        assert caller.was_cut_off(), why
    assert kept == []


def test_an_instance_beyond_the_limit_ends_the_association() -> None:
    """A peer cannot fill the disk with one instance."""
    kept: list[Kept] = []
    with a_call(kept, Limits(largest_instance=1000)) as caller:
        caller.send(pdu(value(3, a_request("1.1")), value(2, b"x" * 1000)))
        assert caller.answers(1) == [(7, 0)]
        caller.send(pdu(value(3, a_request("1.2")), value(0, b"x" * 900)) + pdu(value(0, b"x" * 200)))
        assert caller.was_cut_off()
    assert [one.sop_instance_uid for one in kept] == ["1.1"]


def test_another_message_without_end_ends_the_association() -> None:
    """Whatever is not C-STORE is kept in memory by the toolkit, so that it has a bound of its own."""
    with a_call([]) as caller:
        caller.socket.settimeout(20)  # long before the listener loses patience with who says nothing
        with contextlib.suppress(ConnectionError):
            caller.send(pdu(value(3, AN_ACTION)))
            piece = pdu(value(0, bytes(MAXIMUM_PDU - 6)))
            for _ in range(2 + (1 << 24) // (MAXIMUM_PDU - 6)):
                caller.send(piece)
            assert caller.exactly(6)[0] == 7


def test_a_pdu_that_does_not_come_to_its_end_ends_the_association() -> None:
    """A peer that sends a byte now and then holds no thread for ever."""
    kept: list[Kept] = []
    with a_call(kept, Limits(idle_seconds=0.3)) as caller:
        caller.send(struct.pack(">BBL", 4, 0, 100))
        for _ in range(12):
            time.sleep(0.1)
            try:
                caller.send(b"\0")
            except OSError:
                break
        assert caller.was_cut_off()


@contextlib.contextmanager
def a_stranger(limits: Limits) -> Iterator[socket.socket]:
    """A connection of which no association was asked for yet."""
    with (
        StorageListener(
            "MANAGER",
            "127.0.0.1",
            0,
            ["SELECTOR"],
            lambda arrival: Keeping(arrival, [], Status.SUCCESS),
            limits,
        ) as listener,
        socket.create_connection(("127.0.0.1", listener.port)) as connection,
    ):
        connection.settimeout(20)
        yield connection


def test_a_request_for_an_association_has_an_end() -> None:
    """Who is nobody yet cannot fill the memory: what says that it is longer than any request is not read."""
    with a_stranger(Limits()) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF))
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                sent += connection.send(bytes(1 << 16))
                if connection in select.select([connection], [], [], 0)[0] and connection.recv(1)[:1] in (
                    b"",
                    b"\7",
                ):
                    break
        assert sent < 64 << 20


@pytest.mark.parametrize("pause", [0.1, 0.002])
def test_a_request_for_an_association_does_not_take_for_ever(pause: float) -> None:
    """Who is nobody yet, and sends a byte now and then, holds no place that others need."""
    with a_stranger(Limits(idle_seconds=0.3)) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 1 << 16))
        deadline = time.monotonic() + 15
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"\0")
                time.sleep(pause)
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("uid", "sop_class", "status"),
    [
        ("../../etc/passwd", CT, Status.INVALID_SOP_INSTANCE),
        ("1." * 40 + "1", CT, Status.INVALID_SOP_INSTANCE),
        ("", CT, Status.INVALID_SOP_INSTANCE),
        ("1.2.3", MR, Status.SOP_CLASS_NOT_SUPPORTED),
    ],
)
def test_what_cannot_be_taken_is_answered_so(uid: str, sop_class: str, status: Status) -> None:
    """An instance UID that is none, or a class that is not the context's, is refused; the association goes on."""
    kept: list[Kept] = []
    with a_call(kept) as caller:
        caller.send(pdu(value(3, a_request(uid, sop_class)), value(2, b"data")))
        assert caller.answers(1) == [(7, status)]
        caller.send(pdu(value(3, a_request()), value(2, b"data")))
        assert caller.answers(1) == [(7, Status.SUCCESS)]
    assert len(kept) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(content: bytes) -> None:
    """Reading a command set ends with a command or with the one error that says it is none."""
    with contextlib.suppress(ExportError):
        assert isinstance(read_command(content), Command)


def test_a_response_names_what_it_answers() -> None:
    """Message ID, SOP Class, SOP Instance and status stand in the response (PS3.7 table 9.3-2)."""
    request = read_command(a_request("1.2.3", message=513))
    answer = store_response(5, request, 0xA700)
    assert answer[:2] == b"\4\0"
    assert int.from_bytes(answer[2:6], "big") == len(answer) - 6
    assert int.from_bytes(answer[6:10], "big") == len(answer) - 10
    assert answer[10:12] == b"\5\3"
    for part in (CT.encode(), b"1.2.3\0", struct.pack("<H", 513), b"\0\xa7", b"\x01\x80"):
        assert part in answer
