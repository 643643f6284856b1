"""Dates: shifted exactly, or not kept."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.dates import read_date, shift_date, shift_datetime, years_between


@given(
    st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)),
    st.integers(-3650, -1),
)
def test_intervals_are_exactly_kept(first: date, second: date, days: int) -> None:
    """Two dates moved by the same offset are as far apart as before."""
    moved = [read_date(shift_date(day.strftime("%Y%m%d").encode(), days) or b"") for day in (first, second)]
    assert moved[0] is not None and moved[1] is not None
    assert moved[1] - moved[0] == second - first


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"20240301", b"20240229"),
        (b"2024.03.01", b"20240229"),
        (b"20240301 ", b"20240229"),
        (b"20240230", None),
        (b"2024", None),
        (b"Smith", None),
        (b"00010101", None),
    ],
)
def test_a_date_moves_by_a_day(value: bytes, moved: bytes | None) -> None:
    """A legal date moves; what is no date, or would leave the calendar, is none."""
    assert shift_date(value, -1) == moved


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"20240301123456.789012+0930", b"20240229123456.789012+0930"),
        (b"2024030112", b"2024022912"),
        (b"20240301", b"20240229"),
        (b"20240301-0500", b"20240229-0500"),
        (b"202403", None),
        (b"20240301 12:00 Smith", None),
    ],
)
def test_a_datetime_keeps_its_time_and_zone(value: bytes, moved: bytes | None) -> None:
    """Only the day of a DT moves; a DT that names no day is none."""
    assert shift_datetime(value, -1) == moved


@pytest.mark.parametrize(
    ("born", "then", "years"),
    [
        (date(1985, 3, 15), date(2024, 3, 14), 38),
        (date(1985, 3, 15), date(2024, 3, 15), 39),
        (date(2024, 2, 29), date(2025, 2, 28), 0),
        (date(2025, 1, 1), date(2024, 1, 1), None),
    ],
)
def test_ages_are_completed_years(born: date, then: date, years: int | None) -> None:
    """An age counts completed years, and there is none before birth."""
    assert years_between(born, then) == years
