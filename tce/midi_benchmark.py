"""A policy on the MIDI-B benchmark: its files through a trial run and judged; or files and answers of our own.

    benchmark files ──trial run──▶ results, maps ──▶ score by the benchmark's answers
    built instances with planted values ──▶ files, answers.db ──▶ for whoever wants to be scored

The pseudonyms of a trial run are forgotten, but for the maps, which lead back to the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from policies.errors import Refusal
from policies.loader import load_library
from policies.model import Policy, Stage
from policies.pseudonyms import Kind as Identified
from policies.selftest.canary import Canary, Kind
from tce.errors import Refused
from tce.midi_answers import Answer, Check, Score, read_answers, score, write_answers, write_map
from tce.selftest import garden, is_sought
from tce.trial_run import TrialRun

ANSWERS, UIDS, PATIENTS, RESULTS = "answers.db", "uid_mapping.csv", "patid_mapping.csv", "instances"
_ACTIONS = {
    Kind.WORD: "text_removed",
    Kind.NUMBER: "text_removed",
    Kind.UID: "uid_changed",
    Kind.DATE: "date_shifted",
}
_OWN_UIDS = ("(0020,000d)", "(0020,000e)", "(0008,0018)")
_PATIENT_ID = "(0010,0020)"


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """What came of a benchmark's files: the score, and how many files were held or refused, by reason."""

    score: Score
    set_aside: dict[str, int]


def run(
    policy: Policy,
    answers: Path,
    files: Sequence[Path],
    out: Path,
    told: Callable[[], None] = lambda: None,
) -> Run:
    """Carry files through a policy into the new folder ``out``, write the maps beside them, and judge the results.

    Raises Refused when the folder is not empty or the answers cannot be read.
    """
    wanted = read_answers(answers)
    _require_new(out)
    results = out / RESULTS
    results.mkdir(parents=True, mode=0o700)
    trial = TrialRun(policy)
    aside: dict[str, int] = {}
    for number, file in enumerate(files):
        try:
            trial.carry(file, results / f"{number:06d}.dcm")
        except Refusal as refusal:
            aside[refusal.reason] = aside.get(refusal.reason, 0) + 1
        told()
    uids, patients = (trial.pseudonyms.became(kind) for kind in (Identified.UID, Identified.PATIENT_ID))
    write_map(out / UIDS, uids)
    write_map(out / PATIENTS, patients)
    return Run(score(wanted, sorted(results.iterdir()), uids, patients), aside)


def corpus(policy: Policy, out: Path) -> int:
    """Write built instances with planted values, and what has to become of each under a policy; return how many.

    Raises Refused when the folder is not empty.
    """
    _require_new(out)
    (out / RESULTS).mkdir(parents=True)
    stages = [load_library("pseudonymization")] if policy.stage is Stage.ANONYMIZE else []
    answers = []
    for one in garden(out / RESULTS):
        ds = pydicom.dcmread(one.path, stop_before_pixels=True)
        own = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
        sought = [each for each in one.canaries if is_sought(each, [*stages, policy])]
        checks = [check for each in sought if (check := _check(each)) is not None]
        checks += [Check("uid_consistent", f"<{tag}>", uid) for tag, uid in zip(_OWN_UIDS, own, strict=True)]
        patient = str(ds.get("PatientID", ""))
        checks += [Check("patid_consistent", f"<{_PATIENT_ID}>", patient)] if patient else []
        sop_class = str(ds.SOPClassUID)
        answers.append(Answer(own, 2, tuple(checks), patient, str(ds.get("Modality", "")), sop_class))
    write_answers(out / ANSWERS, answers)
    return len(answers)


def _check(one: Canary) -> Check | None:
    """Return what the benchmark would ask of a planted value; None for one that its form cannot name."""
    action = _ACTIONS.get(one.kind)
    if action is None or not one.path or any(tag >> 16 & 1 for tag in one.path):
        return None
    tags = [f"<({tag >> 16:04x},{tag & 0xFFFF:04x})>" for tag in one.path]
    return Check(action, "[<0000>]".join(tags), str(one.value), str(one.value))


def _require_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Refused(f"{out} is not empty", next_step="name a folder that does not exist yet")
