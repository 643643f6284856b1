"""Tags and attributes as other de-identifiers write them: ``ggggeeee``, ``(gggg,eeee)``, wildcards, private blocks."""

from __future__ import annotations

import re

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from policies.importing.original import Where
from policies.standard.rows import printed

_TAG = re.compile(r"[\[(]?\s*([0-9A-Fa-f]{4})\s*,?\s*([0-9A-Fa-f]{4})\s*[\])]?")
_PATTERN = re.compile(r"\(?\s*([0-9A-FXa-fx#@]{4})\s*,\s*([0-9A-FXa-fx#@]{4})\s*\)?")
_PRIVATE = re.compile(
    r"[\[(]?\s*([0-9A-Fa-f]{4})\s*,?\s*(?:\[([^\]]{1,64})\]|\"([^\"]{1,64})\"\s*,|\{([^}]{1,64})\})\s*([0-9A-Fa-f]{2})\s*[\])]?"
)


def number(text: str) -> int | None:
    """Return the tag that is written in any of the usual forms, or None."""
    found = _TAG.fullmatch(text.strip())
    return int(found[1] + found[2], 16) if found else None


def keyword_of(tag: int) -> str:
    """Return the keyword of an attribute, or its tag where it has none."""
    return keyword_for_tag(tag) or printed(tag)


def vr_of(tag: int) -> str:
    """Return the VR that the data dictionary gives, or nothing."""
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""


def one(tag: int) -> Where:
    """Return a place that is one attribute."""
    if tag >> 16 & 1:
        return Where(printed(tag), pattern=f"{tag:08X}")
    return Where(keyword_of(tag), tag=tag)


def where(text: str) -> Where | None:
    """Return what a tag, a pattern with wildcards, a private element or a keyword stands for; None if for nothing."""
    text = text.strip()
    tag = number(text)
    if tag is not None:
        return one(tag)
    private = _PRIVATE.fullmatch(text)
    if private:
        group, element = int(private[1], 16), int(private[5], 16)
        creator = (private[2] or private[3] or private[4]).strip()
        words = f"private element {element:02X} of group {group:04X}"
        return Where(words, private=(creator, group, element)) if group & 1 else None
    pattern = _PATTERN.fullmatch(text)
    if pattern:
        digits = (pattern[1] + pattern[2]).upper()
        return Where(f"({digits[:4]},{digits[4:]})", pattern=digits)
    tag = tag_for_keyword(text)
    return None if tag is None else one(tag)
