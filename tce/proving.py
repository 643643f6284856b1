"""The proof of what a stage made, for an export and for a folder alike: verification, and the search for residue.

    (result, source) pairs ──▶ policies.verify ──▶ findings
                           ──▶ originals of the sources ──▶ policies.residue ──▶ findings

A finding names reason, tag and channel and holds no value. What is done about it is the caller's: an export is held
as a whole, of a folder the one instance is set aside.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from policies.forms import Forms
from policies.layout import Instance
from policies.model import Action, Policy
from policies.originals import ALL, Trait, told_by, trait_of
from policies.parsing import read_source
from policies.residue import Residue
from policies.standard.tables import Option
from policies.verify import Finding, Seen, Verification
from tce.orphans import end_with_parent

# What an option leaves in place cannot be residue.
_RETAINED_BY: Mapping[Option, frozenset[Trait]] = {
    Option.RETAIN_UIDS: frozenset({Trait.UID, Trait.DEVICE_UID}),
    Option.RETAIN_INSTITUTION_IDENTITY: frozenset({Trait.PLACE}),
    Option.RETAIN_DEVICE_IDENTITY: frozenset({Trait.DEVICE, Trait.DEVICE_UID}),
}
T = TypeVar("T")
_FEWEST_IN_A_PART = 24
"""Fewer instances are proved sooner than they are shared."""
_THINGS = frozenset({Trait.PLACE, Trait.DEVICE, Trait.DEVICE_UID})
_MANUFACTURER, _MODEL = 0x00080070, 0x00081090


Pair = tuple[Path, Path]


class Provers:
    """Processes that share the proof of large sets.

    They are forked when this is made: make it before the process has threads or connections. Without them, or when one
    of them died, a set is proved in the process that asks.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        if self.count > 1 and "fork" in multiprocessing.get_all_start_methods():
            self._pool = ProcessPoolExecutor(
                self.count, multiprocessing.get_context("fork"), initializer=end_with_parent
            )
            wait([self._pool.submit(time.sleep, 0.05) for _ in range(self.count)])

    def map(self, function: Callable[..., T], parts: Sequence[tuple[object, ...]]) -> list[T]:
        """Return what a function gives for each part, in their order."""
        if self._pool is not None and len(parts) > 1:
            try:
                return [future.result() for future in [self._pool.submit(function, *part) for part in parts]]
            except BrokenProcessPool:
                self._pool = None
        return [function(*part) for part in parts]


@dataclass(frozen=True, slots=True, repr=False)
class Terms:
    """What the results of a set have to be like; see :class:`policies.verify.Verification`."""

    policy: Policy
    trial: Mapping[str, str] | None
    forms: Forms
    recipients: int

    def verification(self, first: int = 1) -> Verification:
        """Return a verification of the part of a set that begins at ``first``."""
        return Verification(
            self.policy, trial=self.trial, forms=self.forms, recipients=self.recipients, first=first
        )


def prove_set(
    pairs: Sequence[Pair],
    policy: Policy,
    *,
    trial: Mapping[str, str] | None = None,
    forms: Forms = Forms(),
    recipients: int = 0,
    provers: Provers | None = None,
) -> list[Finding]:
    """Return everything wrong with the results of a stage, given as pairs of result and source.

    ``forms`` are those of the pseudonyms of the case that the stage was for; ``recipients`` says for how many the
    originals are encrypted in each result. ``provers`` share the work.

    1. each instance: policy, claims, legality, Types of its IOD, and what became of its source;
    2. the set: references resolve as they did before, UIDs and patients are one for one, intervals are kept;
    3. residue: no identifying value of any of the sources in any byte.
    """
    terms = Terms(policy, trial, forms, recipients)
    provers = provers or Provers(1)
    size = max(_FEWEST_IN_A_PART, -(-len(pairs) // provers.count))
    starts = range(0, len(pairs), size)
    parts = [(tuple(pairs[at : at + size]), at + 1) for at in starts]
    # 1. The instances, and what their sources tell.
    whole = terms.verification()
    found: list[Finding] = []
    told = Told()
    for findings, seen, of_part in provers.map(_check_part, [(terms, *part) for part in parts]):
        found += findings
        whole.take(seen)
        told.values.update(of_part.values)
        told.makers.update(of_part.makers)
        told.kept.update(of_part.kept)
    # 2. The set.
    found += whole.whole()
    # 3. Residue: every value of any source, in each result.
    values = tuple(sorted(sought(told, policy)))
    if values:
        for findings in provers.map(_search_part, [(values, *part) for part in parts]):
            found += findings
    return found


def _check_part(terms: Terms, pairs: Sequence[Pair], first: int) -> tuple[list[Finding], Seen, Told]:
    verification = terms.verification(first)
    found: list[Finding] = []
    told = Told()
    for result, source in pairs:
        before = read_source(source) if source.is_file() else None
        # What is not there is a finding of the verification.
        found += verification.check(result, before or source)
        if before is not None:
            told.hear(before, terms.policy)
    return found, verification.seen, told


def _search_part(values: Sequence[str], pairs: Sequence[Pair], first: int) -> list[Finding]:
    search = Residue(values)
    found = []
    for place, (result, _) in enumerate(pairs, start=first):
        if not result.is_file():
            continue
        for where, channel in sorted({(hit.where, hit.channel) for hit in search.search_instance(result)}):
            found.append(Finding("residue", where, channel, "a value of the sources stands there", place))
    return found


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What sources tell that may not stand in a result, and what stays of places and devices. Never print it."""

    values: set[tuple[Trait, str]] = field(default_factory=set)
    makers: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def hear(self, source: Instance, policy: Policy) -> None:
        """Take in what a source tells."""
        self.values.update(told_by(source))
        # Manufacturers and model names, which no policy removes by default; and, whole, what an exception keeps.
        self.makers.update(source.text(tag).casefold() for tag in (_MANUFACTURER, _MODEL))
        self.kept.update(
            part.casefold()
            for rule in policy.overrides
            if rule.action == Action.K and rule.when is None and len(rule.path) == 1
            if trait_of(rule.tag) in _THINGS and rule.tag in source.top
            for part in source.top[rule.tag].texts()
        )


def traits_sought(policy: Policy) -> frozenset[Trait]:
    """Return what original values may tell that a policy takes away."""
    return ALL - {trait for option in _RETAINED_BY.keys() & policy.options for trait in _RETAINED_BY[option]}


def sought(told: Told, policy: Policy) -> set[str]:
    """Return the values that are searched for in the results of a policy."""
    traits = traits_sought(policy)
    # A hospital whose name is written as the maker's, which stays, cannot be told from the maker.
    return {
        value
        for trait, value in told.values
        if trait in traits
        and not (
            trait in _THINGS
            and (value.casefold() in told.kept or any(value.casefold() in one for one in told.makers))
        )
    }
