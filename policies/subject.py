"""Who an instance is about: its patient, its identifiers, and the words that would give him away elsewhere.

Read from what the scan captured; nothing here decides what happens to an attribute. An instance without Patient ID
belongs to a subject of its own study, so that two patients without an ID never become one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from policies.births import Birth
from policies.charsets import decoded, encodings_of
from policies.dates import read_date, real_date, years_between
from policies.elements import PADDING, text_of
from policies.errors import Refusal
from policies.generalize import age_string, read_age
from policies.known import KnownWords, known_words, words_of
from policies.operations import (
    Keep,
    Marked,
)
from policies.pieces import Changed, Facts
from policies.pseudonyms import Identifier, Kind, Subject
from policies.remembered import remembered
from policies.respelling import Respelled, respelled
from policies.telling import ADDRESSES, INSTITUTIONS, NAMES, NUMBERS, STATIONS
from policies.text_operations import (
    DropKnown,
    KeepLawful,
)

CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_DATE = 0x00080020
MANUFACTURER = 0x00080070
INSTITUTION_NAME = 0x00080080
INSTITUTION_ADDRESS = 0x00080081
MODEL = 0x00081090
PATIENT_ID = 0x00100020
ISSUER = 0x00100021
BIRTH_DATE = 0x00100030
PATIENT_AGE = 0x00101010
STUDY_UID = 0x0020000D
SERIES_UID = 0x0020000E

_OF_A_STUDY = "study"
"""In the place of the issuer, for a patient without an identifier, who is called by the study."""

_CUSTODY = {
    0x00100010: "PatientName",
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


def learn(facts: Facts, *, needs_study: bool, dates_from_key: bool, institution_retained: bool) -> Original:
    """Return who the instance is about, and complete ``facts`` for rendering.

    ``dates_from_key`` says that dates move by the patient's own number of days, which has to be asked for. Where the
    policy has ``institution_retained``, the result tells the institution in an attribute of its own, and nothing else
    of it is searched for what it tells there.

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
    facts.carried = carried(facts)
    asking: list[Changed] = []
    told: list[Changed] = []
    for piece in facts.pending:
        if piece.asks:
            asking.append(piece)
        if piece.tells:
            told.append(piece)
    telling = _telling(told, facts, institution_retained=institution_retained)
    portrait = _portrait(tuple([found[tag].raw if tag in found else None for tag in _TOLD]), telling)
    facts.decode, facts.issuer, facts.known = portrait.decode, portrait.issuer, portrait.known
    facts.age_years, facts.age_value = portrait.age_years, portrait.age_value
    patient = Identifier(Kind.PATIENT_ID, facts.issuer, portrait.patient_id)
    if not portrait.patient_id:
        patient = Identifier(Kind.PATIENT_ID, _OF_A_STUDY, study)
    date_offset = Identifier(Kind.DATE_OFFSET, patient.issuer, patient.value)
    facts.study_date = real_date(found[STUDY_DATE].raw) if STUDY_DATE in found else None
    identifiers = {name for piece in asking for name in piece.change.identifiers(piece.raw, facts)}
    facts.uids = frozenset(
        name.value.encode("latin-1")
        for name in identifiers
        if name.kind == Kind.UID and name.value.count(".") >= _FEWEST_DOTS
    )
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


def carried(facts: Facts) -> dict[int, Changed]:
    """Return the elements in whose place a mark is written, which may carry on what the plan leaves of them."""
    return {tag: piece for tag, piece in facts.top.items() if isinstance(piece.change, Marked)}


@dataclass(frozen=True, slots=True, repr=False)
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
def _portrait(told: tuple[bytes | None, ...], telling: _Telling) -> _Portrait:
    """Return what is known from the values of :data:`_TOLD`, and from those that are searched for.

    A series says the same of its patient in every instance, so that this is worked out once.
    """
    if sum(len(value) for values in telling for value in values) > _MOST_TELLING:
        raise Refusal("malformed", "The data set names more people and places than can be searched for.")
    raws = {tag: raw for tag, raw in zip(_TOLD, told, strict=True) if raw is not None}
    character_set = text_of(raws.get(CHARACTER_SET, b""))
    decode = _decoder(character_set)
    issuer = decode(raws.get(ISSUER, b"")).strip(PADDING)
    if "\0" in issuer:
        raise Refusal("malformed", "The issuer of the patient's identifier holds a NUL.")
    if issuer == _OF_A_STUDY:
        raise Refusal(
            "malformed",
            "The issuer of the patient's identifier is the word that stands for patients without an identifier.",
            next_step="Give the issuer another name, or leave the instance out.",
        )
    born = read_date(raws[BIRTH_DATE].strip(b" \0")) if BIRTH_DATE in raws else None
    beyond_ascii = frozenset(
        raw
        for raw in telling.names | telling.identifying | telling.addresses
        if b"\x1b" in raw or not raw.isascii()
    )
    known = known_words(
        telling.names,
        telling.identifying,
        telling.places,
        addresses=telling.addresses,
        further=_respelled(beyond_ascii, decode) if beyond_ascii else None,
        retained=telling.retained,
        birth=Birth(born) if born else None,
    )
    attributes = tuple(
        (keyword, value)
        for tag, keyword in _CUSTODY.items()
        if tag in raws and (value := decode(raws[tag]).strip(PADDING))
    )
    age_years, age_value = _age(raws.get(PATIENT_AGE), raws.get(BIRTH_DATE), raws.get(STUDY_DATE))
    patient_id = decode(raws.get(PATIENT_ID, b"")).strip(PADDING)
    return _Portrait(decode, issuer, patient_id, known, attributes, age_years, age_value)


_MOST_TELLING = 1 << 15
"""Bytes of all different values that are searched for: the search takes as long as they are many."""

_FEWEST_DOTS = 3
"""A UID with fewer dots looks like any number."""


class _Telling(NamedTuple):
    """Values of an instance that name somebody or something, wherever they stood in it."""

    names: frozenset[bytes]
    identifying: frozenset[bytes]
    addresses: frozenset[bytes]
    places: frozenset[bytes]
    retained: frozenset[bytes]
    """Values that name the institution and that the policy leaves where they stand."""

    def __repr__(self) -> str:
        return "_Telling(…)"


def _telling(told: list[Changed], facts: Facts, *, institution_retained: bool) -> _Telling:
    beside = tuple([facts.top.get(tag) for tag in _BESIDE])
    if len(told) > _MOST_REMEMBERED:
        return _told_by.__wrapped__(tuple(told), beside, institution_retained=institution_retained)
    return _told_by(tuple(told), beside, institution_retained=institution_retained)


@lru_cache(maxsize=16)
def _told_by(
    told: tuple[Changed, ...], beside: tuple[Changed | None, ...], *, institution_retained: bool
) -> _Telling:
    """Return what elements tell. Those of a series are mostly the same objects (:mod:`policies.memory`)."""
    # What the policy leaves where it stands is no secret of the result.
    seen = [piece for piece in told if not isinstance(piece.change, _RETAINING)]
    names = frozenset([piece.raw for piece in seen if piece.vr == b"PN" or piece.tag in NAMES])
    addresses = frozenset([piece.raw for piece in seen if piece.tag in ADDRESSES])
    identifying = frozenset([piece.raw for piece in seen if piece.tag in NUMBERS])
    name, address, *makers = beside
    if institution_retained:
        return _Telling(names, identifying, addresses, frozenset(), _kept((name, address)))
    places = frozenset([piece.raw for piece in seen if piece.tag in INSTITUTIONS])
    stations = frozenset([piece.raw for piece in seen if piece.tag in STATIONS])
    if stations:
        places |= _apart_from(stations, _kept(makers))
    return _Telling(names, identifying, addresses, places, frozenset())


_BESIDE = (INSTITUTION_NAME, INSTITUTION_ADDRESS, MANUFACTURER, MODEL)
_MOST_REMEMBERED = 256
"""Elements that tell something: an instance with more is not held in memory when it is done."""


@lru_cache(maxsize=256)
def _apart_from(stations: frozenset[bytes], makers: frozenset[bytes]) -> frozenset[bytes]:
    """Return stations without the words of the model that stands there: many are called like it, and tell nothing."""
    words = frozenset[bytes]().union(*map(words_of, makers))
    return frozenset(b" ".join(sorted(words_of(station) - words)) for station in stations)


def _kept(pieces: Iterable[Changed | None]) -> frozenset[bytes]:
    return frozenset(
        [piece.raw for piece in pieces if piece is not None and isinstance(piece.change, _RETAINING)]
    )


_RETAINING = (Keep, KeepLawful, DropKnown)


@lru_cache(maxsize=256)
def _respelled(values: frozenset[bytes], decode: Callable[[bytes], str]) -> Respelled:
    """Return other spellings of values: as they are declared, and as what they may be in spite of it."""
    readings = {decode(raw) for raw in values}
    for raw in values:
        with contextlib.suppress(UnicodeError):
            readings.add(raw.decode())
    return respelled(frozenset(readings))


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
def _decoder(declared: str) -> Callable[[bytes], str]:
    """Return a decoder for the declared character sets; what cannot be decoded stays distinct, never fails."""
    encodings = encodings_of(declared)
    if not encodings:
        return lambda raw: raw.decode("latin-1")

    @remembered(4096)
    def decode(raw: bytes) -> str:
        try:
            return decoded(raw, encodings)
        except UnicodeError:
            return raw.decode("latin-1")

    return decode
