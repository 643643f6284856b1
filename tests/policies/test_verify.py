"""Verification finds every way in which a result can break the policy, and passes what keeps it.

The instances are made here by hand, not by the engine: the judge is tried without the accused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from policies.elements import IMPLEMENTATION_CLASS_UID
from policies.model import Policy
from policies.verify import Verification, check_instance, check_references
from tests.builders import a_ct_study, written
from vault.keys import Kind
from vault.scheme import Form, pseudonym

CT = "1.2.840.10008.5.1.4.1.1.2"
PSEUDONYM = pseudonym(Kind.PATIENT_ID, bytes(range(32)), Form("T"))


def derived_uid(number: int) -> str:
    return f"2.25.{number << 80 | 8 << 76 | 0b10 << 62 | number}"


def a_policy(**fields: Any) -> Policy:
    given = {
        "name": "trial",
        "version": "1",
        "stage": "anonymize",
        "title": "A trial",
        "description": "Ages in bands, dates shifted.",
        "options": ["retain-longitudinal-modified-dates", "retain-patient-characteristics"],
        "ages": {"width": 5, "top": 90},
    }
    return Policy.model_validate({**given, **fields})


def code(value: str, scheme: str = "DCM", meaning: str = "meaning") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def a_result(policy: Policy, *, number: int = 1, sop_class: str = CT) -> Dataset:
    """A de-identified instance as it should be, small."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, derived_uid(number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = derived_uid(77), derived_uid(78)
    ds.StudyDate, ds.StudyTime = "20150203", "101500"
    ds.Modality = "CT"
    ds.PatientName = ds.PatientID = PSEUDONYM
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "", "F", "035Y"
    ds.ReferringPhysicianName = ds.AccessionNumber = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = list(policy.method_text)
    ds.DeidentificationMethodCodeSequence = [code(value, meaning=meaning) for value, meaning in policy.codes]
    ds.LongitudinalTemporalInformationModified = policy.temporal_information
    equipment = Dataset()
    equipment.Manufacturer = "TCE"
    equipment.PurposeOfReferenceCodeSequence = [code("109104")]
    ds.ContributingEquipmentSequence = [equipment]
    ds.preamble = b"\0" * 128
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationVersion = b"\0\1"
    ds.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    ds.file_meta.ImplementationVersionName = "TCE_1"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def saved(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def codes_found(ds: Dataset, policy: Policy, tmp_path: Path) -> set[str]:
    return {finding.code for finding in check_instance(saved(ds, tmp_path / "instance"), policy)}


def test_what_keeps_the_policy_passes(tmp_path: Path) -> None:
    """A result as the policy promises it has no finding."""
    policy = a_policy()
    assert check_instance(saved(a_result(policy), tmp_path / "instance"), policy) == []


def test_what_says_nothing_in_another_vr_passes(tmp_path: Path) -> None:
    """Of a description in another VR than the dictionary's only the VR is wrong, and a dummy is no wrong subject."""
    policy = a_policy()
    ds = a_result(policy)
    ds.add_new(0x00700081, "ST", "Chest")
    ds.ClinicalTrialSubjectID = "REMOVED"
    assert codes_found(ds, policy, tmp_path) == {"encoding"}
    ds.add_new(0x00700081, "ST", "Chest of Zorgelin")
    ds.ClinicalTrialSubjectID = "Zorgelin"
    assert codes_found(ds, policy, tmp_path) == {"encoding", "text", "retained-value"}


def test_dates_go_where_dates_are_removed(tmp_path: Path) -> None:
    """Under a policy without dates a real date is a finding anywhere, a dummy is none."""
    policy = a_policy(options=[], ages=None)
    ds = a_result(policy)
    ds.PatientSex = ds.PatientAge = ""
    ds.StudyDate, ds.StudyTime = "19000101", "000000"
    assert codes_found(ds, policy, tmp_path) == set()
    ds.SeriesDate = "20240611"
    ds.AcquisitionDateTime = "20240611101500"
    assert codes_found(ds, policy, tmp_path) == {"date"}


def test_options_and_overrides_allow_what_they_say(tmp_path: Path) -> None:
    """What an option retains, or an override keeps or writes, is no finding; another value is."""
    policy = a_policy(
        options=[*a_policy().options, "retain-institution-identity"],
        overrides=[
            {"attribute": "StudyDescription", "action": "K", "reason": "the protocol's own words"},
            {"attribute": "BodyPartExamined", "action": "D", "value": "CHEST", "reason": "one value for all"},
        ],
    )
    ds = a_result(policy)
    ds.InstitutionName, ds.StudyDescription, ds.BodyPartExamined = "Klinikum", "CT Thorax", "CHEST"
    assert codes_found(ds, policy, tmp_path) == set()
    ds.BodyPartExamined = "HEAD"
    assert codes_found(ds, policy, tmp_path) == {"override"}


def test_private_elements_of_the_policy_may_stay(tmp_path: Path) -> None:
    """A private element is allowed by creator, group and element, whatever block it lies in."""
    keep = {"creator": "GEMS_ACQU_01", "group": "0019", "element": "23", "reason": "table speed"}
    policy = a_policy(options=[*a_policy().options, "retain-safe-private"], private=[keep])
    ds = a_result(policy)
    block = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x23, "DS", "5.0")
    assert codes_found(ds, policy, tmp_path) == set()
    block.add_new(0x51, "LO", "anything")
    assert codes_found(ds, policy, tmp_path) == {"private-element"}


def test_what_the_source_left_empty_is_not_held_against_the_result(tmp_path: Path) -> None:
    """A value that the source lacks may be empty in the result, also where an item before it has gone."""
    policy = a_policy()
    whole, empty = code("1"), code("2")
    empty.CodeMeaning = ""
    source, result = a_result(policy), a_result(policy)
    source.ProcedureCodeSequence, result.ProcedureCodeSequence = [whole, empty], [empty]
    given = saved(source, tmp_path / "source.dcm")
    assert "empty-type-1" not in {
        finding.code
        for finding in check_instance(saved(result, tmp_path / "result.dcm"), policy, source=given)
    }
    result.ProcedureCodeSequence = [empty, empty]
    assert "empty-type-1" in {
        finding.code
        for finding in check_instance(saved(result, tmp_path / "worse.dcm"), policy, source=given)
    }


def test_what_the_source_had_and_the_iod_demands_is_missed(tmp_path: Path) -> None:
    """With the source at hand, a lost required attribute is found; one that never was there is not."""
    policy = a_policy()
    source, result = a_result(policy), a_result(policy)
    del result.PatientSex
    source.StudyDate = "20150304"
    path = saved(result, tmp_path / "result")
    found = check_instance(path, policy, source=saved(source, tmp_path / "source"))
    assert [(finding.code, finding.where) for finding in found] == [("missing-required", "(0010,0040)")]
    result.StudyDate = "20150102"
    again = saved(result, tmp_path / "again")
    assert check_instance(again, policy, source=path) == []


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL"])
def test_what_cannot_be_read_is_a_finding(content: bytes, tmp_path: Path) -> None:
    """A file that is no instance, or ends early, never passes."""
    path = tmp_path / "instance"
    path.write_bytes(content)
    assert {finding.code for finding in check_instance(path, a_policy())} & {"unreadable", "mark"}


def test_findings_never_repeat_a_value(tmp_path: Path) -> None:
    """A finding names code, place and channel, and nothing of what stands there."""
    ds = a_result(a_policy())
    ds.PatientName, ds.StudyInstanceUID = "Lindqvist^Asa", "1.2.826.0.1.3680043.8.498.7"
    said = repr(check_instance(saved(ds, tmp_path / "instance"), a_policy()))
    assert "indqvist" not in said
    assert "3680043" not in said


def test_references_of_a_whole_study_resolve(tmp_path: Path) -> None:
    """Report, presentation state and images of one study refer to each other and to nothing else."""
    assert check_references(written(a_ct_study(), tmp_path)) == []


def test_a_reference_out_of_the_set_is_found(tmp_path: Path) -> None:
    """A referenced image that is not in the set is a finding, unless it was in no source either."""
    files = written(a_ct_study(), tmp_path)
    without = files[:1] + files[2:]
    assert {finding.code for finding in check_references(without)} == {"unresolved-reference"}
    whole = Verification(a_policy())
    for path in without:
        whole.check(path, path)
    assert "unresolved-reference" not in {finding.code for finding in whole.whole()}


def test_a_reference_to_the_wrong_study_is_found(tmp_path: Path) -> None:
    """Evidence that puts an instance into another study or series than its own is a finding."""
    samples = a_ct_study()
    evidence = samples[3].instance.CurrentRequestedProcedureEvidenceSequence[0]
    evidence.StudyInstanceUID = derived_uid(4)
    found = check_references(written(samples, tmp_path))
    assert {finding.code for finding in found} == {"wrong-reference"}
    assert {finding.instance for finding in found} == {4}
    assert all(finding.where.startswith("(0040,A375)[1]") for finding in found)
