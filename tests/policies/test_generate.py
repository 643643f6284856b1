"""The tables of the standard, made from its DocBook: the same tables again, and nothing read under a wrong heading."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.standard import generate as maker
from policies.standard.docbook import NotAsExpected, Part
from policies.standard.generate import ACTIONS, CID7050, CONCEPTS, PROFILE, SAFE_PRIVATE, differences, faults
from policies.standard.rows import read_csv
from tests.policies.docbook import (
    CODE_HEADINGS,
    CONCEPT_HEADINGS,
    DICTIONARY_HEADINGS,
    PRIVATE_HEADINGS,
    PROFILE_HEADINGS,
    a_part,
    a_raw_table,
    a_row,
    a_table,
    cells,
)

PRINTED_PROFILE = ("name", "tag", *PROFILE.columns[5:])
ACCESSION = ["Accession Number", "(0008,0050)", "N", "Y", "Z", *[""] * 10]
CODES = [["D", "replace"], ["X/Z/U*", "it depends"]]
CONCEPT = ["A Date", "1", "DCM", "DATE", "N", "Y", "X", "", "", "", "", "K", "C", ""]
PRIVATE = ["(7053,xx00)", "A Creator", "OW/OB", "1", "A factor"]


def a_folder(folder: Path, **parts: str) -> Path:
    for name, text in parts.items():
        (folder / f"{name}.xml").write_text(text, encoding="utf-8")
    return folder


def a_part15(*profile: list[str], headings: tuple[str, ...] = PROFILE_HEADINGS) -> str:
    return a_part(
        15,
        a_table("E.3.10-1", PRIVATE_HEADINGS, [PRIVATE]),
        a_table("E.1-1a", (), CODES),
        a_table("E.1-1", headings, profile),
        a_table("E.3.4-1", CONCEPT_HEADINGS, [CONCEPT]),
    )


def as_printed() -> dict[str, str]:
    """PS3.15 and PS3.16 as they would be printed if they held what lies in the project."""
    tables = {
        table: list(read_csv(table.name)) for table in (PROFILE, ACTIONS, CONCEPTS, SAFE_PRIVATE, CID7050)
    }
    return {
        "part15": a_part(
            15,
            a_table(
                "E.3.10-1",
                PRIVATE_HEADINGS,
                [cells(row, SAFE_PRIVATE.columns) for row in tables[SAFE_PRIVATE]],
            ),
            a_table("E.1-1a", (), [cells(row, ACTIONS.columns) for row in tables[ACTIONS]]),
            a_table("E.1-1", PROFILE_HEADINGS, [cells(row, PRINTED_PROFILE) for row in tables[PROFILE]]),
            a_table("E.3.4-1", CONCEPT_HEADINGS, [cells(row, CONCEPTS.columns) for row in tables[CONCEPTS]]),
        ),
        "part16": a_part(
            16,
            a_table("CID_7050", CODE_HEADINGS, [cells(row, CID7050.columns[:3]) for row in tables[CID7050]]),
        ),
        "part06": a_part(
            6,
            a_table(
                "6-1",
                DICTIONARY_HEADINGS,
                [
                    [
                        *cells(row, ("tag", "name", "keyword", "vr", "vm")),
                        "RET" if row["retired"] == "Y" else "",
                    ]
                    for row in tables[PROFILE]
                    if row["vr"]
                ],
            ),
        ),
    }


@pytest.mark.parametrize("parts", [("part15", "part16", "part06"), ("part15", "part16")])
def test_the_tables_are_made_again_from_docbook_byte_for_byte(tmp_path: Path, parts: tuple[str, ...]) -> None:
    """Printed and read again, all five tables are the files of the project, also where PS3.6 is not at hand."""
    printed = as_printed()
    made = maker.generate(a_folder(tmp_path, **{part: printed[part] for part in parts}))
    assert set(made) == {PROFILE, ACTIONS, CONCEPTS, SAFE_PRIVATE, CID7050}
    for table, rows in made.items():
        assert faults(table, rows) == []
        maker.write(table, rows, tmp_path)
        kept = Path(maker.__file__).with_name(table.name)
        assert (tmp_path / table.name).read_bytes() == kept.read_bytes(), table.name


def test_a_new_edition_is_a_list_to_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an edition adds, removes and changes is told row by row, and nothing is written unasked."""
    made_up = ["Horoscope Text", "(0010,4321)", "N", "Y", "X/Z/U*", *[""] * 7, "C", "", ""]
    changed = [*ACCESSION[:4], "X/Z", *ACCESSION[5:]]
    folder = a_folder(
        tmp_path,
        part15=a_part15(changed, made_up),
        part06=a_part(
            6,
            a_table(
                "6-1",
                DICTIONARY_HEADINGS,
                [
                    ["(0008,0050)", "Accession Number", "AccessionNumber", "SH", "1", ""],
                    ["(0010,4321)", "Horoscope Text", "HoroscopeText", "UT", "1", ""],
                ],
            ),
        ),
    )
    out = tmp_path / "out"
    out.mkdir()
    assert maker.main([str(folder)], out) == 1
    said = capsys.readouterr().out.splitlines()
    assert "  ~ (0008,0050) basic_profile: 'Z' is now 'X/Z'" in said
    assert "  + (0010,4321) HoroscopeText Horoscope Text UT 1 N Y X/Z/U* C" in said
    assert len([line for line in said if line.startswith("  - (")]) == 656 + 479
    assert not list(out.iterdir())
    assert maker.main(["--write", str(folder)], out) == 0
    assert (
        (out / PROFILE.name)
        .read_text(encoding="utf-8")
        .splitlines()[2]
        .startswith('"(0010,4321)",HoroscopeText,Horoscope Text,UT,1,N,Y,X/Z/U*,')
    )


def test_what_a_person_must_decide_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An attribute of unknown VR, and two rows for one attribute, are named and stop the writing."""
    new = ["Horoscope", "(0010,4321)", "N", "Y", "X", *[""] * 10]
    folder = a_folder(tmp_path, part15=a_part15(ACCESSION, [*ACCESSION[:4], "D", *[""] * 10], new))
    out = tmp_path / "out"
    out.mkdir()
    assert maker.main(["--write", str(folder)], out) == 1
    said = capsys.readouterr().out
    assert "! (0008,0050) stands there twice, and differs" in said
    assert "! (0010,4321) has no VR" in said
    assert not list(out.iterdir())


def test_a_changed_heading_stops_the_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns that change places are not read: an option would get another option's actions."""
    swapped = (*PROFILE_HEADINGS[:5], PROFILE_HEADINGS[6], PROFILE_HEADINGS[5], *PROFILE_HEADINGS[7:])
    folder = a_folder(tmp_path, part15=a_part15(ACCESSION, headings=swapped))
    assert maker.main([str(folder)]) == 2
    assert "Table E.1-1 has the headings" in capsys.readouterr().err


@pytest.mark.parametrize("cell", ["maybe", "D/", "Y", "X*"])
def test_a_cell_that_is_no_action_stops_the_reading(tmp_path: Path, cell: str) -> None:
    """Only action codes may stand in the columns of actions."""
    with pytest.raises(NotAsExpected, match="Accession Number"):
        maker.generate(a_folder(tmp_path, part15=a_part15([*ACCESSION[:4], cell, *ACCESSION[5:]])))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<book", "cannot be read"),
        (a_part(15, a_table("E.1-1a", (), CODES)), "no table_E.1-1"),
        (a_part15(), "has no rows"),
        (a_part15([*ACCESSION, "X"]), "has 16 cells"),
    ],
)
def test_a_part_that_is_not_as_expected_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    """A broken file, a missing or empty table and a row of another width are told, not guessed at."""
    with pytest.raises(NotAsExpected, match=reason):
        maker.generate(a_folder(tmp_path, part15=text))


def test_a_folder_without_the_standard_is_refused(tmp_path: Path) -> None:
    """Nothing read is nothing compared: an empty folder is a fault, not an edition without changes."""
    with pytest.raises(NotAsExpected, match=r"neither part15\.xml"):
        maker.generate(tmp_path)
    assert maker.main([]) == 2


def test_a_cell_is_read_as_it_is_printed(tmp_path: Path) -> None:
    """Marks, breaks and links vanish, words stay apart, and a cell that spans rows or columns is in each of them."""
    body = (
        '<tr><td rowspan="2"><para>A<emphasis role="bold">B</emphasis>C</para></td>'
        '<td><para>long\u200bword \u00ad<xref linkend="x"/></para><para>next</para></td></tr>'
        "<tr><td>2</td></tr>"
        '<tr><td colspan="2"><para> both  \n ways </para></td></tr>'
    ) + a_row(["plain", ""])
    path = tmp_path / "part.xml"
    path.write_text(a_part(3, a_raw_table("x", "", body), edition="2031b"), encoding="utf-8")
    part = Part(path)
    assert part.edition == "2031b"
    assert part.table("x", ()) == [
        ["ABC", "longword next"],
        ["ABC", "2"],
        ["both ways", "both ways"],
        ["plain", ""],
    ]


def test_an_entity_of_the_outside_is_not_read(tmp_path: Path) -> None:
    """A document that wants another file put into a cell does not get it."""
    (tmp_path / "secret").write_text("secret")
    text = a_part(15, a_raw_table("x", "", "<tr><td><para>&outside;</para></td><td>1</td></tr>"))
    head, _, rest = text.partition("\n")
    doctype = f'<!DOCTYPE book [<!ENTITY outside SYSTEM "file://{tmp_path}/secret">]>'
    path = tmp_path / "part15.xml"
    path.write_text(f"{head}\n{doctype}{rest}", encoding="utf-8")
    assert Part(path).table("x", ()) == [["&outside;", "1"]]


def test_differences_name_every_kind_of_change() -> None:
    """The same tables differ in nothing."""
    rows = list(read_csv(CID7050.name))
    assert differences(CID7050, rows, rows) == []
    assert differences(CID7050, rows, rows[1:]) == [
        "- DCM 113100 Basic Application Confidentiality Profile basic_profile"
    ]
