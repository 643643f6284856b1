"""Collect the values that identify somebody from identified instances: what a residue search looks for.

It chooses by Value Representation and by a short list of its own, not by Table E.1-1: a row missing there
would otherwise be missing here too. Values are returned for searching only; they must not be logged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path

from pydicom import charset
from pydicom.datadict import keyword_for_tag

from policies.layout import Element, Instance, Level, walk
from policies.parsing import read_source
from policies.silence import SafeWords, is_registered, is_structural
from policies.standard.tables import Option, concepts
from policies.unheard import unheard


class Trait(StrEnum):
    """What a value tells: stage 1 removes the direct ones, stage 2 the others too."""

    PERSON = "names of patients, relatives and staff"
    NUMBER = "patient IDs, accession, order, admission and insurance numbers, codes of persons"
    UID = "instance UIDs"
    CONTACT = "addresses, telephone numbers, electronic addresses"
    BIRTH = "date of birth"
    PLACE = "institution, its departments and its address"
    DEVICE = "station, serial number of a device"
    DEVICE_UID = "UID of a device"


DIRECT = frozenset({Trait.PERSON, Trait.NUMBER, Trait.UID, Trait.CONTACT, Trait.BIRTH})
ALL = frozenset(Trait)

_KEYWORDS: dict[Trait, str] = {
    Trait.PERSON: "PatientBirthName PatientMotherBirthName OtherPatientNames",
    Trait.NUMBER: """
        PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID RequestedProcedureID
        ScheduledProcedureStepID PerformedProcedureStepID PlacerOrderNumberImagingServiceRequest
        FillerOrderNumberImagingServiceRequest InsurancePlanIdentification MedicalRecordLocator
        IssuerOfPatientID ContainerIdentifier SpecimenIdentifier MilitaryRank BreedRegistrationNumber
        StudyIDIssuer ScheduledStudyID PlacerOrderNumberProcedure FillerOrderNumberProcedure""",
    Trait.CONTACT: """
        PatientAddress PatientTelephoneNumbers PatientTelecomInformation PersonAddress PersonTelephoneNumbers
        PersonTelecomInformation ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers
        OrderCallbackPhoneNumber OrderCallbackTelecomInformation ContactURI""",
    Trait.BIRTH: "PatientBirthDate PatientBirthDateInAlternativeCalendar",
    Trait.PLACE: "InstitutionName InstitutionAddress InstitutionalDepartmentName ResponsibleOrganization",
    Trait.DEVICE: "DeviceSerialNumber StationName GantryID PlateID DetectorID CassetteID",
    Trait.DEVICE_UID: "DeviceUID",
}
_BY_KEYWORD = {keyword: trait for trait, keywords in _KEYWORDS.items() for keyword in keywords.split()}
_PERSON_CODES = 0x00401101
_UID_VALUE, _CONCEPT, _CODE_VALUE, _SCHEME = 0x0040A124, 0x0040A043, 0x00080100, 0x00080102
_TEXT = frozenset({"AE", "CS", "DA", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UN", "UR", "UT"})
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LONGEST = 1 << 12
_THINGS = frozenset({Trait.PLACE, Trait.DEVICE})
_NO_MORE_WORDS = SafeWords(())


def originals_of(paths: Iterable[Path], traits: Collection[Trait] = ALL) -> tuple[str, ...]:
    """The identifying values of the instances in ``paths`` that tell one of ``traits``, each once, sorted.

    Nested items, private elements whose VR is PN or UI, electronic addresses in any text, and the file meta
    information count. A file that is no DICOM file tells nothing.
    """
    found: set[str] = set()
    for path in paths:
        found.update(value for trait, value in told_by(read_source(path)) if trait in traits)
    return tuple(sorted(found))


def told_by(instance: Instance) -> Iterator[tuple[Trait, str]]:
    """Yield each identifying value of an instance with what it tells."""
    declared = instance.text(0x00080005)
    for elements in (walk(instance.meta), instance.elements()):
        for steps, element, around in elements:
            if element.items is not None or not element.length or element.vr not in _TEXT:
                continue
            trait = _trait(element, around, any(tag == _PERSON_CODES for tag, _ in steps))
            if trait is not None:
                own = around[0x00080005].text() if 0x00080005 in around else declared
                yield from ((trait, value) for value in _values(element, trait, own))
            if element.length <= _LONGEST and b"@" in element.raw():
                yield from ((Trait.CONTACT, mail) for mail in _MAIL.findall(element.text()))


def _values(element: Element, trait: Trait, declared: str) -> Iterator[str]:
    if element.length > _LONGEST:
        return
    one = element.vr in ("LT", "ST", "UT", "UR")
    text = _decoded(element.raw(), declared)
    for part in [text] if one else text.split("\\"):
        value = part.strip("\0 ")
        if not value or is_registered(value) or value.startswith("1.2.840.10008."):
            continue
        if trait in _THINGS and not _NO_MORE_WORDS.tells_more(value):
            # A department called MRI, a station called CT1: that word says nothing of where.
            continue
        yield _as_name(value) if trait is Trait.PERSON else value
        if trait is Trait.CONTACT and not one:
            # A street or a town may be written without the rest of the address.
            yield from (
                piece for piece in re.split(r"[,;^\n]\s*", value) if len(piece) >= 8 and piece != value
            )


def _trait(element: Element, level: Level, of_a_person: bool) -> Trait | None:
    named = trait_of(element.tag) if not element.private else None
    if named is not None:
        return named
    if element.vr == "PN":
        return Trait.PERSON
    if of_a_person and element.tag == _CODE_VALUE:
        return Trait.NUMBER
    if element.vr == "UI" and not is_structural(element.tag):
        return Trait.DEVICE_UID if element.tag == _UID_VALUE and _of_a_device(level) else Trait.UID
    return None


@cache
def trait_of(tag: int) -> Trait | None:
    """Return what a standard attribute tells whatever its value; None where that depends on more than its tag."""
    return _BY_KEYWORD.get(keyword_for_tag(tag))


def _of_a_device(item: Level) -> bool:
    """Does the UID of a content item name a device, which device identity covers?"""
    names = item.get(_CONCEPT)
    name = names.items[0] if names is not None and names.items else {}
    code, scheme = (name[tag].text() if tag in name else "" for tag in (_CODE_VALUE, _SCHEME))
    row = concepts().get((code, scheme, "UIDREF"))
    return row is not None and Option.RETAIN_DEVICE_IDENTITY in row.options


def _decoded(raw: bytes, declared: str) -> str:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    try:
        with unheard():
            return str(charset.decode_bytes(raw, _encodings(declared), {0x5C, 0x5E, 0x3D}))
    except (LookupError, ValueError):
        return raw.decode("latin-1")


@lru_cache(maxsize=64)
def _encodings(declared: str) -> tuple[str, ...]:
    try:
        with unheard():
            return tuple(charset.convert_encodings(declared.split("\\"))) if declared else ("latin-1",)
    except (LookupError, ValueError):
        return ("latin-1",)


def _as_name(text: str) -> str:
    """A PN without any delimiter is a family name; written as one, its parts are searched for."""
    return text if "^" in text or "=" in text else f"{text}^"
