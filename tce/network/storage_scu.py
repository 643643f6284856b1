"""Sends Part 10 files by C-STORE, each data set as the bytes that lie in the file.

Presentation contexts are proposed for what is to be sent: one for each pair of SOP Class and transfer syntax,
and what it may be encoded anew as where the peer does not take it as it is, without a loss: Implicit VR Little
Endian for uncompressed ones, Explicit VR Little Endian for RLE. Nothing else is ever decompressed. More than
128 contexts (PS3.8 section 9.3.2.2) become several associations, in order. What may be sent, and to whom, is
decided by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom.presentation import build_context

from policies.elements import read_file_meta
from policies.errors import Refusal
from tce.errors import TceError
from tce.network import quiet
from tce.network.calling import MAXIMUM_CONTEXTS, NothingAccepted, PeerUnavailable, asked, associate, end
from tce.network.contexts import UNCOMPRESSED
from tce.network.store_reader import WINDOW
from tce.network.store_writer import Encoded, PeerGone, StoreWriter
from tce.road import Peer

quiet.silence()

_ANSWER_SECONDS = 120.0
_LONGEST_META = 1 << 16
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4  # PS3.8 table 9-18
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_LARGEST_ANEW = 1 << 30  # bytes; encoding anew needs several times that in memory
NOT_TRIED = "it was not tried after a failure"
_SUCCESS_OR_WARNING = (0x0000, 0xB000, 0xB006, 0xB007)


class Failure(NamedTuple):
    """One file that the peer does not have: its place in the list, the status if there was one, and why.

    ``refused``: the peer does not take this one, and sending it again will hardly change that. ``lost``: the peer
    went away.
    """

    place: int
    status: int | None
    why: str
    refused: bool = False
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
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int


def send(
    files: Iterable[Path],
    to: Peer,
    calling: str,
    progress: Callable[[int], None] = lambda place: None,
    *,
    stop_at_failure: bool = False,
    only_after_all: int | None = None,
    permission: Callable[[], None] = lambda: None,
) -> SendAccount:
    """Send files in their order; return which the peer has now and which not.

    ``progress`` is called with a file's place as soon as the peer has answered Success for it. A file that is
    not Part 10, or that the peer takes in no encoding, is a failure of its own; the others go on unless
    ``stop_at_failure``, then they are failures, too. Files from the place ``only_after_all`` on go only if the peer
    has all before them, and nothing more goes once the peer says that it has no room. ``permission`` is asked before
    each file; what it raises ends the sending, after the answers to what is under way were heard. Raises
    PeerUnavailable when there is no association to begin with.
    """
    outgoing, failed = _examine(files)
    sent: list[int] = []
    lost = full = False
    for number, (contexts, batch) in enumerate(_associations(outgoing)):
        try:
            assoc = _associate(to, calling, contexts)
        except PeerUnavailable as exc:
            if number == 0:
                raise
            nothing = isinstance(exc, NothingAccepted)
            failed += [Failure(one.place, None, exc.what, refused=nothing) for one in batch]
            lost = lost or not nothing
            continue
        gone = False
        try:
            with StoreWriter(assoc, _ANSWER_SECONDS) as writer:
                sending = _Sending(assoc, writer, sent, failed, progress)
                for one in batch:
                    last = only_after_all is not None and one.place >= only_after_all
                    if last:
                        sending.hear_all()
                    full = full or (only_after_all is not None and sending.full)
                    if failed and (stop_at_failure or full or last):
                        failed.append(Failure(one.place, None, NOT_TRIED))
                    elif sending.gone:
                        failed.append(Failure(one.place, None, "the association was lost before", lost=True))
                    else:
                        _ask(permission, sending)
                        sending.send(one)
                sending.hear_all()
                gone, full = sending.gone, full or (only_after_all is not None and sending.full)
        finally:
            lost = lost or gone or not assoc.is_established
            end(assoc, well=not gone)
    return SendAccount(tuple(sent), tuple(sorted(failed, key=lambda failure: failure.place)), lost)


def _ask(permission: Callable[[], None], sending: _Sending) -> None:
    try:
        permission()
    except TceError:
        sending.hear_all()
        raise


def echo(to: Peer, calling: str) -> None:
    """Ask whether the peer is there (C-ECHO). Raises PeerUnavailable when not."""
    assoc = _associate(to, calling, [("1.2.840.10008.1.1", ImplicitVRLittleEndian)])
    status = asked(assoc, assoc.send_c_echo)
    end(assoc, well=True)
    if status.get("Status") != 0x0000:
        raise PeerUnavailable(f"{to.ae_title} does not answer C-ECHO", next_step="ask its administrator")


def _examine(files: Iterable[Path]) -> tuple[list[_Outgoing], list[Failure]]:
    outgoing, failed = [], []
    for place, path in enumerate(files):
        try:
            with path.open("rb") as file:
                meta = read_file_meta(file.read(_LONGEST_META))
            if not (meta.sop_class_uid and meta.sop_instance_uid):
                raise Refusal("malformed", "The File Meta Information names no instance.")
            outgoing.append(
                _Outgoing(
                    place,
                    path,
                    meta.sop_class_uid,
                    meta.sop_instance_uid,
                    meta.transfer_syntax_uid,
                    meta.data_set_offset,
                )
            )
        except (OSError, Refusal):
            failed.append(Failure(place, None, "it is not a DICOM file with file meta information"))
    return outgoing, failed


def _associations(
    outgoing: Sequence[_Outgoing],
) -> Iterator[tuple[list[tuple[str, str]], list[_Outgoing]]]:
    """Cut the list, without changing its order, so that the contexts of each part fit one association."""
    contexts: dict[tuple[str, str], None] = {}
    batch: list[_Outgoing] = []
    for one in outgoing:
        syntaxes = (one.transfer_syntax_uid, *_without_loss(one.transfer_syntax_uid))
        wanted = {(one.sop_class_uid, syntax): None for syntax in syntaxes}
        if len(contexts | wanted) > MAXIMUM_CONTEXTS:
            yield list(contexts), batch
            contexts, batch = {}, []
        contexts |= wanted
        batch.append(one)
    if batch:
        yield list(contexts), batch


def _associate(to: Peer, calling: str, contexts: Sequence[tuple[str, str]]) -> Any:
    proposed = [build_context(sop_class, [syntax]) for sop_class, syntax in contexts]
    return associate(to, calling, proposed, window=WINDOW)


class _Sending:
    """Instances under way on one association: as many without an answer as its window allows."""

    def __init__(
        self,
        assoc: Any,
        writer: StoreWriter,
        sent: list[int],
        failed: list[Failure],
        progress: Callable[[int], None],
    ) -> None:
        self._assoc = assoc
        self._writer = writer
        self._sent = sent
        self._failed = failed
        self._progress = progress
        self._unanswered: dict[int, int] = {}
        """The place of each file that was sent and has no answer, by the number of its message."""
        self.gone = False
        """Whether the peer went away."""
        self.full = False
        """Whether the peer said that it is out of resources."""

    def send(self, one: _Outgoing) -> None:
        """Send one file, and hear answers until there is room for another."""
        contexts = {
            str(cx.transfer_syntax[0]): int(cx.context_id)
            for cx in self._assoc.accepted_contexts
            if cx.abstract_syntax == one.sop_class_uid
        }
        syntaxes = (one.transfer_syntax_uid, *_without_loss(one.transfer_syntax_uid))
        syntax = next((syntax for syntax in syntaxes if syntax in contexts), None)
        if syntax is None:
            why = f"the peer does not take its {_not_taken(self._assoc, one, contexts)}"
            self._failed.append(Failure(one.place, None, why, refused=True))
            return
        message_id = one.place % 65535 + 1
        try:
            content: Encoded | bytes = Encoded(one.path, one.offset)
            if syntax != one.transfer_syntax_uid:
                content = _encoded_anew(one.path, syntax)
            self._writer.store(
                content,
                context=contexts[syntax],
                sop_class_uid=one.sop_class_uid,
                sop_instance_uid=one.sop_instance_uid,
                message_id=message_id,
            )
        except PeerGone:
            self._unanswered[message_id] = one.place
            self._lose()
        except OSError:
            # Part of it may be on its way; what follows would be taken for the rest.
            self._failed.append(Failure(one.place, None, "the file could not be read to its end", lost=True))
            self._lose()
        except (ValueError, AttributeError, RuntimeError, InvalidDicomError):
            why = "it cannot be encoded in a way that the peer takes"
            self._failed.append(Failure(one.place, None, why, refused=True))
        else:
            self._unanswered[message_id] = one.place
            self._hear(self._writer.window - 1)

    def hear_all(self) -> None:
        """Wait for the answers that are outstanding."""
        self._hear(0)

    def _hear(self, left: int) -> None:
        """Hear answers until so many are outstanding."""
        while len(self._unanswered) > left:
            try:
                message_id, status = self._writer.answer()
            except PeerGone:
                self._lose()
                return
            place = self._unanswered.pop(message_id, None)
            if place is None:  # an answer to nothing that was asked
                self._lose()
            elif status in _SUCCESS_OR_WARNING:
                self._sent.append(place)
                self._progress(place)
            else:
                refused = status not in _OUT_OF_RESOURCES
                self.full = self.full or not refused
                why = f"the peer answered status 0x{status:04X}"
                self._failed.append(Failure(place, status, why, refused=refused))

    def _lose(self) -> None:
        """Note that the peer went away: whether it has what it did not answer is not known."""
        self.gone = True
        places, self._unanswered = list(self._unanswered.values()), {}
        self._failed += [Failure(place, None, "the peer gave no answer", lost=True) for place in places]


def _not_taken(assoc: Any, one: _Outgoing, contexts: Collection[str]) -> str:
    known = contexts or any(
        cx.abstract_syntax == one.sop_class_uid and cx.result == _TRANSFER_SYNTAXES_NOT_SUPPORTED
        for cx in assoc.rejected_contexts
    )
    return "transfer syntax" if known else "SOP Class"


def _without_loss(transfer_syntax_uid: str) -> tuple[str, ...]:
    """Return what a data set may be encoded anew as, the preferred first. Pixel values stay what they are.

    Of the compressed ones RLE only: its decoder is part of pydicom, and decoding it leaves no choice of colour
    space. Other lossless ones would need decoders that may be absent; lossy ones are what they are.
    """
    if transfer_syntax_uid in UNCOMPRESSED:
        return (str(ImplicitVRLittleEndian),)
    if transfer_syntax_uid == RLELossless:
        return str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
    return ()


def _encoded_anew(path: Path, transfer_syntax_uid: str) -> bytes:
    if path.stat().st_size > _LARGEST_ANEW:
        raise ValueError("it is too large to be encoded anew")
    ds = dcmread(path)
    if ds.file_meta.TransferSyntaxUID == RLELossless:
        # It stays the same instance, in the colour space that it has.
        ds.decompress(as_rgb=False, generate_instance_uid=False)
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())
