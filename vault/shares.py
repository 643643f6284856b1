"""Splits a secret so that any two of n people have it together, and one alone has nothing (Shamir,
threshold 2).

The secret is the value at 0 of a straight line over a prime field; a share is one further point of it.
Below two points every secret is equally likely, whatever is computed. It does not say who gets which share,
and a wrong share gives a wrong secret: the authenticated encryption under the secret is what notices.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from vault.errors import BadRequest
from vault.secrecy import Secret

SECRET_BYTES = 32
_PRIME = 2**256 + 297  # the smallest prime above every secret of 32 bytes
ORDINATE_BYTES = 33
SHARE_BYTES = 1 + ORDINATE_BYTES


@dataclass(frozen=True, slots=True)
class Share:
    """One point of the line: ``place`` is its abscissa, the ordinate is secret."""

    place: int
    ordinate: Secret[bytes]

    def to_bytes(self) -> Secret[bytes]:
        """The share as it is handed to its owner."""
        return Secret(bytes([self.place]) + self.ordinate.reveal())

    @classmethod
    def from_bytes(cls, content: Secret[bytes]) -> Share:
        """Read a share. Raises BadRequest when it is not one."""
        raw = content.reveal()
        if len(raw) != SHARE_BYTES or raw[0] == 0:
            raise BadRequest("a share is damaged", next_step="restore the mapping from its backup")
        return cls(raw[0], Secret(raw[1:]))


def split(secret: Secret[bytes], count: int) -> list[Share]:
    """Make ``count`` shares of a secret of 32 bytes, at the places 1 to ``count``."""
    return [
        Share(place, Secret(ordinate.to_bytes(ORDINATE_BYTES, "big")))
        for place, ordinate in enumerate(ordinates(secret, count), start=1)
    ]


def ordinates(secret: Secret[bytes], count: int) -> list[int]:
    """The ordinates of ``count`` shares of a secret, as numbers. They are as secret as the shares."""
    if len(secret.reveal()) != SECRET_BYTES or not 2 <= count <= 255:
        raise BadRequest("a secret of 32 bytes is shared by 2 to 255 people", next_step="name the custodians")
    start = int.from_bytes(secret.reveal(), "big")
    slope = secrets.randbelow(_PRIME)
    return [(start + slope * place) % _PRIME for place in range(1, count + 1)]


def combine(one: Share, other: Share) -> Secret[bytes]:
    """The secret that two shares of different places give. Raises BadRequest for twice the same place."""
    if one.place == other.place:
        raise BadRequest(
            "two copies of one share open nothing", next_step="have another custodian approve the request"
        )
    first, second = (int.from_bytes(share.ordinate.reveal(), "big") for share in (one, other))
    slope = (second - first) * pow(other.place - one.place, -1, _PRIME)
    start = (first - slope * one.place) % _PRIME
    if start >= 2 ** (8 * SECRET_BYTES):
        raise BadRequest("two shares do not belong together", next_step="restore the mapping from its backup")
    return Secret(start.to_bytes(SECRET_BYTES, "big"))
