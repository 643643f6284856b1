"""Makes the tables of this folder from the DocBook source of the standard, and tells where they differ.

    part15.xml, part16.xml, part06.xml ──docbook──▶ rows ──compare──▶ lines to review ──--write──▶ *.csv

``python -m policies.standard.generate FOLDER`` reads the parts that lie in the folder and prints what a new edition
adds, removes or changes; with ``--write`` it writes the tables as well. Whoever takes over an edition reviews that
list. Keyword, VR and VM are no part of Table E.1-1: they come from PS3.6, or without it from the table as it is and
pydicom's dictionary.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag

from policies.standard.docbook import NotAsExpected, Part
from policies.standard.rows import read_csv, tag_of

_OPTIONS = {
    "Rtn. Safe Priv. Opt.": "retain_safe_private",
    "Rtn. UIDs Opt.": "retain_uids",
    "Rtn. Dev. Id. Opt.": "retain_device_identity",
    "Rtn. Inst. Id. Opt.": "retain_institution_identity",
    "Rtn. Pat. Chars. Opt.": "retain_patient_characteristics",
    "Rtn. Long. Full Dates Opt.": "retain_longitudinal_full_dates",
    "Rtn. Long. Modif. Dates Opt.": "retain_longitudinal_modified_dates",
    "Clean Desc. Opt.": "clean_descriptors",
    "Clean Struct. Cont. Opt.": "clean_structured_content",
    "Clean Graph. Opt.": "clean_graphics",
}
_PROFILE = {
    "Attribute Name": "name",
    "Tag": "tag",
    "Retd.": "retired",
    "In Std. Comp. IOD": "in_std_composite_iod",
    "Basic Prof.": "basic_profile",
    **_OPTIONS,
}
_CONCEPTS = {
    "Code Meaning": "code_meaning",
    "Code Value": "code_value",
    "Coding Scheme Designator": "coding_scheme_designator",
    "Value Type": "value_type",
    "Retd.": "retired",
    "In Std. Tpl.": "in_std_template",
    "Basic Prof.": "basic_profile",
    **{heading: column for heading, column in _OPTIONS.items() if heading not in (
        "Rtn. Safe Priv. Opt.", "Clean Struct. Cont. Opt.", "Clean Graph. Opt.")},
}  # fmt: skip
_SAFE_PRIVATE = {
    "Data Element": "tag",
    "Private Creator": "private_creator",
    "VR": "vr",
    "VM": "vm",
    "Meaning": "meaning",
}
_CODES = {
    "Coding Scheme Designator": "coding_scheme_designator",
    "Code Value": "code_value",
    "Code Meaning": "code_meaning",
}
_DICTIONARY = ("Tag", "Name", "Keyword", "VR", "VM", "")

_CODE = re.compile(r"[DZXKCU](/[DZXKCU]\*?)*")
_COLUMN_OF_CODE = {
    "113100": "basic_profile",
    "113103": "clean_graphics",
    "113104": "clean_structured_content",
    "113105": "clean_descriptors",
    "113106": "retain_longitudinal_full_dates",
    "113107": "retain_longitudinal_modified_dates",
    "113108": "retain_patient_characteristics",
    "113109": "retain_device_identity",
    "113110": "retain_uids",
    "113111": "retain_safe_private",
    "113112": "retain_institution_identity",
}


@dataclass(frozen=True)
class Table:
    """One table as it stands in this folder: its columns in order, and which of them name a row."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


PROFILE = Table(
    "confidentiality_profile.csv",
    (
        *("tag", "keyword", "name", "vr", "vm", "retired", "in_std_composite_iod", "basic_profile"),
        *_OPTIONS.values(),
    ),
    ("tag",),
)
ACTIONS = Table("action_codes.csv", ("code", "description"), ("code",))
CONCEPTS = Table(
    "structured_content_concepts.csv",
    tuple(_CONCEPTS.values()),
    ("coding_scheme_designator", "code_value", "value_type"),
)
SAFE_PRIVATE = Table("safe_private_attributes.csv", tuple(_SAFE_PRIVATE.values()), ("private_creator", "tag"))
CID7050 = Table("cid7050.csv", (*_CODES.values(), "confidentiality_profile_column"), ("code_value",))

Rows = list[dict[str, str]]


def generate(folder: Path) -> dict[Table, Rows]:
    """Return the tables that can be made from the parts in ``folder``, with their rows.

    Raises:
        NotAsExpected: a part, a table or a cell is not what this generator was written for.
    """
    made: dict[Table, Rows] = {}
    if (folder / "part15.xml").exists():
        part15 = Part(folder / "part15.xml")
        registry = _registry(folder)
        made[PROFILE] = [_with_dictionary(row, registry) for row in _rows(part15, "E.1-1", _PROFILE)]
        made[ACTIONS] = [dict(zip(ACTIONS.columns, row, strict=True)) for row in part15.table("E.1-1a", ())]
        made[CONCEPTS] = _rows(part15, "E.3.4-1", _CONCEPTS)
        made[SAFE_PRIVATE] = _rows(part15, "E.3.10-1", _SAFE_PRIVATE)
        _check(made)
    if (folder / "part16.xml").exists():
        made[CID7050] = [
            {**row, "confidentiality_profile_column": _COLUMN_OF_CODE.get(row["code_value"], "")}
            for row in _rows(Part(folder / "part16.xml"), "CID_7050", _CODES)
        ]
    if not made:
        raise NotAsExpected("The folder holds neither part15.xml nor part16.xml.")
    return made


def differences(
    table: Table, old: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]
) -> list[str]:
    """Return a line for each row that ``new`` adds, removes or changes, by what names the row."""
    before = {tuple(row[column] for column in table.key): row for row in old}
    after = {tuple(row[column] for column in table.key): row for row in new}
    lines = [f"- {_named(row)}" for key, row in before.items() if key not in after]
    lines += [f"+ {_named(row)}" for key, row in after.items() if key not in before]
    for key, row in after.items():
        if key in before:
            lines += [
                f"~ {' '.join(key)} {column}: {before[key][column]!r} is now {row[column]!r}"
                for column in table.columns
                if before[key][column] != row[column]
            ]
    return lines


def faults(table: Table, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a line for whatever a person must decide before the rows can be written: doubled rows, unknown VRs."""
    seen: dict[tuple[str, ...], Mapping[str, str]] = {}
    lines = []
    for row in rows:
        key = tuple(row[column] for column in table.key)
        if key in seen:
            same = seen[key] == row
            lines.append(f"! {' '.join(key)} stands there twice{'' if same else ', and differs'}")
        seen[key] = row
        if table is PROFILE and not row["vr"] and _is_single(row["tag"]):
            lines.append(f"! {' '.join(key)} has no VR; lay part06.xml beside part15.xml")
    return lines


def write(table: Table, rows: Sequence[Mapping[str, str]], folder: Path) -> None:
    """Write the table into ``folder`` in the form in which it is kept (UTF-8, comma separated, header row)."""
    out = io.StringIO()
    writer = csv.DictWriter(out, table.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / table.name).write_text(out.getvalue(), encoding="utf-8")


def main(arguments: Sequence[str], out: Path = Path(__file__).parent) -> int:
    """Compare, and with ``--write`` write; return 1 when something differs and was not written, 2 when it cannot."""
    folders = [Path(argument) for argument in arguments if argument != "--write"]
    if len(folders) != 1:
        print("usage: python -m policies.standard.generate [--write] FOLDER", file=sys.stderr)
        return 2
    try:
        made = generate(folders[0])
    except NotAsExpected as unexpected:
        print(unexpected, file=sys.stderr)
        return 2
    writes = "--write" in arguments and not any(faults(table, rows) for table, rows in made.items())
    differ = False
    for table, rows in made.items():
        lines = [*faults(table, rows), *differences(table, list(read_csv(table.name)), rows)]
        differ = differ or bool(lines)
        print(f"{table.name}: {len(rows)} rows, {len(lines)} to review")
        print("".join(f"  {line}\n" for line in lines), end="")
        if writes:
            write(table, rows, out)
    return 1 if differ and not writes else 0


def _rows(part: Part, label: str, headings: Mapping[str, str]) -> Rows:
    return [dict(zip(headings.values(), row, strict=True)) for row in part.table(label, tuple(headings))]


def _registry(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Return keyword, VR and VM of PS3.6 by tag."""
    if not (folder / "part06.xml").exists():
        return {}
    rows = Part(folder / "part06.xml").table("6-1", _DICTIONARY)
    return {tag: (keyword, vr, vm) for tag, _, keyword, vr, vm, _ in rows}


def _with_dictionary(row: dict[str, str], registry: Mapping[str, tuple[str, str, str]]) -> dict[str, str]:
    keyword, vr, vm = (
        registry.get(row["tag"]) or _as_it_stands(row["tag"]) or _as_pydicom_knows(row["tag"]) or ("", "", "")
    )
    if not keyword and _is_single(row["tag"]):
        keyword = _keyword(row["name"])
    known = {"keyword": keyword, "vr": vr, "vm": vm}
    return {column: {**row, **known}[column] for column in PROFILE.columns}


def _as_it_stands(tag: str) -> tuple[str, str, str] | None:
    for row in read_csv(PROFILE.name):
        if row["tag"] == tag:
            return row["keyword"], row["vr"], row["vm"]
    return None


def _as_pydicom_knows(printed: str) -> tuple[str, str, str] | None:
    try:
        tag = tag_of(printed)
        return keyword_for_tag(tag), dictionary_VR(tag), dictionary_VM(tag)
    except (ValueError, KeyError):
        return None


def _is_single(printed: str) -> bool:
    return re.fullmatch(r"\([0-9A-F]{4},[0-9A-F]{4}\)", printed) is not None


def _keyword(name: str) -> str:
    words = re.sub(r"\(.*\)", "", name).replace("'s", "s").replace("'", "")
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", words) if word)


def _check(made: Mapping[Table, Rows]) -> None:
    """Refuse cells that are no action code: a column would have been read under a wrong heading."""
    for table in (PROFILE, CONCEPTS):
        for row in made[table]:
            for column in ("basic_profile", *(option for option in _OPTIONS.values() if option in row)):
                cell = row[column]
                if not (_CODE.fullmatch(cell) or (not cell and column != "basic_profile")):
                    raise NotAsExpected(f"{table.name}: {_named(row)} has {cell!r} under {column}.")


def _named(row: Mapping[str, str]) -> str:
    return " ".join(cell for cell in row.values() if cell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
