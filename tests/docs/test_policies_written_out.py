"""Policies that the documents show are sound, and do what is said of them."""

from __future__ import annotations

import re

import pytest

from policies.generalize import way_of
from policies.loader import loads
from policies.model import Policy
from tests.docs.generated import DOCS

_SHOWN = re.compile(r"^```yaml\n# policy: (\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PARTS = re.compile(r"^```yaml\n(generalize:.*?)^```", re.DOTALL | re.MULTILINE)
_PAGE = (DOCS / "coordinator.md").read_text(encoding="utf-8")
SHOWN = dict(_SHOWN.findall(_PAGE))
_AROUND = (
    "name: around\nversion: 1\nstage: anonymize\ntitle: A trial\ndescription: For tests.\n"
    "options: [retain-patient-characteristics]\n"
)


def shown(name: str) -> Policy:
    return loads(SHOWN[name], name)


@pytest.mark.parametrize("name", SHOWN)
def test_policies_on_the_page_load(name: str) -> None:
    """Who copies a policy from the page has a sound one, under the name that stands there."""
    assert shown(name).name == name


def test_parts_of_policies_on_the_page_load() -> None:
    """A part that is shown alone is sound in a policy."""
    parts = _PARTS.findall(_PAGE)
    assert parts
    for part in parts:
        assert loads(_AROUND + part, "part").generalize


def test_three_digits_stay_where_many_live() -> None:
    """The example for ZIP codes keeps three digits, and makes 000 of places on the list; the profile is not claimed."""
    policy = shown("safe-harbor-zip")
    way = way_of(policy.generalize[0])
    assert [way.coarser(one) for one in ("94110", "89312-0001", "05901")] == ["941", "000", "000"]
    assert "113100" not in [code for code, _ in policy.codes]
