"""Coded entries stay as far as they are public."""

from __future__ import annotations

import gzip
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.codes import Trust, is_known_scheme, trust_in
from policies.engine import Engine
from policies.loader import load_library
from policies.standard.codes import public_meaning, write_table
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def carried(item: Dataset, folder: Path, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    ds = a_ct_image()
    ds.PatientName = "Quirin^Zoe"
    ds.AnatomicRegionSequence = Sequence([item])
    ds.file_meta.TransferSyntaxUID = syntax
    source, out = folder / "in.dcm", folder / "out.dcm"
    out.unlink(missing_ok=True)
    implicit = syntax == ImplicitVRLittleEndian
    ds.save_as(source, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    engine = Engine(load_library("basic"))
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    result: Dataset = pydicom.dcmread(out).AnatomicRegionSequence[0]
    return result


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "trust"),
    [
        (b"51185008", b"SCT ", b"Chest ", Trust.ALL),
        (b"T-D3000", b"SRT ", b"Chest ", Trust.ALL),
        (b"113100", b"DCM ", b"Basic Application Confidentiality Profile", Trust.ALL),
        (b"mm", b"UCUM", b"mm", Trust.ALL),
        (b"TCE001", b"IHERADTF", b"For Teaching File Export", Trust.ALL),
        (b"51185008", b"SCT ", b"Chest of Nowak", Trust.VALUE),
        (b"1", b"99PMP ", b"Lesion of Nowak", Trust.VALUE),
        (b"Nowak", b"SCT ", b"Chest", Trust.NOTHING),
        (b"NOWAK", b"99KLINIK", b"Chest", Trust.NOTHING),
        (b"mGycm", b"UCUM", b"mGycm", Trust.ALL),
        (b"{SUVbw}g/ml", b"UCUM", b"of Nowak", Trust.VALUE),
        (b"Gy.m2", b"UCM ", b"Gy.m2 of Nowak", Trust.VALUE),
        (b"Hans", b"UCUM", b"Chest", Trust.NOTHING),
        (b"{Nowak}/s", b"UCUM", b"Chest", Trust.NOTHING),
        (b"MDC_NOWAK", b"MDC ", b"Chest", Trust.NOTHING),
        (b"Zbigniew", b"99GEMS", b"Chest", Trust.NOTHING),
        (b"1ZBIGNIEW", b"BARI", b"Chest", Trust.NOTHING),
        (b"CTTHX", b"L ", b"CT Thorax", Trust.NOTHING),
        (b"CTTHX", b"", b"CT Thorax", Trust.NOTHING),
    ],
)
def test_trust_ends_where_the_public_part_ends(
    value: bytes, scheme: bytes, meaning: bytes, trust: Trust
) -> None:
    """Public codes with their meanings are trusted, values of vendors' schemes, and nothing of a hospital's own."""
    assert trust_in(value, scheme, meaning) is trust


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_public_code_stays(tmp_path: Path, syntax: str) -> None:
    """A code of the standard stays as it is."""
    out = carried(coded("51185008", "SCT", "Chest"), tmp_path, syntax)
    assert (out.CodeValue, out.CodingSchemeDesignator, out.CodeMeaning) == ("51185008", "SCT", "Chest")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_meaning_that_somebody_typed_is_cleaned(tmp_path: Path, syntax: str) -> None:
    """Of a meaning that is not the code's, only safe words stay, also where no header knows the name."""
    out = carried(coded("51185008", "SCT", "Chest of Zbigniew Nowak"), tmp_path, syntax)
    assert (out.CodeValue, out.CodeMeaning) == ("51185008", "Chest")


@pytest.mark.parametrize("scheme", ["99KLINIK", "KLINIK_RIS", "L"])
def test_a_local_code_becomes_a_pseudonym(tmp_path: Path, scheme: str) -> None:
    """A hospital's own code and the name of its scheme go; equal codes stay equal."""
    first = carried(coded("NOWAK77", scheme, "Thorax Nowak"), tmp_path)
    second = carried(coded("NOWAK77", scheme, "Thorax Nowak"), tmp_path)
    assert first.CodingSchemeDesignator == "L"
    assert first.CodeMeaning == "Thorax"
    assert "NOWAK" not in first.CodeValue
    assert first.CodeValue == second.CodeValue


def test_a_value_that_is_replaced_loses_its_scheme(tmp_path: Path) -> None:
    """A pseudonym is no code of the scheme that its original claimed, so that a second stage takes it for local too."""
    out = carried(coded("Zbigniew", "99GEMS", "Chest"), tmp_path)
    assert (out.CodingSchemeDesignator, out.CodeMeaning) == ("L", "Chest")
    assert "Zbig" not in out.CodeValue


def test_a_list_of_schemes_stays(tmp_path: Path) -> None:
    """Where no code is, the name of a public scheme stays."""
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeRegistry = "DCM", "HL7"
    assert carried(item, tmp_path).CodingSchemeDesignator == "DCM"


def test_designators_of_public_schemes_are_known() -> None:
    """What PS3.16 lists, what vendors use and what this program writes is known; a hospital's own is not."""
    assert all(map(is_known_scheme, (b"DCM", b"SCT ", b"UCUM", b"99TCE ", b"99PMP", b"L ", b"UCM", b"")))
    assert not any(map(is_known_scheme, (b"99KLINIK", b"SIEMENS_RIS", b"medneo")))


def test_the_table_is_made_from_what_pydicom_knows(tmp_path: Path) -> None:
    """The shipped table holds nothing that its generator does not write."""
    made = tmp_path / "code_meanings.csv.gz"
    assert write_table(made) > 20_000
    shipped = Path(write_table.__code__.co_filename).with_name("code_meanings.csv.gz")
    lines = [set(gzip.decompress(path.read_bytes()).splitlines()) for path in (shipped, made)]
    assert lines[0] <= lines[1]
    assert (public_meaning("DCM", "113100") or "").strip() == "basic application confidentiality profile"
