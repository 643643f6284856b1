"""The desk at which instances arrive: bytes to the spool, then Success; then recognise and index.

Serves Export Manager and Receiver alike (RAD-50 to RAD-53). What an instance is, is decided by SOP Class and
document title and nothing else; a document that cannot be read is taken in and held, never turned away, since
the peer has done its part.

A spooled file says of itself all that the index needs, so the index follows in the lulls between arrivals, many
instances in one transaction. What a process that died had not indexed is found in the spool at the next start.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from sys import intern

from tce.collecting import Entry, Intake
from tce.documents.manifest import DOCUMENT_CLASSES, DocumentKind, ParsedManifest, parse, recognise
from tce.documents.reading import read_document
from tce.errors import ExportError
from tce.exports import Exports
from tce.network.commitment import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE, Item
from tce.network.store_reader import Arrival, Status
from tce.road import Hold, Reason
from tce.spool import Header, Incoming, Spool, Spooled

_LULL = 0.03
"""Seconds without an arrival that are a lull."""
_AT_ONCE = 1000
"""So many are indexed without waiting for a lull, and in one transaction."""
_MOST_WAITING = 100_000
"""More than this is not taken in while the index does not follow."""
_LONGEST_PAUSE = 10.0


class ArrivalDesk:
    """Takes instances in for one spool and its index. Safe for many threads."""

    def __init__(self, spool: Spool, exports: Exports) -> None:
        self._spool = spool
        self._exports = exports
        self._waiting: deque[Spooled] = deque()
        self._indexing = threading.Lock()
        self._arrived = threading.Event()
        self._last = 0.0

    def open(self, arrival: Arrival) -> Arriving:
        """Begin to take one instance in.

        Raises OSError when the spool takes nothing, ExportError when the index has not followed for too long.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise ExportError("the index does not follow", next_step="look after the database of exports")
        # Many wait for the index at a time, and say the same in all but one of these.
        header = Header(
            intern(arrival.sop_class_uid),
            arrival.sop_instance_uid,
            intern(arrival.transfer_syntax_uid),
            intern(arrival.calling_ae),
        )
        return Arriving(self, self._spool.begin(header))

    def settle(self, arriving: Sequence[Arriving]) -> list[Status]:
        """Make instances durable together; those that are answered Success survive whatever happens."""
        statuses = []
        for spooled in self._spool.finish([one.incoming for one in arriving]):
            if spooled is not None:
                self.stored(spooled)
            statuses.append(Status.OUT_OF_RESOURCES if spooled is None else Status.SUCCESS)
        return statuses

    def stored(self, spooled: Spooled) -> None:
        """Note a file that is in the spool and not in the index."""
        self._waiting.append(spooled)
        self._last = time.monotonic()
        if not self._arrived.is_set():
            self._arrived.set()

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Index in a thread of its own what arrives inside the block; at its end everything is indexed."""
        stop = threading.Event()
        follower = threading.Thread(target=self._follow, args=(stop,), name="index", daemon=True)
        follower.start()
        try:
            yield
        finally:
            stop.set()
            self._arrived.set()
            follower.join()
            self.index()

    def index(self) -> int:
        """Index everything that waits; return how many. What cannot be indexed now goes on waiting."""
        done = 0
        with self._indexing:
            while self._waiting:
                part = list(islice(self._waiting, _AT_ONCE))
                self._enter(part)
                for _ in part:
                    self._waiting.popleft()
                done += len(part)
        return done

    def commitment(self, items: Sequence[Item]) -> list[int]:
        """Say of each instance whether it is durable here: 0, or the Failure Reason (PS3.3 C.14.1.1)."""
        self.index()
        held = self._exports.held([item.sop_instance_uid for item in items])
        return [self._verdict(item, held.get(item.sop_instance_uid, ())) for item in items]

    def _verdict(self, item: Item, found: Sequence[tuple[str, str]]) -> int:
        here = [sop_class for sop_class, file in found if self._spool.path(file).is_file()]
        if not here:
            return NO_SUCH_INSTANCE
        if item.sop_class_uid not in here:
            return CLASS_INSTANCE_CONFLICT
        # Of two contents under one UID nobody can say which one is meant.
        return 0 if len(found) == 1 else PROCESSING_FAILURE

    def adopt(self) -> int:
        """Index every spooled file that the index does not know; return how many.

        A process that died between storing and indexing leaves such a file. Its bytes are whole, and the peer may
        have been answered Success for it.
        """
        unknown: list[str] = []
        names = self._spool.names()
        while part := list(islice(names, _AT_ONCE)):
            known = self._exports.known(part)
            for name in part:
                if name not in known:
                    unknown.append(name)
                elif not known[name]:  # it was purged; the process died before the file was gone
                    self._spool.remove(name)
        unknown.sort(key=self._spool.moment)  # of two selections the later one counts
        for at in range(0, len(unknown), _AT_ONCE):
            self._enter([self._spool.examine(name) for name in unknown[at : at + _AT_ONCE]])
        return len(unknown)

    def _follow(self, stop: threading.Event) -> None:
        pause = _LULL
        while not stop.is_set():
            self._arrived.wait()
            self._arrived.clear()
            while (
                time.monotonic() - self._last < _LULL and len(self._waiting) < _AT_ONCE and not stop.is_set()
            ):
                time.sleep(_LULL / 3)
            try:
                self.index()
                pause = _LULL
            except Exception:
                # The database is away or locked, or the disk is full: nothing is lost meanwhile.
                pause = min(2 * pause, _LONGEST_PAUSE)
                stop.wait(pause)
                self._arrived.set()

    def _enter(self, stored: list[Spooled]) -> None:
        entries = [self._recognised(spooled) for spooled in stored]
        for entry, intake in zip(entries, self._exports.arrive(entries), strict=True):
            if intake is Intake.DUPLICATE:
                self._spool.remove(entry.spooled.name)

    def _recognised(self, spooled: Spooled) -> Entry:
        kind, manifest, faults = self._recognise(spooled)
        return Entry(spooled, self._spool.digest(spooled), kind, manifest, tuple(faults))

    def _recognise(self, spooled: Spooled) -> tuple[DocumentKind, ParsedManifest | None, list[Reason]]:
        sop_class_uid = spooled.header.sop_class_uid
        if sop_class_uid not in DOCUMENT_CLASSES:
            return DocumentKind.INSTANCE, None, []
        try:
            ds = read_document(self._spool.path(spooled.name))
            kind = recognise(sop_class_uid, ds)
        except Exception:  # a peer's bytes may fail in any way; unreadable here, refused when it is worked on
            return DocumentKind.INSTANCE, None, []
        if kind is not DocumentKind.MANIFEST:
            return kind, None, []
        try:
            manifest = parse(ds)
        except Hold as exc:
            return kind, None, list(exc.reasons)
        if manifest.sop_instance_uid != spooled.header.sop_instance_uid:
            wrong = Reason("uid-mismatch", "the manifest is not the one its C-STORE request named")
            return kind, None, [wrong]
        return kind, manifest, []


class Arriving:
    """One instance that is coming in."""

    def __init__(self, desk: ArrivalDesk, incoming: Incoming) -> None:
        self._desk = desk
        self.incoming = incoming

    def write(self, fragment: bytes | memoryview) -> None:
        """Store a fragment of the data set. Raises OSError."""
        self.incoming.write(fragment)

    def finish(self) -> Status:
        """Make the instance durable; when this returns Success, it survives whatever happens."""
        return self._desk.settle([self])[0]

    def discard(self) -> None:
        """Forget the instance: nobody was promised it."""
        self.incoming.discard()
