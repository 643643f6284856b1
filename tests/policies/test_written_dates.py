"""Dates in text: moved in the form in which they were written, or taken out."""

from __future__ import annotations

import pytest

from policies.written_dates import has_date, move_written


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("scan 20240301", "scan 20240220"),
        ("IMG_20240301_1", "IMG_20240220_1"),
        ("20240301120000", "20240220120000"),
        ("2024-03-01T12:00", "2024-02-20T12:00"),
        ("2024/3/1", "2024/2/20"),
        ("01.03.2024", "20.02.2024"),
        ("1.3.2024", "20.2.2024"),
        ("25/12/2023", "15/12/2023"),
        ("12/25/2023", "12/15/2023"),
        ("12-MAR-2024", "02-MAR-2024"),
        ("3 May 2024", "23 Apr 2024"),
        ("March 1, 2024", "February 20, 2024"),
        ("2024-Mar-12", "2024-Mar-02"),
        ("25 12 2023", "15 12 2023"),
        ("2024 03 01", "2024 02 20"),
        ("Fri 2024-03-01, supine", "2024-02-20, supine"),
        ("Friday, March 1, 2024", "February 20, 2024"),
        ("Freitag 01.03.2024", "20.02.2024"),
        ("Fr., 01.03.2024", "20.02.2024"),
        ("2024-03-01 (Fri) prone", "2024-02-20 prone"),
        ("vendredi 01.03.2024", "20.02.2024"),
        ("from 01.03.2024 to 05.03.2024", "from 20.02.2024 to 24.02.2024"),
    ],
)
def test_a_clear_date_moves_in_its_own_form(text: str, moved: str) -> None:
    """Who reads the text afterwards reads the same date as in the attributes, written as before."""
    raw = text.encode()
    assert has_date(raw, 0, len(raw))
    assert move_written(raw, -10) == moved.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis", "gb18030", "iso2022_jp"])
def test_a_date_with_signs_moves_in_every_character_set(encoding: str) -> None:
    """Year, month and day written with Chinese or Japanese signs are a date like any other."""
    assert move_written("2024年3月1日".encode(encoding), -10) == "2024年2月20日".encode(encoding)


@pytest.mark.parametrize(
    "text",
    [
        "03/04/2024",
        "03-04-2024",
        "2024-25-01",
        "12.03.24",
        "03/24/24",
        "3/24/24",
        "24/3/24",
        "12MAR24",
        "Mar 2024",
        "2024-03",
        "03/2024",
        "12. März 2024",
        "12 mars 2024",
        "19700101",
        "01 03 2024",
        "01032024",
        "12252023",
        "Mar 15, 24",
        "Fri Mar 12 12:00:00 2024",
        "Friday 12 mars 2024",
    ],
)
@pytest.mark.parametrize("days", [-10, None])
def test_an_unclear_date_is_taken_out(text: str, days: int | None) -> None:
    """What can be read in two ways, names no day, or is a placeholder neither stays nor becomes something false."""
    assert move_written(f"on {text}, supine".encode(), days) == b"on , supine"


@pytest.mark.parametrize(
    "text",
    [
        "99.99.2024",
        "20241341",
        "1234567890123",
        "1.2.840.10008.5.1.4.1.1.2",
        "matrix 2048x2048",
        "version 5.1.12.3",
        "0.20",
        "Brilliance 64",
        "may 12",
        "Sunday",
        "Mon 5",
        "pitch 10 12 2048",
        "88991234",
    ],
)
def test_what_is_no_date_stays(text: str) -> None:
    """Numbers that cannot be a date are left alone."""
    raw = text.encode()
    assert not has_date(raw, 0, len(raw))
    assert move_written(raw, -10) == raw


def test_without_a_number_of_days_every_date_goes() -> None:
    """Where dates are removed, those in text are as well."""
    assert move_written(b"on 20240301 and 2024-03-02", None) == b"on  and "
