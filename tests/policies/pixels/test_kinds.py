"""Volumes of the head are held where the policy asks, and other signs of risk wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from policies.errors import Held
from policies.standard.attributes import attribute_named, check_value
from policies.standard.beyond import conversion_types
from tests.policies.pixels.builders import a_policy, an_image, carried, saved

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def an_image_of(sop_class: str = CT, **attributes: object) -> Dataset:
    """An image that says nothing of the body but what is given."""
    ds = an_image(SOPClassUID=sop_class)
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword in (
        "AnatomicRegionSequence",
        "BodyPartExamined",
        "StudyDescription",
        "SeriesDescription",
        "ProtocolName",
        "RequestedProcedureDescription",
        "PerformedProcedureStepDescription",
    ):
        if keyword in ds:
            del ds[keyword]
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def region(meaning: str) -> list[Dataset]:
    """An Anatomic Region Sequence."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "SCT", meaning
    return [code]


def frames_of(meaning: str) -> list[Dataset]:
    """Shared functional groups that name the part of the body."""
    anatomy, shared = Dataset(), Dataset()
    anatomy.AnatomicRegionSequence = region(meaning)
    shared.FrameAnatomySequence = [anatomy]
    return [shared]


def outcome(ds: Dataset, folder: Path, **changes: object) -> str:
    """The reason for which the instance is held, empty when it passes."""
    out = folder / "out.dcm"
    out.unlink(missing_ok=True)
    try:
        carried(saved(ds, folder / "in.dcm"), a_policy(**changes), out)
    except Held as held:
        assert held.next_step
        return held.reason
    return ""


@pytest.mark.parametrize(
    ("ds", "held"),
    [
        (an_image_of(BodyPartExamined="HEAD"), True),
        (an_image_of(BodyPartExamined="HEADNECK"), True),
        (an_image_of(BodyPartExamined="CSPINE"), True),
        (an_image_of(BodyPartExamined="CHEST"), False),
        (an_image_of(BodyPartExamined="CHEST", StudyDescription="CT brain and thorax"), True),
        (an_image_of(ProtocolName="t1_neurocranium_3d"), True),
        (an_image_of(SeriesDescription="Schädel nativ"), True),
        (an_image_of(SeriesDescription="Knee sag"), False),
        (an_image_of(SeriesDescription="Series 4"), True),
        (an_image_of(), True),
        (an_image_of(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), False),
        (an_image_of(AnatomicRegionSequence=region("Head")), True),
        (an_image_of(AnatomicRegionSequence=region("Abdomen")), False),
        (an_image_of(ENHANCED_MR, SharedFunctionalGroupsSequence=frames_of("Brain")), True),
        (an_image_of(ENHANCED_MR, SharedFunctionalGroupsSequence=frames_of("Knee")), False),
        (an_image_of(BodyPartExamined="HEAD", RecognizableVisualFeatures="NO"), False),
        (an_image_of(RTSTRUCT), False),
        (an_image_of(RTSTRUCT, SeriesDescription="Contours of the neck"), True),
        (an_image_of("1.2.840.10008.5.1.4.1.1.13.1.2", BodyPartExamined="CHEST"), True),
        (an_image_of(DX, BodyPartExamined="SKULL"), False),
    ],
)
def test_a_head_is_held_where_the_policy_asks(tmp_path: Path, ds: Dataset, held: bool) -> None:
    """Slices of a head, or of nobody knows what, are held with the option and pass without it."""
    option = ["clean-recognizable-visual-features", "clean-descriptors"]
    assert outcome(ds, tmp_path, options=option) == ("at-risk-recognizable-visual-features" if held else "")
    assert outcome(ds, tmp_path) == ""


def test_the_risk_can_be_accepted(tmp_path: Path) -> None:
    """A policy may let heads pass with a reason; then the option is still not claimed."""
    accept = [{"risk": "recognizable-visual-features", "reason": "defaced before"}]
    options = ["clean-recognizable-visual-features"]
    assert outcome(an_image_of(), tmp_path, options=options, accept=accept) == ""
    assert [code for code, _ in a_policy(options=options).codes] == ["113100"]


def test_features_that_an_instance_declares_hold_it(tmp_path: Path) -> None:
    """Recognizable Visual Features YES is a risk under every policy."""
    ds = an_image_of(BodyPartExamined="CHEST", RecognizableVisualFeatures="YES")
    assert outcome(ds, tmp_path) == "at-risk-recognizable-visual-features"


@pytest.mark.parametrize(
    ("conversion", "reason"),
    [("DF", "film-scan"), ("SI", "film-scan"), ("SD", "secondary-capture"), ("WSD", "")],
)
def test_scans_are_told_by_their_conversion_type(tmp_path: Path, conversion: str, reason: str) -> None:
    """A film or a document that was scanned is at risk under any SOP Class; what mammographs write is none."""
    found = outcome(an_image_of(DX, ConversionType=conversion), tmp_path)
    assert found == (f"at-risk-{reason}" if reason else "")


def test_conversion_types_are_legal() -> None:
    """The table holds values that Conversion Type can have."""
    for value in conversion_types():
        check_value(attribute_named("ConversionType"), value)


def test_the_part_of_the_body_is_not_lost_by_asking(tmp_path: Path) -> None:
    """What is only looked at is treated as without the option."""
    ds = an_image_of(BodyPartExamined="KNEE", StudyDescription="Knee", AnatomicRegionSequence=region("Knee"))
    path = saved(ds, tmp_path / "in.dcm")
    plain = carried(path, a_policy(), tmp_path / "1.dcm")
    asked = carried(path, a_policy(options=["clean-recognizable-visual-features"]), tmp_path / "2.dcm")
    assert plain == asked
    assert asked.AnatomicRegionSequence[0].CodeMeaning == "Knee"
    assert "StudyDescription" not in asked


@pytest.mark.parametrize("said", ["OTHER", "DOE"])
def test_only_no_says_that_nothing_is_burned_in(tmp_path: Path, said: str) -> None:
    """Whatever else stands there, nobody has said that the pixels are free of text."""
    assert outcome(an_image_of(BurnedInAnnotation=said), tmp_path) == "at-risk-burned-in-annotation"
