"""What advice on a policy needs: the patients of files, of a table or of a case, before stage 2.

One row a patient; several values of one attribute are one text, divided by backslashes. An age that an instance does
not have is computed from the birth date and the Study Date, as the engine does.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from media.files import is_part_10
from policies.dates import read_date, years_between
from policies.generalize import age_string, read_age
from policies.layout import Instance
from policies.model import Policy
from policies.parsing import Unreadable, read_source
from policies.standard.attributes import attribute_named
from tce.config import Site
from tce.documents.manifest import DocumentKind
from tce.errors import Refused
from tce.exports import Exports
from tce.road import Hold
from tce.spool import Spool
from tce.states import State
from tce.walking import files_under

_PATIENT, _AGE, _BIRTH, _STUDY = "patient_id", "PatientAge", 0x00100030, 0x00080020


@dataclass(frozen=True, slots=True)
class Patients:
    """Columns by keyword, one entry a patient, and how many files could not be read."""

    columns: Mapping[str, Sequence[str]] = field(repr=False)
    sensitive: Sequence[str] | None = field(repr=False)
    unread: int = 0

    @property
    def count(self) -> int:
        """How many patients they are."""
        return len(next(iter(self.columns.values())))


def _wanted(policy: Policy) -> tuple[str, ...]:
    sensitive = policy.disclosure.sensitive if policy.disclosure else None
    return (*policy.quasi_identifiers, *([sensitive] if sensitive else []))


def patients_of(given: Sequence[Path], policy: Policy) -> Patients:
    """Return the patients of DICOM files and folders, or of one CSV table. Raises Refused where there is none."""
    if len(given) == 1 and given[0].suffix.lower() == ".csv":
        return _of_table(given[0], policy)
    told: dict[str, dict[str, set[str]]] = {}
    unread = 0
    for path in files_under(given):
        instance = _instance(Path(path))
        if instance is None:
            unread += 1
            continue
        of_patient = told.setdefault(instance.patient_id, {name: set() for name in _wanted(policy)})
        for name, values in of_patient.items():
            values.update({_told(instance, name)} - {""})
    return _columns(told, policy, unread)


def _instance(path: Path) -> Instance | None:
    with suppress(Unreadable, OSError):
        return read_source(path) if is_part_10(path) else None
    return None


def _told(instance: Instance, name: str) -> str:
    text = instance.text(attribute_named(name).tag)
    if name != _AGE or read_age(text.encode("latin-1")) is not None:
        return text
    born, then = (read_date(instance.text(tag).encode("latin-1")) for tag in (_BIRTH, _STUDY))
    years = years_between(born, then) if born and then else None
    return "" if years is None else age_string(years).decode()


def _of_table(path: Path, policy: Policy) -> Patients:
    told: dict[str, dict[str, set[str]]] = {}
    wanted = _wanted(policy)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in (_PATIENT, *wanted) if name not in (rows.fieldnames or ())]
            if missing:
                raise Refused(
                    f"{path.name} lacks the columns {', '.join(missing)}",
                    next_step="add them, empty where nothing is known, or name fewer quasi-identifiers in the policy",
                )
            for row in rows:
                of_patient = told.setdefault(row[_PATIENT] or "", {name: set() for name in wanted})
                for name in wanted:
                    of_patient[name].update({(row[name] or "").strip()} - {""})
    except (OSError, UnicodeDecodeError, csv.Error):
        raise Refused(f"{path.name} cannot be read as a table", next_step="give CSV in UTF-8") from None
    return _columns(told, policy, 0)


def _columns(told: Mapping[str, Mapping[str, set[str]]], policy: Policy, unread: int) -> Patients:
    if not told:
        raise Refused("there is no patient to look at", next_step="name DICOM files, a CSV table, or a case")
    people = list(told.values())
    columns = {name: ["\\".join(sorted(one[name])) for one in people] for name in _wanted(policy)}
    sensitive = policy.disclosure.sensitive if policy.disclosure else None
    return Patients(columns, columns.pop(sensitive) if sensitive else None, unread)


def received_of(site: Site, case_id: str) -> list[Path]:
    """Return the instances that came for a case and are in the spool: of all its exports but the cancelled ones."""
    index, spool = Exports(site.exports_url), Spool(site.spool_dir)
    found: dict[Path, None] = {}
    try:
        for export in index.listing([state for state in State if state is not State.CANCELLED]):
            if export.case_id == case_id:
                with suppress(Hold):  # what contradicts itself is released for nobody
                    found.update(dict.fromkeys(_instances(index, spool, export.id)))
    finally:
        index.close()
    return list(found)


def _instances(index: Exports, spool: Spool, export_id: str) -> Iterable[Path]:
    for member in index.arrived(index.get(export_id), spool.path):
        if member.kind is DocumentKind.INSTANCE and member.received.path.is_file():
            yield member.received.path
