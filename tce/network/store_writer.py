"""Sends C-STORE on an association that pynetdicom has negotiated: files go from the disk to the socket in pieces.

While it has the association, nobody else reads or writes its socket; release and abort are the toolkit's again
afterwards. A data set is never decoded and never whole in memory. A peer that grants an asynchronous operations window
gets so many requests before its first answer is waited for. PS3.7 9.3.1 and D.3.3.3, PS3.8 9.3.5.
"""

from __future__ import annotations

import os
import ssl
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tce.errors import ExportError
from tce.network.dimse import read_status, store_request
from tce.network.store_reader import MAXIMUM_PDU

_LEAST_PDU: Final = 1 << 12
_LARGEST_PIECE: Final = 1 << 20
_P_DATA: Final = 0x04
_LAST_OF_COMMAND: Final = 0x03
_DATA, _LAST_OF_DATA = 0x00, 0x02


class PeerGone(Exception):
    """The association ended, or no answer came in time; whether the peer has the instance is not known."""


class Encoded(NamedTuple):
    """An encoded data set: a range of a file that goes from ``offset`` to its end."""

    path: Path
    offset: int


class StoreWriter:
    """Has the socket of one established association for as long as the context lasts.

    Whoever sends keeps to the window: at most :attr:`window` requests may be without an answer.
    """

    def __init__(self, assoc: Any, answer_seconds: float) -> None:
        self._assoc = assoc
        granted, _ = assoc.acceptor.asynchronous_operations
        asked, _ = assoc.requestor.asynchronous_operations
        self.window = max(1, min(granted or asked, asked))
        self._seconds = answer_seconds
        self._socket = assoc.dul.socket.socket
        # Of a PDU 6 bytes are its value's header; 0 means no limit (PS3.8 D.1).
        agreed = assoc.acceptor.maximum_length or _LARGEST_PIECE
        self._piece = min(max(agreed, _LEAST_PDU), _LARGEST_PIECE) - 6
        self._buffer = bytearray(MAXIMUM_PDU)

    def __enter__(self) -> Self:
        # The toolkit's thread goes on and finds nothing to do. It may be reading just now: wait for its next round.
        left = threading.Event()

        def nothing() -> bool:
            left.set()
            return False

        self._assoc.dul._is_transport_event = nothing
        left.wait(self._seconds)
        self._idle = self._assoc.network_timeout
        self._assoc.network_timeout = None
        self._timeout = self._socket.gettimeout()
        self._socket.settimeout(self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket.fileno() >= 0:
            self._socket.settimeout(self._timeout)
        del self._assoc.dul._is_transport_event
        self._assoc.network_timeout = self._idle
        self._assoc.dul._idle_timer.restart()

    def store(
        self,
        content: Encoded | bytes,
        *,
        context: int,
        sop_class_uid: str,
        sop_instance_uid: str,
        message_id: int,
    ) -> None:
        """Send one instance; :meth:`answer` says what the peer answers.

        Raises:
            PeerGone: the association ended.
            OSError: the file cannot be read; the association is no longer usable if part of it was sent.
        """
        request = store_request(sop_class_uid, sop_instance_uid, message_id)
        ahead = _value(context, _LAST_OF_COMMAND, len(request)) + request
        if isinstance(content, bytes):
            self._send_bytes(context, ahead, content)
        else:
            self._send_file(context, ahead, content)

    def _send_file(self, context: int, ahead: bytes, content: Encoded) -> None:
        descriptor = os.open(content.path, os.O_RDONLY)
        try:
            at, end = content.offset, os.fstat(descriptor).st_size
            while True:
                length = min(self._piece, end - at)
                last = at + length == end
                head = ahead + _value(context, _LAST_OF_DATA if last else _DATA, length)
                piece = os.pread(descriptor, length, at)
                if len(piece) != length:
                    raise OSError("the file became shorter while it was sent")
                self._write(head, piece)
                ahead, at = b"", at + length
                if last:
                    return
        finally:
            os.close(descriptor)

    def _send_bytes(self, context: int, ahead: bytes, content: bytes) -> None:
        view = memoryview(content)
        while True:
            piece, view = view[: self._piece], view[self._piece :]
            control = _DATA if view else _LAST_OF_DATA
            self._write(ahead + _value(context, control, len(piece)), piece)
            ahead = b""
            if not view:
                return

    def _write(self, head: bytes, piece: bytes | memoryview) -> None:
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.sendall(head)
                self._socket.sendall(piece)
                return
            sent = self._socket.sendmsg([head, piece])
            if sent < len(head):
                self._socket.sendall(head[sent:])
                sent = len(head)
            if sent < len(head) + len(piece):
                self._socket.sendall(memoryview(piece)[sent - len(head) :])
        except OSError as fault:
            raise PeerGone from fault

    def answer(self) -> tuple[int, int]:
        """Wait for the next answer; return which message it is for, and its status.

        Raises PeerGone when the association ends before, or no answer comes in time.
        """
        deadline = time.monotonic() + self._seconds
        command = b""
        while True:
            head = self._exactly(6, deadline)
            kind, length = head[0], int.from_bytes(head[2:], "big")
            if kind != _P_DATA or length > MAXIMUM_PDU:
                raise PeerGone
            content = bytes(self._exactly(length, deadline))
            place = 0
            while place + 6 <= length:
                size = int.from_bytes(content[place : place + 4], "big")
                control = content[place + 5]
                command += content[place + 6 : place + 4 + size]
                place += 4 + size
                if control == _LAST_OF_COMMAND:
                    try:
                        return read_status(command)
                    except ExportError:
                        raise PeerGone from None

    def _exactly(self, count: int, deadline: float) -> memoryview:
        view = memoryview(self._buffer)[:count]
        at = 0
        while at < count:
            try:
                taken = self._socket.recv_into(view[at:])
            except OSError as fault:
                raise PeerGone from fault
            if not taken or time.monotonic() > deadline:
                raise PeerGone
            at += taken
        return view


def _value(context: int, control: int, length: int) -> bytes:
    """Return the header of a P-DATA-TF PDU with one value, and of that value."""
    return struct.pack(">BBLLBB", _P_DATA, 0, length + 6, length + 2, context, control)
