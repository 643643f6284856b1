"""One key for each field of a patient, which two custodians have together, and which no copy of the mapping opens
once the case is forgotten.

Each custodian gets one random seed of each patient, closed at the server. What belongs to a field is derived
here, so that neither the server's work nor the custodians' grows with the number of fields::

    secret of the field     random, split 2-of-n (:mod:`vault.shares`)
    part of a custodian     his share, hidden under HMAC-SHA-512(his seed, patient's key, field); stored openly
    way back                HMAC of the patient's key under the case's key at the server, which can be destroyed
    sealing key             HMAC-SHA-256(way back, secret, patient's key, field)   (HKDF-Extract, RFC 5869 2.2)

So whoever hands over the share of one field hands over nothing of another: the seed stays with its owner. Pure
functions; they ask nobody.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from vault.errors import BadRequest
from vault.secrecy import Secret
from vault.shares import ORDINATE_BYTES, SECRET_BYTES, Share, ordinates

_LABEL = b"tce1-field"
_SEED_BYTES = 32
_PART_BYTES = ORDINATE_BYTES  # the place follows from where the part stands


@dataclass(frozen=True, slots=True)
class Seed:
    """What one custodian has of one patient's key; ``place`` says which of the parts are the custodian's."""

    place: int
    secret: Secret[bytes]

    def to_bytes(self) -> Secret[bytes]:
        """The seed as it is handed to its owner."""
        return Secret(bytes([self.place]) + self.secret.reveal())

    @classmethod
    def from_bytes(cls, content: Secret[bytes]) -> Seed:
        """Read a seed. Raises BadRequest when it is not one."""
        raw = content.reveal()
        if len(raw) != 1 + _SEED_BYTES or raw[0] == 0:
            raise BadRequest("a custodian's seed is damaged", next_step="restore the mapping from its backup")
        return cls(raw[0], Secret(raw[1:]))


def new_seeds(count: int) -> list[Seed]:
    """Seeds of a new patient's key, for the custodians at the places 1 to ``count``."""
    return [Seed(place, Secret(secrets.token_bytes(_SEED_BYTES))) for place in range(1, count + 1)]


def new_field(seeds: Sequence[Seed], key_id: str, field: str) -> tuple[Secret[bytes], bytes]:
    """A new secret for a field, and the parts of all custodians, which may lie open. Once for each key and field."""
    secret = Secret(secrets.token_bytes(SECRET_BYTES))
    parts = b"".join(
        _hidden(ordinate, seed, key_id, field)
        for ordinate, seed in zip(ordinates(secret, len(seeds)), seeds, strict=True)
    )
    return secret, parts


def share_of(seed: Seed, key_id: str, field: str, parts: bytes) -> Share:
    """The share that the owner of a seed has of a field. Raises BadRequest when there is no part for it."""
    part = parts[(seed.place - 1) * _PART_BYTES : seed.place * _PART_BYTES]
    if len(part) != _PART_BYTES:
        raise BadRequest(
            "the parts of a field's key are damaged", next_step="restore the mapping from its backup"
        )
    return Share(seed.place, Secret(_hidden(int.from_bytes(part, "big"), seed, key_id, field)))


def way_back_input(key_id: str) -> bytes:
    """What the server makes the way back of a patient's key from."""
    return _LABEL + b"-way-back\0" + key_id.encode()


def sealing_key(secret: Secret[bytes], way_back: Secret[bytes], key_id: str, field: str) -> Secret[bytes]:
    """The key that seals the rows of a field."""
    place = f"-key\0{key_id}\0{field}".encode()
    return Secret(hmac.digest(way_back.reveal(), secret.reveal() + _LABEL + place, "sha256"))


def _hidden(ordinate: int, seed: Seed, key_id: str, field: str) -> bytes:
    """Hide an ordinate, or show a hidden one: each is used for one key and field only."""
    place = f"-part\0{key_id}\0{field}".encode()
    pad = hmac.digest(seed.secret.reveal(), _LABEL + place, "sha512")[:_PART_BYTES]
    return (ordinate ^ int.from_bytes(pad, "big")).to_bytes(_PART_BYTES, "big")
