"""Files to files: a folder tree of any size through one stage, in parallel on the machine's cores.

    sources ──walk──▶ batches ──workers: read, resolve once, write──▶ out/<patient>/<study>/<series>/<instance>.dcm

The engine is made once, before the workers, so that they share what it has read of the standard's tables; each worker
has its own way to pseudonyms. One batch is one request for pseudonyms. Nothing of the source's file names is kept; what
cannot be passed on is set aside with its reason and the others go on. An instance appears under its name only when it
is complete, so a job that died is simply run again. Paths are plain text here: this runs for every file.
"""

from __future__ import annotations

import contextlib
import filecmp
import gc
import itertools
import multiprocessing
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from policies.engine import Draft, Engine
from policies.errors import Held, Refusal
from policies.forms import Forms
from policies.pseudonyms import Identifier, Pseudonyms, Subject
from tce.errors import TceError
from tce.orphans import end_with_parent
from tce.walking import batches_under

Bench = Callable[[], tuple[Engine, Callable[[], Pseudonyms]]]
"""Called once for the engine, and for what each worker then calls for its own way to pseudonyms."""

_AHEAD = 4
_SELDOM = 50_000
"""How many more objects there have to be than before until the search for garbage begins."""
_HEAVY = 1 << 26
"""How many bytes of instances a worker holds before it writes them, whatever the batch."""
_CONFLICT = "Another instance has the same SOP Instance UID and other content, or another series or patient."
_FINDING_STEP = "Report it with these words; leave the file out until then."
_CONFLICT_STEP = "Find out which of them is right; leave the others out."


@dataclass(frozen=True, slots=True)
class SetAside:
    """One source file that was not passed on. ``held`` means that a person's review can let it pass."""

    path: Path
    reason: str
    what: str
    next_step: str
    held: bool


class Place(NamedTuple):
    """Where an instance lies, by its new SOP Instance UID; ``new`` when this job put it there."""

    uid: str
    folder: str
    source: str
    new: bool

    @property
    def target(self) -> str:
        """The file. Only its folder is kept, which is the same for a whole series: a job may have very many files."""
        return f"{self.folder}/{self.uid}.dcm"

    def __repr__(self) -> str:
        return "Place(…)"


@dataclass(slots=True)
class FolderAccount:
    """What a job did. ``already`` counts instances that lay in ``out`` with the same bytes."""

    written: int = 0
    already: int = 0
    patients: set[str] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    set_aside: list[SetAside] = field(default_factory=list)
    places: list[Place] = field(default_factory=list, repr=False)
    """Of a batch: where its instances lie now."""
    disputed: list[str] = field(default_factory=list, repr=False)
    """Of a batch: SOP Instance UIDs under which another content lay already."""

    def add(self, other: FolderAccount) -> None:
        """Take in the account of one batch."""
        self.written += other.written
        self.already += other.already
        self.patients |= other.patients
        self.studies |= other.studies
        self.series |= other.series
        self.set_aside += other.set_aside


def de_identify(
    sources: Sequence[Path],
    out: Path,
    bench: Bench,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    prove: Forms | None = None,
    permission: Callable[[], None] = lambda: None,
) -> FolderAccount:
    """Carry every DICOM instance under ``sources`` through one stage into ``out``.

    With ``prove``, the forms of the case's pseudonyms, each result is verified (:mod:`tce.proving`), and one with a
    finding is taken back and set aside.
    ``permission`` is asked before each batch of at most 128 files is read, and before what was read of it is written;
    what it raises ends the job.
    ``progress`` is called with the number of files done so far. The same sources, keys and policy give the same files.

    Raises:
        TceError: ``out`` holds a source or lies in one, or a worker process died.
        VaultRoomError, OSError: the job cannot go on; what was written is complete, and a rerun continues.
    """
    apart(sources, out)
    out.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(out)
    account = FolderAccount()
    doubles = _Doubles()
    try:
        for batch in _results(
            batches_under(sources), out, scratch, bench, workers, _Terms(prove, permission)
        ):
            doubles.take_in(batch)
            account.add(batch)
            progress(account.written + account.already + len(account.set_aside))
        doubles.settle(account)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not (account.written or account.already or account.set_aside):
        raise TceError("There is no file under the sources.", next_step="Check the path.")
    account.set_aside.sort(key=lambda aside: aside.path)
    return account


class _Terms(NamedTuple):
    """Whether results are proved, for pseudonyms of which forms, and what is asked before they are made."""

    prove: Forms | None
    permission: Callable[[], None]


class _Doubles:
    """Where the instances of a job lie, and which SOP Instance UIDs two of them claim.

    Which of the two is right cannot be decided, and must not depend on who came first: neither is passed on.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._disputed: set[str] = set()

    def take_in(self, batch: FolderAccount) -> None:
        """Note a batch; take back what another series or patient already claims."""
        for place in batch.places:
            first = self._places.setdefault(place.uid, place)
            if first.folder != place.folder:
                self._disputed.add(place.uid)
                self._take_back(place, batch)
        self._disputed.update(batch.disputed)

    def settle(self, account: FolderAccount) -> None:
        """Take back the first of each that are disputed, when the job is done."""
        for uid in sorted(self._disputed):
            if uid in self._places:
                self._take_back(self._places[uid], account)

    def _take_back(self, place: Place, account: FolderAccount) -> None:
        if place.new:
            Path(place.target).unlink(missing_ok=True)
            account.written -= 1
        else:
            # It lay there before this job: that is for a person to judge.
            account.already -= 1
        account.set_aside.append(
            SetAside(Path(place.source), "conflict", _CONFLICT, _CONFLICT_STEP, held=False)
        )


def _results(
    batches: Iterator[list[str]],
    out: Path,
    scratch: Path,
    bench: Bench,
    workers: int | None,
    terms: _Terms,
) -> Iterator[FolderAccount]:
    count = (
        workers or os.process_cpu_count()
        if hasattr(os, "process_cpu_count")
        else workers or os.cpu_count() or 1
    )
    forks = "fork" in multiprocessing.get_all_start_methods()
    made = bench() if forks or count == 1 else None
    # What exists now lives as long as the job: to look for garbage in it takes long, and in a worker copies it. What a
    # batch makes is no garbage before it is written, and then hardly any of it is in a circle.
    gc.freeze()
    often = gc.get_threshold()
    gc.set_threshold(_SELDOM, *often[1:])
    try:
        if count == 1:
            with _Worker(out, scratch, terms, *(made or bench())) as worker:
                yield from map(worker.carry, batches)
            return
        if made is not None:
            batches = _tried(batches, made[0])
        context = multiprocessing.get_context("fork" if forks else "spawn")
        with ProcessPoolExecutor(count, context, _start, (out, scratch, terms, bench, made)) as pool:
            yield from _carried(pool, batches, count)
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()


def _tried(batches: Iterator[list[str]], engine: Engine) -> Iterator[list[str]]:
    """Read the first file that can be read, so that the workers share what the engine needs for its kind."""
    first = next(batches, [])
    for path in first:
        with contextlib.suppress(Refusal, OSError):
            engine.read(path).close()
            break
    return itertools.chain([first] if first else [], batches)


def _carried(pool: ProcessPoolExecutor, batches: Iterator[list[str]], count: int) -> Iterator[FolderAccount]:
    waiting: set[Future[FolderAccount]] = set()
    try:
        for batch in batches:
            waiting.add(pool.submit(_carry, batch))
            if len(waiting) >= count * _AHEAD:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in waiting)
    except BrokenProcessPool as broken:
        raise TceError(
            "A worker process died.", next_step="Run the same command again; it continues."
        ) from broken
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """One process's share: it reads a batch, resolves its identifiers in one request, and writes.

    Pseudonyms are asked for in a thread of their own, in which the login at the Vault goes on while the first
    instances are read.
    """

    def __init__(
        self, out: Path, scratch: Path, terms: _Terms, engine: Engine, way: Callable[[], Pseudonyms]
    ) -> None:
        self._out = str(out)
        self._proves = terms.prove
        self._permission = terms.permission
        self._scratch = str(scratch)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a batch is open at one time
        self._engine = engine
        self._asking = ThreadPoolExecutor(1)
        self._pseudonyms = self._asking.submit(way)
        self._folders: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asking.shutdown(cancel_futures=True)

    def carry(self, batch: list[str]) -> FolderAccount:
        self._permission()
        account = FolderAccount()
        with contextlib.ExitStack() as open_drafts:
            drafts: list[tuple[str, Draft]] = []
            weight = 0
            for path in batch:
                with self._setting_aside(path, account):
                    draft = open_drafts.enter_context(self._read(path))
                    drafts.append((path, draft))
                    weight += draft.weight
                if weight > _HEAVY:
                    self._finish(drafts, account)
                    drafts, weight = [], 0
            self._finish(drafts, account)
        if self._proves is not None:
            self._prove(account, self._proves)
        return account

    def _prove(self, account: FolderAccount, forms: Forms) -> None:
        """Verify a batch; take back what has a finding, with the first of its findings as the reason."""
        # Imported here: a job that proves nothing need not wait until all of the verification is read.
        from tce.proving import prove_set

        places = account.places
        pairs = [(Path(place.target), Path(place.source)) for place in places]
        found = prove_set(pairs, self._engine.policy, forms=forms, recipients=self._engine.recipients)
        wrong = {one.instance - 1: one for one in reversed(found)}
        for at, finding in sorted(wrong.items()):
            place = places[at]
            if place.new:
                # What lay there before this job is for a person to judge.
                Path(place.target).unlink(missing_ok=True)
            account.written -= place.new
            account.already -= not place.new
            what = f"{finding.where or finding.channel}: {finding.what}"
            account.set_aside.append(
                SetAside(Path(place.source), finding.code, what, _FINDING_STEP, held=True)
            )
        account.places = [place for at, place in enumerate(places) if at not in wrong]

    def _finish(self, drafts: list[tuple[str, Draft]], account: FolderAccount) -> None:
        if not drafts:
            return
        answers = self._pseudonyms.result().resolve(merged(draft.subject for _, draft in drafts))
        self._permission()
        for path, draft in drafts:
            with self._setting_aside(path, account):
                self._write(path, draft, answers, account)
            draft.close()

    def _read(self, path: str) -> Draft:
        try:
            return self._engine.read(path)
        except OSError as fault:
            # Only what concerns this one file: a target that cannot be written ends the job elsewhere.
            raise Refusal(
                "unreadable",
                f"The file cannot be read ({os.strerror(fault.errno or 0)}).",
                next_step="Check its permissions and its disk.",
            ) from fault

    def _write(
        self, source: str, draft: Draft, answers: Mapping[Identifier, str], account: FolderAccount
    ) -> None:
        names = self._engine.names(draft, answers)
        folder = f"{self._out}/{names.patient_id}/{names.study_uid}/{names.series_uid}"
        if folder not in self._folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
        folder = self._folders.setdefault(folder, folder)
        target = f"{folder}/{names.sop_instance_uid}.dcm"
        try:
            self._engine.write(draft, answers, target, scratch=self._scratch)
            new = True
        except FileExistsError:
            if not self._is_same(draft, answers, target):
                account.disputed.append(names.sop_instance_uid)
                raise Refusal("conflict", _CONFLICT, next_step=_CONFLICT_STEP) from None
            new = False
        account.written += new
        account.already += not new
        account.places.append(Place(names.sop_instance_uid, folder, source, new))
        account.patients.add(names.patient_id)
        account.studies.add(names.study_uid)
        account.series.add(names.series_uid)

    def _is_same(self, draft: Draft, answers: Mapping[Identifier, str], target: str) -> bool:
        again = f"{self._scratch}/{os.getpid()}-again.dcm"
        try:
            self._engine.write(draft, answers, again, scratch=self._scratch)
            return filecmp.cmp(again, target, shallow=False)
        finally:
            Path(again).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _setting_aside(self, path: str, account: FolderAccount) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            account.set_aside.append(
                SetAside(
                    Path(path), refusal.reason, refusal.what, refusal.next_step, isinstance(refusal, Held)
                )
            )


def merged(subjects: Iterable[Subject]) -> list[Subject]:
    """Return one subject for each patient, with everything that the given ones hold."""
    identifiers: dict[Identifier, set[Identifier]] = {}
    attributes: dict[Identifier, dict[tuple[str, str], None]] = {}
    for subject in subjects:
        identifiers.setdefault(subject.patient, set()).update(subject.identifiers)
        attributes.setdefault(subject.patient, {}).update(dict.fromkeys(subject.attributes))
    return [
        Subject(patient, frozenset(found), tuple(attributes[patient]))
        for patient, found in identifiers.items()
    ]


_job: tuple[Path, Path, _Terms, Engine, Callable[[], Pseudonyms]]
_worker: _Worker | None = None


def _start(
    out: Path,
    scratch: Path,
    terms: _Terms,
    bench: Bench,
    made: tuple[Engine, Callable[[], Pseudonyms]] | None,
) -> None:
    global _job
    _job = out, scratch, terms, *(made or bench())
    end_with_parent()


def _carry(batch: list[str]) -> FolderAccount:
    # The worker is made at the first batch, not at the start: what fails then reaches the caller by its name.
    global _worker
    if _worker is None:
        _worker = _Worker(*_job)
    return _worker.carry(batch)


def apart(sources: Sequence[Path], out: Path) -> None:
    """Return if no source lies in the folder to write to, and it in none. Raises TceError."""
    target = out.resolve()
    for source in sources:
        resolved = source.resolve()
        if target == resolved or resolved in target.parents or target in resolved.parents:
            raise TceError(
                "The folder to write to and a source lie within each other.",
                next_step="Choose an --out folder beside the sources.",
            )


def _scratch(out: Path) -> Path:
    """Return a fresh folder for unfinished files; what jobs that died left behind is removed."""
    for left in out.glob(".partial-*"):
        if not Path(f"/proc/{left.name.removeprefix('.partial-')}").exists():
            shutil.rmtree(left, ignore_errors=True)
    scratch = out / f".partial-{os.getpid()}"
    scratch.mkdir(exist_ok=True)
    return scratch
