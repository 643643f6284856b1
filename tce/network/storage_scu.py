"""Sends Part 10 files by C-STORE, each data set as the bytes that lie in the file.

Presentation contexts are proposed for what is to be sent: one for each pair of SOP Class and transfer syntax,
and a fallback to Implicit VR Little Endian for uncompressed ones, which is the only case in which a data set
is encoded anew. More than 128 contexts (PS3.8 section 9.3.2.2) become several associations, in order. What
may be sent, and to whom, is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from tce.errors import TceError
from tce.network import quiet
from tce.network.contexts import UNCOMPRESSED
from tce.network.storage_scp import send_at_once
from tce.network.store_reader import MAXIMUM_PDU
from tce.road import Peer
from tce.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

quiet.silence()

_MAXIMUM_CONTEXTS = 128
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4  # PS3.8 table 9-18
_SUCCESS_OR_WARNING = (0x0000, 0xB000, 0xB006, 0xB007)


class PeerUnavailable(TceError):
    """The other application entity does not answer, or does not want to talk to us."""


class Failure(NamedTuple):
    """One file that the peer does not have: its place in the list, the status if there was one, and why.

    ``lost``: the peer went away.
    """

    place: int
    status: int | None
    why: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class SendAccount:
    """What became of every file. ``lost``: the peer went away before all had been tried."""

    sent: tuple[int, ...]
    failed: tuple[Failure, ...]
    lost: bool = False


class _Outgoing(NamedTuple):
    place: int
    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


def send(
    files: Iterable[Path],
    to: Peer,
    calling: str,
    progress: Callable[[int], None] = lambda place: None,
    *,
    stop_at_failure: bool = False,
) -> SendAccount:
    """Send files in their order; return which the peer has now and which not.

    ``progress`` is called with a file's place as soon as the peer has answered Success for it. A file that is
    not Part 10, or that the peer takes in no encoding, is a failure of its own; the others go on unless
    ``stop_at_failure``, then they are failures, too. Raises PeerUnavailable when there is no association to
    begin with.
    """
    outgoing, failed = _examine(files)
    sent: list[int] = []
    lost = False
    for number, (contexts, batch) in enumerate(_associations(outgoing)):
        try:
            assoc = _associate(to, calling, contexts)
        except PeerUnavailable as exc:
            if number == 0:
                raise
            failed += [Failure(one.place, None, exc.what) for one in batch]
            lost = True
            continue
        gone = False
        try:
            for one in batch:
                if failed and stop_at_failure:
                    failed.append(Failure(one.place, None, "it was not tried after a failure"))
                elif (failure := _send_one(assoc, one)) is not None:
                    failed.append(failure)
                    gone = gone or failure.lost
                else:
                    sent.append(one.place)
                    progress(one.place)
        finally:
            # The toolkit may still call it established for a moment when the peer has hung up.
            if assoc.is_established and not gone:
                assoc.release()
            else:
                assoc.abort()
                lost = True
    return SendAccount(tuple(sent), tuple(sorted(failed, key=lambda failure: failure.place)), lost)


def echo(to: Peer, calling: str) -> None:
    """Ask whether the peer is there (C-ECHO). Raises PeerUnavailable when not."""
    assoc = _associate(to, calling, [("1.2.840.10008.1.1", ImplicitVRLittleEndian)])
    status = assoc.send_c_echo()
    assoc.release()
    if status.get("Status") != 0x0000:
        raise PeerUnavailable(f"{to.ae_title} does not answer C-ECHO", next_step="ask its administrator")


def _examine(files: Iterable[Path]) -> tuple[list[_Outgoing], list[Failure]]:
    outgoing, failed = [], []
    for place, path in enumerate(files):
        try:
            meta = read_file_meta_info(path)
            outgoing.append(
                _Outgoing(place, path, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
            )
        except (OSError, InvalidDicomError, AttributeError, ValueError, EOFError):
            failed.append(Failure(place, None, "it is not a DICOM file with file meta information"))
    return outgoing, failed


def _associations(
    outgoing: Sequence[_Outgoing],
) -> Iterator[tuple[list[tuple[str, str]], list[_Outgoing]]]:
    """Cut the list, without changing its order, so that the contexts of each part fit one association."""
    contexts: dict[tuple[str, str], None] = {}
    batch: list[_Outgoing] = []
    for one in outgoing:
        wanted = {(one.sop_class_uid, one.transfer_syntax_uid): None}
        if one.transfer_syntax_uid in UNCOMPRESSED:
            wanted[one.sop_class_uid, str(ImplicitVRLittleEndian)] = None
        if len(contexts | wanted) > _MAXIMUM_CONTEXTS:
            yield list(contexts), batch
            contexts, batch = {}, []
        contexts |= wanted
        batch.append(one)
    if batch:
        yield list(contexts), batch


def _associate(to: Peer, calling: str, contexts: Sequence[tuple[str, str]]) -> Any:
    ae = AE(ae_title=calling)
    ae.maximum_pdu_size = MAXIMUM_PDU
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = 15
    ae.dimse_timeout = 120
    ae.network_timeout = 300
    assoc = ae.associate(
        to.host,
        to.port,
        [build_context(sop_class, [syntax]) for sop_class, syntax in contexts],
        ae_title=to.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once), (evt.EVT_CONN_CLOSE, _stop_waiting)],
    )
    if assoc.is_established:
        return assoc
    where = f"{to.ae_title} at {to.host}:{to.port}"
    if assoc.is_rejected:
        raise PeerUnavailable(
            f"{where} does not accept associations from {calling}",
            next_step="compare the AE titles on both sides",
        )
    if assoc.acceptor.primitive is not None:
        raise PeerUnavailable(
            f"{where} takes none of the SOP Classes that are to be sent",
            next_step="ask its administrator what it accepts",
        )
    raise PeerUnavailable(f"{where} does not answer", next_step="start it, or correct host and port")


def _stop_waiting(event: Any) -> None:
    """Wake whoever waits for a response when the connection closes.

    The toolkit says so once, and its own reactor may be the one that hears it: the sender would wait for the
    whole response timeout. The reactor takes one message a round and ends within a few.
    """
    for _ in range(16):
        event.assoc.dimse.msg_queue.put((None, None))


def _send_one(assoc: Any, one: _Outgoing) -> Failure | None:
    if not assoc.is_established:
        return Failure(one.place, None, "the association was lost before", lost=True)
    syntaxes = {
        str(cx.transfer_syntax[0])
        for cx in assoc.accepted_contexts
        if cx.abstract_syntax == one.sop_class_uid
    }
    as_it_is = one.transfer_syntax_uid in syntaxes
    if not as_it_is and (one.transfer_syntax_uid not in UNCOMPRESSED or not syntaxes):
        known = syntaxes or any(
            cx.abstract_syntax == one.sop_class_uid and cx.result == _TRANSFER_SYNTAXES_NOT_SUPPORTED
            for cx in assoc.rejected_contexts
        )
        which = "transfer syntax" if known else "SOP Class"
        return Failure(one.place, None, f"the peer does not take its {which}")
    try:
        # A path goes out as its bytes; a data set is encoded for a context that was accepted.
        content = one.path if as_it_is else dcmread(one.path)
        status = assoc.send_c_store(content, msg_id=one.place % 65535 + 1)
    except (ValueError, AttributeError, InvalidDicomError):
        return Failure(one.place, None, "it cannot be encoded in a way that the peer takes")
    except (RuntimeError, OSError):
        return Failure(one.place, None, "the association was lost", lost=True)
    if "Status" not in status:
        return Failure(one.place, None, "the peer gave no answer", lost=True)
    if status.Status in _SUCCESS_OR_WARNING:
        return None
    return Failure(one.place, int(status.Status), f"the peer answered status 0x{status.Status:04X}")
