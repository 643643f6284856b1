"""The schema for editors says what the loader accepts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policies.loader import library, library_text
from policies.model import Policy
from policies.schema import schema, schema_text, shipped_text

RICH = """\
name: rich
version: 3
extends: basic@1
options: [retain-patient-characteristics, retain-safe-private, clean-descriptors, clean-pixel-data]
overrides:
  - attribute: RequestAttributesSequence.ScheduledProcedureStepDescription
    action: K
    reason: the site cleans it by hand
    when: {modality: CT, image_type: AXIAL}
ages: {bounds: [18, 40, 65]}
generalize:
  - {attribute: PatientWeight, round: 2.5, top: 120}
  - {attribute: EthnicGroup, table: {Maori: PACIFIC, 7: OTHER}, otherwise: OTHER}
private:
  - {creator: ACME 1.0, group: 0019, element: 1f, vr: DS, reason: dose rate}
pixels:
  - {modality: US, regions: [{height: 40}], reason: the name stands there}
blank: placeholder
minimum_cohort: 7
clinical_trial: true
"""


def faults(text: str) -> list[str]:
    """Return what a checker of JSON Schema says of a policy's file."""
    checker = pytest.importorskip("jsonschema", reason="a checker of JSON Schema (jsonschema) is missing")
    found: list[Any] = list(checker.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text)))
    return [one.message for one in found]


def test_the_shipped_schema_is_current() -> None:
    """What editors get is made from the model as it is now (make docs writes it)."""
    assert shipped_text() == schema_text()


def test_every_key_is_explained() -> None:
    """An editor can say of each key of a policy what it means, and offers no other."""
    fields = schema()["properties"]
    assert fields.keys() == Policy.model_fields.keys()
    assert [key for key, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize("name", library())
def test_shipped_policies_fit(name: str) -> None:
    """Each shipped policy names the schema in its first line, and an editor finds no fault in it."""
    text = library_text(name)
    assert text.startswith("# yaml-language-server: $schema=../schema/policy.schema.json\n")
    assert faults(text) == []


def test_a_policy_of_all_keys_fits() -> None:
    """What YAML takes for numbers is right where the loader takes it for text."""
    assert faults(RICH) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "name: x\nversion: 1\n",
        RICH.replace("blank:", "blanc:"),
        RICH.replace("action: K", "action: Q"),
        RICH.replace("clean-descriptors", "clean-descriptor"),
        RICH.replace("basic@1", "basic"),
    ],
)
def test_an_editor_shows_faults(wrong: str) -> None:
    """Unknown keys, impossible choices and what is missing are marked while one writes."""
    assert faults(wrong)
