"""What the engine adds to every instance: that, how and by what it was de-identified (PS3.15 E.1.1, RAD-53).

Marks replace whatever the source had at their tags. Clinical Trial attributes come from the case and are added last,
because the table would take them away again (PS3.3 C.7.1.3, C.7.2.3, C.7.3.2).
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping

from pydicom.datadict import dictionary_VR, tag_for_keyword

from policies.dates import DUMMY_DATE, DUMMY_TIME
from policies.elements import IMPLEMENTATION_VERSION, encode, encode_item
from policies.generalize import Bands, age_string
from policies.model import Policy
from policies.movement import EPOCH
from policies.operations import Marked
from policies.pieces import Answers, Facts, Mark, Rendered
from policies.profile import Action
from policies.rules import Rules

PATIENT_AGE = 0x00101010
SUBJECT_ID = 0x00120040
TIME_POINT = 0x00120050
"""Clinical Trial Time Point ID, Type 2 of the Clinical Trial Study module."""
OFFSET_FROM_EVENT = 0x00120052
EVENT_TYPE = 0x00120053

_VALUED = frozenset({"Z", "D", "Z/D", "X/Z/D"})
"""Codes under which a pseudonym may stand in place of the value."""

TRIAL_KEYWORDS = frozenset(
    {
        "ClinicalTrialSponsorName",
        "ClinicalTrialProtocolID",
        "ClinicalTrialProtocolName",
        "ClinicalTrialSiteID",
        "ClinicalTrialSiteName",
        "ClinicalTrialTimePointID",
        "ClinicalTrialCoordinatingCenterName",
    }
)
"""Attributes of the Clinical Trial modules that a case may set."""


class _Mark:
    """An element whose bytes are the same for every instance of one encoding."""

    def __init__(self, tag: int, vr: bytes, value: bytes) -> None:
        self.tag = tag
        self._explicit = encode(tag, vr, value, explicit=True)
        self._implicit = encode(tag, vr, value, explicit=False)

    def encoded(self, *, explicit: bool) -> bytes:
        """Return the element in one of the encodings."""
        return self._explicit if explicit else self._implicit

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element."""
        return self.encoded(explicit=facts.explicit)


class _CodeSequence(_Mark):
    """A sequence of code items of scheme DCM, or of elements given for both encodings."""

    def __init__(self, tag: int, items: list[list[tuple[int, bytes, bytes]]]) -> None:
        self.tag = tag
        self._explicit = self._encode(items, explicit=True)
        self._implicit = self._encode(items, explicit=False)

    def _encode(self, items: list[list[tuple[int, bytes, bytes]]], *, explicit: bool) -> bytes:
        content = b"".join(
            encode_item(b"".join(encode(tag, vr, value, explicit=explicit) for tag, vr, value in item))
            for item in items
        )
        return encode(self.tag, b"SQ", content, explicit=explicit)


class _Methods:
    """The codes of what was done to this instance: pixels are not cleaned in all of them."""

    tag = 0x00120064

    def __init__(self, policy: Policy) -> None:
        self._by_cleaning = [
            _CodeSequence(self.tag, [_code(*code) for code in policy.codes_of(pixels_cleaned=cleaned)])
            for cleaned in (False, True)
        ]

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element."""
        return self._by_cleaning[facts.pixels_cleaned].render(facts, answers)


class _BurnedIn:
    """Burned In Annotation: NO where the text was blacked out (PS3.15 E.3.1), elsewhere what the source says."""

    tag = 0x00280301

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing where the source has none and nothing was blacked out."""
        value: bytes | None = b"NO" if facts.pixels_cleaned else None
        carried = facts.carried.get(self.tag)
        if value is None and carried is not None and isinstance(carried.change, Marked):
            value = carried.change.change.value(carried.raw, facts, answers)
        return b"" if value is None else encode(self.tag, b"CS", value, explicit=facts.explicit)


class _ContributingEquipment(_CodeSequence):
    """This program as De-identifying Equipment (109104); no station, institution, operator or time."""

    def __init__(self) -> None:
        self.tag = 0x0018A001
        self._explicit = self._element(explicit=True)
        self._implicit = self._element(explicit=False)

    def _element(self, *, explicit: bool) -> bytes:
        code = encode_item(
            b"".join(
                encode(*element, explicit=explicit) for element in _code("109104", "De-identifying Equipment")
            )
        )
        item = b"".join(
            (
                encode(0x00080070, b"LO", b"TCE", explicit=explicit),
                encode(0x00081090, b"LO", b"TCE Export Manager", explicit=explicit),
                encode(0x00181020, b"LO", IMPLEMENTATION_VERSION.encode(), explicit=explicit),
                encode(0x0040A170, b"SQ", code, explicit=explicit),
            )
        )
        return encode(self.tag, b"SQ", encode_item(item), explicit=explicit)


class _PatientAge:
    """Patient's Age, also where only the birth date told it; in bands where the policy bands ages."""

    tag = PATIENT_AGE

    def __init__(self, bands: Bands | None) -> None:
        self._bands = bands

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing when no age is known."""
        if facts.age_years is None:
            return b""
        value = age_string(self._bands.lower(facts.age_years)) if self._bands else facts.age_value
        return encode(self.tag, b"AS", value, explicit=facts.explicit)


class _Patient:
    """The patient's pseudonym: Patient ID, Patient's Name, Clinical Trial Subject ID."""

    def __init__(self, tag: int, vr: bytes) -> None:
        self.tag = tag
        self._vr = vr

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing for an instance of no patient (a palette, a hanging protocol)."""
        if facts.study is None:
            return b""
        return encode(self.tag, self._vr, answers.patient_pseudonym.encode(), explicit=facts.explicit)


class _StudyID:
    """Study ID: one pseudonym for each study, from its UID, because study IDs are often empty or all alike."""

    tag = 0x00200010

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing for an instance of no study."""
        if facts.study is None:
            return b""
        return encode(self.tag, b"SH", answers.pseudonyms[facts.study].encode(), explicit=facts.explicit)


class _NeverEmpty:
    """Study Date and Study Time: what their rule leaves of them, or a dummy.

    They are Type 1 keys of a DICOMDIR (PS3.3 F.5.2), and action Z allows a dummy.
    """

    def __init__(self, tag: int, vr: bytes, dummy: bytes) -> None:
        self.tag = tag
        self._vr = vr
        self._dummy = dummy

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing for an instance of no study."""
        if facts.study is None:
            return b""
        value = self._dummy
        carried = facts.carried.get(self.tag)
        if carried is not None and isinstance(carried.change, Marked):
            value = (carried.change.change.value(carried.raw, facts, answers) or b"").strip(b" ") or value
        return encode(self.tag, self._vr, value, explicit=facts.explicit)


class _StudyDay:
    """Clinical Trial Study attributes that say how many days after the patient's event a study was.

    A study without a date that can have been has no study day, and its event type would say nothing.
    """

    def __init__(self, tag: int, vr: bytes, event: str) -> None:
        self.tag = tag
        self._vr = vr
        self._event = event.encode()

    def render(self, facts: Facts, answers: Answers) -> bytes:
        """Return the element, or nothing for a study without a date."""
        if facts.study_date is None or answers.date_offset is None:
            return b""
        days = (facts.study_date - EPOCH).days + answers.date_offset
        value = struct.pack("<d", days) if self._vr == b"FD" else self._event
        return encode(self.tag, self._vr, value, explicit=facts.explicit)


def marks_for(policy: Policy, rules: Rules, trial: Mapping[str, str]) -> list[Rendered]:
    """Return the marks for every instance under a policy.

    ``trial`` maps keywords of :data:`TRIAL_KEYWORDS` to values; it is used only where the policy says so, and only
    with a sponsor and a protocol, which the module needs (both Type 1).
    """
    marks: list[Rendered] = [
        _Mark(0x00120062, b"CS", b"YES"),
        _Mark(0x00120063, b"LO", "\\".join(policy.method_text).encode("ascii")),
        _Methods(policy),
        _ContributingEquipment(),
        _Mark(0x00280303, b"CS", policy.temporal_information.encode()),
    ]
    if policy.pixels:
        marks.append(_BurnedIn())
    marks += [
        _Patient(tag, vr)
        for tag, vr in ((0x00100010, b"PN"), (0x00100020, b"LO"))
        if rules.code((tag,), vr) in _VALUED
    ]
    if rules.code((_StudyID.tag,), b"SH") in _VALUED:
        marks.append(_StudyID())
    for tag, vr, dummy in ((0x00080020, b"DA", DUMMY_DATE), (0x00080030, b"TM", DUMMY_TIME)):
        if rules.code((tag,), vr) != Action.X:
            marks.append(_NeverEmpty(tag, vr, dummy))
    if rules.code((PATIENT_AGE,), b"AS") == Action.K:
        marks.append(_PatientAge(rules.bands))
    if policy.event:
        marks += [_StudyDay(OFFSET_FROM_EVENT, b"FD", ""), _StudyDay(EVENT_TYPE, b"CS", policy.event)]
        if not (policy.clinical_trial and trial.get("ClinicalTrialTimePointID")):
            marks.append(_Mark(TIME_POINT, b"LO", b""))
    if (
        policy.clinical_trial
        and trial.get("ClinicalTrialSponsorName")
        and trial.get("ClinicalTrialProtocolID")
    ):
        marks.append(_Patient(SUBJECT_ID, b"LO"))
        # Type 2 attributes of the Subject and Study modules are there even when the case leaves them empty.
        needed = {"ClinicalTrialProtocolName": "", "ClinicalTrialSiteID": "", "ClinicalTrialSiteName": ""}
        for keyword, value in {**needed, **trial}.items():
            if keyword not in TRIAL_KEYWORDS:
                raise KeyError(f"{keyword} is not an attribute that a case may set")
            tag = int(tag_for_keyword(keyword) or 0)
            marks.append(_Mark(tag, dictionary_VR(tag).encode(), _plain(value)))
    return marks


def placed(marks: list[Rendered], *, explicit: bool) -> tuple[Mark, ...]:
    """Return marks for a data set of one encoding, the last by tag first; what is always the same is encoded."""
    return tuple(
        Mark(mark.tag, mark.encoded(explicit=explicit) if isinstance(mark, _Mark) else mark)
        for mark in sorted(marks, key=lambda mark: mark.tag, reverse=True)
    )


def _code(value: str, meaning: str) -> list[tuple[int, bytes, bytes]]:
    return [
        (0x00080100, b"SH", value.encode()),
        (0x00080102, b"SH", b"DCM"),
        (0x00080104, b"LO", meaning.encode()),
    ]


def _plain(value: str) -> bytes:
    """Return a value in the default repertoire, which is legal whatever character set the instance declares."""
    return unicodedata.normalize("NFKD", value).encode("ascii", "ignore").strip()[:64]
