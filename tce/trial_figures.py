"""What a trial of a policy found (:mod:`tce.selftest`), as data that is signed and as lines for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORM = "tce-selftest-1"
_MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """What a trial of a policy found. ``leaked`` tells channel, attribute and family of what survived.

    ``retained`` is by purpose of an attribute: unchanged, and how many there were, in the sample studies; no promise,
    since a policy may want them changed. ``references`` counts those that stand and those that resolve, after the
    policy and before; ``findings`` what the verification found, by code.
    """

    policy: Mapping[str, str]
    software: str
    planted: int
    searched: int
    leaked: Sequence[str]
    instances: int
    set_aside: Mapping[str, int]
    retained: Mapping[str, tuple[int, int]]
    references: Mapping[str, int]
    findings: Mapping[str, int]
    form: str = field(default=FORM)

    @property
    def holds(self) -> bool:
        """Whether something was searched, nothing leaked, every reference resolves, and nothing was found."""
        loose, before = self._loose("after"), self._loose("before")
        return bool(self.searched) and not self.leaked and loose <= before and not self.findings

    def _loose(self, when: str) -> int:
        return self.references[f"standing {when}"] - self.references[f"resolving {when}"]

    def payload(self) -> bytes:
        """Return the canonical bytes that an author signs."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def words(self) -> list[str]:
        """Say it in lines for a person."""
        after, before = (
            f"{self.references[f'resolving {when}']} of {self.references[f'standing {when}']}"
            for when in ("after", "before")
        )
        kept = ", ".join(f"{group} {same} of {all_}" for group, (same, all_) in sorted(self.retained.items()))
        aside = ", ".join(f"{reason} {count}" for reason, count in sorted(self.set_aside.items()))
        found = ", ".join(f"{code} {count}" for code, count in sorted(self.findings.items()))
        return [
            f"leaks:      {len(self.leaked)} of {self.searched} values searched ({self.planted} planted)",
            *(f"            {one}" for one in self.leaked[:_MOST_TOLD]),
            f"instances:  {self.instances} passed" + (f"; set aside: {aside}" if aside else ""),
            f"retained:   {kept}",
            f"references: {after} resolve; {before} before",
            f"validity:   {found or 'nothing found'}",
        ]


def read(text: str) -> Figures:
    """Read figures. Raises ValueError for anything else."""
    content: dict[str, Any] = json.loads(text)
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise ValueError("no figures of a trial")
    content["retained"] = {name: tuple(pair) for name, pair in content["retained"].items()}
    try:
        return Figures(**content)
    except TypeError:
        raise ValueError("no figures of a trial") from None
