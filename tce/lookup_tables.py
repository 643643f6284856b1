"""Turns a lookup table of CTP into a list that ``tce mapping import`` takes.

    ptid/1234 = LN-001        the key type, the original, what CTP writes for it

The table does not say what its key types stand for; the script of the anonymizer does. Key types that are looked up for
Patient ID, Accession Number, Study ID or a UID, or for the days of a patient, are carried over. Both files hold or may
hold patients' IDs: no message here has a value.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydicom.datadict import tag_for_keyword

from policies.errors import Fault, PolicyFault
from policies.importing.ctp import Row, rows_of
from policies.importing.ctp_calls import Call, calls
from policies.importing.naming import keyword_of, number, vr_of
from vault.keys import Kind

_KINDS = {"PatientID": Kind.PATIENT_ID, "AccessionNumber": Kind.ACCESSION_NUMBER, "StudyID": Kind.STUDY_ID}
_PATIENT_ID = 0x00100020
_MOST_HOPS = 10
_NEXT = "name the script that this table belongs to: --script FILE"
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")


@dataclass(frozen=True, slots=True, repr=False)
class Converted:
    """A table as a list: its text, how many entries of each kind it has, and what was left out, by line."""

    text: str
    counts: Mapping[Kind, int]
    left_out: tuple[tuple[int, str], ...]


def convert(table: str, script: str) -> Converted:
    """Return the list that a table is under a script. Raises PolicyFault where none of it can be carried over."""
    faults: list[Fault] = []
    kinds, not_so = key_types(list(rows_of(script, faults)))
    if faults:
        raise PolicyFault("script of the table", faults, next_step=_NEXT)
    entries = list(_entries(table))
    known = {key: value for _, key, value in entries}
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(("original", "pseudonym", "kind"))
    counts: dict[Kind, int] = {}
    left_out: list[tuple[int, str]] = []
    for line, key, value in entries:
        key_type, slash, original = key.partition("/")
        kind = kinds.get(key_type.strip())
        pseudonym = _followed(value, known)
        why = _why_not(kind, slash, original, pseudonym, not_so.get(key_type.strip(), ""))
        if why or kind is None or pseudonym is None:
            left_out.append((line, why))
            continue
        rows.writerow((original.strip(), pseudonym, str(kind)))
        counts[kind] = counts.get(kind, 0) + 1
    if not counts:
        raise PolicyFault(
            "table to be imported",
            [Fault(0, "the script looks up nothing in it that can be carried over")],
            next_step=_NEXT,
        )
    return Converted(written.getvalue(), counts, tuple(left_out))


def key_types(rows: list[Row]) -> tuple[dict[str, Kind], dict[str, str]]:
    """Return what the key types of a script stand for, and why others cannot be carried over."""
    uses: dict[str, list[_Use]] = {}
    for row in rows:
        tag = number(row.target) if row.kind == "e" and row.enabled else None
        for call in calls(row.text) if tag is not None else ():
            use = _use(call, tag or 0)
            if use is not None:
                uses.setdefault(use.key_type, []).append(use)
    judged = {key_type: _judged(found) for key_type, found in uses.items()}
    kinds = {key_type: found for key_type, found in judged.items() if isinstance(found, Kind)}
    return kinds, {key_type: found for key_type, found in judged.items() if not isinstance(found, Kind)}


class _Use(NamedTuple):
    """Where a script looks a key type up: by which attribute, for which, and how."""

    key_type: str
    by: int | None
    replaced: int
    how: str

    def __repr__(self) -> str:
        return f"_Use(…, {self.by}, {self.replaced}, {self.how})"


def _use(call: Call, tag: int) -> _Use | None:
    arguments = call.arguments
    if call.name == "lookup" and len(arguments) > 1:
        how = "capitals" if arguments[2:3] in (("UC",), ("uc",)) else "lookup"
        return _Use(arguments[1], _element(arguments[0], tag), tag, how)
    if call.name == "incrementdate" and len(arguments) == 3:
        return _Use(arguments[2], _element(arguments[1], tag), tag, "days")
    return None


def _element(reference: str, this: int) -> int | None:
    return this if reference == "this" else number(reference) or tag_for_keyword(reference)


def _judged(uses: list[_Use]) -> Kind | str:
    """Return the kind of a key type, or why it has none."""
    by = {use.by for use in uses}
    how = {use.how for use in uses}
    if len(by) > 1 or len(how) > 1:
        return "its key type is looked up in unlike ways"
    (key,) = by
    if how == {"capitals"}:
        return "CTP compares its keys without regard to capitals"
    if how == {"days"}:
        return Kind.DATE_OFFSET if key == _PATIENT_ID else "its days are not a patient's"
    if key is None or key not in {use.replaced for use in uses}:
        return "its key is another attribute than the one that is replaced"
    if vr_of(key) == "UI":
        return Kind.UID
    return _KINDS.get(keyword_of(key)) or "what it replaces gets no pseudonym here"


def _why_not(kind: Kind | None, slash: str, original: str, pseudonym: str | None, known: str) -> str:
    if not slash or not original.strip():
        return "it has no key type, or no key"
    if kind is None:
        return known or "the script looks nothing up in its key type"
    if not pseudonym:
        return "it leads to no value"
    return ""


def _followed(value: str, known: Mapping[str, str]) -> str | None:
    """Return a value, or what the key that it names leads to."""
    for _ in range(_MOST_HOPS):
        if not value.startswith("@"):
            return value
        found = known.get(value[1:])
        if found is None:
            return None
        value = found
    return None


def _entries(table: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, key and value of a Java properties file."""
    for line, raw in enumerate(table.splitlines(), start=1):
        text = raw.strip()
        if not text or text[0] in "#!":
            continue
        found = re.match(r"((?:\\.|[^\\=:\s])+)\s*[=:\s]\s*(.*)", text)
        if found:
            yield line, _plain(found[1]), _plain(found[2]).strip()
        else:
            yield line, "", ""


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else found[1], text)
