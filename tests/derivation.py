"""Pseudonyms for tests that need no Vault: the derivation of scheme tce1 with a key that stands in this file.

It implements the protocol that the engine is given in production; what it answers has the form of real pseudonyms.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from policies.pseudonyms import Identifier, Subject
from vault import keys, scheme


@dataclass(frozen=True, slots=True)
class LocalPseudonyms:
    """Derives from ``key``; the same key gives the same answers, another key unrelated ones."""

    key: bytes = b"a key for tests only"
    prefix: str = "T"

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        """A pseudonym for every identifier of every subject."""
        wanted = {subject.patient for subject in subjects}.union(
            *(subject.identifiers for subject in subjects)
        )
        return {identifier: self._derive(identifier) for identifier in wanted}

    def _derive(self, identifier: Identifier) -> str:
        value = unicodedata.normalize("NFC", identifier.value.strip())
        canonical = b"tce1\0" + "\0".join((str(identifier.kind), identifier.issuer, value)).encode()
        digest = hmac.new(self.key, canonical, hashlib.sha256).digest()
        return scheme.pseudonym(keys.Kind(identifier.kind), digest, scheme.Form(self.prefix))
