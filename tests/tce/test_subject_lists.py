"""Lists of subjects: read as people and CTP write them, every fault told with its line, nobody ever named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tce import subject_lists
from tce.errors import ListFault
from tce.subject_lists import Format


def a_list(folder: Path, text: str | bytes) -> Path:
    path = folder / "given"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def pairs(path: Path, form: Format, issuer: str = "") -> list[tuple[int, str, str, str, str]]:
    """Line, kind, issuer, original and pseudonym of each entry."""
    found = subject_lists.read(path, form, issuer=issuer)
    assert found.digest.startswith("sha256:")
    return [(one.line, *one.identifier, one.pseudonym) for one in found.entries]


@pytest.mark.parametrize(
    "text",
    [
        "patient_id,subject_id\nMRN-1,S-1\nMRN-2,S-2\n",
        "\ufeffOriginal;Pseudonym\r\nMRN-1;S-1\r\nMRN-2 ; S-2\r\n",
        'subject_id,patient_id\n"S-1","MRN-1"\n"S-2",MRN-2',
    ],
)
def test_a_list_of_subjects_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    """Commas or semicolons, a byte order mark, either order, spaces: the subjects are the same."""
    assert pairs(a_list(tmp_path, text), Format.CSV, "HOSP") == [
        (2, "patient", "HOSP", "MRN-1", "S-1"),
        (3, "patient", "HOSP", "MRN-2", "S-2"),
    ]


def test_a_mapping_may_have_kinds_issuers_and_days(tmp_path: Path) -> None:
    """UIDs, accession numbers and date offsets come along; an issuer of the line is before that of the list."""
    text = (
        "kind,issuer,original,pseudonym,date_offset\n"
        "patient,OTHER,MRN-1,S-1,-31\n,,MRN-2,S-2,\n\nuid,,1.2.3,1.9.3,\naccession,,ACC-1,A-1,\n"
    )
    assert pairs(a_list(tmp_path, text), Format.CSV, "HOSP") == [
        (2, "patient", "OTHER", "MRN-1", "S-1"),
        (2, "days", "OTHER", "MRN-1", "-31"),
        (3, "patient", "HOSP", "MRN-2", "S-2"),
        (5, "uid", "", "1.2.3", "1.9.3"),
        (6, "accession", "", "ACC-1", "A-1"),
    ]


CTP = {
    "csv": 'Original PatientID,Trial PatientID\n=("MRN-1"),=("S-1")\n=("MRN 2, x"),=("S-2")\n',
    "csv, the other way": 'Trial PatientID,Original PatientID\n=("S-1"),=("MRN-1")\n=("S-2"),=("MRN 2, x")\n',
    "xml": (
        "<Map>\n  <KeyTitle>Original PatientID</KeyTitle>\n  <ValueTitle>Trial PatientID</ValueTitle>\n"
        "  <Pair>\n    <Key>MRN-1</Key>\n    <Value>S-1</Value>\n  </Pair>\n"
        "  <Pair>\n    <Key>MRN 2, x</Key>\n    <Value>S-2</Value>\n  </Pair>\n</Map>\n"
    ),
}


@pytest.mark.parametrize("text", CTP.values(), ids=CTP)
def test_an_export_of_ctp_is_read(tmp_path: Path, text: str) -> None:
    """What CTP's IDMap exports, in either form and direction, gives the same subjects."""
    found = pairs(a_list(tmp_path, text), Format.CTP, "HOSP")
    assert [one[1:] for one in found] == [
        ("patient", "HOSP", "MRN-1", "S-1"),
        ("patient", "HOSP", "MRN 2, x", "S-2"),
    ]
    assert [one[0] for one in found] in ([2, 3], [4, 8])


@pytest.mark.parametrize(("title", "kind"), [("UID", "uid"), ("AccessionNumber", "accession")])
def test_ctp_says_of_what_its_list_is(tmp_path: Path, title: str, kind: str) -> None:
    """UIDs and accession numbers have exports of their own, and no issuer."""
    text = f'Original {title},Trial {title}\n=("1.2"),=("1.3")\n'
    assert pairs(a_list(tmp_path, text), Format.CTP, "HOSP") == [(2, kind, "", "1.2", "1.3")]


CSV_FAULTS: list[tuple[str | bytes, list[str]]] = [
    ("", ["line 1"]),
    ("SECRET,subject_id\nMRN,S\n", ["line 1"]),
    ("patient_id,subject_id,birth_date\nSECRET,S-1,1970\n", ["line 1"]),
    ("patient_id,original,subject_id\nSECRET,S-1,S-1\n", ["line 1"]),
    ("patient_id,subject_id\nSECRET\nSECRET,\n,SECRET\n", ["line 2", "line 3", "line 4"]),
    ("kind,original,pseudonym\nSECRET,A,B\n", ["line 2", "patient, accession"]),
    ("kind,original,pseudonym,date_offset\nuid,1.2,1.3,-4\n", ["line 2", "date offset"]),
    ('patient_id,subject_id\n"SECRET,S-1\n', ["not CSV"]),
    (b"patient_id,subject_id\n\xff\xfe,S-1\n", ["UTF-8"]),
]
CTP_FAULTS: list[tuple[str | bytes, list[str]]] = [
    ("", ["line 1"]),
    ("patient_id,subject_id\nSECRET,S-1\n", ["line 1"]),
    ('Original PatientID,Trial UID\n=("SECRET"),=("S-1")\n', ["line 1"]),
    ('Original PatientID,Original PatientID\n=("SECRET"),=("S-1")\n', ["line 1"]),
    ('Original PatientID,Trial PatientID\nSECRET,S-1\n=("SECRET"),=("null")\n', ["line 2", "line 3"]),
    (
        'Original PatientID,Trial PatientID\n=("SECRET"),=("x"),=("S-1")\n=("a"b"),=("c")\n',
        ["line 2", "line 3"],
    ),
    ('Original PatientID,Trial PatientID\n=(""),=("S-1")\n', ["line 2"]),
    ("<Map><KeyTitle>Original PatientID</KeyTitle><Pair><Key>SECRET & CO</Key></Pair></Map>", ["not XML"]),
    ("<Map>\n<KeyTitle>Other</KeyTitle><ValueTitle>Trial UID</ValueTitle></Map>", ["line 1"]),
    (
        "<Map><KeyTitle>Original UID</KeyTitle><ValueTitle>Trial UID</ValueTitle>\n"
        "<Pair><Key>SECRET</Key></Pair></Map>",
        ["line 2"],
    ),
]


@pytest.mark.parametrize(
    ("form", "text", "told"),
    [(form, *one) for form, faults in ((Format.CSV, CSV_FAULTS), (Format.CTP, CTP_FAULTS)) for one in faults],
)
def test_every_fault_is_told_without_a_value(
    tmp_path: Path, form: Format, text: str | bytes, told: list[str]
) -> None:
    """A coordinator finds each line that is wrong; the message can be shown to anybody."""
    with pytest.raises(ListFault) as fault:
        subject_lists.read(a_list(tmp_path, text), form)
    assert all(line in fault.value.what for line in told), fault.value.what
    assert "SECRET" not in f"{fault.value.what} {fault.value.next_step}"


def test_a_file_outside_is_not_read_along(tmp_path: Path) -> None:
    """An export cannot make the program read another file, or grow without end."""
    (tmp_path / "secret").write_text("SECRET")
    text = (
        f'<!DOCTYPE Map [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>\n'
        "<Map><KeyTitle>Original UID</KeyTitle><ValueTitle>Trial UID</ValueTitle>"
        "<Pair><Key>&e;</Key><Value>1.2</Value></Pair></Map>"
    )
    with pytest.raises(ListFault):
        subject_lists.read(a_list(tmp_path, text), Format.CTP)


def test_a_list_does_not_print_its_subjects(tmp_path: Path) -> None:
    """Nobody reads patients in a log."""
    found = subject_lists.read(a_list(tmp_path, "patient_id,subject_id\nSECRET,SUBJECT\n"), Format.CSV)
    assert "SECRET" not in repr(found) + repr(found.entries)
    assert "SUBJECT" not in repr(found) + repr(found.entries)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Which file cannot be read, and why."""
    with pytest.raises(ListFault, match="cannot be read"):
        subject_lists.read(tmp_path / "none", Format.CSV)
