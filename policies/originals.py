"""Collect the values that identify somebody from identified instances: what a residue search looks for.

It chooses by Value Representation and by a short list of its own, not by Table E.1-1: a row missing there
would otherwise be missing here too. Values are returned for searching only; they must not be logged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName


class Trait(StrEnum):
    """What a value tells: stage 1 removes the direct ones, stage 2 the others too."""

    PERSON = "names of patients, relatives and staff"
    NUMBER = "patient IDs, accession, order, admission and insurance numbers"
    UID = "instance UIDs"
    CONTACT = "addresses, telephone numbers, electronic addresses"
    BIRTH = "date of birth"
    PLACE = "institution and its address"
    DEVICE = "station, serial number and UID of a device"


DIRECT = frozenset({Trait.PERSON, Trait.NUMBER, Trait.UID, Trait.CONTACT, Trait.BIRTH})
ALL = frozenset(Trait)

_KEYWORDS: dict[Trait, str] = {
    Trait.NUMBER: """
        PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID RequestedProcedureID
        ScheduledProcedureStepID PerformedProcedureStepID PlacerOrderNumberImagingServiceRequest
        FillerOrderNumberImagingServiceRequest InsurancePlanIdentification MedicalRecordLocator
        IssuerOfPatientID ContainerIdentifier SpecimenIdentifier""",
    Trait.CONTACT: """
        PatientAddress PatientTelephoneNumbers PatientTelecomInformation PersonAddress PersonTelephoneNumbers
        PersonTelecomInformation ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers""",
    Trait.BIRTH: "PatientBirthDate PatientBirthDateInAlternativeCalendar",
    Trait.PLACE: "InstitutionName InstitutionAddress",
    Trait.DEVICE: "DeviceSerialNumber StationName DeviceUID GantryID PlateID DetectorID CassetteID",
}
_BY_KEYWORD = {keyword: trait for trait, keywords in _KEYWORDS.items() for keyword in keywords.split()}

# UIDs that name a kind of thing, a dictionary or a program, never one instance or place.
_STRUCTURAL = (
    "ClassUID",
    "SyntaxUID",
    "CodingSchemeUID",
    "ContextUID",
    "MappingResourceUID",
    "ExtensionCreatorUID",
)


def originals_of(paths: Iterable[Path], traits: Collection[Trait] = ALL) -> tuple[str, ...]:
    """The identifying values of the instances in ``paths`` that tell one of ``traits``, each once, sorted.

    Nested items, private elements whose VR is PN, and the file meta information count. Raises
    pydicom.errors.InvalidDicomError for a file that is no DICOM file.
    """
    found: set[str] = set()
    for path in paths:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        found.update(value for trait, value in _told_by(ds) if trait in traits)
    return tuple(sorted(found))


def _told_by(ds: Dataset) -> Iterator[tuple[Trait, str]]:
    for element in ds.iterall():
        trait = _trait(element)
        if trait is None or element.VR == "SQ" or not element.value:
            continue
        values = element.value if element.VM > 1 else [element.value]
        for value in values:
            text = str(value).strip() if isinstance(value, str | PersonName) else ""
            if text and not text.startswith("1.2.840.10008."):
                yield trait, _as_name(text) if trait is Trait.PERSON else text


def _trait(element: DataElement) -> Trait | None:
    named = _BY_KEYWORD.get(element.keyword)
    if named is not None:
        return named
    if element.VR == "PN":
        return Trait.PERSON
    if element.VR == "UI" and not element.keyword.endswith(_STRUCTURAL):
        return Trait.UID
    return None


def _as_name(text: str) -> str:
    """A PN without any delimiter is a family name; written as one, its parts are searched for."""
    return text if "^" in text or "=" in text else f"{text}^"
