"""Asks a PACS what it has and has it send: C-FIND, C-MOVE and C-GET of the Study Root model (PS3.4 annex C).

What C-GET brings comes over the same association and goes to the caller's sink as it comes from the socket, as
at the listener; what C-MOVE brings goes to the listener of whoever is named. Which studies, and what becomes of
them, is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from tce.errors import TceError
from tce.network import quiet
from tce.network.calling import MAXIMUM_CONTEXTS, asked, associate, end
from tce.network.contexts import COMPRESSED, LIKELY_SOP_CLASSES
from tce.network.store_reader import Arrival, Limits, Sink, StoreReader
from tce.road import Peer

quiet.silence()

FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"

_PLAIN: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_SUCCESS: Final = 0x0000
_SOME_FAILED: Final = 0xB000
_NONE_SENT: Final = 0xA702
_PENDING: Final = (0xFF00, 0xFF01)
_AT_ONCE: Final = 100
"""So many SOP Instance UIDs stand in one request."""
_SILENCE_SECONDS: Final = 1800.0
"""How long a PACS may retrieve without a word: answers in between are optional (PS3.4 C.4.2.1.6)."""


Asking = Callable[[Dataset], Iterator[tuple[Dataset, Dataset | None]]]


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052)."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class Method(StrEnum):
    """How an archive is asked to send: over the association that asks, or over one of its own."""

    GET = "get"
    MOVE = "move"


class QueryFailed(TceError):
    """The PACS did not do what it was asked; the status that it answered is named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be retrieved: a study, a series of it, or instances of that."""

    study_uid: str = field(repr=False)
    series_uid: str = field(default="", repr=False)
    sop_instance_uids: tuple[str, ...] = field(default=(), repr=False)

    @property
    def level(self) -> Level:
        """The level at which it is asked for."""
        if self.sop_instance_uids:
            return Level.IMAGE
        return Level.SERIES if self.series_uid else Level.STUDY


class Retrieved(NamedTuple):
    """What the PACS says that it has sent, with a warning or not, and what it could not send."""

    sent: int
    failed: int


def find(to: Peer, calling: str, level: Level, keys: Mapping[str, str], *, most: int = 5000) -> list[Dataset]:
    """Return what matches, as the PACS answers it.

    ``keys`` are keywords of attributes: with a value they are matched, with an empty one they are returned
    (PS3.4 C.2.2.2). Raises PeerUnavailable; QueryFailed when the query fails, or matches more than ``most``.
    """
    question = Dataset()
    question.QueryRetrieveLevel = level.value
    if any(not value.isascii() for value in keys.values()):
        question.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(question, keyword, value)
    assoc = associate(to, calling, [build_context(FIND, _PLAIN)])
    ended = False
    try:
        found = asked(assoc, lambda: _matches(to, assoc, question, most))
        ended = True
    finally:
        end(assoc, well=ended)
    return found


def _matches(to: Peer, assoc: Any, question: Dataset, most: int) -> list[Dataset]:
    found: list[Dataset] = []
    for status, match in assoc.send_c_find(question, FIND):
        code = status.get("Status")
        if code in _PENDING and match is not None:
            found.append(match)
            if len(found) > most:
                raise QueryFailed(
                    f"{to.ae_title} has more than {most} matches",
                    next_step="ask for less: a patient, a date, an accession number",
                )
        elif code != _SUCCESS:
            raise _failure(to, code)
    return found


def move(to: Peer, calling: str, wanted: Sequence[Wanted], destination: str) -> Retrieved:
    """Have a PACS send to the listener of an AE title that it knows; return when it has.

    Raises PeerUnavailable, and QueryFailed when a request fails as a whole.
    """
    assoc = associate(to, calling, [build_context(MOVE, _PLAIN)], answer_seconds=_SILENCE_SECONDS)
    return _retrieve(to, assoc, wanted, lambda what: assoc.send_c_move(what, destination, MOVE))


def get(
    to: Peer,
    calling: str,
    wanted: Sequence[Wanted],
    sop_classes: Sequence[str],
    open_sink: Callable[[Arrival], Sink],
    limits: Limits | None = None,
) -> Retrieved:
    """Have a PACS send over the association that asks; return when it has.

    Each instance goes to a sink of ``open_sink``, which is told the PACS as the sender. ``sop_classes`` are those
    that may come, at most 127, since each needs a presentation context; none means the likely ones. With few
    of them, compressed instances come as they are stored; name them if they are known (some archives tell them
    by C-FIND at IMAGE level).

    Raises PeerUnavailable, and QueryFailed when a request fails as a whole.
    """

    classes = tuple(sop_classes) or LIKELY_SOP_CLASSES

    def from_pacs(arrival: Arrival) -> Sink:
        return open_sink(replace(arrival, calling_ae=to.ae_title))

    def read(event: Any) -> None:
        StoreReader(event.assoc, from_pacs, limits or Limits()).attach()

    assoc = associate(
        to,
        calling,
        [build_context(GET, _PLAIN), *_storage(classes)],
        scp_for=classes,
        handlers=[(evt.EVT_CONN_OPEN, read)],
        answer_seconds=_SILENCE_SECONDS,
    )
    return _retrieve(to, assoc, wanted, lambda what: assoc.send_c_get(what, GET))


def _storage(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """Return contexts for what may come: of one context the PACS picks one transfer syntax, so that each
    compressed one has its own as long as there is room."""
    if len(sop_classes) >= MAXIMUM_CONTEXTS:
        raise QueryFailed(
            f"{len(sop_classes)} SOP Classes cannot be asked for over one association",
            next_step="ask for fewer, or use C-MOVE",
        )
    each = (MAXIMUM_CONTEXTS - 1) // len(sop_classes) - 1
    alone = [[syntax] for syntax in COMPRESSED[:each]]
    return [build_context(uid, syntaxes) for uid in sop_classes for syntaxes in ([*_PLAIN], *alone)]


def _retrieve(
    to: Peer,
    assoc: Any,
    wanted: Sequence[Wanted],
    ask: Asking,
) -> Retrieved:
    sent = failed = 0
    ended = False
    try:
        if not assoc.accepted_contexts or assoc.accepted_contexts[0].context_id != 1:
            raise QueryFailed(f"{to.ae_title} does not serve this way of retrieving", next_step=_ASK)
        for identifier in _identifiers(wanted):
            last, _ = asked(assoc, partial(_last, ask, identifier))
            code = last.get("Status")
            counted = code == _NONE_SENT and last.get("NumberOfFailedSuboperations", 0)
            if code not in (_SUCCESS, _SOME_FAILED) and not counted:
                raise _failure(to, code)
            sent += last.get("NumberOfCompletedSuboperations", 0)
            sent += last.get("NumberOfWarningSuboperations", 0)
            failed += last.get("NumberOfFailedSuboperations", 0)
        ended = True
    finally:
        end(assoc, well=ended)
    return Retrieved(sent, failed)


def _last(ask: Asking, identifier: Dataset) -> tuple[Dataset, Dataset | None]:
    """Return the final response to a request: those before it tell how far it is."""
    *_, last = ask(identifier)
    return last


def _identifiers(wanted: Sequence[Wanted]) -> Iterator[Dataset]:
    """Return the requests: unique keys of the level and of all above it (PS3.4 C.4.2.2.1)."""
    for one in wanted:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = one.level.value
        identifier.StudyInstanceUID = one.study_uid
        if one.level is not Level.STUDY:
            identifier.SeriesInstanceUID = one.series_uid
        if one.level is not Level.IMAGE:
            yield identifier
            continue
        for at in range(0, len(one.sop_instance_uids), _AT_ONCE):
            identifier.SOPInstanceUID = list(one.sop_instance_uids[at : at + _AT_ONCE])
            yield identifier


_ASK: Final = "ask its administrator what it serves, and for whom"


def _failure(to: Peer, code: int | None) -> QueryFailed:
    if code is None:
        return QueryFailed(f"{to.ae_title} went away before it had answered", next_step="try again")
    return QueryFailed(f"{to.ae_title} answered status 0x{code:04X}", next_step=_ASK)
