"""PS3.15 Tables E.1-1, E.3.4-1 and E.3.10-1 and PS3.16 CID 7050, read lazily and once.

Every function answers with a dictionary that is built at its first call, so a lookup is a lookup. Nothing is
resolved here: which action wins when options meet is :mod:`policies.profile`. Edition 2026d; E.3.4-1 2026c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from policies.standard.iods import AttributeUse, attribute_type, iod_of, is_known_sop_class
from policies.standard.rows import read_csv, tag_of

__all__ = [
    "BASIC_CODE",
    "AttributeUse",
    "ConceptRow",
    "Option",
    "Row",
    "SafePrivate",
    "Wildcards",
    "action_codes",
    "attribute_type",
    "concepts",
    "iod_of",
    "is_known_sop_class",
    "row_of",
    "rows",
    "safe_private",
    "wildcards",
]

BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
"""CID 7050: code value and meaning of the profile itself, coding scheme DCM."""


class Option(StrEnum):
    """The twelve options of the Basic Application Level Confidentiality Profile, as policies name them."""

    CLEAN_PIXEL_DATA = "clean-pixel-data"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "clean-recognizable-visual-features"
    CLEAN_GRAPHICS = "clean-graphics"
    CLEAN_STRUCTURED_CONTENT = "clean-structured-content"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    RETAIN_LONGITUDINAL_FULL_DATES = "retain-longitudinal-full-dates"
    RETAIN_LONGITUDINAL_MODIFIED_DATES = "retain-longitudinal-modified-dates"
    RETAIN_PATIENT_CHARACTERISTICS = "retain-patient-characteristics"
    RETAIN_DEVICE_IDENTITY = "retain-device-identity"
    RETAIN_UIDS = "retain-uids"
    RETAIN_SAFE_PRIVATE = "retain-safe-private"
    RETAIN_INSTITUTION_IDENTITY = "retain-institution-identity"

    @property
    def code(self) -> str:
        """The code value of CID 7050, coding scheme DCM."""
        return _cid7050()[self][0]

    @property
    def meaning(self) -> str:
        """The code meaning of CID 7050."""
        return _cid7050()[self][1]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of Table E.1-1. ``options`` holds only the options that change the Basic Profile's action."""

    tag: int
    keyword: str
    name: str
    vr: str
    basic: str
    options: Mapping[Option, str]


class Wildcards(NamedTuple):
    """The four rows that are not a single tag. Their ``tag`` is the lowest that the row covers."""

    curve_data: Row
    overlay_data: Row
    overlay_comments: Row
    private: Row


@dataclass(frozen=True, slots=True)
class ConceptRow:
    """One row of Table E.3.4-1: what happens to content items of this concept name and value type."""

    meaning: str
    code: str
    scheme: str
    value_type: str
    basic: str
    options: Mapping[Option, str]


class SafePrivate(NamedTuple):
    """One row of Table E.3.10-1. ``vr`` is empty in five rows of the standard and ``OW/OB`` in one."""

    vr: str
    vm: str
    meaning: str


_WILDCARDS = {
    "(50xx,xxxx)": 0x50000000,
    "(60xx,3000)": 0x60003000,
    "(60xx,4000)": 0x60004000,
    "(gggg,eeee) where gggg is odd": 0x00010000,
}


def rows() -> dict[int, Row]:
    """Return the rows of Table E.1-1 that are a single tag, by tag."""
    return _confidentiality_profile()[0]


def wildcards() -> Wildcards:
    """Return the rows of Table E.1-1 that cover repeating groups and private groups."""
    return _confidentiality_profile()[1]


def row_of(tag: int) -> Row | None:
    """Return the row that covers ``tag``, repeating and private groups included, or None."""
    found = rows().get(tag)
    if found is not None:
        return found
    group = tag >> 16
    if group & 1:
        return wildcards().private
    if group & 0xFF00 == 0x5000:
        return wildcards().curve_data
    if group & 0xFF00 == 0x6000:
        return {0x3000: wildcards().overlay_data, 0x4000: wildcards().overlay_comments}.get(tag & 0xFFFF)
    return None


@cache
def concepts() -> dict[tuple[str, str, str], ConceptRow]:
    """Return Table E.3.4-1 by (code value, coding scheme designator, value type).

    The value type belongs to the key: the same concept is named once as TEXT and once as a reference.
    """
    return {
        (line["code_value"], line["coding_scheme_designator"], line["value_type"]): ConceptRow(
            meaning=line["code_meaning"],
            code=line["code_value"],
            scheme=line["coding_scheme_designator"],
            value_type=line["value_type"],
            basic=line["basic_profile"],
            options=_options(line),
        )
        for line in read_csv("structured_content_concepts.csv")
    }


@cache
def safe_private() -> dict[tuple[str, int, int], SafePrivate]:
    """Return Table E.3.10-1 by (private creator, group, low byte of the element).

    The number of the reserved block is no part of the key, because it differs from file to file.
    """
    found = {}
    for line in read_csv("safe_private_attributes.csv"):
        group, element = line["tag"].strip("()").split(",")
        key = (line["private_creator"], int(group, 16), int(element.lower().removeprefix("xx"), 16))
        found[key] = SafePrivate(line["vr"], line["vm"], line["meaning"])
    return found


@cache
def action_codes() -> dict[str, str]:
    """Return Table E.1-1a: the meaning of each action code, compound ones included."""
    return {line["code"]: line["description"] for line in read_csv("action_codes.csv")}


@cache
def _cid7050() -> dict[Option, tuple[str, str]]:
    # A policy's name for an option is its code meaning in lower case; only the temporal ones are shortened.
    by_name = {}
    for line in read_csv("cid7050.csv"):
        if line["code_value"] == BASIC_CODE[0]:
            continue
        words = line["code_meaning"].removesuffix(" Option").replace("Temporal Information ", "")
        by_name[words.lower().replace(" ", "-")] = (line["code_value"], line["code_meaning"])
    return {option: by_name[option] for option in Option}


def _options(line: Mapping[str, str]) -> Mapping[Option, str]:
    columns = _option_columns()
    return MappingProxyType(
        {columns[name]: action for name, action in line.items() if action and name in columns}
    )


@cache
def _option_columns() -> dict[str, Option]:
    return {option.replace("-", "_"): option for option in Option}


@cache
def _confidentiality_profile() -> tuple[dict[int, Row], Wildcards]:
    single: dict[int, Row] = {}
    wild: dict[int, Row] = {}
    for line in read_csv("confidentiality_profile.csv"):
        lowest = _WILDCARDS.get(line["tag"])
        tag = tag_of(line["tag"]) if lowest is None else lowest
        row = Row(tag, line["keyword"], line["name"], line["vr"], line["basic_profile"], _options(line))
        (single if lowest is None else wild)[tag] = row
    return single, Wildcards(*(wild[tag] for tag in _WILDCARDS.values()))
