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
    FILM_SCAN = "film-scan"
    VISIBLE_LIGHT = "visible-light"
    RECOGNIZABLE_VISUAL_FEATURES = "recognizable-visual-features"
    OPAQUE_STREAM = "opaque-stream"
    AUDIO = "audio"


BURNED_IN_RISKS = frozenset(
    {
        Risk.BURNED_IN_ANNOTATION,
        Risk.SECONDARY_CAPTURE,
        Risk.ULTRASOUND,
        Risk.FILM_SCAN,
        Risk.VISIBLE_LIGHT,
    }
)
"""Risks that lie in what is written on the picture, so that a region blacked out may settle them."""


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
                {Option(option): line["option_action"] for option in line["option"].split()},
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
def conversion_types() -> dict[str, Risk]:
    """Return the values of Conversion Type that tell a scan or a capture under whatever SOP Class."""
    return {line["conversion_type"]: Risk(line["risk"]) for line in read_csv("conversion_types.csv")}


@cache
def opaque_syntaxes() -> dict[str, str]:
    """Return the transfer syntaxes, by UID and with their names, whose streams cannot be looked through."""
    return {line["uid"]: line["name"] for line in read_csv("opaque_transfer_syntaxes.csv")}


@dataclass(frozen=True, slots=True)
class VolumeClass:
    """A SOP Class of which a face could be computed. ``silent_held`` says what an unnamed body part means."""

    name: str
    always: bool
    silent_held: bool


@cache
def volume_classes() -> dict[str, VolumeClass]:
    """Return the SOP Classes that hold volumes or surfaces of the body, by UID."""
    return {
        line["sop_class_uid"]: VolumeClass(
            line["name"], line["held"] == "always", line["held"] == "if silent"
        )
        for line in read_csv("volume_classes.csv")
    }


@dataclass(frozen=True, slots=True)
class BodyWord:
    """A word of a body part. ``face`` says that a face may be there; ``within`` that longer words count as well."""

    word: str
    face: bool
    within: bool


@cache
def body_words() -> tuple[BodyWord, ...]:
    """Return words of body parts, in capitals."""
    return tuple(
        BodyWord(line["word"], line["face"] == "Y", line["where"] == "anywhere")
        for line in read_csv("body_words.csv")
    )


@cache
def never_kept() -> dict[str, str]:
    """Return the attributes that no policy may keep or clean, by keyword, each with the reason."""
    return {line["keyword"]: line["why"] for line in read_csv("never_kept.csv")}


@cache
def directory_keys() -> frozenset[tuple[str, int]]:
    """Return SOP Class and attribute where a directory record wants a value that the IOD does not (PS3.3 annex F)."""
    return frozenset((line["sop_class_uid"], tag_of(line["tag"])) for line in read_csv("directory_keys.csv"))
