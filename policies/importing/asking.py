"""What other languages ask of an instance and ``when`` can ask as well: SOP Class, Modality, Manufacturer."""

from __future__ import annotations

import re

_NAMES = {0x00080016: "sop_class", 0x00080060: "modality", 0x00080070: "manufacturer"}
_LEGAL = {
    "sop_class": re.compile(r"[0-9]+(\.[0-9]+)+"),
    "modality": re.compile(r"[A-Z0-9]{1,16}"),
    "manufacturer": re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,62}[!-\[\]-~])?"),
}


def as_condition(tag: int | None, value: str) -> tuple[str, str] | None:
    """Return name and value of the condition that an attribute has a value, if a policy has it."""
    name = _NAMES.get(tag or 0)
    if name is None:
        return None
    value = value.upper() if name == "modality" else value
    return (name, value) if _LEGAL[name].fullmatch(value) else None
