"""The answer keys of the MIDI-B benchmark: what has to become of each attribute of each instance, and how well it did.

An answer key is an SQLite database with a table ``answer_data``: a row an instance (or series, study, patient), whose
``AnswerData`` is JSON with one check an entry. Two CSV maps (``id_old``, ``id_new``) say which UID and which Patient ID
became which. The forms are those of the benchmark's own scorer (CBIIT, MIDI_validation_script); values stand in angle
brackets. ::

    answers.db + uid map ──▶ checks by new UID ──┐
    patient map ─────────────────────────────────┼─▶ each check of each file: passed or not ──▶ counts by action
    de-identified files ──▶ values by tag path ──┘

Texts in pixels are judged by no rule here (the benchmark uses character recognition), and are counted as not judged.
Words are divided by a rule of our own, so that a score may differ a little from the benchmark's.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sqlite3
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from tce.errors import Refused

PIXELS_HIDDEN = "pixels_hidden"
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_COLUMNS = (*_UIDS, "PatientID", "Modality", "SOPClassUID", "scope", "AnswerData")
_LEVEL = {"instance": 2, "series": 1, "study": 0, "patient": 0}
_LARGEST_MAP = 1 << 28
_WITHOUT_VALUE = frozenset({0x7FE00010, 0x00020001})
_TOKEN = re.compile(r"[^\W_]+(?:[.'/-][^\W_]+)*")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has he her his i in is it its of on or she that the to was with",
    )
)
_PASSES_MISSING = frozenset({"text_removed", "date_shifted", "uid_changed"})


@dataclass(frozen=True, slots=True, repr=False)
class Check:
    """One thing that has to hold of one attribute. Holds originals: never print it."""

    action: str
    tag: str
    value: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The checks of one instance, or of all instances of a series or study (``level`` 2, 1 or 0)."""

    uids: tuple[str, str, str]
    level: int
    checks: tuple[Check, ...]
    patient_id: str = ""
    modality: str = ""
    sop_class_uid: str = ""


@dataclass(slots=True, repr=False)
class Score:
    """How many checks of each action held, of how many; what could not be judged; instances that are missing."""

    passed: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    not_judged: int = 0
    missing: int = 0
    files: int = 0
    unreadable: int = 0

    @property
    def share(self) -> float:
        """The share of checks that held, 0 to 1; 1 where nothing was asked."""
        asked = self.asked.total()
        return self.passed.total() / asked if asked else 1.0


def read_answers(path: Path) -> list[Answer]:
    """Return an answer key. Raises Refused when it is none."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [_answer(dict(row)) for row in database.execute("SELECT * FROM answer_data")]
    except (sqlite3.Error, KeyError, TypeError, ValueError, AttributeError):
        raise Refused(
            "the answers cannot be read", next_step="name the SQLite database of a MIDI-B answer key"
        ) from None


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write an answer key to a new file, which the benchmark's own scorer reads."""
    names = {level: scope for scope, level in _LEVEL.items() if scope != "patient"}
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE answer_data ({', '.join(f'{name} TEXT' for name in _COLUMNS)})")
        for one in answers:
            checks = {str(at): _as_entry(check) for at, check in enumerate(one.checks)}
            scope = f"<{names[one.level].capitalize()}>"
            row = (*one.uids, one.patient_id, one.modality, one.sop_class_uid, scope, json.dumps(checks))
            database.execute(f"INSERT INTO answer_data VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608


def read_map(path: Path) -> dict[str, str]:
    """Return which identifier became which. Raises Refused when it is no map of the benchmark."""
    try:
        if path.stat().st_size > _LARGEST_MAP:
            raise ValueError
        with path.open(newline="", encoding="utf-8-sig") as file:
            found: dict[str, str] = {}
            rows = csv.DictReader(file)
            if not {"id_old", "id_new"} <= set(rows.fieldnames or ()):
                raise ValueError
            for row in rows:
                found.setdefault(row["id_old"], row["id_new"])
            return found
    except (OSError, ValueError, KeyError, csv.Error):
        raise Refused(
            "a map cannot be read", next_step="name a CSV file with the columns id_old and id_new"
        ) from None


def write_map(path: Path, pairs: Mapping[str, str]) -> None:
    """Write a map to a new file. It leads back to originals: its mode is 0600."""
    with path.open("x", newline="", encoding="utf-8") as file:
        path.chmod(0o600)
        writer = csv.writer(file)
        writer.writerow(("id_old", "id_new"))
        writer.writerows(sorted(pairs.items()))


def score(
    answers: Iterable[Answer], files: Iterable[Path], uids: Mapping[str, str], patients: Mapping[str, str]
) -> Score:
    """Judge de-identified files by an answer key.

    A file that no answer is for counts as a file only. Of an instance that is missing or unreadable, what had to go is
    gone, and what had to stay is not there.
    """
    by_uid: defaultdict[tuple[int, str], list[Answer]] = defaultdict(list)
    for one in answers:
        by_uid[one.level, uids.get(one.uids[one.level], "")].append(one)
    found = Score()
    seen: set[tuple[int, str]] = set()
    for path in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values, which they quote
                ds = pydicom.dcmread(path)
                values = dict(_values(ds))
        except Exception:  # no DICOM file, or one that breaks the parser: what was asked of it is missing
            found.unreadable += 1
            continue
        found.files += 1
        for level, keyword in enumerate(_UIDS):
            key = level, str(ds.get(keyword, ""))
            seen.add(key)
            for one in by_uid.get(key, ()):
                for check in one.checks:
                    _count(found, check, _holds(check, values, uids, patients))
    for key, unseen in by_uid.items():
        if key in seen:
            continue
        for one in unseen:
            found.missing += 1
            for check in one.checks:
                _count(
                    found, check, None if check.action == PIXELS_HIDDEN else check.action in _PASSES_MISSING
                )
    return found


def _count(found: Score, check: Check, held: bool | None) -> None:
    if held is None:
        found.not_judged += 1
        return
    found.asked[check.action] += 1
    found.passed[check.action] += held


def _answer(row: Mapping[str, Any]) -> Answer:
    scope = str(row.get("scope") or "instance").strip("<>").lower()
    entries = json.loads(row["AnswerData"])
    return Answer(
        uids=(str(row[_UIDS[0]]), str(row[_UIDS[1]]), str(row[_UIDS[2]])),
        level=_LEVEL[scope],
        checks=tuple(_check(entry) for entry in entries.values()),
        patient_id=str(row.get("PatientID") or ""),
        modality=str(row.get("Modality") or ""),
        sop_class_uid=str(row.get("SOPClassUID") or ""),
    )


def _check(entry: Mapping[str, Any]) -> Check:
    return Check(
        action=_bare(entry["action"]),
        tag=str(entry.get("tag_ds") or ""),
        value=_bare(entry.get("value")),
        text=_bare(entry.get("action_text")),
    )


def _as_entry(check: Check) -> dict[str, Any]:
    return {
        "action": f"<{check.action}>",
        "action_text": f"<{check.text}>",
        "value": f"<{check.value}>",
        "tag": check.tag,
        "tag_ds": check.tag,
        "tag_name": "",
        "answer_category_v2": [],
    }


def _bare(text: object) -> str:
    words = "" if text is None else str(text)
    return words[1:-1] if words.startswith("<") and words.endswith(">") else words


def _values(ds: Dataset, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of a data set by their paths as the benchmark writes them."""
    for element in ds:
        here = f"{path}<{_name_of(element)}>"
        if element.tag in _WITHOUT_VALUE or element.keyword == "OverlayData":
            yield here, ""
        else:
            yield here, "" if element.value is None else str(element.value).strip()
        if element.tag == 0x7FE00010:
            yield "pixels", hashlib.md5(element.value, usedforsecurity=False).hexdigest()
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _values(item, f"{here}[<{number:04d}>]")


def _name_of(element: Any) -> str:
    group, number = f"{element.tag.group:04x}", f"{element.tag.element:04x}"
    if element.tag.is_private and element.private_creator:
        return f'({group},"{str(element.private_creator).upper()}",{number[2:]})'
    return f"({group},{number})"


def _holds(
    check: Check, values: Mapping[str, str], uids: Mapping[str, str], patients: Mapping[str, str]
) -> bool | None:
    """Say whether a check holds of a file; None for what cannot be judged."""
    there = values.get(check.tag)
    match check.action:
        case "tag_retained":
            return there is not None
        case "text_notnull":
            return bool(there)
        case "text_retained":
            return bool(there) and _kept(there or "", check.text) == 1.0
        case "text_removed":
            return not there or _kept(there, check.text) == 0.0
        case "date_shifted" | "uid_changed":
            return check.value.replace("\\", "") not in (there or "").replace("\\", "") or not there
        case "pixels_retained":
            return values.get("pixels") == check.text
        case "uid_consistent":
            return there is None or there == uids.get(check.value)
        case "patid_consistent":
            return there is None or there == patients.get(check.value)
    return None


def _kept(there: str, asked: str) -> float:
    """Return the share of the words of a text that stand in another, 0 to 1."""
    there, asked = there.lower(), asked.lower()
    if _number(there) is not None and _number(asked) is not None:
        return float(_number(there) == _number(asked))
    if asked in there:
        return 1.0
    words = [word for word in _TOKEN.findall(asked) if word not in _COMMON]
    return sum(word in there for word in words) / len(words) if words else 0.0


def _number(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdigit() else None
