"""Pseudonyms without a key, for tests of the engine alone: deterministic, and never equal to what they stand for.

They have the form of real ones (``vault.scheme``), which the verification asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from policies.pseudonyms import Identifier, Kind, Subject
from vault import keys, scheme


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
        if identifier.kind == Kind.DATE_OFFSET:
            return str(self.offset)
        digest = hashlib.sha256("\0".join(identifier).encode("utf-8", "surrogatepass")).digest()
        return scheme.pseudonym(keys.Kind(identifier.kind), digest, scheme.Form("P"))
