"""``extends: <shipped policy>@<version>``: a policy that says only what it does differently.

What a key of the file says replaces what was inherited. Rules for single attributes and pixel rules are never lost by
writing others: those of the file come first, and an inherited one goes only where the file has one for the same
attribute and conditions. The digest is of the whole, so that a shipped policy which changes takes approvals with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.clauses import Clause
from policies.standard.attributes import path_named

KEPT_BESIDE = ("overrides", "generalize")
ADDED_TO = ("pixels",)
_OWN = ("name", "version")


class Inheritance(Clause):
    """From which policy something was taken over, and what. ``keys`` are those of which the file says nothing."""

    base: str
    digest: str
    keys: frozenset[str]
    rules: frozenset[tuple[str, str]]
    """Inherited rules of single attributes, as (key, attribute)."""
    pixels: int = 0
    """How many of the last pixel rules are inherited."""


def merged(own: Mapping[str, Any], base: Mapping[str, Any], *, named: str, digest: str) -> dict[str, Any]:
    """Return the whole policy: ``own`` fields over those of ``base``, and what was inherited under ``extends``.

    Both hold plain values; faulty ones of ``own`` stay as they are, to be found by validation.
    """
    taken = {key: value for key, value in base.items() if key not in _OWN and key not in own}
    whole = {**taken, **own}
    said = {_rule(one) for key in KEPT_BESIDE for one in _entries(own, key)}
    inherited: set[tuple[str, str]] = set()
    for key in KEPT_BESIDE:
        further = [one for one in _entries(base, key) if _rule(one) not in said]
        inherited |= {(key, str(one["attribute"])) for one in further}
        if key in own and isinstance(own[key], list):
            whole[key] = [*own[key], *further]
        elif key not in own:
            whole[key] = further
    pixels = _entries(base, "pixels")
    if isinstance(own.get("pixels"), list):
        whole["pixels"] = [*own["pixels"], *pixels]
    whole["extends"] = {
        "base": named,
        "digest": digest,
        "keys": sorted(taken.keys() - set(KEPT_BESIDE)),
        "rules": sorted(inherited),
        "pixels": len(pixels),
    }
    return whole


def _entries(fields: Mapping[str, Any], key: str) -> list[Any]:
    found = fields.get(key)
    return list(found) if isinstance(found, list) else []


def _rule(entry: object) -> tuple[str, str]:
    """Return what makes two rules be for the same: the attribute, and the instances."""
    if not isinstance(entry, dict):
        return "", ""
    when = entry.get("when")
    given = (
        sorted((key, str(value)) for key, value in when.items() if value) if isinstance(when, dict) else []
    )
    return _canonical(str(entry.get("attribute", ""))), str(given)


def _canonical(attribute: str) -> str:
    try:
        return ".".join(one.written for one in path_named(attribute))
    except ValueError:
        return attribute
