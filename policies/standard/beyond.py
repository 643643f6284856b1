"""What the standard leaves to the implementer, as data: attributes Table E.1-1 forgets, SOP Classes at risk.

PS3.15 E.1.1 obliges a de-identifier to protect identity also where the table has no row, and to see to
identity in pixels and encapsulated documents. Attributes that are a risk by their VR alone (any PN, DA, UR …)
are the engine's concern; this lists those that need a decision of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Literal, cast

from policies.standard.rows import read_csv, tag_of
from policies.standard.tables import Option


class Risk(StrEnum):
    """Why an instance may show the patient where no attribute rule reaches."""

    BURNED_IN_ANNOTATION = "burned-in-annotation"
    SECONDARY_CAPTURE = "secondary-capture"
    ULTRASOUND = "ultrasound"
    ENCAPSULATED_DOCUMENT = "encapsulated-document"
    VISIBLE_LIGHT = "visible-light"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class BeyondRow:
    """What happens to an attribute that Table E.1-1 forgets. ``options`` are as in a row of the table."""

    keyword: str
    action: Literal["X", "U", "Z"]
    options: Mapping[Option, str]
    reason: str
    source: str


@cache
def beyond() -> dict[int, BeyondRow]:
    """Return the attributes that Table E.1-1 forgets, by tag."""
    return {
        tag_of(line["tag"]): BeyondRow(
            keyword=line["keyword"],
            action=cast('Literal["X", "U", "Z"]', line["action"]),
            options=MappingProxyType(
                {Option(line["option"]): line["option_action"]} if line["option"] else {},
            ),
            reason=line["reason"],
            source=line["source"],
        )
        for line in read_csv("beyond_the_table.csv")
    }


@cache
def risks() -> dict[str, Risk]:
    """Return the Storage SOP Classes at risk, by UID. Burned In Annotation is an attribute, not a class."""
    return {line["sop_class_uid"]: Risk(line["risk"]) for line in read_csv("risks.csv")}


@cache
def screen_types() -> dict[str, Risk]:
    """Return the values of Image Type, in capitals, that tell a captured screen under whatever SOP Class."""
    return {line["image_type"]: Risk(line["risk"]) for line in read_csv("screen_types.csv")}


@cache
def never_kept() -> dict[str, str]:
    """Return the attributes that no policy may keep or clean, by keyword, each with the reason."""
    return {line["keyword"]: line["why"] for line in read_csv("never_kept.csv")}
