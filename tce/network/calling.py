"""Opens associations with other application entities, for everything that this one asks of them.

TLS and the peer's certificate, timeouts, TCP_NODELAY and our implementation's names are the same for storage,
query, retrieval and storage commitment; what is asked is the caller's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation
from pynetdicom.presentation import PresentationContext, build_role

from tce.errors import TceError
from tce.network import quiet
from tce.network.storage_scp import send_at_once
from tce.network.store_reader import MAXIMUM_PDU
from tce.network.tls import Certificates
from tce.road import Peer
from tce.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

quiet.silence()

T = TypeVar("T")

_LOOK_SECONDS = 0.1
_LONGEST_PDU = 1 << 20
_END_SECONDS = 35.0  # the toolkit gives a peer 30 to answer a release
MAXIMUM_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd numbers of one byte)."""


class PeerUnavailable(TceError):
    """The other application entity does not answer, or does not want to talk to us."""


class NothingAccepted(PeerUnavailable):
    """The other application entity answers, and serves nothing of what was proposed."""


def associate(
    to: Peer,
    calling: str,
    contexts: Sequence[PresentationContext],
    *,
    scp_for: Sequence[str] = (),
    handlers: Sequence[tuple[Any, Callable[[Any], Any]]] = (),
    answer_seconds: float = 120.0,
    window: int = 1,
) -> Any:
    """Return an established association of pynetdicom.

    ``window`` is how many operations we should like to have under way at a time (PS3.7 D.3.3.3).
    ``scp_for`` names the SOP Classes for which we offer to be the SCP (role selection, PS3.7 D.3.3.4), and
    ``answer_seconds`` how long the peer may take for an answer. Raises NothingAccepted when the peer serves
    none of the contexts, and PeerUnavailable for whatever else prevents the association.
    """
    ae = AE(ae_title=calling)
    ae.maximum_pdu_size = MAXIMUM_PDU
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = 15
    ae.dimse_timeout = answer_seconds
    ae.network_timeout = 300
    where = f"{to.ae_title} at {to.host}:{to.port}"
    assoc = ae.associate(
        to.host,
        to.port,
        list(contexts),
        ae_title=to.ae_title,
        tls_args=(to.certificates.for_calling(to.ae_title), to.host) if to.certificates else None,
        ext_neg=[*(build_role(uid, scp_role=True) for uid in scp_for), *_asked_for(window)],
        evt_handlers=[(evt.EVT_CONN_OPEN, _opened), (evt.EVT_CONN_CLOSE, _stop_waiting), *handlers],
    )
    if assoc.is_established:
        if to.certificates and not _is_who_it_says(assoc, to, to.certificates):
            assoc.abort()
            raise PeerUnavailable(
                f"{where} shows a certificate that is not its own",
                next_step="ask its administrator for its fingerprint, and compare it with network.tls.peers",
            )
        return assoc
    if assoc.is_rejected:
        raise PeerUnavailable(
            f"{where} does not accept associations from {calling}",
            next_step="compare the AE titles on both sides",
        )
    if assoc.acceptor.primitive is not None:
        raise NothingAccepted(
            f"{where} takes none of the SOP Classes that are to be sent",
            next_step="ask its administrator what it accepts",
        )
    secured = ", or its certificates and yours do not fit" if to.certificates else ""
    raise PeerUnavailable(
        f"{where} does not answer{secured}", next_step="start it, or correct host, port and TLS"
    )


def asked(assoc: Any, ask: Callable[[], T], seconds: float | None = None) -> T:
    """Return what a question to the peer returns that the toolkit asks; give up after some seconds.

    The toolkit waits until its own thread has paused, also when that thread has ended: an association that the peer
    aborts just then would keep its caller, and a processor, for ever. Raises PeerUnavailable when the time is over,
    and whatever the question raises.
    """
    answers: Future[T] = Future()

    def question() -> None:
        try:
            answers.set_result(ask())
        except BaseException as exc:
            answers.set_exception(exc)

    threading.Thread(target=question, name="ask", daemon=True).start()
    deadline = None if seconds is None else time.monotonic() + seconds
    while not answers.done():
        wait([answers], _LOOK_SECONDS)
        if not assoc.is_alive():
            assoc._is_paused = True
        if deadline is not None and time.monotonic() > deadline:
            end(assoc, well=False)
            raise PeerUnavailable("the peer gave no answer", next_step="try again")
    return answers.result()


def _asked_for(window: int) -> list[AsynchronousOperationsWindowNegotiation]:
    if window == 1:
        return []
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = window
    item.maximum_number_operations_performed = 1
    return [item]


def end(assoc: Any, *, well: bool) -> None:
    """Release an association, or abort it when things did not go well; return within seconds.

    The toolkit waits for its own thread without a limit, also when that thread has ended a moment before.
    """
    ending = assoc.release if well and assoc.is_established else assoc.abort
    thread = threading.Thread(target=ending, name="end", daemon=True)
    thread.start()
    thread.join(_END_SECONDS)
    connection = assoc.dul.socket
    if thread.is_alive() and connection is not None:
        connection.close()


def _is_who_it_says(assoc: Any, to: Peer, certificates: Certificates) -> bool:
    # Without a fingerprint in the settings, the certificate named the host, or there would be no connection.
    known = to.ae_title in certificates.peers
    return not known or certificates.has(to.ae_title, assoc.dul.socket.socket)


def _opened(event: Any) -> None:
    """Send at once, and take no PDU that is longer than any: the toolkit would wait for as much as a peer says."""
    send_at_once(event)
    connection = event.assoc.dul.socket
    receive = connection.recv

    def bounded(count: int) -> Any:
        if count > _LONGEST_PDU:
            raise ConnectionAbortedError
        return receive(count)

    connection.recv = bounded


def _stop_waiting(event: Any) -> None:
    """Wake whoever waits for a response when the connection closes.

    The toolkit says so once, and its own reactor may be the one that hears it: the sender would wait for the
    whole response timeout. The reactor takes one message a round and ends within a few.
    """
    for _ in range(16):
        event.assoc.dimse.msg_queue.put((None, None))
