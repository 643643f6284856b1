"""Age bands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.generalize import Bands, age_string, read_age


@given(st.integers(0, 130), st.integers(1, 20), st.integers(20, 100))
def test_every_age_lies_in_its_band(years: int, width: int, top: int) -> None:
    """A band begins at or below its ages, is no wider than said, and the top band is open."""
    bands = Bands(width, top)
    low = bands.lower(years)
    assert low <= years or low == top
    assert low == top if years >= top else years - low < width
    assert read_age(age_string(low)) == low


@pytest.mark.parametrize(
    ("value", "years"),
    [
        (b"038Y", 38),
        (b"011M", 0),
        (b"024M", 2),
        (b"104W", 1),
        (b"730D", 1),
        (b"38Y", None),
        (b"", None),
        (b"0X8Y", None),
    ],
)
def test_an_age_string_is_read_in_completed_years(value: bytes, years: int | None) -> None:
    """AS values count days, weeks, months or years; anything else is no age."""
    assert read_age(value) == years
