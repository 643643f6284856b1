"""Text in declared character sets is read strictly, and nothing that cannot be read makes one patient of two."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from policies.charsets import decoded, encodings_of
from policies.engine import Engine
from policies.loader import load_library
from policies.pseudonyms import Identifier
from tests.builders import a_ct_image


@pytest.mark.parametrize(
    ("declared", "text", "raw"),
    [
        ("ISO_IR 100", "Müller", b"M\xfcller"),
        ("ISO-IR 100", "Müller", b"M\xfcller"),
        ("ISO_IR 192", "Müller", "Müller".encode()),
        ("UTF-8", "Müller", "Müller".encode()),
        ("ISO_IR 192\\ISO 2022 IR 87", "Müller", "Müller".encode()),
        ("\\ISO 2022 IR 87", "Yamada=山田", b"Yamada=\x1b$B;3ED\x1b(B"),
        ("\\ISO 2022 IR 149", "Hong=洪^길", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xb1\xe6"),
        ("ISO 2022 IR 6\\ISO 2022 IR 144", "Люкс^x", b"\x1b-L\xbb\xee\xda\xe1^x"),
        ("JANE", "Müller", b"M\xfcller"),
    ],
)
def test_text_is_read_in_the_declared_sets(declared: str, text: str, raw: bytes) -> None:
    """Code extensions, stand-alone sets and common misspellings are understood."""
    assert decoded(raw, encodings_of(declared)) == text


def _patient(folder: Path, declared: bytes, patient_id: bytes) -> Identifier:
    ds = a_ct_image()
    ds.SpecificCharacterSet, ds.PatientID = "ISO_IR 100", "QQQQ"
    path = folder / "in.dcm"
    ds.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", patient_id).replace(b"ISO_IR 100", declared))
    with Engine(load_library("pseudonymization")).read(path) as draft:
        return draft.subject.patient


@pytest.mark.parametrize("declared", [b"ISO_IR 192", b"GB18030   ", b"ISO_IR 13 ", b"ISO_IR 127"])
def test_identifiers_that_cannot_be_read_stay_apart(tmp_path: Path, declared: bytes) -> None:
    """Two patients whose identifiers are no text of the declared set are two, whatever stands in place of letters."""
    assert _patient(tmp_path, declared, b"\xff\xfe12") != _patient(tmp_path, declared, b"\xfe\xff12")


def test_nothing_is_said_of_what_cannot_be_read(tmp_path: Path) -> None:
    """A character set that is none, and text that is none, are quoted in no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _patient(tmp_path, b"ISO-IRJOHN", b"\x1b%G1")
        _patient(tmp_path, b"ISO_IR 192", b"\xff\xfe12")
