"""What a policy did, attribute by attribute: nothing is left untold, and each thing is told with its ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from policies.analysis import Analysis, Loss, Verdict
from policies.effects import Change, changes
from policies.engine import Engine
from policies.grounds import Because, Grounds, Happened
from policies.layout import Element
from policies.legible import LONGEST, legible, shown
from policies.loader import library, load_library
from policies.model import Policy
from policies.needs import Need
from policies.parsing import read_source
from tests.builders import a_code, a_ct_image, a_ct_study, an_item
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

SAMPLES = [
    *("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "rtdose.dcm", "rtstruct.dcm", "reportsi.dcm"),
    *("MR_small_bigendian.dcm", "test-SR.dcm", "waveform_ecg.dcm", "liver_1frame.dcm"),
]
"""Files of pydicom: several SOP Classes, big endian, implicit, encapsulated."""


class Pseudonyms(CountedPseudonyms):
    """Remembers what it gave."""

    def __init__(self, offset: int = -100) -> None:
        super().__init__(offset)
        self.given: set[str] = set()

    def resolve(self, subjects: Any) -> Any:
        found = super().resolve(subjects)
        self.given |= set(found.values())
        return found


class Trying:
    """Tries one policy on data sets or files, and judges what an analysis would lose."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        self.policy = policy
        self.engine = Engine(policy)
        self.folder = folder
        self.analysis = Analysis()
        self.count = 0

    def __call__(self, given: Dataset | Path) -> list[Change]:
        self.count += 1
        source, out = self.folder / f"in-{self.count}.dcm", self.folder / f"out-{self.count}.dcm"
        if isinstance(given, Path):
            source = given
        else:
            given.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            given.save_as(source, enforce_file_format=True, implicit_vr=False, little_endian=True)
        pseudonyms = Pseudonyms()
        with self.engine.read(source) as draft:
            self.engine.write(draft, pseudonyms.resolve([draft.subject]), out)
            rules = draft.rules
        before, after = read_source(source), read_source(out)
        found = list(
            changes(before, after, Grounds(self.policy, rules, after.sop_class_uid), pseudonyms.given)
        )
        self.analysis.hear(before, after, found)
        return found

    def judged(self) -> dict[Need, Loss]:
        """What was judged, by need."""
        return {one.name: one for one in self.analysis.losses()}


def a_policy(**fields: Any) -> Policy:
    given = {
        "name": "trial",
        "version": "1",
        "stage": "anonymize",
        "title": "A trial",
        "description": "For tests.",
        "options": [
            "retain-longitudinal-modified-dates",
            "retain-patient-characteristics",
            "clean-descriptors",
        ],
    }
    return Policy.model_validate({**given, **fields})


def named(found: list[Change], keyword: str, depth: int = 1) -> Change:
    tag = int(pydicom.datadict.tag_for_keyword(keyword) or 0)
    (one,) = [change for change in found if change.path[-1][0] == tag and len(change.path) == depth]
    return one


def values_of(level: dict[int, Element]) -> int:
    """How many values a source has: leaves that hold something, group lengths and private creators apart."""
    count = 0
    for tag, element in level.items():
        if tag & 0xFFFF == 0 or tag >> 16 < 8 or (tag >> 16 & 1 and tag & 0xFFFF <= 0xFF):
            continue
        if element.items is not None:
            count += sum(map(values_of, element.items))
        else:
            count += bool(element.length or element.fragments)
    return count


@pytest.mark.parametrize("policy", ["basic", "longitudinal-trial", "teaching-file", "pseudonymization"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_value_is_told_once(sample: str, policy: str, tmp_path: Path) -> None:
    """Whatever a source holds, one change says what became of it, at the place where it was; what is told as kept is
    the same afterwards."""
    path = get_testdata_file(sample, download=False)
    assert path is not None
    assert policy in library()
    found = Trying(load_library(policy), tmp_path)(Path(path))
    of_source = [change for change in found if change.happened is not Happened.ADDED]
    assert len(of_source) == values_of(read_source(Path(path)).top)
    assert len({change.place for change in of_source}) == len(of_source)
    assert all(change.before == change.after for change in found if change.happened is Happened.KEPT)
    assert all(change.ground.words for change in found)


def test_each_change_has_its_ground(tmp_path: Path) -> None:
    """The rule that decided is named: a row of the profile, an option, the policy's own lines with their reasons."""
    ds = a_ct_image()
    ds.PatientAge, ds.PatientWeight, ds.PatientSex = "043Y", "71.3", "F"
    ds.PatientBodyMassIndex = 24.1
    ds.StudyDescription = "CT Thorax Musterklinik"
    ds.ManufacturerModelName = "Model X"
    policy = a_policy(
        ages={"width": 5},
        generalize=[{"attribute": "PatientWeight", "round": 5}],
        overrides=[
            {"attribute": "PatientSex", "action": "X", "reason": "one sex is rare"},
            {"attribute": "StationName", "action": "K", "reason": "the scanner matters"},
        ],
    )
    found = Trying(policy, tmp_path)(ds)

    def said(keyword: str) -> tuple[Happened, Because, str]:
        one = named(found, keyword)
        return one.happened, one.ground.kind, one.ground.reason

    assert said("PatientSex") == (Happened.REMOVED, Because.OVERRIDE, "one sex is rare") or said(
        "PatientSex"
    ) == (
        Happened.EMPTIED,
        Because.OVERRIDE,
        "one sex is rare",
    )
    assert said("StationName")[::2] == (Happened.KEPT, "the scanner matters")
    assert said("PatientAge")[:2] == (Happened.COARSER, Because.AGES)
    assert named(found, "PatientAge").after == "040Y"
    assert said("PatientWeight")[:2] == (Happened.COARSER, Because.GENERALIZED)
    assert said("PatientBodyMassIndex")[:2] == (Happened.REMOVED, Because.COMPANION)
    assert said("StudyInstanceUID")[:2] == (Happened.NEW_UID, Because.PROFILE)
    assert said("PatientID")[:2] == (Happened.PSEUDONYM, Because.PROFILE)
    assert said("InstitutionName")[1] is Because.PROFILE
    assert said("ManufacturerModelName")[:2] == (Happened.KEPT, Because.KIND)
    moved = named(found, "StudyDate")
    assert (moved.happened, moved.ground.kind, moved.days) == (Happened.MOVED, Because.OPTION, -100)
    cleaned = named(found, "StudyDescription")
    assert (cleaned.happened, cleaned.gone) == (Happened.CLEANED, ("Musterklinik",))
    assert named(found, "PatientIdentityRemoved").ground.kind is Because.MARK


def test_a_dummy_date_is_no_moved_one(tmp_path: Path) -> None:
    """A date that was replaced is told as replaced: read as moved, it would look like a date of the patient."""
    ds = a_ct_image()
    ds.PatientBirthDate, ds.SeriesDate = "19610412", "18990101"
    policy = a_policy(overrides=[{"attribute": "PatientBirthDate", "action": "D", "reason": "for a test"}])
    found = Trying(policy, tmp_path)(ds)
    assert named(found, "PatientBirthDate").happened is Happened.REPLACED
    assert named(found, "SeriesDate").happened in (Happened.REMOVED, Happened.REPLACED)
    assert "nothing of the value may stay" in named(found, "SeriesDate").ground.words


def test_private_elements_are_told_with_who_vouches(tmp_path: Path) -> None:
    """An element that the policy keeps is told with the policy's reason, one of the standard's list as such, the
    rest as what nobody vouches for; blocks may be renumbered."""
    ds = a_ct_image()
    block = ds.private_block(0x0019, "ACME", create=True)
    block.add_new(0x01, "DS", "3.5")
    block.add_new(0x02, "DS", "4.5")
    ds.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "1.5")
    policy = a_policy(
        options=["retain-safe-private"],
        private=[{"creator": "ACME", "group": "0019", "element": "01", "vr": "DS", "reason": "tube factor"}],
    )
    found = [change for change in Trying(policy, tmp_path)(ds) if change.path[-1][1]]
    told = {change.path: (change.happened, change.ground.reason) for change in found}
    assert told[((0x00190001, "ACME"),)] == (Happened.KEPT, "tube factor")
    assert told[((0x00190002, "ACME"),)] == (Happened.REMOVED, "")
    table = next(one for one in found if one.path[-1][1].startswith("Philips"))
    assert table.happened is Happened.KEPT and "E.3.10-1" in table.ground.words


def test_items_that_go_do_not_shift_the_others(tmp_path: Path) -> None:
    """Of a report, items that the standard removes are told as removed, and those behind them as kept."""
    report = next(one.instance for one in a_ct_study() if "ContentSequence" in one.instance)
    name = an_item(
        RelationshipType="HAS OBS CONTEXT",
        ValueType="PNAME",
        ConceptNameCodeSequence=[a_code("121008", "DCM", "Person Observer Name")],
        PersonName="Arzt^Erika",
    )
    number = an_item(
        RelationshipType="CONTAINS",
        ValueType="NUM",
        ConceptNameCodeSequence=[a_code("410668003", "SCT", "Length")],
        MeasuredValueSequence=[
            an_item(NumericValue="12", MeasurementUnitsCodeSequence=[a_code("mm", "UCUM", "mm")])
        ],
    )
    report.ContentSequence = [name, number]
    found = Trying(load_library("teaching-file"), tmp_path)(report)
    gone = [one for one in found if one.before == "Arzt^Erika"]
    assert [one.happened for one in gone] in ([Happened.REMOVED], [Happened.PSEUDONYM], [Happened.REPLACED])
    kept = [one for one in found if one.before == "12" and len(one.path) == 3]
    assert [one.happened for one in kept] == [Happened.KEPT]


def test_values_cannot_command(tmp_path: Path) -> None:
    """What is shown has no control characters, nothing that turns the direction of writing, and an end."""
    assert legible("a\x1b[31mb\u202ec\r\nd") == "a·[31mb·c  d"
    assert len(legible("x" * 10_000)) == LONGEST + 1
    hostile = Element(0x00104000, "LT", 0, 6, b"\x1b]0;x\x07")
    assert shown(hostile, ()) == "·]0;x·"
    assert shown(Element(0x00280010, "US", 0, 4, b"\x00\x02\x01\x00"), ()) == "512\\1"
    assert shown(Element(0x7FE00010, "OW", 0, 4, b"\x00\x02\x01\x00"), ()) == "4 bytes"


def a_pet() -> Dataset:
    """A PET image from which uptake values can be computed."""
    ds = a_ct_image()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    ds.Modality, ds.Units, ds.PatientWeight = "PT", "BQML", "71.3"
    ds.AcquisitionDate = ds.SeriesDate = ds.StudyDate
    ds.SeriesTime, ds.AcquisitionTime = "101500", "101530"
    ds.RadiopharmaceuticalInformationSequence = [
        an_item(
            RadiopharmaceuticalStartDateTime=f"{ds.StudyDate}091000",
            RadiopharmaceuticalStartTime="091000",
            RadionuclideTotalDose="3.7e8",
            RadionuclideHalfLife="6586.2",
        )
    ]
    return ds


UPTAKE = [
    ({}, Verdict.MET, ""),
    ({"generalize": [{"attribute": "PatientWeight", "round": 5}]}, Verdict.ROUGHLY, "PatientWeight"),
    ({"options": ["retain-longitudinal-modified-dates"]}, Verdict.LOST, "PatientWeight"),
    ({"options": ["retain-patient-characteristics"]}, Verdict.LOST, "time from injection to scan"),
    (
        {"overrides": [{"attribute": "RadionuclideTotalDose", "action": "X", "reason": "for a test"}]},
        Verdict.LOST,
        "RadionuclideTotalDose",
    ),
]


@pytest.mark.parametrize(("fields", "verdict", "by"), UPTAKE)
def test_uptake_is_judged_by_what_it_is_computed_from(
    fields: dict[str, Any], verdict: Verdict, by: str, tmp_path: Path
) -> None:
    """Moved dates lose nothing, a rounded weight is rough, and without times, weight or dose SUV is lost by name."""
    trying = Trying(a_policy(**fields), tmp_path)
    trying(a_pet())
    loss = trying.judged()[Need.UPTAKE]
    assert loss.tally[verdict] == 1 and loss.judged == 1
    assert [what for what, _ in loss.because] == ([by] if by else [])


@pytest.mark.parametrize(
    ("dates", "order", "distances"),
    [
        ("shift", Verdict.MET, Verdict.MET),
        ("truncate-to-month", Verdict.LOST, Verdict.LOST),
        ("remove", 2, 2),
    ],
)
def test_studies_keep_their_order_and_distance_or_it_is_said(
    dates: str, order: Verdict, distances: Verdict, tmp_path: Path
) -> None:
    """Two studies of one month fall together when dates are truncated; the preview says so before anybody signs."""
    options = ["retain-longitudinal-modified-dates"] if dates != "remove" else []
    trying = Trying(a_policy(dates=dates, options=options), tmp_path)
    for day in ("20240305", "20240319"):
        ds = a_ct_image()
        ds.StudyInstanceUID = f"1.2.3.{day}"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{day}"
        ds.StudyDate = day
        trying(ds)
    judged = trying.judged()
    assert judged[Need.ORDER].tally[order] == 1
    assert judged[Need.DISTANCES].tally[distances] == 1


def test_geometry_frames_and_links_are_met_by_the_profile(tmp_path: Path) -> None:
    """The Basic Profile loses dates and descriptions, and neither geometry nor registration nor pixels."""
    trying = Trying(load_library("basic"), tmp_path)
    for sample in a_ct_study(slices=2):
        if sample.instance.Modality == "CT":
            trying(sample.instance)
    judged = trying.judged()
    for need in (Need.PIXELS, Need.GEOMETRY, Need.REGISTRATION, Need.ACQUISITION):
        assert judged[need].tally[Verdict.MET] == 2, need
    assert judged[Need.INTERVALS].tally[Verdict.LOST] == 2


def test_links_of_radiotherapy_are_followed(tmp_path: Path) -> None:
    """A dose that refers to a plan of the same set leads to it afterwards; one to nothing given is not judged."""
    plan = pydicom.dcmread(str(get_testdata_file("rtplan.dcm", download=False)))
    dose = pydicom.dcmread(str(get_testdata_file("rtdose.dcm", download=False)))
    dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = plan.SOPInstanceUID
    trying = Trying(load_library("basic"), tmp_path)
    trying(plan)
    trying(dose)
    loss = trying.judged()[Need.RADIOTHERAPY]
    assert (loss.judged, loss.tally[Verdict.MET]) == (1, 1)
