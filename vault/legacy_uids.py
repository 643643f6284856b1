"""New UIDs as trials that are running already got them: made by a public algorithm, without a key.

Whoever has an original UID can work out its new one. They are for trials only that began with them, and where a policy
that was approved says so; every other identifier of such a case is pseudonymized as everywhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from vault.errors import BadPlan
from vault.scheme import PADDING

LONGEST_ROOT = 40  # leaves 23 digits, so that two of a hundred million UIDs get one once in ten million cases
_LONGEST_UID = 64
_ROOT = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


@dataclass(frozen=True, slots=True)
class CtpHashUid:
    """What CTP's ``@hashuid(root, UID)`` makes of a UID. Raises BadPlan for a root that is none or is too long.

    ``root``, a dot and the MD5 of the original as a decimal number, cut to 64 characters.
    """

    root: str

    def __post_init__(self) -> None:
        if not _ROOT.fullmatch(self.root) or len(self.root) > LONGEST_ROOT:
            raise BadPlan(
                "the root of the legacy UIDs is no UID root, or is too long",
                next_step=f"give numbers and dots, at most {LONGEST_ROOT} characters",
            )

    def uid(self, original: str) -> str:
        """Return the new UID of an original one."""
        text = original.strip(PADDING).encode("utf-8", "surrogatepass")
        number = int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest(), "big")
        return f"{self.root}.{number or '90'}"[:_LONGEST_UID]
