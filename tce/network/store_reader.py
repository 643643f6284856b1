"""Serves C-STORE in the thread that reads an association's PDUs, and leaves everything else to pynetdicom.

The toolkit moves each message through three queues and two threads that wake up every millisecond. Here the command
is read where it comes in, the fragments of the data set go from the socket to whoever stores them, and the answer is
sent at once, so that no data set is ever whole in memory. Negotiation, release, abort, timers and all other messages
(C-ECHO) stay the toolkit's: it gets the same PDUs as without this module, but none without end, and none for ever. ::

    socket ──PDU──▶ C-STORE? ── yes ──▶ command ▶ fragments ▶ settle ▶ response ──▶ socket
                        └────── no ───▶ pynetdicom's queues and its state machine

A peer that negotiates an asynchronous operations window (PS3.7 D.3.3.3) may send so many requests before it hears of
the first; those that have come when nothing more is there are made durable together, and answered together.

It replaces two methods of the toolkit on each association: ``DULServiceProvider._is_transport_event`` of its upper
layer, and ``ACSE._check_async_ops``, which grants no window. PS3.8 9.3, PS3.7 9.3.1.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from tce.errors import ExportError
from tce.network.dimse import C_STORE_RQ, LONGEST_COMMAND, Command, read_command, store_response

MAXIMUM_PDU: Final = 1 << 18  # large enough that framing does not count, small enough for any peer's memory

_P_DATA: Final = 0x04
_DATA_TRANSFER: Final = "Sta6"  # PS3.8 9.2.1: association established
_CLOSING: Final = "Sta13"  # waiting for the connection to close
_LONGEST_OTHER_PDU: Final = 1 << 20
_LONGEST_OTHER_MESSAGE: Final = 1 << 24
"""The toolkit keeps other messages in memory; a request for storage commitment of 100,000 instances is that long."""
_WAIT_SECONDS: Final = 0.005
"""How long the thread waits for the next bytes before it looks what else there is to do."""
_TIME = struct.Struct("@ll")  # struct timeval
WINDOW: Final = 8
"""So many requests a peer may send before it hears of the first, if it negotiates that."""
_LEGAL_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class Status(IntEnum):
    """C-STORE response statuses that are used here (PS3.4 table B.2-1, PS3.7 annex C)."""

    SUCCESS = 0x0000
    INVALID_SOP_INSTANCE = 0x0117
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One C-STORE request, before its data set."""

    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str


class Sink(Protocol):
    """Takes the data set of one request, a fragment at a time."""

    def write(self, fragment: memoryview) -> None:
        """Take a fragment, which is valid only until this returns."""
        ...

    def finish(self) -> Status:
        """Make what came durable; called once, after the last fragment. What it returns is the answer."""
        ...

    def discard(self) -> None:
        """Forget what came: the rest will not come, or nobody was promised it."""
        ...


def settle_each(sinks: Sequence[Sink]) -> list[Status]:
    """Finish sinks one by one. One that fails is discarded, and the answer is that resources are out."""
    answers = []
    for sink in sinks:
        try:
            answers.append(sink.finish())
        except Exception:
            sink.discard()
            answers.append(Status.OUT_OF_RESOURCES)
    return answers


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may do."""

    associations: int = 64
    """How many may be open at a time."""
    largest_instance: int = 1 << 34
    """Bytes of a data set; more ends the association."""
    idle_seconds: float = 60.0
    """How long a peer may say nothing, take for a PDU that has begun, or leave an answer unread."""


class _Fault(Exception):
    """The peer does what the protocol does not allow; the association is aborted (PS3.8 Evt19)."""


class _Gone(Exception):
    """The connection is closed or does not go on (PS3.8 Evt17)."""


class _Whole(NamedTuple):
    """A request of which everything has come, and that has no answer yet."""

    context: int
    request: Command
    sink: Sink | None
    status: Status | None


class StoreReader:
    """Reads the PDUs of one association. Everything but :meth:`attach` happens in its upper layer's thread.

    ``settle`` makes sinks durable together and returns their answers in order (:func:`settle_each` does by default).
    """

    def __init__(
        self,
        assoc: Any,
        open_sink: Callable[[Arrival], Sink],
        limits: Limits,
        settle: Callable[[Sequence[Any]], list[Status]] = settle_each,
    ) -> None:
        self._assoc = assoc
        self._dul = assoc.dul
        self._open_sink = open_sink
        self._limits = limits
        self._settle_all = settle
        self._inbox = bytearray(6 + MAXIMUM_PDU)
        self._from = self._to = 0
        """The bytes of the inbox that came and were not looked at."""
        self._timed: Any = None
        self._window = 1
        self._whole: list[_Whole] = []
        self._command = bytearray()
        self._context = 0
        self._request: Command | None = None
        self._sink: Sink | None = None
        self._status: Status | None = None
        self._received = 0
        self.taken = 0
        """How many instances were answered with Success."""
        self._foreign = False
        """Whether the message that is coming in is pynetdicom's."""

    def attach(self) -> None:
        """Take over the reading of this association, before it is negotiated or afterwards."""
        self._dul._is_transport_event = self._serve
        self._assoc.acse._check_async_ops = self._window_for

    def _window_for(self) -> AsynchronousOperationsWindowNegotiation:
        """Grant the window that the peer asks for, up to ours; 0 asks for as large a one as there is."""
        asked, _ = self._assoc.requestor.asynchronous_operations
        self._window = min(asked or WINDOW, WINDOW)
        item = AsynchronousOperationsWindowNegotiation()
        item.maximum_number_operations_invoked = self._window
        item.maximum_number_operations_performed = 1
        return item

    def _serve(self) -> bool:
        """Serve what comes in; True when something did (the toolkit then restarts its idle timer)."""
        connection = self._dul.socket.socket if self._dul.socket is not None else None
        state = self._dul.state_machine.current_state
        if state != _DATA_TRANSFER:
            self._let_go()
        if connection is None:
            return False
        try:
            self._time(connection)
            if state == _CLOSING:
                return self._drain(connection)
            if (
                state != _DATA_TRANSFER
            ):  # the toolkit's, which would wait for as much as the peer says there is
                if self._from == self._to and not self._dul.socket.ready:
                    return False
                self._hand_over(self._next(connection)[0])
                return True
            if not self._more(connection):
                return False
            while True:
                self._one_pdu(connection)
                if not self._dul.event_queue.empty() or not self._dul.to_provider_queue.empty():
                    break
                if self._from == self._to and not (
                    len(self._whole) < self._window and self._here(connection)
                ):
                    self._settle(connection)
                    if not self._more(connection):
                        return True
            self._settle(connection)
        except _Fault:
            self._let_go()
            self._dul.event_queue.put("Evt19")
        except (_Gone, OSError):
            self._let_go()
            self._dul.event_queue.put("Evt17")
        return True

    def _drain(self, connection: Any) -> bool:
        """Throw away what a peer still sends that was cut off. One that goes on, the toolkit's timer ends."""
        self._from = self._to = 0
        try:
            more = self._dul.socket.ready and self._receive(connection)
        except _Gone:
            more = False
        if not more:
            self._dul.socket.close()
        return True

    def _let_go(self) -> None:
        """Forget what did not come to its end, and what nobody was told of."""
        for one in self._whole:
            if one.sink is not None:
                one.sink.discard()
        self._whole = []
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
        self._request = None

    # --- Bytes

    def _time(self, connection: Any) -> None:
        """Let reading return after a while, so that one call waits and reads. The kernel keeps the time if it can."""
        if connection is self._timed:
            return
        self._timed = connection
        idle = self._limits.idle_seconds
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(idle)
            return
        connection.settimeout(None)
        for option, seconds in ((socket.SO_RCVTIMEO, _WAIT_SECONDS), (socket.SO_SNDTIMEO, idle)):
            value = _TIME.pack(int(seconds), int(seconds % 1 * 1e6))
            connection.setsockopt(socket.SOL_SOCKET, option, value)

    def _here(self, connection: Any) -> bool:
        """Whether something has come by now that a large window would wait for."""
        if self._window == 1:
            return False
        if isinstance(connection, ssl.SSLSocket):
            return connection.pending() > 0
        with contextlib.suppress(BlockingIOError):
            return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def _more(self, connection: Any) -> bool:
        """Wait a little for bytes; whether there are any."""
        return self._from < self._to or self._receive(connection)

    def _receive(self, connection: Any) -> bool:
        """Take in what comes, and say whether something did. Raises _Gone at the end of the connection."""
        if self._from == self._to:
            self._from = self._to = 0
        secured = isinstance(connection, ssl.SSLSocket)
        with memoryview(self._inbox) as inbox:
            try:
                if secured:
                    connection.settimeout(_WAIT_SECONDS)
                taken = connection.recv_into(inbox[self._to :])
            except (BlockingIOError, TimeoutError):
                return False
            finally:
                if secured:
                    connection.settimeout(self._limits.idle_seconds)
        if not taken:
            raise _Gone
        self._to += taken
        return True

    def _need(self, connection: Any, count: int, deadline: float) -> None:
        """Have so many bytes in the inbox."""
        while self._to - self._from < count:
            if self._from + count > len(self._inbox):
                held = self._inbox[self._from : self._to]
                self._inbox = held + bytes(max(len(self._inbox), count) - len(held))
                self._from, self._to = 0, len(held)
            self._receive(connection)
            if time.monotonic() > deadline:  # also of a peer that sends a byte now and then
                raise _Gone

    # --- PDUs (PS3.8 9.3)

    def _next(self, connection: Any) -> tuple[memoryview, int]:
        """Return the next PDU, which is valid until bytes are received again, and its type."""
        deadline = time.monotonic() + self._limits.idle_seconds
        self._need(connection, 6, deadline)
        kind = self._inbox[self._from]
        length = int.from_bytes(self._inbox[self._from + 2 : self._from + 6], "big")
        if length > (MAXIMUM_PDU if kind == _P_DATA else _LONGEST_OTHER_PDU):
            raise _Fault
        self._need(connection, 6 + length, deadline)
        begin = self._from
        self._from += 6 + length
        return memoryview(self._inbox)[begin : self._from], kind

    def _one_pdu(self, connection: Any) -> None:
        pdu, kind = self._next(connection)
        if kind != _P_DATA:
            self._settle(connection)
            self._let_go()  # release or abort: what has not ended will not end
            self._hand_over(pdu)
            return
        content, length = pdu[6:], len(pdu) - 6
        place = 0
        while place < length:
            if place + 6 > length:
                raise _Fault
            size = int.from_bytes(content[place : place + 4], "big")
            end = place + 4 + size
            if size < 2 or end > length:
                raise _Fault
            self._value(connection, content[place + 4], content[place + 5], content[place + 6 : end])
            place = end

    def _value(self, connection: Any, context: int, control: int, fragment: memoryview) -> None:
        """Take one Presentation Data Value (PS3.8 9.3.5.1, annex E.2)."""
        last = bool(control & 2)
        if control & 1:
            if self._request is not None or self._foreign:
                raise _Fault
            self._command += fragment
            if len(self._command) > LONGEST_COMMAND:
                raise _Fault
            if last:
                command, self._command = bytes(self._command), bytearray()
                self._begin(connection, context, command)
        elif self._foreign:
            self._received += len(fragment)
            if self._received > _LONGEST_OTHER_MESSAGE:
                raise _Fault
            self._hand_over(_pdu(context, control, fragment))
            self._foreign = not last
        else:
            if self._request is None or context != self._context:
                raise _Fault
            self._pour(fragment)
            if last:
                self._end(connection)

    def _hand_over(self, pdu: bytes | memoryview) -> None:
        """Give a PDU to the toolkit as if it had read it."""
        try:
            decoded, event = self._dul._decode_pdu(bytearray(pdu))
        except Exception:
            raise _Fault from None
        self._dul.event_queue.put(event)
        self._dul._recv_pdu.put(decoded)

    # --- C-STORE (PS3.7 9.3.1)

    def _begin(self, connection: Any, context: int, content: bytes) -> None:
        try:
            command = read_command(content)
        except ExportError:
            raise _Fault from None
        if command.field != C_STORE_RQ:
            self._foreign, self._received = command.has_data_set, 0
            self._hand_over(_pdu(context, 0x03, content))
            return
        accepted = self._assoc._accepted_cx.get(context)
        if accepted is None or not command.has_data_set:
            raise _Fault
        self._context, self._request, self._received = context, command, 0
        self._status = None
        if len(command.sop_instance_uid) > 64 or not _LEGAL_UID.fullmatch(command.sop_instance_uid):
            self._status = Status.INVALID_SOP_INSTANCE
        elif command.sop_class_uid != accepted.abstract_syntax:
            self._status = Status.SOP_CLASS_NOT_SUPPORTED
        else:
            arrival = Arrival(
                self._assoc.requestor.ae_title.strip(),
                command.sop_class_uid,
                command.sop_instance_uid,
                str(accepted.transfer_syntax[0]),
            )
            try:
                self._sink = self._open_sink(arrival)
            except Exception:
                self._status = Status.OUT_OF_RESOURCES

    def _pour(self, fragment: memoryview) -> None:
        self._received += len(fragment)
        if self._received > self._limits.largest_instance:
            raise _Fault
        if self._sink is None:
            return  # refused: the peer sends all of it before it hears so
        try:
            self._sink.write(fragment)
        except Exception:
            # Whatever went wrong, these bytes are not known to be safe, and only the peer still has them.
            self._sink.discard()
            self._sink, self._status = None, Status.OUT_OF_RESOURCES

    def _end(self, connection: Any) -> None:
        request, sink, status = self._request, self._sink, self._status
        assert request is not None, "fragments belong to a request"
        self._request = self._sink = None
        self._whole.append(_Whole(self._context, request, sink, status))
        if len(self._whole) >= self._window:
            self._settle(connection)

    def _settle(self, connection: Any) -> None:
        """Make durable what has come whole, and answer it."""
        if not self._whole:
            return
        whole, self._whole = self._whole, []
        sinks = [one.sink for one in whole if one.sink is not None]
        try:
            settled = iter(self._settle_all(sinks))
        except Exception:
            # Whatever went wrong, nobody may rely on these.
            for sink in sinks:
                sink.discard()
            settled = iter([Status.OUT_OF_RESOURCES] * len(sinks))
        answers = bytearray()
        for one in whole:
            status = next(settled) if one.sink is not None else one.status
            answer = Status.OUT_OF_RESOURCES if status is None else status
            self.taken += answer is Status.SUCCESS
            answers += store_response(one.context, one.request, int(answer))
        connection.sendall(answers)


def _pdu(context: int, control: int, fragment: bytes | memoryview) -> bytes:
    """Return a P-DATA-TF PDU with one value."""
    size = len(fragment) + 2
    return struct.pack(">BBLLBB", _P_DATA, 0, size + 4, size, context, control) + bytes(fragment)
