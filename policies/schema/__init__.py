"""The JSON Schema of a policy's file, for editors: they complete keys, list choices and show faults while one writes.

Made from :class:`policies.model.Policy`, so that it says what the loader accepts, as far as a schema can: what parts
mean beside each other only ``tce policy check`` tells. ``policy.schema.json`` beside this file is what is shipped.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from policies.model import Policy

FILE_NAME = "policy.schema.json"
_EXTENDS = {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9-]*@[0-9A-Za-z][0-9A-Za-z.-]*$",
    "description": "A shipped policy and its version, from which everything is taken that this file does not say.",
}
_MEANINGS = {
    "name": "How cases refer to the policy: lower-case letters, digits and hyphens.",
    "version": "Change it whenever you change anything else.",
    "stage": "pseudonymize in the hospital, anonymize before release.",
    "title": "One line for people.",
    "description": "What the policy is for, for people.",
    "options": "Options of DICOM PS3.15 (CID 7050).",
    "overrides": "What happens to single attributes, and why.",
    "ages": "Age bands.",
    "generalize": "Further quasi-identifiers that become coarser.",
    "dates": "What happens to dates; goes with the options for dates.",
    "event": "With dates: study-day, the event from which days count.",
    "private": "Private elements that stay; needs retain-safe-private.",
    "vocabulary": "Further words that are safe in descriptions.",
    "accept": "Kinds of instances at risk that pass without review, and why.",
    "pixels": "Regions that are blacked out; needs clean-pixel-data.",
    "pseudonyms": "keyed: derived under a key; random: drawn and stored.",
    "legacy_uids": "New UIDs without a key, for a trial that began with them. Not pseudonyms.",
    "minimum_cohort": "k: no release of fewer patients that look alike.",
    "disclosure": "By what patients are compared for k, and further limits of the cohort.",
    "clinical_trial": "Write the case's trial into the Clinical Trial modules.",
    "blank": "What stands where a text is emptied.",
}


def shipped_text() -> str:
    """Return the schema as it is shipped."""
    return resources.files("policies.schema").joinpath(FILE_NAME).read_text(encoding="utf-8")


def schema_text() -> str:
    """Return the schema made anew."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a policy's file."""
    whole: dict[str, Any] = Policy.model_json_schema(mode="validation")
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    whole["title"] = "A policy"
    whole["description"] = "What is done to the attributes of DICOM instances."
    fields = whole["properties"]
    fields["extends"] = dict(_EXTENDS)
    for key, meaning in _MEANINGS.items():
        fields[key]["description"] = meaning
    needed = [key for key in whole.pop("required") if key not in ("name", "version")]
    whole["required"] = ["name", "version"]
    whole["anyOf"] = [{"required": ["extends"]}, {"required": needed}]
    del whole["$defs"]["Inheritance"]
    for part in (whole, *whole["$defs"].values()):
        part["description"] = " ".join(part["description"].replace("``", "'").split())
        for field in part.get("properties", {}).values():
            _as_written(field)
    return whole


def _as_written(field: dict[str, Any]) -> None:
    """Let a field be as YAML reads it: what looks like a number or truth is one for the editor, and text for us."""
    field.pop("title", None)
    for one in (
        field,
        *field.get("anyOf", ()),
        field.get("items", {}),
        field.get("additionalProperties", {}),
    ):
        if isinstance(one, dict) and one.get("type") == "string" and "enum" not in one:
            one["type"] = ["string", "number", "boolean"]
