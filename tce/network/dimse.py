"""The few DIMSE messages that are read and written here as bytes: C-STORE and its response (PS3.7 9.3.1, E.1).

A command set is Implicit VR Little Endian, group 0000. Pure functions; nothing is sent here.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from tce.errors import ExportError

C_STORE_RQ: Final = 0x0001
LONGEST_COMMAND: Final = 1 << 14
"""A command set holds a few UIDs and AE titles; more than this is no honest peer's."""

_NO_DATA_SET: Final = 0x0101
_head = struct.Struct("<HHL")
_AFFECTED_SOP_CLASS_UID: Final = 0x0002
_COMMAND_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_DATA_SET_TYPE: Final = 0x0800
_AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
_ANSWERS: Final = 0x0120
_STATUS: Final = 0x0900


class Command(NamedTuple):
    """What a request's command set says; the UIDs are empty where it has none."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str

    def __repr__(self) -> str:
        return "Command(…)"


def read_command(content: bytes | bytearray) -> Command:
    """Return the command set of a request. Raises ExportError when it is none."""
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    place, end = 0, len(content)
    while place < end:
        if place + 8 > end:
            raise _malformed()
        group, element, length = _head.unpack_from(content, place)
        start, place = place + 8, place + 8 + length
        if group or place > end:
            raise _malformed()
        if element in (_COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE):
            if length != 2:
                raise _malformed()
            numbers[element] = content[start] | content[start + 1] << 8
        elif element in (_AFFECTED_SOP_CLASS_UID, _AFFECTED_SOP_INSTANCE_UID):
            # A byte beyond ASCII stays visible, and is no legal UID.
            texts[element] = bytes(content[start:place]).decode("latin-1").strip("\0 ")
    if not {_COMMAND_FIELD, _DATA_SET_TYPE} <= numbers.keys():
        raise _malformed()
    return Command(
        numbers[_COMMAND_FIELD],
        numbers.get(_MESSAGE_ID, 0),
        numbers[_DATA_SET_TYPE] != _NO_DATA_SET,
        texts.get(_AFFECTED_SOP_CLASS_UID, ""),
        texts.get(_AFFECTED_SOP_INSTANCE_UID, ""),
    )


def store_response(context_id: int, request: Command, status: int) -> bytes:
    """Return the P-DATA-TF PDU that answers a C-STORE request (PS3.7 table 9.3-2, PS3.8 9.3.5)."""
    sop_class, sop_instance = _uid(request.sop_class_uid), _uid(request.sop_instance_uid)
    answer = b"".join(
        (
            _head.pack(0, _AFFECTED_SOP_CLASS_UID, len(sop_class)),
            sop_class,
            struct.pack("<HHLH", 0, _COMMAND_FIELD, 2, 0x8000 | C_STORE_RQ),
            struct.pack("<HHLH", 0, _ANSWERS, 2, request.message_id),
            struct.pack("<HHLH", 0, _DATA_SET_TYPE, 2, _NO_DATA_SET),
            struct.pack("<HHLH", 0, _STATUS, 2, status),
            _head.pack(0, _AFFECTED_SOP_INSTANCE_UID, len(sop_instance)),
            sop_instance,
        )
    )
    size = len(answer) + 12  # the group length comes first
    pdu = struct.pack(">BBLLBB", 0x04, 0, size + 6, size + 2, context_id, 0x03)
    return pdu + struct.pack("<HHLL", 0, 0, 4, len(answer)) + answer


def store_request(sop_class_uid: str, sop_instance_uid: str, message_id: int) -> bytes:
    """Return the command set of a C-STORE request of medium priority (PS3.7 table 9.3-1)."""
    sop_class, sop_instance = _uid(sop_class_uid), _uid(sop_instance_uid)
    content = b"".join(
        (
            _head.pack(0, _AFFECTED_SOP_CLASS_UID, len(sop_class)),
            sop_class,
            struct.pack("<HHLH", 0, _COMMAND_FIELD, 2, C_STORE_RQ),
            struct.pack("<HHLH", 0, _MESSAGE_ID, 2, message_id),
            struct.pack("<HHLH", 0, 0x0700, 2, 0),
            struct.pack("<HHLH", 0, _DATA_SET_TYPE, 2, 1),
            _head.pack(0, _AFFECTED_SOP_INSTANCE_UID, len(sop_instance)),
            sop_instance,
        )
    )
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def read_status(content: bytes) -> tuple[int, int]:
    """Return which message a C-STORE response answers, and its status. Raises ExportError when it is none."""
    numbers: dict[int, int] = {}
    place = 0
    while place + 8 <= len(content):
        group, element, length = _head.unpack_from(content, place)
        place += 8 + length
        if group == 0 and length == 2 and place <= len(content):
            numbers[element] = int.from_bytes(content[place - 2 : place], "little")
    if numbers.get(_COMMAND_FIELD) != 0x8000 | C_STORE_RQ or not {_ANSWERS, _STATUS} <= numbers.keys():
        raise _malformed()
    return numbers[_ANSWERS], numbers[_STATUS]


def _uid(uid: str) -> bytes:
    encoded = uid.encode("latin-1")
    return encoded + b"\0" * (len(encoded) % 2)


def _malformed() -> ExportError:
    return ExportError("a peer sent a command that cannot be read", next_step="see which peer it was")
