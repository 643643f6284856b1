"""The record that a case was forgotten: who ordered it, who carried it out, and what was tried afterwards in vain.

It holds the approver's order as it was signed, names the releases of the case that are irreversible since, and says
where the audit trail stood. The site signs it as it signs a release. Like a release it is verified offline: with the
site's public keys, without network and without Vault. It holds no pseudonym and no original.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tce.errors import ReleaseError
from tce.release import canonical
from vault.approvals import verify_forgotten
from vault.forgetting import ForgetOrder, verify_order
from vault.trust import Trust

FORMAT = "tce-forgotten-1"
FORGOTTEN_FILE = "forgotten.json"
ORDER_FILE = "forget-order.json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that was tried after the keys were destroyed; ``failed`` is how it should end."""

    what: str
    failed: bool
    answer: str


@dataclass(frozen=True, slots=True)
class ForgottenRecord:
    """That a case was forgotten. The order is kept as it was signed; releases are named by id and digest."""

    case: str
    case_digest: str
    order: Mapping[str, str]
    carried_out_by: str
    attempts: Sequence[Attempt]
    releases: Sequence[Mapping[str, str]]
    audit_head: Mapping[str, Any]
    made: str
    software: str
    format: str = field(default=FORMAT)

    def payload(self) -> bytes:
        """Return the canonical bytes that are signed."""
        return canonical(asdict(self))

    @property
    def irreversible(self) -> bool:
        """Whether everything that was tried afterwards failed."""
        return bool(self.attempts) and all(attempt.failed for attempt in self.attempts)

    def names(self, release: str) -> bool:
        """Whether a release is one of those that this record speaks of."""
        return any(one.get("release") == release for one in self.releases)


def write(record: ForgottenRecord, sign: Callable[[bytes], str], path: Path) -> None:
    """Sign a record and write it, durably and in one step."""
    signature = sign(record.payload())
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"forgotten": asdict(record), "signature": signature}, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def is_one(path: Path) -> bool:
    """Say whether a file claims to be the record of a forgotten case."""
    try:
        return "forgotten" in json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read(path: Path) -> tuple[ForgottenRecord, str]:
    """Read a record and its signature, unverified. Raises ReleaseError when it is none."""
    try:
        document = json.loads(path.read_text("utf-8"))
        content = dict(document["forgotten"])
        if content["format"] != FORMAT:
            raise ReleaseError(f"{path} has a format that this version does not know", next_step="update tce")
        content["attempts"] = tuple(Attempt(**one) for one in content["attempts"])
        return ForgottenRecord(**content), str(document["signature"])
    except FileNotFoundError:
        raise ReleaseError(
            f"there is no record of a forgotten case at {path}", next_step="see: tce case list"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ReleaseError(
            f"{path} is not the record of a forgotten case", next_step="name a forgotten.json of the site"
        ) from None


def require_signed(record: ForgottenRecord, signature: str, trust: Trust) -> None:
    """Return if the site signed the record, and an approver the order in it; offline.

    Raises Untrusted, BadSignature, Malformed or WrongDigest.
    """
    verify_forgotten(record.payload(), signature, trust)
    order = ForgetOrder.from_json(json.dumps(dict(record.order)))
    verify_order(order, record.case, record.case_digest, trust)
