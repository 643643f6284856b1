"""Carries planted files through one stage or two, by the engine alone, and looks at everything that came out.

A file that is held or refused has not passed: its canaries prove nothing, and are counted apart. What an
exception says is searched as well.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import shutil
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.errors import PolicyRoomError
from policies.model import Policy, Stage
from policies.pseudonyms import Identifier
from policies.selftest.attributes import said
from policies.selftest.canary import Canary, Kind
from policies.selftest.expectations import gone
from policies.selftest.search import Found, Search
from tests.canaries.policies import accepting, shipped
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

OFFSET = -4000
"""Days by which dates are shifted: more than the planted dates lie apart."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A file and what was planted in it."""

    path: Path
    family: str
    canaries: Sequence[Canary]
    at_risk: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A canary that was found where it had to be gone."""

    channel: str
    where: str
    family: str
    policy: str
    form: str
    planted_in: str


def carried(planted: Sequence[Planted], out: Path, *, seconds: Sequence[Policy], workers: int = 1) -> Tally:
    """Carry everything through stage 1 as shipped, and from there through every policy of ``seconds``."""
    tally = Tally()
    for file in planted:
        tally.planted.update(canary.channel for canary in file.canaries)
    if workers == 1:
        tally.add(_through_all(planted, out, seconds))
        return tally
    # Forked children see the same canaries; only places in the list go to them, so that identities stay.
    global _WORK
    _WORK = (planted, out, seconds)
    size = max(1, -(-len(planted) // (4 * workers)))
    starts = range(0, len(planted), size)
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        for part in pool.imap_unordered(_part, [(start, start + size) for start in starts]):
            tally.add(part)
    return tally


_WORK: tuple[Sequence[Planted], Path, Sequence[Policy]] = ((), Path(), ())


def _part(place: tuple[int, int]) -> Tally:
    planted, out, seconds = _WORK
    return _through_all(planted[slice(*place)], out / f"{place[0]}", seconds)


def _through_all(planted: Sequence[Planted], out: Path, seconds: Sequence[Policy]) -> Tally:
    tally = Tally()
    firsts = [policy for one in shipped(Stage.PSEUDONYMIZE) for policy in (one, accepting(one))]
    for number, first in enumerate(firsts):
        # The policy that accepts every risk needs to carry only what the shipped one holds by its kind.
        chosen = planted if not first.accept else [file for file in planted if file.at_risk]
        passed, of_first = carry(chosen, out / f"{number}", first)
        tally.add(of_first)
        for place, second in enumerate(seconds):
            folder = out / f"{number}-{place}"
            tally.add(carry(passed, folder, accepting(second) if first.accept else second, [first])[1])
            shutil.rmtree(folder)
        shutil.rmtree(out / f"{number}")
    return tally


def _sets() -> dict[str, set[int]]:
    return defaultdict(set)


@dataclass
class Tally:
    """What was planted, what passed, what survived, and why something did not pass.

    ``planted`` and ``passed`` count canaries once, however many policies they went through; ``searched``
    counts each search for one of them.
    """

    planted: Counter[str] = field(default_factory=Counter)
    searched: Counter[str] = field(default_factory=Counter)
    through: dict[str, set[int]] = field(default_factory=_sets)
    survivors: list[Survivor] = field(default_factory=list)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    crashed: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        for name in ("planted", "searched", "reasons", "instances"):
            getattr(self, name).update(getattr(other, name))
        for channel, canaries in other.through.items():
            self.through[channel] |= canaries
        self.survivors += other.survivors
        self.crashed += other.crashed

    @property
    def passed(self) -> Counter[str]:
        """How many canaries of each channel were in an instance that passed some policy."""
        return Counter({channel: len(canaries) for channel, canaries in self.through.items()})

    @property
    def survived(self) -> Counter[str]:
        """How many canaries of each channel were found where they had to be gone."""
        found = {(one.channel, one.where, one.planted_in) for one in self.survivors}
        return Counter(channel for channel, _, _ in found)


def carry(
    planted: Iterable[Planted],
    out: Path,
    policy: Policy,
    before: Sequence[Policy] = (),
    trial: Mapping[str, str] | None = None,
) -> tuple[list[Planted], Tally]:
    """Carry files through the stage of ``policy``; ``before`` are the stages that they went through already."""
    out.mkdir(parents=True, exist_ok=True)
    engine, tally, passed = Engine(policy, trial=trial or {}), Tally(), []
    label = " + ".join(one.name for one in (*before, policy))
    for number, file in enumerate(planted):
        target = out / f"{number:06d}.dcm"
        with _hearing() as heard:
            told = _written(engine, file, target, tally, label)
        if heard:
            _look(
                "\n".join(heard).encode(errors="surrogateescape"),
                file,
                label,
                [*before, policy],
                tally,
                "warnings and logs",
            )
        if told:
            _look(
                told.encode(errors="surrogateescape"), file, label, [*before, policy], tally, "exception text"
            )
            continue
        tally.instances["passed"] += 1
        for canary in file.canaries:
            tally.through[canary.channel].add(id(canary))
        _look(target.read_bytes(), file, label, [*before, policy], tally, "")
        passed.append(Planted(target, file.family, file.canaries, file.at_risk, file.origin))
    return passed, tally


@contextmanager
def _hearing() -> Iterator[list[str]]:
    """Collect what is warned of and logged, by whatever library."""
    heard: list[str] = []
    ear = logging.Handler(logging.DEBUG)
    ear.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(), logging.getLogger("pydicom")]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for logger in loggers:
            logger.addHandler(ear)
        try:
            yield heard
        finally:
            for logger in loggers:
                logger.removeHandler(ear)
            heard += [str(one.message) for one in warned]


def _written(engine: Engine, file: Planted, target: Path, tally: Tally, label: str) -> str:
    """Write one instance. Returns nothing, or everything that was said about why it could not be written."""
    try:
        with engine.read(file.path) as draft:
            answers: Mapping[Identifier, str] = CountedPseudonyms(OFFSET).resolve([draft.subject])
            engine.write(draft, answers, target)
    except PolicyRoomError as refused:
        reason = getattr(refused, "reason", type(refused).__name__)
        tally.reasons[label, f"{type(refused).__name__.lower()}: {reason}"] += 1
        tally.instances["set aside"] += 1
        return _everything_said(refused)
    except Exception as crash:
        tally.crashed.append(f"{label}: {file.family}: {type(crash).__name__}")
        tally.instances["crashed"] += 1
        return _everything_said(crash)
    return ""


def _everything_said(raised: Exception) -> str:
    text = io.StringIO()
    traceback.print_exception(raised, file=text)
    return f"{raised} {raised!r} {vars(raised)!r}\n{text.getvalue()}"


def _look(
    data: bytes, file: Planted, label: str, policies: Sequence[Policy], tally: Tally, channel: str
) -> None:
    sought = [canary for canary in file.canaries if channel or gone(canary, policies)]
    tally.searched.update(canary.channel for canary in sought)
    survived = list(Search(sought).everywhere(data))
    for found in _told_once(survived, data):
        tally.survivors.append(_survivor(found, file, label, channel))


def _told_once(survived: list[Found], data: bytes) -> Iterator[Found]:
    """Of texts that were planted in many places, only those places where they still stand, or one of them."""
    texts: dict[str, list[Found]] = defaultdict(list)
    for found in survived:
        if found.canary.kind is Kind.TEXT:
            texts[str(found.canary.value)].append(found)
        else:
            yield found
    places = _places(data, set(texts)) if texts else set()
    for text, all_found in texts.items():
        standing = [found for found in all_found if (found.canary.where, text.lower()) in places]
        yield from standing or all_found[:1]


def _places(data: bytes, texts: set[str]) -> set[tuple[str, str]]:
    """Where texts stand in an instance, by path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return set(
            _standing(pydicom.dcmread(io.BytesIO(data), force=True), (), {text.lower() for text in texts})
        )


def _standing(ds: Dataset, path: tuple[int, ...], texts: set[str]) -> Iterator[tuple[str, str]]:
    for element in ds:
        here = (*path, int(element.tag))
        if element.VR == "SQ":
            for item in element.value:
                yield from _standing(item, here, texts)
        elif isinstance(element.value, str):
            yield from ((said(here), text) for text in texts if text in element.value.lower())


def _survivor(found: Found, file: Planted, label: str, channel: str) -> Survivor:
    canary = found.canary
    where = f"{canary.where} ({canary.vr})" if canary.vr else canary.where
    return Survivor(channel or canary.channel, where, file.family, label, found.form, file.origin)
