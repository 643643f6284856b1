"""Every attribute of the standard's dictionary under every shipped policy: what Table E.1-1 forgets is covered too.

The walk asks for each attribute, by its Value Representation and by the words of its keyword, whether what happens to
it can be defended. Texts that stay because only their Value Representation speaks are listed by name in
``texts_that_stay.txt``: whoever adds one has to decide about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydicom._dicom_dict import DicomDictionary

from policies.loader import load_library
from policies.model import Dates
from policies.rules import STRUCTURAL_UIDS, Rules

POLICIES = ("pseudonymization", "basic", "longitudinal-trial")

TELLING = re.compile(
    r"Comment|Remark|Address|Telephone|Phone|Telecom|Email|UR[LI]$|Issuer|Physician|Operator|Person|Institution|Hospital"
    r"|Department|StationName|StationGeographic|CurrentPatientLocation|ContactURI|ContactDisplay|Author|Reviewer|Performer"
    r"|Responsible|Organization|Birth|Death|Calendar|SerialNumber|Admission|Accession|Owner|Insurance|Occupation"
    r"|EthnicGroup|Religious|Military|Residence|Itinerary|Boarding|Carrier|Welder|Originator"
)
"""Words in the keywords of attributes that tell of persons and places, or that people write."""

HARMLESS = {
    "CalculationCommentSequence": "its comments are cleaned or go",
    "CalculationCommentType": "a term",
    "DimensionOrganizationSequence": "of dimensions",
    "DimensionOrganizationType": "of dimensions",
    "FilterByOperator": "a term",
    "ImplantAssemblyTemplateIssuer": "a manufacturer",
    "ImplantTemplateGroupIssuer": "a manufacturer",
    "OrganizationalRoleCodeSequence": "a role, no name",
    "PixelComponentOrganization": "of pixels",
    "RTPhysicianIntentIndex": "a number in the instance",
    "RTPhysicianIntentInputInstanceSequence": "references",
    "RTPhysicianIntentPredecessorSequence": "references",
    "RTPhysicianIntentSequence": "what was prescribed; the names in it go",
    "ReferencedRTPhysicianIntentIndex": "a number in the instance",
    "ReferencedRTPhysicianIntentSequence": "references",
    "ResponsiblePersonRole": "a term",
}
"""Attributes that have such a word and stay, and why that is right."""


@cache
def rules_of(policy: str) -> Rules:
    return Rules(load_library(policy))


def kept(policy: str) -> Iterator[tuple[int, str, str]]:
    """Tag, VR and keyword of each attribute that stays, unless a table or an option says that it may."""
    rules = rules_of(policy)
    for tag, (vrs, _, _, _, keyword) in sorted(DicomDictionary.items()):
        if tag >> 16 < 0x0008 or not tag & 0xFFFF or rules.lists((tag,)):
            continue
        for vr in re.findall("[A-Z]{2}", vrs.replace(" or ", " ")):
            if rules.code((tag,), vr.encode()) == "K":
                yield tag, vr, keyword


@pytest.mark.parametrize("policy", POLICIES)
def test_no_attribute_that_tells_stays_unnoticed(policy: str) -> None:
    """What has a telling word in its keyword stays only by a row of a table, or because it was looked at."""
    assert {keyword for _, _, keyword in kept(policy) if TELLING.search(keyword)} - set(HARMLESS) == set()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("vr", ["PN", "UR", "AE", "LT", "ST", "UT", "UN"])
def test_representations_that_name_somebody_never_stay(vr: str, policy: str) -> None:
    """No name, location, title of an application or free text stays because no row speaks of it."""
    assert [keyword for _, found, keyword in kept(policy) if found == vr] == []


@pytest.mark.parametrize("policy", POLICIES)
def test_only_uids_of_classes_and_codes_stay(policy: str) -> None:
    """Every other UID is of an instance, and is replaced."""
    assert {tag for tag, vr, _ in kept(policy) if vr == "UI"} <= STRUCTURAL_UIDS


@pytest.mark.parametrize("policy", POLICIES)
def test_dates_stay_only_where_the_policy_keeps_them(policy: str) -> None:
    """A date or a moment that no row names is treated like all dates."""
    left = [keyword for _, vr, keyword in kept(policy) if vr in ("DA", "DT")]
    assert bool(left) == (load_library(policy).dates is Dates.KEEP)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_texts_that_stay_were_looked_at(policy: str) -> None:
    """Short texts stay only by name: models, kernels, coils, algorithms, identifiers of equipment and of parts."""
    listed = (Path(__file__).parent / "texts_that_stay.txt").read_text().split()
    assert {keyword for _, vr, keyword in kept(policy) if vr in ("LO", "SH", "UC")} <= set(listed)
    assert len(listed) == len(set(listed))
