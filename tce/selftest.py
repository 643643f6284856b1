"""Trying a policy on instances that are built for it, with keys that nobody keeps: what leaks, what stays, what fits.

    every main family, a canary in each attribute that the policy has to empty  ──┐
    one CT image for each channel beside the attributes (private, wrong VR, …)  ──┼─▶ stage 1 ─▶ policy ─▶ search
    two sample studies of invented patients ──────────────────────────────────────▶ stage 1 ─▶ policy ─▶ compared

A policy of stage 1 is tried alone. Figures hold no value but invented ones. Real files are tried by a preview.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.errors import PolicyRoomError
from policies.forms import Forms
from policies.loader import load_library
from policies.model import Policy, Stage
from policies.movement import EPOCH
from policies.pseudonyms import Identifier, Kind, Subject
from policies.selftest import canary
from policies.selftest.analysis import NEEDED
from policies.selftest.attributes import Unknown
from policies.selftest.canary import Canary, Mint
from policies.selftest.channels import CHANNELS
from policies.selftest.expectations import gone
from policies.selftest.families import a_plain_instance, an_instance, family_of
from policies.selftest.search import Search
from tce import __version__
from tce.proving import prove_set
from tce.samples import ct_study, mr_study, write_samples
from tce.trial_figures import Figures
from vault import keys, scheme

_DAYS = -4000
"""Further than the planted dates lie apart, so that no moved one is taken for another that stayed."""
_CT = "1.2.840.10008.5.1.4.1.1.2"
_KINDS = (
    "1 1.1 1.2 2 2.1 4 4.1 128 20 6.1 7 12.1 12.2 66 66.1 66.4 67 30 104.1 11.1 9.1.1 88.33 88.59 88.67 "
    "481.1 481.2 481.3 481.5"
)
FAMILIES = tuple(f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in _KINDS.split())
_REFERENCE = 0x00081155


class ThrownAway:
    """Pseudonyms under a key that nobody keeps."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        """Return a pseudonym for every identifier."""
        return {
            one: self._answer(one) for subject in subjects for one in subject.identifiers | {subject.patient}
        }

    def _answer(self, identifier: Identifier) -> str:
        if identifier.kind == Kind.DATE_OFFSET:
            return str(_DAYS)
        told = "\0".join(identifier).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, told, hashlib.sha256)
        return scheme.pseudonym(keys.Kind(identifier.kind), digest, scheme.Form())


class _AnyPatient(dict[str, date]):
    """A list of events that has every patient, for policies that count study days."""

    def __missing__(self, patient: str) -> date:
        return EPOCH - timedelta(days=_DAYS)

    def __contains__(self, patient: object) -> bool:
        return True

    def get(self, patient: str, default: Any = None) -> date:
        return self[patient]


@dataclass(frozen=True, slots=True, repr=False)
class Planted:
    """A built instance, and what was planted into it."""

    path: Path
    family: str
    canaries: Sequence[Canary]


class _Chain:
    """The stages up to a policy, with keys that are thrown away."""

    def __init__(self, policy: Policy) -> None:
        first = [load_library("pseudonymization")] if policy.stage is Stage.ANONYMIZE else []
        self.policies = [*first, policy]
        self._engines = [Engine(one, events=_AnyPatient()) for one in self.policies]
        self._pseudonyms = [ThrownAway() for _ in self.policies]

    def carry(self, source: Path, out: Path) -> list[Path]:
        """Return what each stage made of a file. Raises PolicyRoomError where it is held or refused."""
        made: list[Path] = []
        for number, (engine, pseudonyms) in enumerate(zip(self._engines, self._pseudonyms, strict=True)):
            target = out / f"{source.stem}-{number}.dcm"
            with engine.read(source) as draft:
                engine.write(draft, pseudonyms.resolve([draft.subject]), target)
            made.append(target)
            source = target
        return made


def figures(policy: Policy, progress: Callable[[int, int], None] = lambda done, total: None) -> Figures:
    """Try a policy; takes about a minute. ``progress`` is told how many instances are done, of how many."""
    chain = _Chain(policy)
    with tempfile.TemporaryDirectory(prefix="tce-selftest-") as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are meant to be odd
        folder = Path(place)
        planted = list(garden(folder))
        samples = write_samples([*ct_study(slices=3), *mr_study(slices=3)], folder / "samples")
        total = len(planted) + len(samples)
        leaked: list[str] = []
        aside: Counter[str] = Counter()
        searched = passed = 0
        for number, one in enumerate(planted, 1):
            progress(number, total)
            try:
                result = chain.carry(one.path, folder)[-1].read_bytes()
            except PolicyRoomError as refused:
                aside[str(getattr(refused, "reason", type(refused).__name__))] += 1
                continue
            passed += 1
            sought = [each for each in one.canaries if is_sought(each, chain.policies)]
            searched += len(sought)
            leaked += _survivors(Search(sought), result, one.family)
        pairs = list(_pairs(samples, chain, folder / "results", aside))
        progress(total, total)
        return Figures(
            policy={"name": policy.name, "version": policy.version, "digest": policy.digest},
            software=f"tce {__version__}",
            planted=sum(len(one.canaries) for one in planted),
            searched=searched,
            leaked=leaked,
            instances=passed + len(pairs),
            set_aside=dict(aside),
            retained=_retained(pairs),
            references=_references(pairs),
            findings=_findings(pairs, policy),
        )


def garden(folder: Path) -> Iterator[Planted]:
    """Build and plant: each family with every attribute, and a CT image for each channel."""
    mint = Mint()
    basic = load_library("basic")
    for number, uid in enumerate(FAMILIES):
        unknown = Unknown(mint, basic)
        ds = an_instance(uid, unknown, uid=mint.uid())
        yield _kept(ds, folder / f"family{number}.dcm", family_of(uid), unknown.planted)
    for number, channel in enumerate(CHANNELS):
        ds = a_plain_instance(_CT, study=mint.uid(), series=mint.uid(), uid=mint.uid())
        canaries = channel(ds, mint)
        yield _kept(ds, folder / f"channel{number}.dcm", family_of(_CT), canaries)


def _kept(ds: Dataset, path: Path, family: str, canaries: Sequence[Canary]) -> Planted:
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return Planted(path, family, canaries)


def is_sought(one: Canary, policies: Sequence[Policy]) -> bool:
    """Whether a canary must be gone, and can be told from what a policy makes of another.

    Truncated dates move by some days only, so one becomes what another was; of those, the verification answers.
    """
    if policies[-1].dates.startswith("truncate") and one.kind is canary.Kind.DATE:
        return False
    return gone(one, policies)


def _survivors(search: Search, result: bytes, family: str) -> list[str]:
    return [
        f"{found.canary.channel}: {found.canary.where} of {family}, {found.form}"
        for found in search.everywhere(result)
    ]


def _pairs(
    samples: Sequence[Path], chain: _Chain, out: Path, aside: Counter[str]
) -> Iterator[tuple[Path, Path]]:
    """Yield result of the policy and what it was made from, of each sample that passed."""
    out.mkdir()
    for number, sample in enumerate(samples):
        source = out / f"sample{number}.dcm"
        source.write_bytes(sample.read_bytes())
        try:
            made = [source, *chain.carry(source, out)]
        except PolicyRoomError as refused:
            aside[str(getattr(refused, "reason", type(refused).__name__))] += 1
        else:
            yield made[-1], made[-2]


def _retained(pairs: Sequence[tuple[Path, Path]]) -> dict[str, tuple[int, int]]:
    same: Counter[str] = Counter()
    needed: Counter[str] = Counter()
    for result, source in pairs:
        after = dict(_leaves(pydicom.dcmread(result), ()))
        for path, value in _leaves(pydicom.dcmread(source), ()):
            tag = path[-1]
            if tag in NEEDED and value not in ("", None):
                needed[NEEDED[tag]] += 1
                same[NEEDED[tag]] += path in after and str(after[path]) == str(value)
    return {group: (same[group], count) for group, count in sorted(needed.items())}


def _leaves(ds: Dataset, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], object]]:
    for element in ds:
        here = (*path, int(element.tag))
        if element.VR == "SQ":
            for place, item in enumerate(element.value):
                yield from _leaves(item, (*here, place))
        else:
            yield here, element.value


def _references(pairs: Sequence[tuple[Path, Path]]) -> dict[str, int]:
    """Count the references among the samples, after the policy and before."""
    counted = {}
    for side, when in enumerate(("after", "before")):
        instances = [pydicom.dcmread(pair[side]) for pair in pairs]
        there = {str(ds.SOPInstanceUID) for ds in instances}
        named = [str(v) for ds in instances for path, v in _leaves(ds, ()) if path[-1] == _REFERENCE]
        counted[f"standing {when}"] = len(named)
        counted[f"resolving {when}"] = sum(uid in there for uid in named)
    return counted


def _findings(pairs: Sequence[tuple[Path, Path]], policy: Policy) -> dict[str, int]:
    found = prove_set(pairs, policy, forms=Forms()) if pairs else []
    return dict(sorted(Counter(one.code for one in found).items()))
