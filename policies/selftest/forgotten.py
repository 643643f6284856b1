"""Attributes with identity that Table E.1-1 forgets, as this test sees them; written down apart from the engine's
list.

Each with the option that may keep or clean it, or None. What their VR alone tells (PN, UR, DA, DT, TM, LT, ST,
UT) is not here.
"""

from __future__ import annotations

from typing import Final

from pydicom.datadict import tag_for_keyword

from policies.standard.tables import Option

_PATIENT = (Option.RETAIN_PATIENT_CHARACTERISTICS, "K")
_DEVICE = (Option.RETAIN_DEVICE_IDENTITY, "K")
_INSTITUTION = (Option.RETAIN_INSTITUTION_IDENTITY, "K")
_DESCRIPTOR = (Option.CLEAN_DESCRIPTORS, "C")

_LISTED: dict[str, tuple[Option, str] | None] = {
    "IssuerOfAccessionNumberSequence": None,
    "CodingSchemeResponsibleOrganization": _INSTITUTION,
    "StoredInstanceBaseURI": None,
    "FolderAccessURI": None,
    "FileAccessURI": None,
    "FilenameInContainer": None,
    "IssuerOfPatientIDQualifiersSequence": None,
    "SourcePatientGroupIdentificationSequence": None,
    "GroupOfPatientsIdentificationSequence": None,
    "PatientBirthDateInAlternativeCalendar": None,
    "PatientDeathDateInAlternativeCalendar": None,
    "PatientSizeCodeSequence": _PATIENT,
    "PatientBodyMassIndex": _PATIENT,
    "BreedRegistrationNumber": None,
    "NTPSourceAddress": None,
    "AcquisitionProtocolName": _DESCRIPTOR,
    "PatientClinicalTrialParticipationSequence": None,
    "LocalNamespaceEntityID": None,
    "UniversalEntityID": None,
    "HL7InstanceIdentifier": None,
    "RetrieveLocationUID": None,
    "RepositoryUniqueID": None,
    "HomeCommunityID": None,
    "TrackingID": _DESCRIPTOR,
    "FiducialIdentifier": _DESCRIPTOR,
    "ContactDisplayName": None,
    "EncryptedAttributesSequence": None,
    "OriginalAttributesSequence": None,
    "ModifiedAttributesSequence": None,
    "DigitalSignaturesSequence": None,
    "OwnerID": None,
    "StorageMediaFileSetID": None,
    "RadiationMachineName": _DEVICE,
    "HangingProtocolCreator": None,
    "HangingProtocolUserGroupName": None,
    "PlacerOrderNumberProcedure": None,
    "FillerOrderNumberProcedure": None,
}

_GIVEN: dict[str, tuple[Option, str] | None] = {
    **dict.fromkeys(("BeamName", "BlockName", "ApplicationSetupName", "TreatmentProtocols"), _DESCRIPTOR),
    **dict.fromkeys(
        ("PotentialReasonsForProcedure", "PotentialDiagnosticTasks", "InstructionText"), _DESCRIPTOR
    ),
    **dict.fromkeys(("RequestedProcedureDescriptionTrial", "HangingProtocolName"), _DESCRIPTOR),
    **dict.fromkeys(("ItineraryID", "BoardingPassID", "CarrierID", "RouteID", "AssignedLocation")),
    **dict.fromkeys(("ItineraryIDAssigningAuthority", "RouteIDAssigningAuthority", "ComponentWelderIDs")),
}
"""What people call a thing, or a journey, in their own words: short texts that look harmless by their VR."""


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return int(tag)


FORGOTTEN: Final = {_tag(keyword): kept for keyword, kept in {**_LISTED, **_GIVEN}.items()}
GIVEN_NAMES: Final = frozenset(map(_tag, _GIVEN))

STRUCTURAL_UIDS: Final = frozenset(
    map(
        _tag,
        (
            *(
                "SOPClassUID",
                "RelatedGeneralSOPClassUID",
                "OriginalSpecializedSOPClassUID",
                "SOPClassesSupported",
            ),
            *("CodingSchemeUID", "ContextGroupExtensionCreatorUID", "ContextUID", "MappingResourceUID"),
            *("ReferencedSOPClassUID", "SOPClassesInStudy", "ReferencedSOPClassUIDInFile"),
            *("MACCalculationTransferSyntaxUID", "EncryptedContentTransferSyntaxUID"),
            *("AvailableTransferSyntaxUID", "TransferSyntaxUID", "DigitalSignatureUID"),
        ),
    )
)
"""UIDs that name a class, a syntax or a set of codes, and nobody."""

WRITTEN_BY_PEOPLE: Final = ("Comment", "Comments", "Description", "Label", "Note", "Notes", "Title")
"""Endings of keywords whose values people write, so that they are cleaned like the table's descriptors."""
