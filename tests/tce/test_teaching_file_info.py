"""Additional Teaching File Information (RAD-52): tce.documents.teaching_file_info."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tce.documents.codes import POLICY_DIGEST, Category, Confirmed, Level, Scheme
from tce.documents.content import text
from tce.documents.manifest import DocumentKind, recognise
from tce.documents.teaching_file_info import (
    PolicyRequest,
    TeachingFileInfo,
    build,
    parse,
)
from tce.errors import Refused
from tce.road import Hold
from tests.builders import a_ct_image

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = PolicyRequest("longitudinal-trial", "1", "sha256:" + 64 * "a", "lung-trial")
INFO = TeachingFileInfo(
    author="A. Üther",
    affiliation="An institute",
    contact="a@example.org",
    abstract="A nodule",
    keywords=("nodule", "lung"),
    history=("cough",),
    finding=("nodule", "effusion"),
    discussion=("as shown",),
    impression=("benign",),
    diagnosis=("hamartoma",),
    anatomy=("lung",),
    pathology=("tumour",),
    organ_system=("respiratory",),
    category=Category.PULMONARY,
    level=Level.ADVANCED,
    modality=("CT", "PT"),
    diagnoses_confirmed=Confirmed.YES,
)


def reread(ds: Dataset) -> Dataset:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_what_is_built_is_read_back(scheme: Scheme) -> None:
    """Every row of table H-1 and the policy request survive the way, in both code schemes."""
    ds = reread(build(INFO, REQUEST, a_ct_image(), scheme=scheme, now=NOW))
    assert parse(ds) == (INFO, REQUEST)
    assert recognise(ds.SOPClassUID, ds) is DocumentKind.INFORMATION


def test_dicom_has_two_concept_names_of_its_own() -> None:
    """In DICOM's scheme category and level are named by it, in IHE's by table H-1; Yes is of SNOMED CT in both."""
    named = {
        scheme: {
            item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptNameCodeSequence[0].CodeValue
            for item in build(INFO, REQUEST, a_ct_image(), scheme=scheme, now=NOW).ContentSequence
        }
        for scheme in Scheme
    }
    assert (named[Scheme.IHERADTF]["Category"], named[Scheme.IHERADTF]["Level"]) == ("TCE109", "TCE110")
    assert named[Scheme.DCM]["Teaching File Category"] == "128723"
    assert named[Scheme.DCM]["Level of Difficulty"] == "128724"


def test_a_modality_is_of_the_standard() -> None:
    """What is not in CID 29 is refused, not written as a code that nobody knows."""
    with pytest.raises(Refused, match="CID 29"):
        build(replace(INFO, modality=("XX",)), REQUEST, a_ct_image(), now=NOW)


def test_a_request_that_says_something_twice_is_held() -> None:
    """Which of two policies is meant cannot be decided."""
    ds = build(INFO, REQUEST, a_ct_image(), now=NOW)
    ds.ContentSequence.append(text("CONTAINS", POLICY_DIGEST, "sha256:" + 64 * "b"))
    with pytest.raises(Hold) as held:
        parse(ds)
    assert [reason.code for reason in held.value.reasons] == ["ambiguous-request"]


def test_a_category_that_nobody_chose_is_left_out() -> None:
    """No category is invented for a selection that has none."""
    plain = TeachingFileInfo(author="A", abstract="B", keywords=("C",))
    ds = build(plain, REQUEST, a_ct_image(), now=NOW)
    assert parse(ds)[0].category is None


def test_broken_content_is_held() -> None:
    """A document that cannot be read leads to a hold, and its values stay out of the reason."""
    ds = build(INFO, REQUEST, a_ct_image(), now=NOW)
    del ds.ContentSequence[0].TextValue
    with pytest.raises(Hold, match="cannot be read"):
        parse(ds)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed")
@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_dciodvfy_finds_no_error(tmp_path: Path, scheme: Scheme) -> None:
    """The document is legal by the IOD, in both code schemes."""
    ds = build(INFO, REQUEST, a_ct_image(), scheme=scheme, now=NOW)
    ds.save_as(tmp_path / "document", enforce_file_format=True)
    done = subprocess.run(["dciodvfy", str(tmp_path / "document")], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
