"""Dates: shifted exactly, or not kept."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.dates import (
    is_placeholder,
    is_time,
    is_zone,
    read_date,
    shift_date,
    shift_datetime,
    years_between,
)


@given(
    st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)),
    st.integers(-3650, -1),
)
def test_intervals_are_exactly_kept(first: date, second: date, days: int) -> None:
    """Two dates moved by the same offset are as far apart as before."""
    assume(not is_placeholder(first) and not is_placeholder(second))
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
        (b"20240301-20240305", b"20240229-20240304"),
        (b"-20240305", b"-20240304"),
        (b"20240301-", b"20240229-"),
        (b"20240301-Smith", None),
        (b"-", None),
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
        (b"2024", None),
        (b"20240301256161", None),
        (b"20240301120000+9900", None),
    ],
)
def test_a_datetime_keeps_its_time_and_zone(value: bytes, moved: bytes | None) -> None:
    """Only the day of a DT moves; a DT that names no day is none."""
    assert shift_datetime(value, -1) == moved


@pytest.mark.parametrize("value", [b"19000101", b"18991230", b"19700101", b"19800106", b"99991231"])
def test_a_placeholder_is_not_moved(value: bytes) -> None:
    """What programs write where they know no date is none: moved, it would give the number of days away."""
    assert shift_date(value, -1) is None
    assert shift_datetime(value + b"000000", -1) is None


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (b"235959.999999", True),
        (b"12", True),
        (b"12:34:56", True),
        (b"093015.1234567 ", True),
        (b"20240301", False),
        (b"20240301120000", False),
        (b"2460", False),
        (b"noon", False),
    ],
)
def test_a_time_is_a_time_and_nothing_else(value: bytes, time: bool) -> None:
    """A TM that stays is a time of day; a date in its place is seen."""
    assert is_time(value) is time


@pytest.mark.parametrize(
    ("value", "zone"), [(b"+0200", True), (b"-0930 ", True), (b"0200", False), (b"CET", False)]
)
def test_a_zone_is_an_offset_from_utc(value: bytes, zone: bool) -> None:
    """A zone that stays is an offset in hours and minutes, not a name."""
    assert is_zone(value) is zone


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
