"""Tests of the keys of fields: two seeds give the key of one field, and what is handed over for it nothing else."""

from __future__ import annotations

from itertools import combinations

import pytest

from vault.errors import BadRequest
from vault.field_keys import Seed, new_field, new_seeds, sealing_key, share_of
from vault.secrecy import Secret
from vault.shares import Share, combine

KEY = "0" * 32
BACK = Secret(b"b" * 32)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_two_seeds_give_the_secret_of_a_field(count: int) -> None:
    """Whichever two custodians come together, their seeds and the open parts give the field's secret."""
    seeds = new_seeds(count)
    secret, parts = new_field(seeds, KEY, "patient")
    for one, other in combinations(seeds, 2):
        shares = [share_of(seed, KEY, "patient", parts) for seed in (one, other)]
        assert combine(*shares).reveal() == secret.reveal()


def test_a_share_of_one_field_is_of_no_use_for_another() -> None:
    """The share of one field, joined with a custodian's own share of another field, does not give that other."""
    seeds = new_seeds(2)
    secret, parts = new_field(seeds, KEY, "attribute:PatientName")
    _, other_parts = new_field(seeds, KEY, "patient")
    own = share_of(seeds[0], KEY, "attribute:PatientName", parts)
    handed_over = share_of(seeds[1], KEY, "patient", other_parts)
    with_moved_parts = share_of(seeds[0], KEY, "attribute:PatientName", other_parts)
    for mine in (own, with_moved_parts):
        assert joined(mine, handed_over) != secret.reveal()


def joined(one: Share, other: Share) -> bytes:
    try:
        return combine(one, other).reveal()
    except BadRequest:
        return b""


def test_a_seed_goes_to_its_owner_and_back() -> None:
    """A seed is read as it was written, with its place; a share, or anything else, is no seed."""
    [seed, _] = new_seeds(2)
    again = Seed.from_bytes(seed.to_bytes())
    assert (again.place, again.secret.reveal()) == (1, seed.secret.reveal())
    with pytest.raises(BadRequest):
        Seed.from_bytes(Share(1, Secret(bytes(33))).to_bytes())
    with pytest.raises(BadRequest):
        Share.from_bytes(seed.to_bytes())


def test_parts_that_are_too_few_are_told() -> None:
    """Parts that were cut off are damaged data and no key."""
    seeds = new_seeds(3)
    _, parts = new_field(seeds, KEY, "patient")
    with pytest.raises(BadRequest):
        share_of(seeds[2], KEY, "patient", parts[:-1])


def test_the_sealing_key_needs_the_way_back() -> None:
    """Another way back, patient's key, field or secret is another sealing key."""
    secret = Secret(b"s" * 32)
    keys = {
        sealing_key(*changed).reveal()
        for changed in (
            (secret, BACK, KEY, "patient"),
            (secret, Secret(b"c" * 32), KEY, "patient"),
            (secret, BACK, "1" * 32, "patient"),
            (secret, BACK, KEY, "uid"),
            (Secret(b"t" * 32), BACK, KEY, "patient"),
        )
    }
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}


def test_nothing_secret_prints() -> None:
    """Neither a seed nor a secret shows what it holds."""
    [seed, *_] = new_seeds(2)
    assert seed.secret.reveal().hex() not in repr(seed)
    assert repr(seed.secret.reveal()) not in repr(seed)
