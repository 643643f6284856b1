"""Who an instance is about: its patient, its identifiers, and the words that would give him away elsewhere.

Read from what the scan captured; nothing here decides what happens to an attribute. An instance without Patient ID
belongs to a subject of its own study, so that two patients without an ID never become one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pydicom import charset

from policies.dates import read_date, real_date, years_between
from policies.elements import PADDING, text_of
from policies.errors import Refusal
from policies.generalize import age_string, read_age
from policies.known import KnownWords, known_words, respelled
from policies.operations import Marked
from policies.pieces import Changed, Facts
from policies.pseudonyms import Identifier, Kind, Subject

CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_DATE = 0x00080020
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
ISSUER = 0x00100021
BIRTH_DATE = 0x00100030
PATIENT_AGE = 0x00101010
STUDY_UID = 0x0020000D
SERIES_UID = 0x0020000E

_CUSTODY = {
    PATIENT_NAME: "PatientName",
    BIRTH_DATE: "PatientBirthDate",
    0x00100040: "PatientSex",
    0x00101000: "OtherPatientIDs",
    0x00101001: "OtherPatientNames",
    0x00101040: "PatientAddress",
    0x00102154: "PatientTelephoneNumbers",
}
"""What custody may be asked to reveal of a patient beside his ID."""

_TOLD = tuple(sorted({CHARACTER_SET, ISSUER, PATIENT_ID, BIRTH_DATE, PATIENT_AGE, STUDY_DATE, *_CUSTODY}))
"""Attributes beside names and identifiers that say who the subject is."""

_READ = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_UID, SERIES_UID)

NAMES = frozenset({PATIENT_NAME, 0x00080090, 0x00101001, 0x00101005, 0x00101060})
"""Names of persons, also where a file gives them another VR than PN."""

IDENTIFYING = frozenset(
    {
        0x00080050,  # Accession Number
        0x00080092,  # Referring Physician's Address
        0x00080094,  # Referring Physician's Telephone Numbers
        PATIENT_ID,
        0x00101000,  # Other Patient IDs
        0x00101040,  # Patient's Address
        0x00101050,  # Insurance Plan Identification
        0x00101090,  # Medical Record Locator
        0x00102154,  # Patient's Telephone Numbers
        0x00102155,  # Patient's Telecom Information
        0x00200010,  # Study ID
        0x00380010,  # Admission ID
        0x00380060,  # Service Episode ID
        0x00400009,  # Scheduled Procedure Step ID
        0x00400253,  # Performed Procedure Step ID
        0x00401001,  # Requested Procedure ID
        0x00402016,  # Placer Order Number / Imaging Service Request
        0x00402017,  # Filler Order Number / Imaging Service Request
    }
)
"""Attributes beside names whose values are searched for in everything that stays."""


@dataclass(frozen=True, slots=True)
class Original:
    """The original identity of one instance. Never print it."""

    subject: Subject
    patient_id: str
    date_offset: Identifier
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    identity: dict[int, Changed]

    def __repr__(self) -> str:
        return "Original(…)"


def learn(facts: Facts, *, needs_study: bool, dates_from_key: bool) -> Original:
    """Return who the instance is about, and complete ``facts`` for rendering.

    ``dates_from_key`` says that dates move by the patient's own number of days, which has to be asked for.

    Raises:
        Refusal: ``no-sop-instance-uid``, or ``malformed`` when it belongs to no study or series.
    """
    found = facts.top
    texts = {tag: text_of(found[tag].raw) for tag in _READ if tag in found}
    if not texts.get(SOP_INSTANCE_UID):
        raise Refusal("no-sop-instance-uid", "The data set has no SOP Instance UID.")
    if needs_study and not (texts.get(STUDY_UID) and texts.get(SERIES_UID)):
        raise Refusal("malformed", "The data set names no study or no series.")
    study = texts.get(STUDY_UID) or texts[SOP_INSTANCE_UID]
    facts.study = Identifier(Kind.STUDY_ID, "", study) if texts.get(STUDY_UID) else None
    facts.carried = {tag: piece for tag, piece in found.items() if isinstance(piece.change, Marked)}
    portrait = _portrait(
        tuple([found[tag].raw if tag in found else None for tag in _TOLD]),
        frozenset([piece.raw for piece in facts.pending if piece.vr == b"PN" or piece.tag in NAMES]),
        frozenset([piece.raw for piece in facts.pending if piece.tag in IDENTIFYING]),
    )
    facts.decode, facts.issuer, facts.known = portrait.decode, portrait.issuer, portrait.known
    facts.age_years, facts.age_value = portrait.age_years, portrait.age_value
    patient = Identifier(Kind.PATIENT_ID, facts.issuer, portrait.patient_id)
    if not portrait.patient_id:
        patient = Identifier(Kind.PATIENT_ID, "study", study)
    date_offset = Identifier(Kind.DATE_OFFSET, patient.issuer, patient.value)
    facts.study_date = real_date(found[STUDY_DATE].raw) if STUDY_DATE in found else None
    identifiers = {
        name
        for piece in facts.pending
        if piece.change.asks
        for name in piece.change.identifiers(piece.raw, facts)
    }
    identifiers.add(patient)
    if facts.study is not None:
        identifiers.add(facts.study)
    if facts.moves_dates and dates_from_key:
        identifiers.add(date_offset)
    return Original(
        subject=Subject(patient, frozenset(identifiers), portrait.attributes),
        patient_id=portrait.patient_id,
        date_offset=date_offset,
        sop_class_uid=texts.get(SOP_CLASS_UID, ""),
        sop_instance_uid=texts[SOP_INSTANCE_UID],
        series_uid=texts.get(SERIES_UID, ""),
        study_uid=texts.get(STUDY_UID, ""),
        identity={tag: found[tag] for tag in (SOP_INSTANCE_UID, STUDY_UID, SERIES_UID) if tag in found},
    )


@dataclass(frozen=True, slots=True)
class _Portrait:
    """What the values that describe a subject say, whichever instance they stand in."""

    decode: Callable[[bytes], str]
    issuer: str
    patient_id: str
    known: KnownWords
    attributes: tuple[tuple[str, str], ...]
    age_years: int | None
    age_value: bytes


@lru_cache(maxsize=256)
def _portrait(
    told: tuple[bytes | None, ...], names: frozenset[bytes], identifying: frozenset[bytes]
) -> _Portrait:
    """Return what is known from the values of :data:`_TOLD`, the names and the other identifying values.

    A series says the same of its patient in every instance, so that this is worked out once.
    """
    raws = {tag: raw for tag, raw in zip(_TOLD, told, strict=True) if raw is not None}
    character_set = text_of(raws.get(CHARACTER_SET, b""))
    decode = _decoder(character_set)
    issuer = decode(raws.get(ISSUER, b"")).strip(PADDING)
    if "\0" in issuer:
        raise Refusal("malformed", "The issuer of the patient's identifier holds a NUL.")
    encodings = _encodings(character_set)
    respellings = (respelled(decode(raw), encodings) for raw in names if not raw.isascii() or b"\x1b" in raw)
    known = known_words(
        names, identifying | _spelled_dates(raws.get(BIRTH_DATE, b"")), frozenset().union(*respellings)
    )
    attributes = tuple(
        (keyword, value)
        for tag, keyword in _CUSTODY.items()
        if tag in raws and (value := decode(raws[tag]).strip(PADDING))
    )
    age_years, age_value = _age(raws.get(PATIENT_AGE), raws.get(BIRTH_DATE), raws.get(STUDY_DATE))
    patient_id = decode(raws.get(PATIENT_ID, b"")).strip(PADDING)
    return _Portrait(decode, issuer, patient_id, known, attributes, age_years, age_value)


def _spelled_dates(value: bytes) -> set[bytes]:
    """Return a date as people write it; the DICOM form alone is left to the rules for dates."""
    day = read_date(value.strip(b" \0"))
    if day is None:
        return set()
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d")
    return {day.strftime(form).encode() for form in forms}


def _age(age: bytes | None, birth_date: bytes | None, study_date: bytes | None) -> tuple[int | None, bytes]:
    """Return an age in years and as a value: as it is written, else from the dates."""
    if age is not None:
        years = read_age(age)
        if years is not None:
            return years, age.strip(b" \0")
    born = read_date(birth_date.strip(b" \0")) if birth_date is not None else None
    then = read_date(study_date.strip(b" \0")) if study_date is not None else None
    years = years_between(born, then) if born and then else None
    return (None, b"") if years is None else (years, age_string(years))


@lru_cache(maxsize=64)
def _encodings(declared: str) -> tuple[str, ...]:
    """Return Python's names of the declared character sets, none where they cannot be told."""
    try:
        return tuple(charset.convert_encodings(declared.split("\\"))) if declared else ()
    except (LookupError, ValueError):
        return ()


@lru_cache(maxsize=64)
def _decoder(declared: str) -> Callable[[bytes], str]:
    """Return a decoder for the declared character sets; what cannot be decoded stays distinct, never fails."""
    encodings = _encodings(declared)
    if not encodings:
        return lambda raw: raw.decode("latin-1")

    @lru_cache(maxsize=4096)
    def decode(raw: bytes) -> str:
        try:
            return str(charset.decode_bytes(raw, encodings, {0x5C, 0x5E, 0x3D}))
        except (LookupError, ValueError):
            return raw.decode("latin-1")

    return decode
