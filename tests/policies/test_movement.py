"""By how many days dates move, and that everything which is computed from them stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import loads
from policies.model import Policy
from policies.movement import EPOCH
from policies.verify import check_export
from tests.builders import a_ct_study
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

MOVING = ("shift", "truncate-to-month", "truncate-to-year", "study-day")
PET = "1.2.840.10008.5.1.4.1.1.128"
CT = "1.2.840.10008.5.1.4.1.1.2"
EVENTS = {"P-4711": date(2024, 2, 20)}


def a_policy(dates: str, *lines: str) -> Policy:
    """A policy of stage 2 with the given rule for dates."""
    option = {"remove": "", "keep": "retain-longitudinal-full-dates, "}
    options = option.get(dates, "retain-longitudinal-modified-dates, ") + "retain-patient-characteristics"
    head = "name: p\nversion: 1\nstage: anonymize\ntitle: t\ndescription: d\n"
    event = ["event: BASELINE"] if dates == "study-day" else []
    return loads(
        "\n".join((f"{head}options: [{options}]", f"dates: {dates}", *event, *lines)) + "\n", "p.yaml"
    )


def an_instance(sop_class_uid: str = CT, **values: object) -> Dataset:
    """An instance of one patient and study, examined on 1 March 2024."""
    ds = a_ct_study(slices=1)[0].instance
    ds.remove_private_tags()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class_uid
    ds.PatientID = "P-4711"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240301"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


class Road:
    """Carries instances under one policy, each with an engine of its own or all with the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pairs: list[tuple[Path, Path]] = []

    def __call__(
        self,
        ds: Dataset,
        policy: Policy,
        *,
        events: Mapping[str, date] = EVENTS,
        trial: Mapping[str, str] | None = None,
    ) -> pydicom.FileDataset:
        count = len(self.pairs)
        source, result = self.folder / f"in-{count}", self.folder / f"out-{count}"
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(source, enforce_file_format=True, implicit_vr=False, little_endian=True)
        engine = Engine(policy, events=events, trial=trial)
        with engine.read(source) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), result)
        self.pairs.append((source, result))
        return pydicom.dcmread(result)


@pytest.fixture
def carry(tmp_path: Path) -> Road:
    return Road(tmp_path)


@pytest.mark.parametrize(
    ("dates", "study", "series"),
    [
        ("shift", "20231207", "20231206"),
        ("truncate-to-month", "20240301", "20240229"),
        ("truncate-to-year", "20240101", "20231231"),
        ("study-day", "19600126", "19600125"),
        ("remove", "19000101", None),
        ("keep", "20240316", "20240315"),
    ],
)
def test_one_number_of_days_for_all_dates(carry: Road, dates: str, study: str, series: str | None) -> None:
    """Study Date goes where the policy says, and every other date of the instance goes with it."""
    out = carry(an_instance(StudyDate="20240316", SeriesDate="20240315"), a_policy(dates))
    assert out.StudyDate == study
    assert out.get("SeriesDate") == series


@pytest.mark.parametrize("dates", MOVING)
def test_intervals_of_a_study_stay_exact(carry: Road, dates: str) -> None:
    """Across the end of a month, of a year and a leap day, in DA, DT, sequences and reports."""
    policy = a_policy(dates, "overrides: [{attribute: ContentSequence, action: K, reason: r}]")
    for day in ("20231231", "20240229", "20240301", "20250101"):
        item = Dataset()
        item.ValueType, item.DateTime, item.Date = "DATETIME", day + "235959.5-0500", day
        item.RelationshipType = "CONTAINS"
        ds = an_instance(
            SeriesDate=day,
            AcquisitionDateTime=day + "235959.999999+0930",
            PerformedProcedureStepStartDate=day,
            AcquisitionTime="235959",
            ContentSequence=Sequence([item]),
        )
        out = carry(ds, policy)
        assert out.AcquisitionDateTime[8:] == "235959.999999+0930"
        assert out.ContentSequence[0].DateTime[8:] == "235959.5-0500"
    found = check_export([(result, source) for source, result in carry.pairs], policy)
    assert [one for one in found if one.code in ("date", "intervals", "mark")] == []


@pytest.mark.parametrize("dates", ["truncate-to-month", "truncate-to-year", "study-day"])
def test_an_instance_tells_the_number_itself(carry: Road, dates: str) -> None:
    """Where the number does not come from the key, no pseudonym is asked for it."""
    ds = an_instance()
    policy = a_policy(dates)
    path = carry.folder / "asked"
    ds.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
    with Engine(policy, events=EVENTS).read(path) as draft:
        assert {identifier.kind for identifier in draft.subject.identifiers} & {"days"} == set()


@pytest.mark.parametrize("value", ["", "19000101", "JOHN", "99991231"])
def test_a_study_without_a_date_is_not_truncated(carry: Road, value: str) -> None:
    """Nothing says how far its other dates move, so the instance is refused; without any date it passes."""
    ds = an_instance()
    ds["StudyDate"]._value = value
    with pytest.raises(Refusal) as refused:
        carry(ds, a_policy("truncate-to-month"))
    assert refused.value.reason == "no-study-date"
    for element in list(ds.iterall()):
        if element.VR in ("DA", "DT") and element.keyword != "StudyDate":
            element.value = ""
    assert carry(ds, a_policy("truncate-to-month")).StudyDate == "19000101"


def test_a_study_day_is_the_days_since_the_event(carry: Road) -> None:
    """Date minus epoch, Longitudinal Temporal Offset from Event: both are the days from the event to the study."""
    out = carry(an_instance(), a_policy("study-day"))
    assert (date(1960, 1, 11) - EPOCH).days == 10
    assert out.StudyDate == "19600111"
    assert out.LongitudinalTemporalOffsetFromEvent == 10.0
    assert out.LongitudinalTemporalEventType == "BASELINE"
    assert out.ClinicalTrialTimePointID in ("", None)
    assert out.DeidentificationMethod[1] == "STUDY DAYS FROM BASELINE"
    before = carry(an_instance(StudyDate="20240210"), a_policy("study-day"))
    assert (before.StudyDate, before.LongitudinalTemporalOffsetFromEvent) == ("19591222", -10.0)


def test_a_study_without_a_date_has_no_study_day(carry: Road) -> None:
    """No offset is written that nobody knows, and no event type without an offset (PS3.3 C.7.2.3, Type 1C)."""
    out = carry(an_instance(StudyDate="", LongitudinalTemporalOffsetFromEvent=5.0), a_policy("study-day"))
    assert "LongitudinalTemporalOffsetFromEvent" not in out
    assert "LongitudinalTemporalEventType" not in out


def test_a_patient_without_an_event_is_refused(carry: Road) -> None:
    """No date is counted from an event that the list does not give; the message names no patient."""
    with pytest.raises(Refusal) as refused:
        carry(an_instance(), a_policy("study-day"), events={"P-4712": date(2024, 1, 1)})
    assert refused.value.reason == "no-event"
    assert "4711" not in f"{refused.value} {refused.value.next_step}"


def test_the_time_point_of_the_case_is_not_emptied(carry: Road) -> None:
    """A case that names a time point has it beside the study day."""
    trial = {
        "ClinicalTrialSponsorName": "S",
        "ClinicalTrialProtocolID": "P",
        "ClinicalTrialTimePointID": "WEEK 4",
    }
    out = carry(an_instance(), a_policy("study-day", "clinical_trial: true"), trial=trial)
    assert out.ClinicalTrialTimePointID == "WEEK 4"


@pytest.mark.parametrize(("dates", "stays"), [("remove", False), ("shift", True), ("keep", True)])
def test_an_offset_of_the_source_is_temporal_information(carry: Road, dates: str, stays: bool) -> None:
    """Days from an event go where dates are removed, because the event may be known."""
    out = carry(
        an_instance(LongitudinalTemporalOffsetFromEvent=5.0, LongitudinalTemporalEventType="ENROLLMENT"),
        a_policy(dates),
    )
    assert ("LongitudinalTemporalOffsetFromEvent" in out) is stays
    assert ("LongitudinalTemporalEventType" in out) is stays


@pytest.mark.parametrize("dates", MOVING)
@pytest.mark.parametrize("placeholder", ["19000101", "19700101", "99991231"])
def test_a_placeholder_does_not_give_the_number_away(carry: Road, dates: str, placeholder: str) -> None:
    """A date that everybody knows to stand for none is not moved: the difference would be the number."""
    out = carry(
        an_instance(SeriesDate=placeholder, AcquisitionDateTime=placeholder + "000000"), a_policy(dates)
    )
    assert out.get("SeriesDate", "19000101") == "19000101"
    assert out.get("AcquisitionDateTime", "19000101000000") == "19000101000000"


@pytest.mark.parametrize("dates", MOVING)
def test_published_dates_do_not_give_the_number_away(carry: Road, dates: str) -> None:
    """The version of a context group and the day a device was made are known to others; they are not moved."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "DCM", "x"
    code.ContextGroupVersion = "20020904"
    out = carry(
        an_instance(
            ViewCodeSequence=Sequence([code]), DateOfManufacture="20100203", SoftwareVersions="v 20190401"
        ),
        a_policy(dates),
    )
    assert out.ViewCodeSequence[0].get("ContextGroupVersion", "") in ("", "19000101000000")
    assert out.get("DateOfManufacture", "") in ("", "19000101")
    assert out.SoftwareVersions == "v 20190401"


@pytest.mark.parametrize("dates", ["remove", *MOVING])
def test_the_birth_date_survives_nowhere(carry: Road, dates: str) -> None:
    """Neither moved by some days nor anywhere else: with the age it would tell the day of the examination."""
    ds = an_instance(PatientBirthDate="19620304", PatientAge="061Y")
    out = carry(ds, a_policy(dates))
    assert out.PatientBirthDate == ""
    years = {element.value[:4] for element in out.iterall() if element.VR in ("DA", "DT") and element.value}
    assert not years & {"1961", "1962"}


@pytest.mark.parametrize("action", ["K", "C"])
@pytest.mark.parametrize("dates", ["remove", *MOVING])
def test_no_policy_that_changes_dates_keeps_the_birth_date(dates: str, action: str) -> None:
    """Birth date and age together undo a moved date, so such a policy is none."""
    with pytest.raises(Exception, match="PatientBirthDate"):
        a_policy(dates, f"overrides: [{{attribute: PatientBirthDate, action: {action}, reason: r}}]")


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("AcquisitionDateTime", "2024", None),
        ("AcquisitionDateTime", "202403", None),
        ("AcquisitionDateTime", "20240301120000.5+0100", "20231122120000.5+0100"),
        ("AcquisitionTime", "20240301", None),
        ("AcquisitionTime", "23:59:59", "23:59:59"),
        ("TimezoneOffsetFromUTC", "+0200", "+0200"),
        ("TimezoneOffsetFromUTC", "Cologne", None),
        ("SeriesDate", "2024.03.01", "20231122"),
        ("SeriesDate", "20240301-20240302", "20231122-20231123"),
    ],
)
def test_what_names_no_day_is_not_moved(carry: Road, keyword: str, value: str, left: str | None) -> None:
    """What cannot be moved exactly becomes nothing false and tells nothing; times and zones stay what they are."""
    ds = an_instance()
    setattr(ds, keyword, "")
    ds[keyword]._value = value
    assert carry(ds, a_policy("shift")).get(keyword) == left


@pytest.mark.parametrize("dates", ["keep", *MOVING])
@pytest.mark.parametrize(
    ("value", "stays"), [("+0930", True), ("-0500", True), ("Cologne", False), ("0200", False)]
)
def test_a_zone_is_kept_only_as_one(carry: Road, dates: str, value: str, stays: bool) -> None:
    """Timezone Offset From UTC stays with the times, and what else somebody wrote there goes."""
    out = carry(an_instance(TimezoneOffsetFromUTC=value), a_policy(dates))
    assert out.get("TimezoneOffsetFromUTC") == (value if stays else None)


@pytest.mark.parametrize(
    ("dates", "left"),
    [
        ("shift", "scan of 22.11.2023"),
        ("truncate-to-month", "scan of 01.03.2024"),
        ("remove", "scan of"),
        ("keep", "scan of 01.03.2024"),
    ],
)
def test_dates_in_kept_text_move_with_the_others(carry: Road, dates: str, left: str) -> None:
    """Text that the policy keeps as it is does not keep the dates in it."""
    policy = a_policy(dates, "overrides: [{attribute: SeriesDescription, action: K, reason: r}]")
    out = carry(an_instance(SeriesDescription="scan of 01.03.2024"), policy)
    assert out.SeriesDescription == left


def test_a_text_that_names_the_patient_and_a_date_goes(carry: Road) -> None:
    """To move a date in a text is no reason not to search it."""
    policy = a_policy("shift", "overrides: [{attribute: SeriesDescription, action: K, reason: r}]")
    out = carry(an_instance(SeriesDescription="Quirin 01.03.2024", PatientName="Quirin^Vyx"), policy)
    assert "SeriesDescription" not in out


def decay_seconds(ds: Dataset) -> float:
    """Seconds from injection to the series, as programs that compute SUV do (DCM decay correction START)."""
    item = ds.RadiopharmaceuticalInformationSequence[0]
    series = datetime.strptime(ds.SeriesDate + ds.SeriesTime[:6], "%Y%m%d%H%M%S")
    if item.get("RadiopharmaceuticalStartDateTime"):
        start = datetime.strptime(item.RadiopharmaceuticalStartDateTime[:14], "%Y%m%d%H%M%S")
    else:
        start = datetime.strptime(ds.SeriesDate + item.RadiopharmaceuticalStartTime[:6], "%Y%m%d%H%M%S")
    seconds = (series - start).total_seconds()
    return seconds if seconds >= 0 else seconds + 86400


def a_pet_image(*, start: dict[str, str]) -> Dataset:
    """A PET image acquired after midnight, injected before."""
    item = Dataset()
    item.RadionuclideHalfLife, item.RadionuclideTotalDose = 6586.2, 3.5e8
    for keyword, value in start.items():
        setattr(item, keyword, value)
    return an_instance(
        PET,
        Modality="PT",
        StudyDate="20231231",
        SeriesDate="20240101",
        AcquisitionDate="20240101",
        SeriesTime="002000",
        AcquisitionTime="002000",
        DecayCorrection="START",
        RadiopharmaceuticalInformationSequence=Sequence([item]),
    )


@pytest.mark.parametrize("dates", MOVING)
@pytest.mark.parametrize(
    "start",
    [
        {"RadiopharmaceuticalStartDateTime": "20231231233000.000000"},
        {"RadiopharmaceuticalStartTime": "233000.000000"},
    ],
)
def test_suv_computes_as_before(carry: Road, dates: str, start: dict[str, str]) -> None:
    """Injected before midnight on New Year's Eve and scanned after it: the decay time is what it was."""
    ds = a_pet_image(start=start)
    out = carry(ds, a_policy(dates))
    assert decay_seconds(out) == decay_seconds(ds) == 3000
    assert out.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 3.5e8


def test_suv_does_not_compute_without_dates(carry: Road) -> None:
    """Under dates: remove the times of injection and series go with the dates, as Table E.1-1 says."""
    out = carry(a_pet_image(start={"RadiopharmaceuticalStartTime": "233000"}), a_policy("remove"))
    assert not out.RadiopharmaceuticalInformationSequence[0].get("RadiopharmaceuticalStartTime")
