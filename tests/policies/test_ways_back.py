"""What holds originals or leads back to them goes with all that is in it, at every depth."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from policies.engine import Engine
from policies.model import Policy, Risk
from policies.standard.tables import Option
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
CANARY = "Zzyxcanary"
GONE = (
    "OriginalAttributesSequence",
    "ModifiedAttributesSequence",
    "NonconformingModifiedAttributesSequence",
    "EncryptedAttributesSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "ReferencedDigitalSignatureSequence",
    "ReferencedSOPInstanceMACSequence",
    "IconImageSequence",
    "ReferencedPatientPhotoSequence",
    "OtherPatientIDsSequence",
    "IssuerOfPatientIDQualifiersSequence",
    "IssuerOfAccessionNumberSequence",
    "IssuerOfAdmissionIDSequence",
    "IssuerOfServiceEpisodeIDSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "AssigningFacilitySequence",
    "AssigningJurisdictionCodeSequence",
    "AssigningAgencyOrDepartmentCodeSequence",
    "PatientClinicalTrialParticipationSequence",
)
PLACES = (
    "",
    "AnatomicRegionSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "private",
)
POLICIES = {
    "profile": (),
    "cleaning": (
        Option.CLEAN_GRAPHICS,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.CLEAN_DESCRIPTORS,
        Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,
    ),
    "retaining": (
        Option.RETAIN_UIDS,
        Option.RETAIN_DEVICE_IDENTITY,
        Option.RETAIN_LONGITUDINAL_FULL_DATES,
        Option.RETAIN_PATIENT_CHARACTERISTICS,
        Option.RETAIN_SAFE_PRIVATE,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.CLEAN_DESCRIPTORS,
        Option.CLEAN_GRAPHICS,
    ),
}


def an_item() -> Dataset:
    """An item of whatever sequence: names, codes, issuers, bytes and a sequence of its own hold the canary."""
    item, inner = Dataset(), Dataset()
    inner.PatientName, inner.CodeMeaning, inner.CodeValue = f"{CANARY}^X", CANARY, CANARY
    item.PatientName, item.PatientID, item.PatientComments = f"{CANARY}^X", CANARY, CANARY
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = CANARY, "99X", CANARY
    item.LocalNamespaceEntityID = item.UniversalEntityID = CANARY
    item.MACAlgorithm = CANARY.upper()
    item.EncryptedContent = item.CertificateOfSigner = item.MAC = item.NonconformingDataElementValue = (
        CANARY.encode()
    )
    item.PixelData = CANARY.encode()
    item["PixelData"].VR = "OB"
    item.ModifiedAttributesSequence = [inner]
    item.AnatomicRegionSequence = [inner]
    return item


def an_instance(keyword: str, place: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.77.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.77.2", "1.2.3.77.3"
    level = ds
    if place == "private":
        group = Dataset()
        ds.private_block(0x0029, "SOMEBODY", create=True).add_new(1, "SQ", Sequence([group]))
        level = group
    elif place:
        level = Dataset()
        level.CodeValue = "T-D1100"
        setattr(ds, place, [level])
    assert dictionary_VR(tag_for_keyword(keyword) or 0) == "SQ"
    setattr(level, keyword, [an_item()])
    return ds


def a_policy(options: tuple[Option, ...]) -> Policy:
    return Policy.model_validate(
        {
            "name": "p",
            "version": "1",
            "stage": "anonymize",
            "title": "t",
            "description": "d",
            "options": sorted(options),
            "accept": [{"risk": risk, "reason": "nothing is shown here"} for risk in Risk],
        }
    )


@pytest.mark.parametrize("chosen", POLICIES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place or "top level")
def test_ways_back_go_whole(place: str, chosen: str, tmp_path: Path) -> None:
    """Original, modified and encrypted attributes, signatures and MACs, icons and photographs, other identifiers and
    who issued them: no byte of them stays, at the top level, nested, in functional groups or below a private one."""
    engine = Engine(a_policy(POLICIES[chosen]))
    left = []
    for keyword in GONE:
        path, out = tmp_path / f"{keyword}.dcm", tmp_path / f"{keyword}-out.dcm"
        an_instance(keyword, place).save_as(path, enforce_file_format=True)
        assert CANARY.encode() in path.read_bytes()
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        if CANARY.lower().encode() in out.read_bytes().lower():
            left.append(keyword)
    assert left == []
