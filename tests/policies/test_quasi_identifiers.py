"""Quasi-identifiers on their way through the engine: coarse wherever they stand, told by nothing else, and verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.coarseness import telling_beside, untold
from policies.engine import Engine
from policies.model import Policy
from policies.rules import Rules
from policies.verify import Verification
from tests.builders import a_code, a_ct_image, an_item
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

WHY = "the analysis asks for it"
RETAINING = ["retain-patient-characteristics", "clean-descriptors", "clean-structured-content"]
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def a_policy(**fields: Any) -> Policy:
    given = {
        "name": "trial",
        "version": "1",
        "stage": "anonymize",
        "title": "A trial",
        "description": "For tests.",
        "options": RETAINING,
    }
    return Policy.model_validate({**given, **fields})


class Carrier:
    """Carries data sets through a policy, and has each result verified beside its source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(
        self, ds: Dataset, policy: Policy, syntax: str = ExplicitVRLittleEndian, engine: Engine | None = None
    ) -> pydicom.FileDataset:
        self.count += 1
        source, out = self.folder / f"in-{self.count}.dcm", self.folder / f"out-{self.count}.dcm"
        ds.file_meta.TransferSyntaxUID = syntax
        implicit = syntax == ImplicitVRLittleEndian
        ds.save_as(source, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
        engine = engine or Engine(policy)
        with engine.read(source) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        verification = Verification(policy)
        assert [*verification.check(out, source), *verification.whole()] == []
        return pydicom.dcmread(out)


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def a_person(**attributes: object) -> Dataset:
    """A CT image of somebody of whom much is told."""
    ds = a_ct_image()
    told = {"PatientSex": "F", "PatientAge": "038Y", "PatientWeight": "72.4", "PatientSize": "1.78"}
    for keyword, value in {**told, **attributes}.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_weight_size_and_body_mass_index_become_coarser(carry: Carrier, syntax: str) -> None:
    """Each is rounded or in a band, as the policy says, and De-identification Method tells how."""
    rules = [
        {"attribute": "PatientWeight", "round": 5, "bottom": 40, "top": 120},
        {"attribute": "PatientSize", "width": "0.1"},
        {"attribute": "PatientBodyMassIndex", "round": 1},
    ]
    policy = a_policy(generalize=rules)
    out = carry(a_person(PatientBodyMassIndex="22.85"), policy, syntax)
    assert (out.PatientWeight, out.PatientSize, out.PatientBodyMassIndex) == (70, 1.7, 23)
    methods = list(out.DeidentificationMethod)
    assert methods[2:] == [
        "PatientWeight ROUNDED TO 5",
        "PatientSize BANDS OF 0.1",
        "PatientBodyMassIndex ROUNDED TO 1",
    ]


def test_what_would_tell_the_exact_value_goes(carry: Carrier) -> None:
    """The body mass index beside the size gives the weight: it goes, unless the policy makes it coarser as well."""
    policy = a_policy(generalize=[{"attribute": "PatientWeight", "round": 5}])
    out = carry(a_person(PatientBodyMassIndex="22.85"), policy)
    assert "PatientBodyMassIndex" not in out and out.PatientSize == 1.78


def test_a_report_does_not_tell_what_is_coarse_elsewhere(carry: Carrier) -> None:
    """A content item with the exact weight undoes the band; it goes, at every depth."""
    weight = an_item(
        RelationshipType="HAS ACQ CONTEXT",
        ValueType="NUM",
        ConceptNameCodeSequence=[a_code("27113001", "SCT", "Body weight")],
        MeasuredValueSequence=[
            an_item(NumericValue="72.4", MeasurementUnitsCodeSequence=[a_code("kg", "UCUM", "kg")])
        ],
    )
    ds = a_person()
    ds.AcquisitionContextSequence = [weight]
    policy = a_policy(generalize=[{"attribute": "PatientWeight", "round": 5}])
    assert b"72.4" not in bytes(str(carry(ds, policy)).encode())
    ds.AcquisitionContextSequence = [weight]
    assert "72.4" in str(carry(ds, a_policy()))


@pytest.mark.parametrize(
    ("rule", "sex"),
    [
        (None, "F"),
        ({"attribute": "PatientSex", "table": {"F": "O", "M": "O"}}, "O"),
        ({"attribute": "PatientSex", "table": {"M": "M"}}, ""),
    ],
)
def test_sex_is_kept_generalized_or_gone(carry: Carrier, rule: dict[str, Any] | None, sex: str) -> None:
    """A value that the table does not name goes, and the attribute of Type 2 stands empty; so with its companions."""
    out = carry(a_person(PatientSexNeutered="ALTERED"), a_policy(generalize=[rule] if rule else []))
    assert out.PatientSex == sex
    assert ("PatientSexNeutered" in out and bool(out.PatientSexNeutered)) == (rule is None)


def test_words_by_tables(carry: Carrier) -> None:
    """Ethnic group, region, occupation and species become what the table says, or go; also in sequences."""
    rules = [
        {"attribute": "EthnicGroup", "table": {"Maori": "PACIFIC"}, "otherwise": "OTHER"},
        {"attribute": "CountryOfResidence", "table": {"Austria": "EUROPE"}},
        {"attribute": "RegionOfResidence", "table": {"Tirol": "ALPS"}},
        {"attribute": "Occupation", "table": {"welder": "INDUSTRY"}, "otherwise": "OTHER"},
        {"attribute": "PatientSpeciesDescription", "table": {"Beagle": "DOG"}},
    ]
    ds = a_person(
        EthnicGroup="maori ",
        CountryOfResidence="Austria",
        RegionOfResidence="Kuopio",
        Occupation="mayor of a small town"[:16],
        PatientSpeciesDescription="Beagle",
    )
    ds.PatientSpeciesCodeSequence = [a_code("L-80900", "SRT", "Canine species")]
    ds.RequestAttributesSequence = [an_item(EthnicGroup="Tongan", ScheduledProcedureStepID="1")]
    out = carry(ds, a_policy(generalize=rules))
    assert (out.EthnicGroup, out.CountryOfResidence, out.Occupation) == ("PACIFIC", "EUROPE", "OTHER")
    assert out.PatientSpeciesDescription == "DOG" and "PatientSpeciesCodeSequence" not in out
    assert "RegionOfResidence" not in out
    assert out.RequestAttributesSequence[0].EthnicGroup == "OTHER"


def test_a_region_that_stays_is_weaker_than_the_profile(carry: Carrier) -> None:
    """The Basic Profile removes the region, so it is not claimed where a general one stays."""
    policy = a_policy(generalize=[{"attribute": "RegionOfResidence", "digits": 3}])
    out = carry(a_person(RegionOfResidence="94110"), policy)
    assert out.RegionOfResidence == "941"
    assert "113100" not in [item.CodeValue for item in out.DeidentificationMethodCodeSequence]


def test_institution_and_device_by_class(carry: Carrier) -> None:
    """The class stays; name, address and departments go, also where the policy retains institutions otherwise."""
    rules = [
        {"attribute": "InstitutionName", "table": {"St. Elsewhere": "TEACHING HOSPITAL"}},
        {"attribute": "Manufacturer", "table": {"ACME": "VENDOR A"}, "otherwise": "OTHER"},
    ]
    ds = a_person(
        InstitutionName="St. Elsewhere",
        InstitutionAddress="1 Elsewhere Road",
        Manufacturer="Acme",
        ManufacturerModelName="Anvil 3000",
        StudyDescription="CT Elsewhere chest",
    )
    policy = a_policy(options=[*RETAINING, "retain-institution-identity"], generalize=rules)
    out = carry(ds, policy)
    assert (out.InstitutionName, out.Manufacturer) == ("TEACHING HOSPITAL", "VENDOR A")
    assert not out.get("InstitutionAddress") and not out.get("ManufacturerModelName")
    assert "lsewhere" not in str(out).casefold()
    assert "113112" not in [item.CodeValue for item in out.DeidentificationMethodCodeSequence]


BIRTHS = [
    ("19760504", "20150203", "038Y"),
    ("19200101", "20150203", "090Y"),
    ("20140101", "20150203", "000Y"),
]


@pytest.mark.parametrize(("born", "studied", "age"), BIRTHS)
def test_an_absent_age_comes_from_birth_and_study_date(
    carry: Carrier, born: str, studied: str, age: str
) -> None:
    """The age on the day of the study, in its band, under a policy of single years up to 89."""
    ds = a_person(PatientBirthDate=born, StudyDate=studied)
    del ds.PatientAge
    out = carry(ds, a_policy(ages={"width": 2, "top": 90}))
    assert out.PatientAge == age and out.PatientBirthDate == ""


@pytest.mark.parametrize(
    "text",
    ["CT chest 38Y female", "38 year old", "CT 038Y", "aged 38", "38yo", "Thorax 38 J", "38 ans", "age: 38"],
)
def test_no_text_tells_the_exact_age(carry: Carrier, text: str) -> None:
    """Descriptions keep no number that is an age, with or without its unit; kernels and coils keep what is none."""
    ds = a_person(StudyDescription=text, SeriesDescription=text, ImageComments=text, ProtocolName=text)
    ds.ConvolutionKernel = "B38f"
    out = carry(ds, a_policy(ages={"width": 5}))
    for keyword in ("StudyDescription", "SeriesDescription", "ImageComments", "ProtocolName"):
        assert "38" not in str(out.get(keyword, ""))
    assert out.ConvolutionKernel == "B38f"


ON_A_PATH = [
    {
        "attribute": "RequestAttributesSequence.ScheduledProcedureStepDescription",
        "action": "X",
        "reason": WHY,
    },
    {"attribute": "(0040,0275).(0040,1001)", "action": "D", "value": "ORDER", "reason": WHY},
]


def test_a_path_names_an_attribute_in_a_sequence_only() -> None:
    """What is said of an attribute below a sequence is not said of it elsewhere."""
    policy = a_policy(overrides=ON_A_PATH)
    assert policy.overrides[1].attribute == "RequestAttributesSequence.RequestedProcedureID"


def test_a_rule_for_a_path_is_followed_there_and_nowhere_else(carry: Carrier) -> None:
    """The same attribute is treated by the policy's rule below the sequence, and by the table at the top."""
    ds = a_person()
    item = an_item(ScheduledProcedureStepDescription="CT chest", ScheduledProcedureStepID="7")
    item.RequestedProcedureID = "4711"
    ds.RequestAttributesSequence = [item]
    ds.ScheduledProcedureStepDescription = "CT chest"
    out = carry(ds, a_policy(overrides=ON_A_PATH))
    assert out.ScheduledProcedureStepDescription == "CT chest"
    assert "ScheduledProcedureStepDescription" not in out.RequestAttributesSequence[0]
    assert out.RequestAttributesSequence[0].RequestedProcedureID == "ORDER"


def kept_where(**when: str) -> Policy:
    rule = {"attribute": "ProtocolName", "action": "K", "reason": WHY, "when": when}
    return a_policy(overrides=[rule])


def _says(**attributes: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)

    return change


@pytest.mark.parametrize(
    ("when", "change", "holds"),
    [
        ({"modality": "CT"}, _says(), True),
        ({"modality": "MR"}, _says(), False),
        ({"manufacturer": "acme"}, _says(Manufacturer="ACME "), True),
        ({"manufacturer": "acme"}, _says(Manufacturer="ACME Medical"), False),
        ({"image_type": "AXIAL"}, _says(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]), True),
        ({"image_type": "AXIAL"}, _says(ImageType=["ORIGINAL", "PRIMARY"]), False),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.2"}, _says(), True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, _says(), False),
        ({"modality": "CT", "manufacturer": "acme"}, _says(Manufacturer="Other"), False),
    ],
)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_rule_with_conditions_is_for_the_instances_that_fulfil_them(
    carry: Carrier, when: dict[str, str], change: Callable[[Dataset], None], holds: bool, syntax: str
) -> None:
    """All conditions have to hold; where one does not, the rule is as if it was not written. Verification agrees."""
    ds = a_person(ProtocolName="Zwirbel 7")
    change(ds)
    out = carry(ds, kept_where(**when), syntax)
    assert (out.get("ProtocolName", "") == "Zwirbel 7") == holds


def test_what_an_engine_saw_before_does_not_change_what_a_condition_decides(carry: Carrier) -> None:
    """Instances of two makers take turns in one engine, and each gets the bytes that it gets alone."""
    policy = kept_where(manufacturer="ACME")
    engine = Engine(policy)
    one, other = a_person(Manufacturer="ACME", ProtocolName="Zwirbel"), a_person(ProtocolName="Zwirbel")
    for ds in (one, other, one, other):
        assert carry(ds, policy, engine=engine) == carry(ds, policy)


@pytest.mark.parametrize(("behind", "holds"), [(b"ACME", True), (b"OMEN", False)])
def test_conditions_are_asked_of_what_was_mended(tmp_path: Path, behind: bytes, holds: bool) -> None:
    """Where an instance says who made the device behind everything else, the rules for that maker hold."""
    source, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    ds = a_person(ProtocolName="Zwirbel 7")
    del ds.Manufacturer, ds.DataSetTrailingPadding
    ds.save_as(source, enforce_file_format=True)
    source.write_bytes(source.read_bytes() + b"\x08\x00\x70\x00LO\x04\x00" + behind)
    policy = kept_where(manufacturer="ACME")
    engine = Engine(policy)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    assert Verification(policy).check(out, source) == []
    assert (pydicom.dcmread(out).get("ProtocolName", "") == "Zwirbel 7") == holds


@pytest.mark.parametrize(("blank", "stands"), [("empty", ""), ("placeholder", "REMOVED")])
def test_what_stands_where_a_text_is_blanked(carry: Carrier, blank: str, stands: str) -> None:
    """Action Z allows nothing and a dummy; a placeholder stands for texts and names, never for a date or a number."""
    out = carry(a_person(ReferringPhysicianName="Who^Ever"), a_policy(blank=blank))
    assert str(out.ReferringPhysicianName) == stands
    assert out.PatientBirthDate == ""


@pytest.mark.parametrize(("studied", "quarter"), [("20150331", "20150101"), ("20151201", "20151001")])
def test_dates_by_quarters(carry: Carrier, studied: str, quarter: str) -> None:
    """A study begins on the first day of its quarter, and its other dates move with it."""
    options = [*RETAINING, "retain-longitudinal-modified-dates"]
    policy = a_policy(options=options, dates="truncate-to-quarter")
    out = carry(a_person(StudyDate=studied, SeriesDate=studied), policy)
    assert out.StudyDate == out.SeriesDate == quarter


def test_a_policy_without_the_new_keys_keeps_its_digest() -> None:
    """Keys that came later are no part of the digest where they say nothing: an approval from before still holds."""
    plain = a_policy(ages={"width": 5}, overrides=[{"attribute": "PatientSex", "action": "Z", "reason": WHY}])
    assert plain.digest == "sha256:46347ffdee0d1c4d02ef9732c515612a16732766c78793e6739578a8cb2be341"
    assert plain.digest != a_policy(ages={"width": 5, "start": 18}).digest


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"overrides": [{"attribute": "(60xx,3000)", "action": "K", "reason": WHY}]}, "always goes"),
        ({"overrides": [{"attribute": "(6002,3000)", "action": "D", "reason": WHY}]}, "always goes"),
        (
            {"overrides": [{"attribute": "PatientSex.PatientAge", "action": "X", "reason": WHY}]},
            "no sequence",
        ),
        (
            {
                "overrides": [
                    {"attribute": "PatientID", "action": "Z", "reason": WHY, "when": {"modality": "CT"}}
                ]
            },
            "leave 'when' out",
        ),
        ({"generalize": [{"attribute": "PatientWeight", "round": 5}] * 2}, "overridden twice"),
        (
            {
                "generalize": [{"attribute": "PatientWeight", "round": 5}],
                "overrides": [{"attribute": "PatientWeight", "action": "Z", "reason": WHY}],
            },
            "overridden twice",
        ),
        (
            {
                "options": [*RETAINING, "retain-longitudinal-full-dates"],
                "ages": {"width": 5},
                "overrides": [{"attribute": "PatientBirthDate", "action": "K", "reason": WHY}],
            },
            "tells the age",
        ),
    ],
)
def test_rules_that_contradict_each_other_are_faults(fields: dict[str, Any], fault: str) -> None:
    """What cannot be obeyed is not loaded, and the fault says what to write."""
    with pytest.raises(ValueError, match=fault):
        a_policy(**fields)


def test_repeating_groups_are_named_with_two_crosses() -> None:
    """One line stands for the overlay planes of all groups; other spellings of it are the same."""
    rules = [{"attribute": name, "action": "X", "reason": WHY} for name in ("(60XX,3000)", "(50xx,3000)")]
    assert [one.attribute for one in a_policy(overrides=rules).overrides] == ["(60xx,3000)", "(50xx,3000)"]


TELLING = [
    {"attribute": "PatientSex", "table": {"F": "O"}},
    {"attribute": "PatientSize", "round": 1},
    {"attribute": "PatientWeight", "round": 1},
    {"attribute": "EthnicGroup", "table": {"a": "b"}},
    {"attribute": "(0010,2162)", "table": {"a": "b"}},
    {"attribute": "PatientSpeciesDescription", "table": {"a": "b"}},
    {"attribute": "PatientBreedDescription", "table": {"a": "b"}},
    {"attribute": "RegionOfResidence", "table": {"a": "b"}},
    {"attribute": "CountryOfResidence", "table": {"a": "b"}},
    {"attribute": "InstitutionName", "table": {"a": "b"}},
    {"attribute": "Manufacturer", "table": {"a": "b"}},
    {"attribute": "ManufacturerModelName", "table": {"a": "b"}},
]


@pytest.mark.parametrize("rule", TELLING, ids=lambda rule: rule["attribute"])
def test_engine_and_judge_name_the_same_companions(rule: dict[str, Any]) -> None:
    """What goes beside a generalized attribute is listed twice, and both lists say the same."""
    policy = a_policy(generalize=[rule])
    assert policy.companions
    assert policy.companions == telling_beside(policy)
    assert Rules(policy).untold == untold(policy)
