"""A policy: no contradictions in it, nothing claimed that is not so, and a digest of all of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.model import AgeBands, Dates, Policy, Risk
from policies.standard.tables import Option


def a_policy(**changes: Any) -> Policy:
    """Build a policy of stage 2 with nothing but the Basic Profile, changed as asked."""
    plain = {
        "name": "trial",
        "version": "1",
        "stage": "anonymize",
        "title": "A trial",
        "description": "For tests.",
    }
    return Policy.model_validate({**plain, **changes})


def an_override(attribute: str, action: str, **more: str) -> dict[str, str]:
    """Build an override with a reason."""
    return {"attribute": attribute, "action": action, "reason": "the trial asks for it", **more}


def a_pixel_rule(**conditions: object) -> dict[str, object]:
    """Build a pixel rule that blacks out the upper rows."""
    return {"regions": [{"height": 40}], "reason": "the name stands there", **conditions}


def codes(policy: Policy) -> list[str]:
    """Return the code values that the policy claims."""
    return [code for code, _ in policy.codes]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"options": ["retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"]},
            "choose one of them",
        ),
        ({"dates": "shift"}, "retain-longitudinal-modified-dates"),
        ({"dates": "keep"}, "retain-longitudinal-full-dates"),
        ({"dates": "remove", "options": ["retain-longitudinal-full-dates"]}, "write dates: keep"),
        ({"dates": "keep", "options": ["retain-longitudinal-modified-dates"]}, "write dates: shift"),
        ({"stage": "pseudonymize", "options": ["retain-uids"]}, "write stage: anonymize"),
        (
            {
                "options": ["retain-patient-characteristics"],
                "ages": {"width": 5},
                "overrides": [an_override("PatientAge", "K")],
            },
            "write one of the two",
        ),
        (
            {
                "options": ["retain-longitudinal-modified-dates"],
                "overrides": [an_override("AcquisitionDate", "K")],
            },
            "by how much they are shifted",
        ),
        ({"overrides": [an_override("AcquisitionDateTime", "C")]}, "cleaned by shifting it"),
        (
            {
                "options": ["retain-longitudinal-full-dates"],
                "overrides": [an_override("AcquisitionDate", "C")],
            },
            "the policy's dates are 'keep'",
        ),
        ({"pixels": [a_pixel_rule(model="Sono 5")]}, "clean-pixel-data"),
        ({"pixels": [a_pixel_rule()]}, "would match every image"),
        ({"pixels": [a_pixel_rule(model="Sono 5", regions=[])]}, "accept the risk under 'accept'"),
        ({"pixels": [a_pixel_rule(risk="audio")]}, "no matter of text in pixels"),
        ({"overrides": [an_override("BurnedInAnnotation", "D", value="NO")]}, "written by the de-identifier"),
        ({"overrides": [an_override("IconImageSequence", "K")]}, "never kept"),
        ({"ages": {"width": 5}}, "retain-patient-characteristics"),
        (
            {"private": [{"creator": "ACME", "group": "0019", "element": "10", "reason": "dose"}]},
            "retain-safe-private",
        ),
        ({"overrides": [an_override("SeriesInstanceUID", "K")]}, "retain-uids"),
        (
            {"overrides": [an_override("PatientSex", "X"), an_override("(0010,0040)", "Z")]},
            "overridden twice",
        ),
        ({"overrides": [an_override("PatientName", "K")]}, "never kept"),
        ({"overrides": [an_override("OriginalAttributesSequence", "K")]}, "never kept"),
        ({"overrides": [an_override("PatientIdentityRemoved", "X")]}, "de-identifier itself"),
        ({"overrides": [an_override("TransferSyntaxUID", "X")]}, "de-identifier itself"),
        ({"overrides": [an_override("(0019,1010)", "K")]}, "private"),
        ({"overrides": [an_override("PatientSex", "U")]}, "no UID"),
        ({"overrides": [an_override("PixelData", "C")]}, "cannot be cleaned"),
        ({"overrides": [an_override("PatientSex", "X", value="O")]}, "only with action D"),
        ({"overrides": [an_override("StudyDate", "D", value="1.1.2000")]}, "YYYYMMDD"),
        ({"overrides": [{"attribute": "PatientSex", "action": "X"}]}, "reason"),
        ({"overrides": [{"attribute": "PatientSex", "action": "X", "reason": " "}]}, "few words"),
        ({"accept": [{"risk": "ultrasound"}]}, "reason"),
        (
            {
                "options": ["retain-patient-characteristics"],
                "ages": {"width": 50, "top": 40},
            },
            "not above",
        ),
        ({"minimum_cohort": 0}, "greater than or equal"),
        ({"name": "Two words"}, "pattern"),
        ({"title": "two\nlines"}, "one line"),
        ({"colour": "blue"}, "not permitted"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(changes: dict[str, Any], fault: str) -> None:
    """What cannot be obeyed, promised or justified is no policy."""
    with pytest.raises(ValidationError, match=fault):
        a_policy(**changes)


@pytest.mark.parametrize(
    ("options", "dates", "temporal"),
    [
        ([], Dates.REMOVE, "REMOVED"),
        (["retain-longitudinal-modified-dates"], Dates.SHIFT, "MODIFIED"),
        (["retain-longitudinal-full-dates"], Dates.KEEP, "UNMODIFIED"),
    ],
)
def test_dates_follow_the_temporal_option(options: list[str], dates: Dates, temporal: str) -> None:
    """Left out, dates are what the option says; the mark (0028,0303) says the same."""
    policy = a_policy(options=options)
    assert policy.dates is dates
    assert policy.temporal_information == temporal
    assert policy == a_policy(options=options, dates=dates)


def test_the_codes_are_the_profile_and_every_option_used() -> None:
    """The profile's code comes first, then one for each option, and no other."""
    policy = a_policy(options=["retain-patient-characteristics", "clean-graphics"])
    assert policy.codes == (
        ("113100", "Basic Application Confidentiality Profile"),
        ("113103", "Clean Graphics Option"),
        ("113108", "Retain Patient Characteristics Option"),
    )


@pytest.mark.parametrize(
    ("options", "override", "claimed"),
    [
        ([], an_override("StudyDescription", "K"), []),
        ([], an_override("StudyDescription", "C"), []),
        ([], an_override("StudyDescription", "X"), ["113100"]),
        ([], an_override("StudyDescription", "D", value="STUDY"), ["113100"]),
        ([], an_override("PatientBodyMassIndex", "K"), []),
        ([], an_override("Rows", "K"), ["113100"]),
        (["clean-descriptors"], an_override("StudyDescription", "K"), []),
        (["clean-descriptors"], an_override("StudyDescription", "C"), ["113100", "113105"]),
        (["clean-descriptors"], an_override("StudyDescription", "X"), ["113100", "113105"]),
        (["retain-patient-characteristics"], an_override("PatientSex", "X"), ["113100"]),
        (["retain-patient-characteristics"], an_override("PatientSex", "K"), ["113100", "113108"]),
    ],
)
def test_an_override_takes_back_the_claims_it_belies(
    options: list[str], override: dict[str, str], claimed: list[str]
) -> None:
    """Keeping what the profile removes costs the profile's code; removing what an option keeps, the option's."""
    assert codes(a_policy(options=options, overrides=[override])) == claimed


def test_the_method_is_legal_text_of_the_policy() -> None:
    """De-identification Method names policy, version and dates in values that LO allows."""
    policy = a_policy(name="n" * 40, version="1.2.3-rc.4", options=["retain-longitudinal-modified-dates"])
    assert policy.method_text == ("n" * 40 + " 1.2.3-rc.4", "DATES SHIFTED")
    assert all(len(text) <= 64 and "\\" not in text for text in policy.method_text)


def test_the_digest_is_the_same_however_the_policy_is_written() -> None:
    """Order of options, keyword or tag, and defaults written out make no difference."""
    written = a_policy(
        options=["clean-graphics", "clean-descriptors"], overrides=[an_override("(0010,0040)", "X")]
    )
    other = a_policy(
        overrides=[an_override("PatientSex", "X")],
        options=["clean-descriptors", "clean-graphics"],
        dates="remove",
        minimum_cohort="1",
    )
    assert written.digest == other.digest
    assert written.digest.startswith("sha256:")
    assert len(written.digest) == 71


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2"},
        {"description": "For tests!"},
        {"options": ["clean-graphics"]},
        {"overrides": [an_override("PatientSex", "X")]},
        {"minimum_cohort": 2},
        {"clinical_trial": True},
        {"vocabulary": ["dixon"]},
        {"accept": [{"risk": "ultrasound", "reason": "phantoms"}]},
        {"stage": "pseudonymize"},
    ],
)
def test_the_digest_changes_with_anything_of_the_policy(changes: dict[str, Any]) -> None:
    """An approval signs all of a policy: no part can change under it."""
    assert a_policy(**changes).digest != a_policy().digest


def test_the_digest_is_that_of_the_canonical_json() -> None:
    """A policy read back from its own JSON has the same digest, so a file can be checked on another machine."""
    policy = a_policy(
        options=["retain-patient-characteristics", "retain-safe-private"],
        ages={"width": 5},
        private=[{"creator": "ACME", "group": "0019", "element": "xx10", "reason": "dose"}],
    )
    assert Policy.model_validate_json(policy.model_dump_json()).digest == policy.digest


@pytest.mark.parametrize(
    ("years", "band"),
    [
        (0, (0, 4)),
        (4, (0, 4)),
        (5, (5, 9)),
        (38, (35, 39)),
        (89, (85, 89)),
        (90, (90, None)),
        (107, (90, None)),
    ],
)
def test_an_age_falls_into_its_band(years: int, band: tuple[int, int | None]) -> None:
    """Bands of five years start at 0, and from the top code up there is one band."""
    assert AgeBands(width=5).band(years) == band


def test_the_last_band_ends_below_the_top() -> None:
    """A width that does not divide the top makes a narrower last band, not one that overlaps the top."""
    assert AgeBands(width=7).band(86) == (84, 89)


def test_private_elements_are_written_as_the_standard_prints_them() -> None:
    """Group and element are hexadecimal, however many zeros or an x stand before them."""
    kept = {"creator": "ACME", "group": "0019", "element": "xx1f", "vr": "DS", "reason": "dose"}
    policy = a_policy(options=["retain-safe-private"], private=[kept])
    assert (policy.private[0].group, policy.private[0].element) == (0x0019, 0x1F)


def test_accepted_risks_are_told_apart_from_the_held_ones() -> None:
    """Only what a policy accepts by name passes without review."""
    policy = a_policy(accept=[{"risk": "ultrasound", "reason": "phantoms only"}])
    assert policy.accepted_risks == {Risk.ULTRASOUND}
    assert a_policy().accepted_risks == frozenset()


def test_a_policy_cannot_be_changed() -> None:
    """What was approved stays as it is."""
    with pytest.raises(ValidationError, match="frozen"):
        a_policy().version = "2"


def test_all_options_that_do_not_contradict_can_be_combined() -> None:
    """Eleven options together, one of the temporal pair, are a policy; it claims what was done to an instance."""
    options = set(Option) - {Option.RETAIN_LONGITUDINAL_FULL_DATES}
    policy = a_policy(options=options, pixels=[a_pixel_rule(model="Sono 5")])
    cleaned = [code for code, _ in policy.codes_of(pixels_cleaned=True)]
    assert cleaned == ["113100", "113101", "113103", "113104", "113105", *map(str, range(113107, 113113))]
    assert codes(policy) == [code for code in cleaned if code != "113101"]
