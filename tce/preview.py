"""What a policy does to given files, before anybody signs it: tried, compared, judged, verified.

    1. try      every file through the engine, into a folder of this process that is removed   (tce.trial_run)
    2. compare  each result with its source, attribute by attribute, with the ground           (policies.effects)
    3. judge    what an analysis would lose                                                     (policies.analysis)
    4. ask      which keys of a DICOMDIR are missing                                           (media.requirements)
    5. verify   all results of a patient, as an export is verified                              (tce.proving)

What is collected holds original values, for the person who has the files. Who shows or keeps it says so
(:mod:`tce.preview_account`).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from media.requirements import missing
from policies.analysis import Analysis, Loss
from policies.effects import Change, changes
from policies.errors import Held, Refusal
from policies.forms import Forms
from policies.grounds import Ground, Happened, Step
from policies.layout import Instance
from policies.model import Policy
from policies.movement import Events
from policies.parsing import read_source
from policies.rules import Rules
from policies.verify import Finding
from tce.directory_keys import EmptyKey, empty_keys
from tce.proving import prove_set
from tce.trial_run import TrialRun

_MOST_EXAMPLES = 3
_MOST_WORDS = 400
"""Different words of one attribute that are remembered as gone."""


@dataclass(frozen=True, slots=True, repr=False)
class Kind:
    """What makes changes one row: what happened, why, and where."""

    happened: Happened
    ground: Ground
    path: tuple[Step, ...]


@dataclass(slots=True, repr=False)
class Row:
    """One attribute that came out in one way. ``examples`` and ``gone`` hold originals."""

    values: int = 0
    files: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    gone: Counter[str] = field(default_factory=Counter)
    _seen: int = 0

    def add(self, change: Change, file: int) -> None:
        """Count one value of the numbered file."""
        self.values += 1
        self.files += file != self._seen
        self._seen = file
        example = (change.before, change.after)
        if len(self.examples) < _MOST_EXAMPLES and example not in self.examples:
            self.examples.append(example)
        if change.gone and len(self.gone) < _MOST_WORDS:
            self.gone.update(change.gone)


@dataclass(frozen=True, slots=True, repr=False)
class TurnedDown:
    """A file that the policy does not let pass, with the reason. ``held``: a person's review can let it pass."""

    file: Path
    reason: str
    what: str
    next_step: str
    held: bool


@dataclass(frozen=True, slots=True, repr=False)
class MissingKey:
    """A Type 1 key of a DICOMDIR that ``count`` results lack; ``had`` of their sources had it."""

    record: str
    keyword: str
    count: int = field(compare=False)
    had: int = field(compare=False)


@dataclass(slots=True, repr=False)
class Preview:
    """Everything that was seen. It holds originals: never log or print it whole."""

    policy: Policy
    files: tuple[Path, ...]
    passed: list[Path] = field(default_factory=list)
    rows: dict[Kind, Row] = field(default_factory=dict)
    losses: Sequence[Loss] = ()
    turned_down: list[TurnedDown] = field(default_factory=list)
    never_there: Sequence[EmptyKey] = ()
    missing_keys: list[MissingKey] = field(default_factory=list)
    findings: Sequence[tuple[Path, Finding]] = ()
    pseudonymized: int = 0
    """How many of the files that passed say that the identity was removed before."""

    def take(self, found: Iterable[Change]) -> None:
        """Count the changes of one more file."""
        number = len(self.passed)
        for change in found:
            kind = Kind(change.happened, change.ground, change.path)
            self.rows.setdefault(kind, Row()).add(change, number)


def preview(
    policy: Policy,
    files: Sequence[Path],
    *,
    trial: Mapping[str, str] | None = None,
    events: Events | None = None,
    told: Callable[[], None] = lambda: None,
) -> Preview:
    """Return what a policy does to these files; ``told`` is called after each.

    ``trial`` and ``events`` are those of the case that it is tried for.
    """
    seen = Preview(policy, tuple(files))
    analysis = Analysis()
    lacking: Counter[tuple[str, str, bool]] = Counter()
    run = TrialRun(policy, trial=trial, events=events)
    with tempfile.TemporaryDirectory(prefix="preview-") as folder:
        pairs: list[tuple[Path, Path]] = []
        uids: set[str] = set()
        for number, file in enumerate(files):
            out = Path(folder) / f"{number:06d}.dcm"
            rules = tried(run, file, out, seen.turned_down)
            if rules is not None and not _is_twice(out, file, uids, seen.turned_down):
                seen.passed.append(file)
                pairs.append((out, file))
                _compare(seen, analysis, out, rules, run)
                lacking.update(_lacking(out, file))
            told()
        seen.losses = analysis.losses()
        seen.never_there = empty_keys(policy)
        seen.missing_keys = _keys(lacking)
        seen.findings = _verified(pairs, policy, trial)
    return seen


def _is_twice(out: Path, file: Path, uids: set[str], turned_down: list[TurnedDown]) -> bool:
    """Note a file whose SOP Instance UID another one had, and say so; it is not looked at."""
    uid = read_source(out).sop_instance_uid
    if uid in uids:
        what = "Another of these files has the same SOP Instance UID. If they differ, neither would pass."
        step = "Find out which of them is right; leave the others out."
        turned_down.append(TurnedDown(file, "conflict", what, step, held=False))
        return True
    uids.add(uid)
    return False


def _verified(
    pairs: Sequence[tuple[Path, Path]], policy: Policy, trial: Mapping[str, str] | None
) -> list[tuple[Path, Finding]]:
    """Verify the results patient by patient, as exports are; return each finding with the file that it is about."""
    by_patient: dict[str, list[tuple[Path, Path]]] = {}
    for result, source in pairs:
        by_patient.setdefault(read_source(source).patient_id, []).append((result, source))
    found: list[tuple[Path, Finding]] = []
    for of_one in by_patient.values():
        # Pseudonyms were drawn, and so drawn ones are expected.
        for finding in prove_set(of_one, policy, trial=trial, forms=Forms(drawn=True)):
            found.append((of_one[max(finding.instance, 1) - 1][1], finding))
    return found


def tried(run: TrialRun, file: Path, out: Path, turned_down: list[TurnedDown]) -> Rules | None:
    """Carry one file; note it and return None where it does not pass."""
    try:
        return run.carry(file, out)
    except Refusal as refusal:
        held = isinstance(refusal, Held)
        turned_down.append(TurnedDown(file, refusal.reason, refusal.what, refusal.next_step, held))
    return None


def _compare(seen: Preview, analysis: Analysis, out: Path, rules: Rules, run: TrialRun) -> None:
    source, result = read_source(seen.passed[-1]), read_source(out)
    found = compared(source, result, rules, run)
    seen.take(found)
    analysis.hear(source, result, found)
    seen.pseudonymized += source.text(0x00120062) == "YES"


def compared(source: Instance, result: Instance, rules: Rules, run: TrialRun) -> list[Change]:
    """Return what became of each value of an instance."""
    grounds = run.grounds(rules, result.sop_class_uid)
    return list(changes(source, result, grounds, run.pseudonyms.given))


def _lacking(out: Path, file: Path) -> list[tuple[str, str, bool]]:
    result = pydicom.dcmread(out, stop_before_pixels=True)
    lacks = [one for one in missing(result) if not one.assignable]
    if not lacks:
        return []
    source = read_source(file)
    return [(one.record, one.key.keyword, bool(source.text(one.key.tag))) for one in lacks]


def _keys(lacking: Counter[tuple[str, str, bool]]) -> list[MissingKey]:
    names = sorted({(record, keyword) for record, keyword, _ in lacking})
    return [
        MissingKey(record, keyword, lacking[record, keyword, True] + lacking[record, keyword, False], had)
        for record, keyword in names
        for had in [lacking[record, keyword, True]]
    ]
