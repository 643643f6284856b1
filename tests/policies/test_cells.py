"""Pixel data is the source's, cell by cell and byte by byte, but for what a policy or the standard takes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy
from policies.parsing import read
from policies.verify import check_instance
from tests.builders import a_ct_image
from tests.policies.pseudonyms_for_tests import CountedPseudonyms


def a_cleaning_policy() -> Policy:
    """The basic profile, and for images of 128 rows the first ten are blacked out."""
    basic = load_library("basic").model_dump(mode="json")
    region = {"height": 10}
    rule = {"rows": 128, "regions": [region], "reason": "the name stands there"}
    return Policy.model_validate(
        {**basic, "options": [*basic["options"], "clean-pixel-data"], "pixels": [rule]}
    )


def carried(source: Path, policy: Policy, out: Path) -> Path:
    engine = Engine(policy)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return out


def found(source: Path, made: Path, policy: Policy) -> set[tuple[str, str]]:
    return {(one.code, one.what) for one in check_instance(made, policy, source=source)}


@pytest.fixture
def cleaned(tmp_path: Path) -> tuple[Path, Path]:
    source = tmp_path / "source"
    a_ct_image().save_as(source, enforce_file_format=True)
    return source, carried(source, a_cleaning_policy(), tmp_path / "made")


def changed(made: Path, edit: Callable[[Dataset], object]) -> Path:
    ds = pydicom.dcmread(made)
    edit(ds)
    ds.save_as(made.with_name("changed"), enforce_file_format=False)
    return made.with_name("changed")


def with_byte(at: int, value: int = 77) -> Callable[[Dataset], object]:
    def edit(ds: Dataset) -> None:
        cells = bytearray(ds.PixelData)
        cells[at] = value if cells[at] != value else value + 1
        ds.PixelData = bytes(cells)

    return edit


def test_a_cleaned_image_passes(cleaned: tuple[Path, Path]) -> None:
    """Black in its regions and unchanged elsewhere, with the claim: no finding."""
    assert found(*cleaned, a_cleaning_policy()) == set()


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (9 * 256 + 10, "a region that is not black"),
        (10 * 256 + 10, "a cell outside the regions that is not the source's"),
    ],
)
def test_a_cell_of_a_cleaned_image_is_found(cleaned: tuple[Path, Path], at: int, what: str) -> None:
    """One cell that is not black in a region, or is another outside of all, is found."""
    source, made = cleaned
    assert ("pixels", what) in found(source, changed(made, with_byte(at)), a_cleaning_policy())


def test_what_was_not_cleaned_is_found(cleaned: tuple[Path, Path]) -> None:
    """The source's pixels under a policy that cleans them are found, whatever the marks say."""
    source, made = cleaned
    original = pydicom.dcmread(source).PixelData
    damaged = changed(made, lambda ds: setattr(ds, "PixelData", original))
    assert ("pixels", "a region that is not black") in found(source, damaged, a_cleaning_policy())


def test_the_claim_goes_with_the_cleaning(cleaned: tuple[Path, Path], tmp_path: Path) -> None:
    """Cleaned and not claimed is found, and claimed and not cleaned."""
    source, made = cleaned

    def silent(ds: Dataset) -> None:
        codes = ds.DeidentificationMethodCodeSequence
        ds.DeidentificationMethodCodeSequence = [code for code in codes if code.CodeValue != "113101"]
        ds.BurnedInAnnotation = "YES"

    assert {code for code, _ in found(source, changed(made, silent), a_cleaning_policy())} == {"mark"}
    other = a_cleaning_policy()
    other = Policy.model_validate({**other.model_dump(mode="json"), "pixels": []})
    assert {"mark", "pixels"} <= {code for code, _ in found(source, made, other)}


@pytest.fixture(params=["JPEG2000.dcm", "examples_jpeg2k.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm"])
def compressed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, Policy]:
    basic = load_library("basic").model_dump(mode="json")
    risks = ["secondary-capture", "ultrasound", "visible-light", "recognizable-visual-features"]
    accept = [{"risk": risk, "reason": "a test"} for risk in risks]
    policy = Policy.model_validate({**basic, "accept": accept})
    source = Path(str(get_testdata_file(request.param)))
    return source, carried(source, policy, tmp_path / "made"), policy


def test_compressed_frames_pass(compressed: tuple[Path, Path, Policy]) -> None:
    """The same streams, with their comments blanked, are no finding."""
    source, made, policy = compressed
    assert {code for code, _ in found(source, made, policy)} == set()


def test_a_byte_of_a_stream_is_found(compressed: tuple[Path, Path, Policy], tmp_path: Path) -> None:
    """One byte of a compressed frame that is another than the source's is found."""
    source, made, policy = compressed
    data = bytearray(made.read_bytes())
    start, length = (read(made).top[0x7FE00010].fragments or [])[1]
    at = start + length // 2
    data[at] = data[at] ^ 0x15 or 0x16
    (tmp_path / "changed").write_bytes(data)
    assert "pixels" in {code for code, _ in found(source, tmp_path / "changed", policy)}


def test_words_behind_a_stream_are_found(compressed: tuple[Path, Path, Policy], tmp_path: Path) -> None:
    """Bytes behind the end of a compressed stream, in a longer fragment, are found with and without the source."""
    source, made, policy = compressed
    ds = pydicom.dcmread(made)
    frames = list(
        pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames", 1)))
    )
    ds.PixelData = pydicom.encaps.encapsulate([frame.rstrip(b"\0") + b"Lindqvist^Asa " for frame in frames])
    ds.save_as(tmp_path / "changed", enforce_file_format=False)
    assert ("pixels", "other fragments than the source has") in found(source, tmp_path / "changed", policy)
    alone = check_instance(tmp_path / "changed", policy)
    assert any("behind the end" in one.what for one in alone)
