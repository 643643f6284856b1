"""Pseudonyms without a key, for tests of the engine alone: deterministic, and never equal to what they stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from policies.pseudonyms import Identifier, Kind, Subject


class CountedPseudonyms:
    """Answers like the vault does, from an unkeyed hash; counts the requests."""

    def __init__(self, offset: int = -100) -> None:
        self.offset = offset
        self.requests = 0

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        self.requests += 1
        return {
            identifier: self._answer(identifier)
            for subject in subjects
            for identifier in subject.identifiers | {subject.patient}
        }

    def _answer(self, identifier: Identifier) -> str:
        digest = hashlib.sha256("\0".join(identifier).encode()).hexdigest()
        if identifier.kind == Kind.UID:
            return f"2.25.{int(digest[:30], 16)}"
        if identifier.kind == Kind.DATE_OFFSET:
            return str(self.offset)
        return f"P{digest[:10].upper()}"
