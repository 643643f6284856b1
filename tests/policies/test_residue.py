"""The search finds an original value however it is written, and nothing where there is none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pydicom
import pytest

from policies.originals import ALL, DIRECT, Trait
from policies.residue import Residue, originals_of
from tests.builders import a_ct_study, an_mr_study, written

NAME = "Müller-Lüdenscheidt^Jürgen"


def found(value: str, data: bytes) -> bool:
    return any(True for _ in Residue([value]).search_bytes(data))


@pytest.mark.parametrize(
    "written_as",
    [
        "Müller-Lüdenscheidt^Jürgen",
        "MÜLLER-LÜDENSCHEIDT, Jürgen",
        "jürgen müller-lüdenscheidt",
        "Mueller-Luedenscheidt Juergen",
        "Muller",
        "Report on Jürgen.",
        "patient_Luedenscheidt_1.dcm",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_a_name_is_found_in_every_form(written_as: str, encoding: str) -> None:
    """Order, case, accents and encoding of a name make no difference."""
    assert found(NAME, b"\x00\x01" + written_as.encode(encoding) + b"\x00\x01")


@pytest.mark.parametrize(
    "written_as",
    [
        "19860315",
        "1986-03-15",
        "15.03.1986",
        "03/15/1986",
        "15 March 1986",
        "Mar 15, 1986",
        "19860315041500.1",
        "15.03.86",
        "03/15/86",
        "15. März 1986",
        "15 mars 1986",
        "15 de marzo de 1986",
    ],
)
def test_a_date_is_found_in_every_form(written_as: str) -> None:
    """A birth date is found as DICOM, ISO, European and American write it, and inside a DT."""
    assert found("19860315", f"born {written_as} there".encode())


@pytest.mark.parametrize("written_as", ["+49 7661 5550143", "+4976615550143", "076615550143"])
def test_a_telephone_number_is_found_in_every_form(written_as: str) -> None:
    """Spaces and the country code make no difference."""
    assert found("+49 7661 5550143", f"call {written_as} today".encode())


@pytest.mark.parametrize(
    ("uid", "written_as"),
    [
        ("1.2.276.0.44.1", "1_2_276_0_44_1"),
        ("1.2.276.0.44.1", "1-2-276-0-44-1.dcm"),
        ("2.25.329800735698586629295641978511506172918", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("2.25.329800735698586629295641978511506172918", "F81D4FAE7DEC11D0A76500A0C91E6BF6"),
    ],
)
def test_a_uid_is_found_in_every_form(uid: str, written_as: str) -> None:
    """A UID is found as file names write it, and a UUID as a UUID."""
    assert found(uid, f"see {written_as} there".encode())


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis", "euc_jp", "iso2022_jp", "utf-16-be"])
def test_ideographic_names_are_found_in_the_code_pages_of_dicom(encoding: str) -> None:
    """The second and third component groups are found in every repertoire that may carry them."""
    text = "患者 山城 敬三".encode(encoding)
    assert found("Yamashiro^Keizo=山城^敬三", text)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("1.2.276.1.5.44", b"1.2.276.1.5.441"),
        ("1.2.276.1.5.44", b"1.2.276.1.5.44.2"),
        ("1.2.276.1.5.44", b"21.2.276.1.5.44"),
        ("19860315", b"119860315"),
        ("19860315", b"198603159"),
        ("Ulf^", b"gulf of Ulfborg"),
        ("PAT-7", b"PAT-77"),
        ("19860315", b"1.2.15.03.86.4"),
        ("19860315", b"15.03.867"),
    ],
)
def test_longer_words_and_numbers_are_no_hit(value: str, data: bytes) -> None:
    """A short value inside a longer one is another value."""
    assert not found(value, data)


@pytest.mark.parametrize(
    ("value", "following"),
    [
        ("ADM-55", b"8\0`\0LO"),
        ("19860315", b"2\0\x10\0SH"),
        ("1.2.276.1.5.44", b"1\0\x10\0LO"),
        ("ADM-55", b"SpSpLO"),
    ],
)
def test_the_next_elements_tag_is_no_letter(value: str, following: bytes) -> None:
    """A value of even length is followed by a tag whose bytes may look like text; it is found still."""
    assert found(value, b"\x06\0" + value.encode() + following)


def test_values_that_cannot_be_told_from_chance_are_named() -> None:
    """What is not searched for is counted, so that a clean result does not claim more than it proved."""
    assert Residue(["Lindqvist^", "7", "12345", "Unknown^", "--"]).unsearchable == (1, 2, 3, 4)


def test_a_search_for_nothing_is_refused() -> None:
    """No originals is an error, never a clean search."""
    with pytest.raises(ValueError, match="no original values"):
        Residue([])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A tree without any file proves nothing."""
    with pytest.raises(FileNotFoundError):
        Residue(["Lindqvist^"]).search_tree(tmp_path)


def test_hits_are_found_across_chunks() -> None:
    """A value that straddles the border of two chunks is found once, at its offset."""
    data = bytearray(3 << 20)
    at = (1 << 20) - 4
    data[at : at + 9] = b"Lindqvist"
    assert list(Residue(["Lindqvist^"]).search_bytes(bytes(data))) == [(at, 0)]


def test_every_byte_is_searched_and_cells_hold_no_short_words() -> None:
    """In image cells three letters are chance; six characters are not."""
    search = Residue(["Ulf^", "Lindqvist^"])
    data = b" Ulf Lindqvist "
    assert {which for _, which in search.search_bytes(data)} == {0, 1}
    assert {which for _, which in search.search_bytes(data, cells_from=0)} == {1}


def test_noise_holds_nothing() -> None:
    """Random cells of an image give no hit for a whole study's values."""
    values = [
        *(sample.instance.SOPInstanceUID for sample in a_ct_study()),
        NAME,
        "Ulf^Pfeifenberger",
        "19860315",
    ]
    assert list(Residue(values).search_bytes(random.Random(2).randbytes(4 << 20), cells_from=0)) == []


def test_names_of_files_and_folders_are_searched(tmp_path: Path) -> None:
    """A patient's name in a folder's or file's name is a hit."""
    (tmp_path / "LINDQVIST_1986").mkdir()
    (tmp_path / "LINDQVIST_1986" / "asa.txt").write_text("nothing here")
    (tmp_path / "lindqvist.txt").write_text("nothing here")
    hits = Residue(["Lindqvist^"]).search_tree(tmp_path)
    assert [(hit.path.name, hit.channel) for hit in hits] == [
        ("LINDQVIST_1986", "file name"),
        ("lindqvist.txt", "file name"),
    ]


def test_a_deflated_data_set_is_searched_inflated(tmp_path: Path) -> None:
    """Compression of the whole data set hides nothing."""
    ds = a_ct_study(slices=1)[0].instance
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = tmp_path / "instance"
    ds.save_as(path, enforce_file_format=True)
    assert {hit.channel for hit in Residue(["Lindqvist^"]).search_file(path)} == {"inflated"}


def test_originals_are_all_found_again_in_their_source(tmp_path: Path) -> None:
    """Every value collected from identified instances is searchable, and is found in these instances."""
    files = written([*a_ct_study(), *an_mr_study()], tmp_path)
    originals = originals_of(files)
    search = Residue(originals)
    assert search.unsearchable == ()
    assert {hit.which for hit in search.search_tree(tmp_path)} == set(range(len(originals)))


def test_originals_by_trait(tmp_path: Path) -> None:
    """Direct identifiers, places and devices are told apart, and people are not forgotten in nested items."""
    files = written(a_ct_study(slices=1), tmp_path)
    people = originals_of(files, {Trait.PERSON})
    assert {"Lindqvist^Åsa^Margareta^Dr.", "Pfeifenberger^Ulf", "Steinbrecher^Jolanda"} <= set(people)
    assert "SUE-4471902" in originals_of(files, {Trait.NUMBER})
    assert "RH-90114-2277" not in originals_of(files, DIRECT)
    assert {"RH-90114-2277", "Klinikum Südhang"} <= set(originals_of(files, ALL))
    assert not any(value.startswith("1.2.840.10008.") for value in originals_of(files, ALL))


def test_hits_never_repeat_the_value(tmp_path: Path) -> None:
    """A hit names file, offset, channel and index only."""
    path = tmp_path / "report.txt"
    path.write_text("about Lindqvist")
    (hit,) = Residue(["Lindqvist^"]).search_file(path)
    assert "indqvist" not in repr(hit)
    assert (hit.offset, hit.channel, hit.which) == (6, "content", 0)


def an_instance(tmp_path: Path, **values: Any) -> Path:
    ds = a_ct_study(slices=1)[0].instance
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    path = tmp_path / "instance"
    ds.save_as(path, enforce_file_format=True)
    return path


def test_a_hit_in_an_instance_names_its_tag(tmp_path: Path) -> None:
    """Whoever looks for what is wrong gets the path of tags, at any depth."""
    item = pydicom.Dataset()
    item.CodeMeaning, item.CodingSchemeDesignator, item.CodeValue = "of Quintessa", "99X", "1"
    path = an_instance(tmp_path, ImageComments="for Quintessa", ProcedureCodeSequence=[item])
    hits = Residue(["Quintessa^"]).search_instance(path)
    assert {hit.where for hit in hits} == {"(0020,4000)", "(0008,1032)[1]/(0008,0104)"}


def test_words_of_the_standard_are_nobodys_name(tmp_path: Path) -> None:
    """A patient called Head or Chest is not found in a defined term or in what a public code means; in a text he is."""
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    path = an_instance(
        tmp_path, BodyPartExamined="CHEST", AnatomicRegionSequence=[code], ImageComments="Mrs Chest"
    )
    hits = Residue(["Chest^"]).search_instance(path)
    assert "(0020,4000)" in {hit.where for hit in hits}
    assert not {"(0018,0015)", "(0008,2218)[1]/(0008,0104)"} & {hit.where for hit in hits}


def test_a_date_of_a_study_is_nobodys_birthday(tmp_path: Path) -> None:
    """A child born on the day of its study is found by its birth date, not by the date of the study."""
    path = an_instance(
        tmp_path, StudyDate="20240611", PatientBirthDate="20240611", ImageComments="11.06.2024"
    )
    hits = Residue(["20240611"]).search_instance(path)
    assert {hit.where for hit in hits} == {"(0010,0030)", "(0020,4000)"}


def test_codes_of_persons_and_addresses_are_originals(tmp_path: Path) -> None:
    """The code of a person, an electronic address in any text, and a part of an address are looked for."""
    person, code = pydicom.Dataset(), pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "LANR-77-1", "99KV", "Dr. Eva Wachholz"
    person.PersonIdentificationCodeSequence = [code]
    path = an_instance(
        tmp_path,
        OperatorIdentificationSequence=[person],
        ImageComments="ask eva.wachholz@klinikum.example",
        PatientAddress="Tannenweg 17, Oberfelden",
    )
    found = set(originals_of([path], DIRECT))
    assert {"LANR-77-1", "eva.wachholz@klinikum.example", "Tannenweg 17", "Oberfelden"} <= found


def test_sources_without_a_head_tell_as_much(tmp_path: Path) -> None:
    """A data set without preamble and File Meta Information has originals too."""
    path = an_instance(tmp_path)
    data = path.read_bytes()
    (tmp_path / "bare").write_bytes(data[data.index(b"\x08\x00\x05\x00CS") :])
    inside = set(originals_of([path], {Trait.PERSON, Trait.NUMBER}))
    assert set(originals_of([tmp_path / "bare"], {Trait.PERSON, Trait.NUMBER})) == inside
