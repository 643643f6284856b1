"""Tests of sharing a secret."""

from __future__ import annotations

import secrets
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import BadRequest
from vault.secrecy import Secret
from vault.shares import Share, combine, split

PRIME = 2**256 + 297


@given(secret=st.binary(min_size=32, max_size=32), count=st.integers(2, 6))
def test_any_two_shares_give_the_secret(secret: bytes, count: int) -> None:
    """Whichever two people come together, in whichever order, they have the secret."""
    for one, other in combinations(split(Secret(secret), count), 2):
        assert combine(one, other).reveal() == secret
        assert combine(other, one).reveal() == secret


@given(secret=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
def test_one_share_fits_every_secret(secret: bytes, other: bytes) -> None:
    """For any share and any other secret there is a second share that gives just that secret."""
    share = split(Secret(secret), 2)[0]
    wanted, ordinate = int.from_bytes(other, "big"), int.from_bytes(share.ordinate.reveal(), "big")
    second = (wanted + (ordinate - wanted) * 2) % PRIME
    assert combine(share, Share(2, Secret(second.to_bytes(33, "big")))).reveal() == other


def test_one_share_twice_gives_nothing() -> None:
    """Two copies of the own share are refused."""
    share = split(Secret(secrets.token_bytes(32)), 3)[1]
    with pytest.raises(BadRequest):
        combine(share, share)


def test_equal_secrets_have_different_shares() -> None:
    """Shares tell nothing by being compared."""
    secret = Secret(bytes(32))
    assert split(secret, 2)[0].ordinate != split(secret, 2)[0].ordinate


def test_a_share_survives_its_written_form() -> None:
    """A share is read as it was written, and damage is noticed."""
    share = split(Secret(secrets.token_bytes(32)), 2)[1]
    assert Share.from_bytes(share.to_bytes()) == share
    with pytest.raises(BadRequest):
        Share.from_bytes(Secret(share.to_bytes().reveal()[:-1]))


def test_there_is_no_custody_of_one() -> None:
    """A secret for a single person is refused."""
    with pytest.raises(BadRequest):
        split(Secret(bytes(32)), 1)
