"""Writes a draft as the YAML of a policy, and proves that it is one by loading it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from policies import loader
from policies.model import Policy

_HEAD = "# A draft that was imported. Each override names the line of the original; read them all before you submit.\n"


def text_of(fields: Mapping[str, Any]) -> str:
    """Return the YAML text of a policy with these fields."""
    return _HEAD + yaml.safe_dump(
        dict(fields), sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )


def written(fields: Mapping[str, Any]) -> tuple[str, Policy]:
    """Return the text of a draft and the policy that it is. Raises PolicyFault where it would be none."""
    text = text_of(fields)
    return text, loader.loads(text, "that was drafted")
