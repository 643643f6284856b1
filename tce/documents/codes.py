"""The codes of the TCE profile as tables: titles, delay reasons, categories, levels, in both schemes.

IHE's own codes (scheme IHERADTF) came first; DICOM has absorbed them as CID 7010, 7014 to 7018 (scheme DCM).
Both are accepted everywhere; which one is written is the caller's choice. The facts are those of RAD TF
tables 4.51.4-1, H-1, H-2, H-3 and of PS3.16; nothing here behaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from functools import cache
from typing import NamedTuple


class Scheme(StrEnum):
    """The two coding schemes in which the profile's codes exist."""

    IHERADTF = "IHERADTF"
    DCM = "DCM"


class Code(NamedTuple):
    """A coded concept (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str

    def same(self, other: Code | None) -> bool:
        """Whether both name one concept: value and scheme decide, the meaning is for people."""
        return other is not None and (self.value, self.scheme) == (other.value, other.scheme)


class _Coded(Enum):
    """A concept with a code in each scheme; ``value`` is (IHERADTF code, DCM code, meaning)."""

    def code(self, scheme: Scheme) -> Code:
        """Return this concept's code in a scheme."""
        ihe, dcm, meaning = self.value
        return Code(ihe if scheme is Scheme.IHERADTF else dcm, scheme.value, meaning)

    @property
    def meaning(self) -> str:
        """Return the code meaning, the same in both schemes."""
        return str(self.value[2])


class ExportTitle(_Coded):
    """Document titles that make a Key Object Selection a manifest (CID 7014)."""

    TEACHING = ("TCE001", "128710", "For Teaching File Export")
    TRIAL = ("TCE002", "128711", "For Clinical Trial Export")
    RESEARCH = ("TCE007", "128713", "For Research Collection Export")
    PUBLICATION = ("TCE008", "128714", "For Publication Export")


class DelayReason(_Coded):
    """Document title modifiers that hold an export back (CID 7015)."""

    FINAL_REPORT = ("TCE011", "128715", "Delay export until final report is available")
    CLINICAL_INFORMATION = ("TCE012", "128716", "Delay export until clinical information is available")
    CONFIRMATION = ("TCE013", "128717", "Delay export until confirmation of diagnosis is available")
    HISTOPATHOLOGY = ("TCE014", "128718", "Delay export until histopathology is available")
    LABORATORY = ("TCE015", "128719", "Delay export until other laboratory results are available")
    DISCHARGE = ("TCE016", "128720", "Delay export until patient is discharged")
    DEATH = ("TCE017", "128721", "Delay export until patient dies")
    EXPERT_REVIEW = ("TCE018", "128722", "Delay export until expert review is available")


class Level(_Coded):
    """Level of difficulty of a teaching file (CID 7016, table H-3)."""

    PRIMARY = ("TCE201", "128725", "Primary")
    INTERMEDIATE = ("TCE202", "128726", "Intermediate")
    ADVANCED = ("TCE203", "128727", "Advanced")


class Category(_Coded):
    """Category of a teaching file (CID 7017, table H-2)."""

    MUSCULOSKELETAL = ("TCE301", "128728", "Musculoskeletal")
    PULMONARY = ("TCE302", "128729", "Pulmonary")
    CARDIOVASCULAR = ("TCE303", "128730", "Cardiovascular")
    GASTROINTESTINAL = ("TCE304", "128731", "Gastrointestinal")
    GENITOURINARY = ("TCE305", "128732", "Genitourinary")
    NEURO = ("TCE306", "128733", "Neuro")
    VASCULAR_AND_INTERVENTIONAL = ("TCE307", "128734", "Vascular and Interventional")
    NUCLEAR = ("TCE308", "128735", "Nuclear")
    ULTRASOUND = ("TCE309", "128736", "Ultrasound")
    PEDIATRIC = ("TCE310", "128737", "Pediatric")
    BREAST = ("TCE311", "128738", "Breast")


class Confirmed(_Coded):
    """Whether diagnoses are confirmed (CID 230; one code for both schemes)."""

    YES = ("373066001", "373066001", "Yes")
    NO = ("373067005", "373067005", "No")
    UNDETERMINED = ("373068000", "373068000", "Undetermined")

    def code(self, scheme: Scheme) -> Code:
        """Return the code, which is of SNOMED CT whatever the scheme."""
        return Code(self.value[0], "SCT", self.meaning)


class InformationTitle(_Coded):
    """Document title that makes an SR document the additional information (CID 7018)."""

    ADDITIONAL_INFORMATION = ("TCE006", "128712", "Additional Teaching File Information")


# Concept names of the manifest (TID 2010). 113011 names a title modifier, and a delay reason is its value.
TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
OBSERVER_PERSON = Code("121006", "DCM", "Person")
OBSERVER_NAME = Code("121008", "DCM", "Person Observer Name")

# Concept names of the additional information (table H-1).
AUTHOR = Code("TCE101", "IHERADTF", "Author")
AFFILIATION = Code("TCE102", "IHERADTF", "Affiliation")
CONTACT = Code("TCE103", "IHERADTF", "Contact")
ABSTRACT = Code("TCE104", "IHERADTF", "Abstract")
KEYWORDS = Code("TCE105", "IHERADTF", "Keywords")
HISTORY = Code("121060", "DCM", "History")
FINDING = Code("121071", "DCM", "Finding")
DISCUSSION = Code("TCE106", "IHERADTF", "Discussion")
IMPRESSION = Code("111023", "DCM", "Differential Diagnosis/Impression")
DIAGNOSIS = Code("TCE107", "IHERADTF", "Diagnosis")
ANATOMY = Code("112005", "DCM", "Radiographic anatomy")
PATHOLOGY = Code("111042", "DCM", "Pathology")
ORGAN_SYSTEM = Code("TCE108", "IHERADTF", "Organ system")
MODALITY = Code("121139", "DCM", "Modality")
CATEGORY = Code("TCE109", "IHERADTF", "Category")
LEVEL = Code("TCE110", "IHERADTF", "Level")
DIAGNOSES_CONFIRMED = Code("TCE111", "IHERADTF", "Diagnoses confirmed")

# DICOM has concept names of its own for these two (PS3.16): in IHE's scheme, in DICOM's.
CATEGORY_NAMES = (CATEGORY, Code("128723", "DCM", "Teaching File Category"))
LEVEL_NAMES = (LEVEL, Code("128724", "DCM", "Level of Difficulty"))

# The policy request: no standard code exists, table H-1 is extensible, and 99… is the private range
# of coding schemes (PS3.3 section 8.2).
POLICY_NAME = Code("POLICY_NAME", "99TCE", "Policy Name")
POLICY_VERSION = Code("POLICY_VERSION", "99TCE", "Policy Version")
POLICY_DIGEST = Code("POLICY_DIGEST", "99TCE", "Policy Digest")
CASE = Code("CASE", "99TCE", "Case")
POLICY_REQUEST = (POLICY_NAME, POLICY_VERSION, POLICY_DIGEST, CASE)

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
# SR storage classes whose IOD contains that of Basic Text SR; any may carry the additional information.
TEXT_SR_CLASSES = frozenset({BASIC_TEXT_SR, "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33"})


def export_title(code: Code | None) -> ExportTitle | None:
    """Return the export title that a code stands for in either scheme, or None: then it is no manifest."""
    return next((t for t in ExportTitle for s in Scheme if t.code(s).same(code)), None)


def delay_reason(code: Code | None) -> DelayReason | None:
    """Return the delay reason that a code stands for in either scheme, or None."""
    return next((r for r in DelayReason for s in Scheme if r.code(s).same(code)), None)


def is_information_title(code: Code | None) -> bool:
    """Whether a document title says Additional Teaching File Information, in either scheme."""
    return any(InformationTitle.ADDITIONAL_INFORMATION.code(s).same(code) for s in Scheme)


@cache
def translation(scheme: Scheme) -> Mapping[tuple[str, str], Code]:
    """Return the profile's codes of the other scheme with what they are in this one."""
    other = Scheme.DCM if scheme is Scheme.IHERADTF else Scheme.IHERADTF
    kinds: tuple[type[_Coded], ...] = (ExportTitle, DelayReason, Level, Category, InformationTitle)
    pairs = [(one.code(other), one.code(scheme)) for kind in kinds for one in kind]
    for ihe, dcm in (CATEGORY_NAMES, LEVEL_NAMES):
        pairs.append((ihe, dcm) if scheme is Scheme.DCM else (dcm, ihe))
    return {(old.value, old.scheme): new for old, new in pairs}
