"""Serves C-STORE in the thread that reads an association's PDUs, and leaves everything else to pynetdicom.

The toolkit moves each message through three queues and two threads that wake up every millisecond. Here the command
is read where it comes in, the fragments of the data set go from the socket to whoever stores them, and the answer is
sent at once, so that no data set is ever whole in memory. Negotiation, release, abort, timers and all other messages
(C-ECHO) stay the toolkit's: it gets the same bytes as without this module. ::

    socket ──PDU──▶ C-STORE? ── yes ──▶ command ▶ fragments ▶ sink.finish() ▶ response ──▶ socket
                        └────── no ───▶ pynetdicom's queues and its state machine

It replaces one method of the toolkit's upper layer, ``DULServiceProvider._is_transport_event``, on each association.
PS3.8 9.3, PS3.7 9.3.1.
"""

from __future__ import annotations

import re
import select
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Protocol

from tce.errors import ExportError
from tce.network.dimse import C_STORE_RQ, LONGEST_COMMAND, Command, read_command, store_response

MAXIMUM_PDU: Final = 1 << 18  # large enough that framing does not count, small enough for any peer's memory

_P_DATA: Final = 0x04
_DATA_TRANSFER: Final = "Sta6"  # PS3.8 9.2.1: association established
_LONGEST_OTHER_PDU: Final = 1 << 20
_LONGEST_OTHER_MESSAGE: Final = 1 << 24
"""The toolkit keeps other messages in memory; a request for storage commitment of 100,000 instances is that long."""
_WAIT_MILLISECONDS: Final = 5
"""How long the thread waits for the next PDU before it looks what else there is to do."""
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


class StoreReader:
    """Reads the PDUs of one association. Everything but :meth:`attach` happens in its upper layer's thread."""

    def __init__(self, assoc: Any, open_sink: Callable[[Arrival], Sink], limits: Limits) -> None:
        self._assoc = assoc
        self._dul = assoc.dul
        self._open_sink = open_sink
        self._limits = limits
        self._others: Callable[[], bool] = assoc.dul._is_transport_event
        self._buffer = bytearray(MAXIMUM_PDU)
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
        """Take over the reading of this association."""
        self._dul._is_transport_event = self._serve

    def _serve(self) -> bool:
        """Serve what comes in; True when something did (the toolkit then restarts its idle timer)."""
        connection = self._dul.socket.socket if self._dul.socket is not None else None
        if self._dul.state_machine.current_state != _DATA_TRANSFER or connection is None:
            self._let_go()
            return self._others()
        try:
            if not _readable(connection):
                return False
            connection.settimeout(self._limits.idle_seconds)
            while True:
                self._one_pdu(connection)
                if not self._dul.event_queue.empty() or not self._dul.to_provider_queue.empty():
                    return True
                if not _readable(connection):
                    return True
        except _Fault:
            self._let_go()
            self._dul.event_queue.put("Evt19")
        except (_Gone, OSError):
            self._let_go()
            self._dul.event_queue.put("Evt17")
        return True

    def _let_go(self) -> None:
        """Forget an instance that did not come to its end."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
        self._request = None

    # --- PDUs (PS3.8 9.3)

    def _one_pdu(self, connection: Any) -> None:
        deadline = time.monotonic() + self._limits.idle_seconds
        head = bytearray(6)
        _fill(connection, memoryview(head), deadline)
        kind, length = head[0], int.from_bytes(head[2:], "big")
        if kind != _P_DATA:
            if length > _LONGEST_OTHER_PDU:
                raise _Fault
            rest = bytearray(length)
            _fill(connection, memoryview(rest), deadline)
            self._let_go()  # release or abort: what has not ended will not end
            self._hand_over(head + rest)
            return
        if length > MAXIMUM_PDU:
            raise _Fault
        content = memoryview(self._buffer)[:length]
        _fill(connection, content, deadline)
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
            if self._request is not None:
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

    def _hand_over(self, pdu: bytes | bytearray) -> None:
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
        if sink is not None:
            try:
                status = sink.finish()
            except Exception:
                sink.discard()
                status = Status.OUT_OF_RESOURCES
        answer = Status.OUT_OF_RESOURCES if status is None else status
        self.taken += answer is Status.SUCCESS
        connection.sendall(store_response(self._context, request, int(answer)))


def _pdu(context: int, control: int, fragment: bytes | memoryview) -> bytes:
    """Return a P-DATA-TF PDU with one value."""
    size = len(fragment) + 2
    return struct.pack(">BBLLBB", _P_DATA, 0, size + 4, size, context, control) + bytes(fragment)


def _readable(connection: Any) -> bool:
    """Wait a little for something to read. ``select.poll`` knows no largest descriptor."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(_WAIT_MILLISECONDS))


def _fill(connection: Any, view: memoryview, deadline: float) -> None:
    """Receive exactly as many bytes as the view holds."""
    while view:
        taken = connection.recv_into(view)
        if not taken:
            raise _Gone
        view = view[taken:]
        if view and time.monotonic() > deadline:
            raise _Gone
