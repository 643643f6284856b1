"""A policy as one text that needs no other: what was inherited is written out, and says so.

Read again, the text gives a policy of the same digest.
"""

from __future__ import annotations

from typing import Any

import yaml

from policies.model import Policy

_FIRST = (
    "name",
    "version",
    "stage",
    "title",
    "description",
    "options",
    "dates",
    "event",
    "ages",
    "generalize",
)
_WIDTH = 110


def whole_text(policy: Policy) -> str:
    """Return the YAML text of the policy with everything that differs from what a policy is where it says nothing."""
    fields = policy.model_dump(mode="json", exclude_defaults=True)
    fields["stage"] = str(policy.stage)
    for kept in fields.get("private", ()):
        kept["group"], kept["element"] = f"{kept['group']:04X}", f"{kept['element']:02X}"
    order = [*_FIRST, *(key for key in type(policy).model_fields if key not in _FIRST)]
    parts = [_part(policy, key, fields[key]) for key in order if fields.get(key) not in (None, [], {})]
    return "".join(parts)


def _part(policy: Policy, key: str, value: Any) -> str:
    text = yaml.safe_dump({key: _plain(value)}, sort_keys=False, allow_unicode=True, width=_WIDTH)
    inherits = policy.extends
    if inherits is None:
        return text
    if key in inherits.keys:
        return f"# from {inherits.base}\n{text}"
    theirs = sorted(attribute for where, attribute in inherits.rules if where == key)
    if key == "pixels" and inherits.pixels and key not in inherits.keys:
        return f"# the last {inherits.pixels} from {inherits.base}\n{text}"
    return f"# from {inherits.base}: {', '.join(theirs)}\n{text}" if theirs else text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, list) else value
