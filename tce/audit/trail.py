"""The audit trail: one JSON line a record, each chained to the one before it by SHA-256, flushed to the disk.

Beside the trail lies its head (number of records, size, last hash), replaced in one step after each append,
so that a trail cut at the end does not pass for a shorter one. A release record anchors the head under a
signature (:mod:`tce.audit.anchors`), which is what stands against somebody who can rewrite both files. It holds job
ids, counts, digests and pseudonyms; originals have no field here.

::

    {"n":1,"time":…,"event":…,"actor":…,"outcome":0,"detail":{…},"message":"<AuditMessage…","prev":"0…0","hash":…}
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tce.errors import AuditError

GENESIS = "0" * 64
_RESTORE = "keep the files as they are, tell the auditor, and compare them with your backup"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the trail."""

    n: int
    time: str
    event: str
    actor: str
    outcome: int
    detail: Mapping[str, str]
    message: str
    prev: str
    hash: str = field(default="")

    def sealed(self) -> Record:
        """Return this record with its hash, which covers every other field and the hash before it."""
        content = {name: getattr(self, name) for name in self.__slots__ if name != "hash"}
        return replace(self, hash=hashlib.sha256(_canonical(content)).hexdigest())


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody wants to have on the trail; it gives number, time and hashes itself."""

    event: str
    actor: str
    outcome: int = 0
    detail: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the trail ends: how many records, how many bytes, the last hash."""

    records: int = 0
    size: int = 0
    hash: str = GENESIS


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Trail:
    """An append-only file of records, shared by any number of processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")

    def append(
        self,
        event: str,
        *,
        actor: str,
        outcome: int = 0,
        detail: Mapping[str, str] | None = None,
        message: str = "",
    ) -> Record:
        """Add a record; when this returns it is on the disk.

        Raises AuditError when the trail does not end as its head says: then nothing is added to it.
        """
        entry = Entry(event, actor, int(outcome), dict(detail or {}), message)
        return self._add(lambda: [entry])[0]

    def react(
        self, reaction: Callable[[Iterator[Record]], Sequence[Entry]], *, to: Sequence[str]
    ) -> list[Record]:
        """Show ``reaction`` the records whose events begin like one of ``to``, and add what it returns.

        Nobody writes in between, so of several processes that react alike to the same records one finds it done.
        Raises AuditError as :meth:`append` does.
        """
        begins = re.compile(b'"event":"(?:' + b"|".join(re.escape(name.encode()) for name in to) + b")")
        return self._add(lambda: reaction(self._telling(begins)))

    def _telling(self, begins: re.Pattern[bytes]) -> Iterator[Record]:
        # Looked for in the bytes: quotes inside a value are escaped there, and to parse every record takes long.
        if self.path.exists():
            with self.path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if begins.search(line):
                        yield _parsed(line, number)

    def _add(self, entries: Callable[[], Sequence[Entry]]) -> list[Record]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with self._locked():
                head = self._recovered(self._read_head())
                added = []
                for entry in entries():
                    record, head = self._write_record(entry, head)
                    added.append(record)
                return added
        except OSError as exc:
            raise AuditError(
                f"the audit trail cannot be written: {exc.strerror}",
                next_step="make room or correct permissions",
            ) from None

    def _write_record(self, entry: Entry, head: Head) -> tuple[Record, Head]:
        record = Record(
            n=head.records + 1,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            event=entry.event,
            actor=entry.actor,
            outcome=entry.outcome,
            detail=dict(entry.detail),
            message=entry.message,
            prev=head.hash,
        ).sealed()
        line = _canonical(asdict(record)) + b"\n"
        self._write(line)
        after = Head(record.n, head.size + len(line), record.hash)
        self._write_head(after)
        return record, after

    def records(self) -> Iterator[Record]:
        """Yield every record in order without checking the chain (see :meth:`verify`)."""
        if self.path.exists():
            with self.path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield _parsed(line, number)

    def head(self) -> Head:
        """Return where the trail ends. Raises AuditError when the head file is missing or unreadable."""
        with self._locked():
            return self._read_head()

    def verify(self) -> Head:
        """Read the whole trail and prove it unbroken; return where it ends.

        Raises AuditError at the first edit, removal, insertion or cut, naming the record.
        """
        return self.walk(Head(), lambda record: None)

    def walk(self, start: Head, look: Callable[[Record], None]) -> Head:
        """Read on from where the trail once ended, prove it unbroken from there, and show each record.

        Returns where the trail ends. Nobody can write meanwhile, so ``look`` must not. Raises AuditError as
        :meth:`verify` does, also when the trail never ended at ``start``; records may have been shown by then.
        """
        if not self.path.exists() and not self.head_path.exists():
            raise AuditError(
                "there is no audit trail", next_step="a site writes its first record at tce init"
            )
        with self._locked():
            head, expected = self._read_head(), start
            met = expected == head
            if not self.path.exists():
                raise AuditError(f"the trail of {head.records} records is missing", next_step=_RESTORE)
            if self.path.stat().st_size < start.size:
                raise AuditError("the trail was cut at its end", next_step=_RESTORE)
            with self.path.open("rb") as lines:
                lines.seek(start.size)
                for number, line in enumerate(lines, start.records + 1):
                    if not line.endswith(b"\n") and expected.size >= head.size:
                        break  # a record that a killed process left unfinished; the next append clears it
                    record = _parsed(line, number)
                    expected = _step(expected, record, len(line))
                    met = met or expected == head
                    look(record)
        # One record may follow the head: its writer died in between.
        if (not met and expected.size >= head.size) or expected.records > head.records + 1:
            raise AuditError("the trail was rewritten: its head does not belong to it", next_step=_RESTORE)
        if not met:
            raise AuditError(
                f"the trail was cut: {head.records} records were written, {expected.records} are there",
                next_step=_RESTORE,
            )
        return expected

    def after(self, start: Head, most: int) -> tuple[list[Record], Head]:
        """Return the records that follow ``start``, until they are ``most`` bytes or the trail ends; and their end.

        Nobody is kept from writing meanwhile. Raises AuditError when the trail never ended at ``start``, or at the
        first edit, removal or cut behind it.
        """
        head = self.head()
        if head.size < start.size or (head.size == start.size and head != start):
            raise AuditError(
                "the audit trail is not the one it was when it was read last", next_step=_RESTORE
            )
        records: list[Record] = []
        end = start
        if end.size < head.size:
            with self.path.open("rb") as lines:
                lines.seek(start.size)
                while end.size < head.size and end.size - start.size < most:
                    line = lines.readline()
                    record = _parsed(line, end.records + 1)
                    end = _step(end, record, len(line))
                    records.append(record)
        return records, end

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read_head(self) -> Head:
        try:
            content = json.loads(self.head_path.read_text("ascii"))
            return Head(int(content["records"]), int(content["size"]), str(content["hash"]))
        except FileNotFoundError:
            if self.path.exists() and self.path.stat().st_size and not self._only_first_record():
                raise AuditError("the head of the audit trail is missing", next_step=_RESTORE) from None
            return Head()
        except (ValueError, TypeError, KeyError):
            raise AuditError("the head of the audit trail is unreadable", next_step=_RESTORE) from None

    def _only_first_record(self) -> bool:
        """Say whether a process may have died between the very first record and its head."""
        return self.path.read_bytes().count(b"\n") <= 1

    def _recovered(self, head: Head) -> Head:
        """Take in what a killed process left after the head: whole records stay, an unfinished one goes."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < head.size:
            raise AuditError("the trail was cut at its end", next_step=_RESTORE)
        if size == head.size:
            return head
        with self.path.open("r+b") as trail:
            trail.seek(head.size)
            for line in trail.readlines():
                if not line.endswith(b"\n"):
                    break
                head = _step(head, _parsed(line, head.records + 1), len(line))
            trail.truncate(head.size)
            os.fsync(trail.fileno())
        # Before anything is added: two records behind the head would look like a trail that was rewritten.
        self._write_head(head)
        return head

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write_head(self, head: Head) -> None:
        draft = self.head_path.with_suffix(".new")
        with draft.open("wb") as out:
            out.write(_canonical(asdict(head)))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self.head_path)


def _parsed(line: bytes, number: int) -> Record:
    try:
        return Record(**json.loads(line))
    except (ValueError, TypeError):
        raise AuditError(f"record {number} of the audit trail is unreadable", next_step=_RESTORE) from None


def _step(end: Head, record: Record, length: int) -> Head:
    """Return the end of the trail after one more record. Raises AuditError when it does not follow."""
    if record.n != end.records + 1 or record.prev != end.hash:
        raise AuditError(f"a record before record {end.records + 1} was removed or moved", next_step=_RESTORE)
    if record.sealed().hash != record.hash:
        raise AuditError(f"record {record.n} was edited", next_step=_RESTORE)
    return Head(record.n, end.size + length, record.hash)
