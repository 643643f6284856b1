"""The events of a case: on which day each patient had the one from which study days count.

A coordinator gives a list as CSV, ``patient_id,date`` with a header. Patients are named as the stage that uses the list
reads them: for stage 2, by the pseudonyms of stage 1. The list changes whenever a patient joins, so it is no part of
the case that an approver signs, and its digest goes onto the audit trail. Faults are told by line, without a value.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tce.cases import case_dir
from tce.errors import EventsFault

EVENTS_FILE = "events.csv"
_LARGEST = 64 << 20
_MOST_TOLD = 20
_NEXT = "write one patient a line below the header patient_id,date; dates as 2024-03-01"


@dataclass(frozen=True, slots=True, repr=False)
class EventList:
    """The date of each patient's event, and the SHA-256 of the file that says so. Never print it."""

    dates: Mapping[str, date]
    digest: str

    def __repr__(self) -> str:
        return f"EventList({len(self.dates)} patients)"


def read(path: Path) -> EventList:
    """Read a list of events. Raises EventsFault that names every fault with its line."""
    try:
        if path.stat().st_size > _LARGEST:
            raise EventsFault(f"{path} is larger than any list of events", next_step="name a CSV file")
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EventsFault(f"{path} is not UTF-8 text", next_step="save it as CSV in UTF-8") from None
    except OSError as unreadable:
        raise EventsFault(
            f"{path} cannot be read ({unreadable.strerror})", next_step="check its name and its permissions"
        ) from None
    dates: dict[str, date] = {}
    faults = list(_faults(text, dates))
    if faults:
        told = "; ".join(faults[:_MOST_TOLD])
        more = f"; and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        raise EventsFault(f"{path}: {told}{more}", next_step=_NEXT)
    return EventList(dates, "sha256:" + hashlib.sha256(content).hexdigest())


def save(cases: Path, case_id: str, given: Path) -> EventList:
    """Check a list and keep it with a case, in place of the one before; only the site's owner can read it."""
    events = read(given)
    kept = case_dir(cases, case_id) / EVENTS_FILE
    draft = kept.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(given.read_bytes())
    draft.replace(kept)
    return events


def of_case(cases: Path, case_id: str) -> Mapping[str, date]:
    """Return the events that are kept with a case, none when it has no list. Raises EventsFault."""
    kept = case_dir(cases, case_id) / EVENTS_FILE
    return read(kept).dates if kept.exists() else {}


def _faults(text: str, dates: dict[str, date]) -> Iterator[str]:
    """Fill ``dates`` from the text of a list, and yield what is wrong with it."""
    header = text.partition("\n")[0]
    rows = csv.reader(
        text.splitlines(), delimiter=";" if ";" in header and "," not in header else ",", strict=True
    )
    first_line: dict[str, int] = {}
    try:
        named = [cell.strip().lower() for cell in next(rows, [])]
        if named[:2] != ["patient_id", "date"]:
            yield "line 1: the header is not patient_id,date"
            return
        for row in rows:
            line = rows.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(named) or not cells[0] or not cells[1]:
                yield f"line {line}: it wants a patient and a date"
                continue
            day = _day(cells[1])
            if day is None:
                yield f"line {line}: the date is none; write it as 2024-03-01"
            elif cells[0] in first_line:
                yield f"line {line}: the patient of line {first_line[cells[0]]} stands here again; write each once"
            else:
                first_line[cells[0]], dates[cells[0]] = line, day
    except csv.Error:
        yield f"line {rows.line_num}: it is not CSV"
        return
    if not first_line:
        yield "line 2: the list names no patient"


def _day(text: str) -> date | None:
    """Return a date written as 2024-03-01 or 20240301, within the time of digital images."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    written = day.isoformat() in (text, f"{text[:4]}-{text[4:6]}-{text[6:]}")
    return day if written and 1970 <= day.year < 2100 else None
