"""What is on the trail goes to the audit repository: in order, at least once, and later if it is away now.

The trail itself is the store. Beside it a small file says how far it was delivered, and since when the repository
has been away; it is replaced after each batch. So a process that dies sends at most its last batch again, and
nothing is left out. Whoever reads on proves the chain of hashes again: of a trail that was rewritten below, nothing
more is sent.

::

    trail.jsonl      1 … 812 | 813 … 840      waiting: what comes after the record in trail.forwarded
    trail.forwarded  {"records":812,"size":…,"hash":…,"away_since":"","why":"","alarmed":false}
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tce.audit.journal import Journal
from tce.audit.repository import Form
from tce.audit.syslog import Sender, TlsSender, UdpSender, message_of
from tce.audit.trail import Head, Record, Trail
from tce.config import Site
from tce.errors import AuditError, Refused, to_person
from tce.network.tls import Certificates

BATCH: Final = 256 * 1024
"""Octets of the trail that are read, sent and confirmed together."""

_POLL_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_GRACE_SECONDS: Final = 15.0
_NO_MESSAGE: Final = b'"message":"","n":'

Tell = Callable[[str, bool, Mapping[str, str]], None]
"""Writes an event onto the trail: its name, whether all is well, and what is told of it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Up to where the trail was delivered; since when the repository has been away, why, and whether that was told."""

    records: int = 0
    size: int = 0
    hash: str = Head().hash
    away_since: str = ""
    why: str = ""
    alarmed: bool = False

    @property
    def end(self) -> Head:
        """Where delivery goes on."""
        return Head(self.records, self.size, self.hash)

    def at(self, end: Head) -> Progress:
        """Return the progress when everything up to ``end`` is delivered: the repository is there."""
        return Progress(end.records, end.size, end.hash)


@dataclass(frozen=True, slots=True)
class Standing:
    """How forwarding stands: the last record delivered, and what waits since when."""

    delivered: int
    waiting: int
    oldest: str
    away_since: str
    why: str


def standing(trail: Trail) -> Standing:
    """Return how many messages wait for the repository. Raises AuditError when that cannot be read."""
    progress = _load(_path(trail))
    waiting, oldest = 0, ""
    if trail.path.exists():
        with trail.path.open("rb") as lines:
            lines.seek(progress.size)
            for line in lines:
                if not line.endswith(b"\n") or _NO_MESSAGE in line:
                    continue
                waiting += 1
                oldest = oldest or str(json.loads(line)["time"])
    return Standing(progress.records, waiting, oldest, progress.away_since, progress.why)


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Brings the trail of one site to its repository."""

    trail: Trail
    sender: Sender
    tell: Tell
    host: str
    form: Form = Form.IHE
    away_hours: float = 1.0
    batch: int = BATCH
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def forward(self) -> int | None:
        """Deliver everything that waits, and return how many messages these were; None: another process is at it.

        What was delivered before an exception stays delivered. Raises RepositoryAway, and AuditError when the trail
        is not the one that was delivered before.
        """
        with self._alone() as alone:
            if not alone:
                return None
            progress = _load(_path(self.trail))
            delivered = 0
            try:
                while True:
                    records, end = self.trail.after(progress.end, self.batch)
                    if not records:
                        return delivered
                    delivered += self._deliver(records)
                    progress = self._is_here(progress, end)
            except Exception as exc:
                self._is_away(_load(_path(self.trail)), to_person(exc).what)
                raise

    @contextmanager
    def following(self) -> Iterator[None]:
        """Deliver in the background for as long as the block lasts, and what was written in it at its end."""
        stop = threading.Event()
        thread = threading.Thread(target=self._follow, args=(stop,), name="audit-forwarding", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_GRACE_SECONDS)

    def _follow(self, stop: threading.Event) -> None:
        pause = _POLL_SECONDS
        while True:
            last = stop.is_set()
            try:
                self.forward()
                pause = _POLL_SECONDS
            except Exception:
                # Whatever it was, it is noted beside the trail; the actor goes on, and the messages wait.
                if last or stop.is_set():
                    return
                pause = min(2 * pause, _LONGEST_PAUSE)
            if last:
                return
            stop.wait(pause)

    def _deliver(self, records: list[Record]) -> int:
        messages, limit = [], self.sender.largest
        for record in records:
            if not record.message:
                continue
            message = message_of(record, self.host, self.form)
            if limit is not None and len(message) > limit:
                self.tell("audit.too-large", False, {"record": str(record.n), "octets": str(len(message))})
                continue
            messages.append(message)
        if messages:
            self.sender.send(messages)
        return len(messages)

    def _is_here(self, before: Progress, end: Head) -> Progress:
        after = before.at(end)
        _save(_path(self.trail), after)
        if before.alarmed:
            self.tell("audit.repository-back", True, {"away_since": before.away_since})
        return after

    def _is_away(self, before: Progress, why: str) -> None:
        now = self.now()
        since = before.away_since or now.isoformat(timespec="seconds")
        after = replace(before, away_since=since, why=why)
        if after != before:
            _save(_path(self.trail), after)
        if not after.alarmed and now - datetime.fromisoformat(since) >= timedelta(hours=self.away_hours):
            waiting = standing(self.trail).waiting
            self.tell("audit.repository-away", False, {"away_since": since, "waiting": str(waiting)})
            _save(_path(self.trail), replace(after, alarmed=True))

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        path = self.trail.path.with_suffix(".forwarding")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                alone = False
            yield alone
        finally:
            os.close(lock)


def forwarder(site: Site, actor: str = "") -> Forwarder | None:
    """Return what brings a site's trail to its audit repository, None where it has none.

    Raises Refused for a repository that is called over TLS by a site without certificates.
    """
    settings = site.settings.audit
    if not settings.repository:
        return None
    journal = Journal(site, actor)

    def tell(event: str, success: bool, detail: Mapping[str, str]) -> None:
        journal.record(event, success=success, detail=detail)

    return Forwarder(
        Trail(site.audit_trail),
        _sender(site),
        tell,
        journal.participant.node,
        settings.form,
        settings.away_hours,
    )


def _sender(site: Site) -> Sender:
    settings, tls, home = site.settings.audit, site.settings.network.tls, site.home
    if settings.transport == "udp":
        return UdpSender(settings.host, settings.port)
    if not tls.certificate:
        raise Refused(
            "the audit repository is called over TLS, and this site has no certificates",
            next_step="fill in network.tls in tce.toml",
        )
    known = {settings.host: settings.fingerprints} if settings.fingerprints else {}
    certificates = Certificates(home / tls.certificate, home / tls.key, home / tls.ca, known)
    return TlsSender(settings.host, settings.port, certificates)


def _path(trail: Trail) -> Path:
    return trail.path.with_suffix(".forwarded")


def _load(path: Path) -> Progress:
    try:
        progress = Progress(**json.loads(path.read_text("ascii")))
        if progress.away_since:
            datetime.fromisoformat(progress.away_since)
        return progress
    except FileNotFoundError:
        return Progress()
    except (ValueError, TypeError):
        raise AuditError(
            f"{path.name}, which says how far the audit trail was forwarded, cannot be read",
            next_step="remove it: then everything is sent to the audit repository once more",
        ) from None


def _save(path: Path, progress: Progress) -> None:
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as out:
        out.write(json.dumps(asdict(progress), ensure_ascii=True).encode())
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
