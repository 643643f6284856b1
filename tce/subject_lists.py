"""Reads lists of pseudonyms that exist already: a coordinator's CSV, and what CTP's IDMap stage exports.

    csv    header with patient_id,subject_id (or original,pseudonym), and if wanted kind, issuer, date_offset
    ctp    "Search Results" of CTP's IDMap as CSV or XML; its titles say what the list is of, and which way it goes

Faults are told by line, without a value. What a list says, and whether it may be taken over, is judged in
:mod:`vault.importing`; CTP writes values as they are, so what cannot be told apart in its files is refused here.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lxml import etree

from tce.errors import ListFault
from vault.importing import Entry, Fault, told
from vault.keys import Kind

_LARGEST = 256 << 20
_NEXT = "correct these lines; nothing was imported"
_COLUMNS = {
    "patient_id": "original",
    "original_id": "original",
    "original": "original",
    "subject_id": "pseudonym",
    "pseudonym": "pseudonym",
    "kind": "kind",
    "issuer": "issuer",
    "date_offset": "days",
}
_CTP_KINDS = {"UID": Kind.UID, "PatientID": Kind.PATIENT_ID, "AccessionNumber": Kind.ACCESSION_NUMBER}
_CTP_UNKNOWN = "null"  # what its export says of a key that it was asked for and does not have
_CTP_CELLS = re.compile(r'=\("(.*)"\),=\("(.*)"\)')


class Format(StrEnum):
    """Who wrote a list."""

    CSV = "csv"
    CTP = "ctp"


@dataclass(frozen=True, slots=True)
class SubjectList:
    """The entries of a list, and the SHA-256 of the file that says so."""

    entries: tuple[Entry, ...] = field(repr=False)
    digest: str


def read(path: Path, form: Format, *, issuer: str = "") -> SubjectList:
    """Read a list. ``issuer`` is who assigned its patient IDs, where the list does not say it (0010,0021).

    Raises ListFault that names every fault with its line.
    """
    content = _content(path)
    text = _text(path, content)
    found: _Entries = _Csv(issuer) if form is Format.CSV else _Ctp(issuer)
    if form is Format.CTP and text.lstrip().startswith("<"):
        found = _CtpXml(issuer)
    faults = list(found.faults(text))
    if faults:
        raise ListFault(f"{path}: {told(faults)}", next_step=_NEXT)
    return SubjectList(tuple(found.entries), "sha256:" + hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise ListFault(f"{path} is larger than any list", next_step="divide it")
        return path.read_bytes()
    except OSError as unreadable:
        raise ListFault(
            f"{path} cannot be read ({unreadable.strerror})", next_step="check its name and its permissions"
        ) from None


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListFault(f"{path} is not UTF-8 text", next_step="save it in UTF-8") from None


class _Entries:
    """Entries as they are read."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self.entries: list[Entry] = []

    def faults(self, text: str) -> Iterator[Fault]:
        """Take the entries of a list in, and yield what is wrong with it."""
        raise NotImplementedError

    def _add(self, line: int, kind: Kind, original: str, pseudonym: str, issuer: str = "") -> None:
        if kind in (Kind.PATIENT_ID, Kind.DATE_OFFSET):
            issuer = issuer or self._issuer
        self.entries.append(Entry(line, (str(kind), issuer, original), pseudonym))


class _Csv(_Entries):
    def faults(self, text: str) -> Iterator[Fault]:
        """Take the entries of a list in, and yield what is wrong with it."""
        header = text.partition("\n")[0]
        rows = csv.reader(
            text.splitlines(), delimiter=";" if ";" in header and "," not in header else ",", strict=True
        )
        try:
            columns = [_COLUMNS.get(cell.strip().lower(), "") for cell in next(rows, [])]
            if (
                not {"original", "pseudonym"} <= set(columns)
                or len(set(columns)) < len(columns)
                or "" in columns
            ):
                yield Fault(
                    1, "the header is not patient_id,subject_id and, if wanted, kind,issuer,date_offset"
                )
                return
            for row in rows:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield from self._row(rows.line_num, columns, cells)
        except csv.Error:
            yield Fault(rows.line_num, "it is not CSV")

    def _row(self, line: int, columns: list[str], cells: list[str]) -> Iterator[Fault]:
        if len(cells) != len(columns):
            yield Fault(line, "it has not as many cells as the header")
            return
        named = dict(zip(columns, cells, strict=True))
        original, pseudonym, issuer = named["original"], named["pseudonym"], named.get("issuer", "")
        try:
            kind = Kind(named.get("kind") or Kind.PATIENT_ID)
        except ValueError:
            yield Fault(line, f"the kind is none; write one of {', '.join(Kind)}")
            return
        if not original or not pseudonym:
            yield Fault(line, "it wants an original and a pseudonym")
            return
        self._add(line, kind, original, pseudonym, issuer)
        if named.get("days"):
            if kind is not Kind.PATIENT_ID:
                yield Fault(line, "only a patient has a date offset")
                return
            self._add(line, Kind.DATE_OFFSET, original, named["days"], issuer)


class _Ctp(_Entries):
    def faults(self, text: str) -> Iterator[Fault]:
        """Take the entries of an export as CSV in, and yield what is wrong with it."""
        lines = text.splitlines() or [""]
        way = _way(*lines[0].split(",", 1)) if "," in lines[0] else None
        if way is None:
            yield Fault(1, "the header is none of CTP's, such as Original PatientID,Trial PatientID")
            return
        for number, line in enumerate(lines[1:], start=2):
            if not line.strip():
                continue
            cells = _CTP_CELLS.fullmatch(line.strip())
            if cells is None or line.count("=(") != 2 or line.count('"') != 4:
                yield Fault(number, 'it is not =("…"),=("…"), or cannot be told apart')
                continue
            yield from self._pair(number, way, cells[1], cells[2])

    def _pair(self, line: int, way: tuple[Kind, bool], key: str, value: str) -> Iterator[Fault]:
        kind, onward = way
        original, pseudonym = (key.strip(), value.strip()) if onward else (value.strip(), key.strip())
        if _CTP_UNKNOWN in (original, pseudonym):
            yield Fault(line, "CTP did not know this key, or calls something null")
        elif not original or not pseudonym:
            yield Fault(line, "it wants an original and what CTP made of it")
        else:
            self._add(line, kind, original, pseudonym)


class _CtpXml(_Ctp):
    def faults(self, text: str) -> Iterator[Fault]:
        """Take the entries of an export as XML in, and yield what is wrong with it."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(text.encode(), parser)
        except etree.XMLSyntaxError as malformed:
            yield Fault(malformed.lineno or 1, "it is not XML; export it as CSV")
            return
        way = _way(root.findtext("KeyTitle") or "", root.findtext("ValueTitle") or "")
        if root.tag != "Map" or way is None:
            yield Fault(
                1, "it is not a Map of CTP, with titles such as Original PatientID and Trial PatientID"
            )
            return
        for pair in root.iterfind("Pair"):
            texts = [pair.findtext(name) or "" for name in ("Key", "Value")]
            yield from self._pair(_line_of(pair), way, *texts)


def _line_of(element: etree._Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 0


def _way(key_title: str, value_title: str) -> tuple[Kind, bool] | None:
    """What an export is of, by its two titles, and whether it goes from original to trial; None where it is none."""
    (key_side, _, key), (value_side, _, value) = (
        title.strip().partition(" ") for title in (key_title, value_title)
    )
    if key != value or key not in _CTP_KINDS or {key_side, value_side} != {"Original", "Trial"}:
        return None
    return _CTP_KINDS[key], key_side == "Original"
