"""Quasi-identifiers made coarser: age bands, numbers, words; the engine and the judge compute them apart."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.coarseness import band_of, is_coarse, made_of
from policies.generalize import Bands, age_string, read_age, way_of
from policies.layout import Element
from policies.model import AgeBands, Generalization
from policies.silence import is_band


@given(st.integers(0, 130), st.integers(1, 20), st.integers(21, 100))
def test_every_age_lies_in_its_band(years: int, width: int, top: int) -> None:
    """A band begins at or below its ages, is no wider than said, and the top band is open."""
    bands = Bands(AgeBands(width=width, top=top).lowers)
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


@pytest.mark.parametrize(
    ("written", "years", "lower"),
    [
        ({"width": 3}, 38, 36),
        ({"width": 5, "start": 18}, 38, 38),
        ({"width": 5, "start": 18}, 17, 0),
        ({"width": 5, "start": 18}, 89, 88),
        ({"bounds": [18, 40, 65, 80]}, 38, 18),
        ({"bounds": [18, 40, 65, 80]}, 17, 0),
        ({"bounds": [18, 40, 65, 80]}, 99, 80),
        ({"width": 1, "top": 90}, 89, 89),
        ({"width": 1, "top": 90}, 104, 90),
    ],
)
def test_bands_may_have_any_width_and_start(written: dict[str, Any], years: int, lower: int) -> None:
    """Three years, from a start, uneven, single years: engine, policy and judge name the same lower bound."""
    bands = AgeBands.model_validate(written)
    assert Bands(bands.lowers).lower(years) == lower == bands.band(years)[0] == band_of(years, bands)
    assert is_band(lower, bands)


@given(st.integers(0, 130), st.integers(1, 20), st.integers(0, 30), st.integers(60, 100))
def test_engine_and_judge_agree_on_every_age(years: int, width: int, start: int, top: int) -> None:
    """Two computations that share nothing lead to the same band, whatever the bands are."""
    bands = AgeBands(width=width, start=start, top=top)
    lower = Bands(bands.lowers).lower(years)
    assert lower == band_of(years, bands)
    assert is_band(lower, bands)
    first, last = bands.band(years)
    assert first <= years and (last is None or years <= last)


def test_the_names_of_bands_fit_into_their_attribute() -> None:
    """De-identification Method is LO: as many uneven bands as a policy may have fit into 64 characters."""
    bands = AgeBands(bounds=(9, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 120))
    assert len(bands.words) <= 64


def a_rule(attribute: str, **how: Any) -> Generalization:
    return Generalization.model_validate({"attribute": attribute, **how})


@pytest.mark.parametrize(
    ("how", "value", "coarse"),
    [
        ({"round": "5"}, "72.4", "70"),
        ({"round": "5"}, "72.5", "75"),
        ({"round": "0.05"}, "1.78", "1.8"),
        ({"round": "2.5"}, " 7.14e1 ", "72.5"),
        ({"round": "5", "bottom": "40", "top": "120"}, "38", "40"),
        ({"round": "5", "bottom": "40", "top": "120"}, "141.2", "120"),
        ({"round": "5", "bottom": "41", "top": "123"}, "42", "41"),
        ({"width": "10"}, "79.9", "70"),
        ({"width": "10", "top": "100"}, "250", "100"),
        ({"width": "0.1"}, "1.78", "1.7"),
        ({"round": "5"}, "seventy", None),
        ({"round": "5"}, "NaN", None),
        ({"round": "5"}, "1e30", None),
        ({"round": "5"}, "", None),
    ],
)
def test_numbers_become_coarser(how: dict[str, Any], value: str, coarse: str | None) -> None:
    """A weight or a size is rounded or put into a band; what is no number has none."""
    rule = a_rule("PatientWeight", **how)
    assert way_of(rule).coarser(value) == coarse
    if coarse is not None:
        assert is_coarse(rule, an_element("DS", coarse))
        assert made_of(rule, an_element("DS", coarse), an_element("DS", value))


@given(
    st.decimals(1, 400, places=3),
    st.sampled_from(["0.05", "0.1", "1", "2.5", "5", "10", "7"]),
    st.booleans(),
    st.sampled_from([(None, None), ("40", "120"), ("41", "123"), ("0.3", None)]),
)
def test_engine_and_judge_agree_on_every_number(
    value: Decimal, step: str, down: bool, limits: tuple[str | None, str | None]
) -> None:
    """What the engine makes of a number the judge accepts; the exact one it does not, unless they are the same."""
    bottom, top = limits
    rule = a_rule("PatientWeight", **{"width" if down else "round": step}, bottom=bottom, top=top)
    coarse = way_of(rule).coarser(str(value))
    assert coarse is not None and len(coarse) <= 16
    assert is_coarse(rule, an_element("DS", coarse))
    assert made_of(rule, an_element("DS", coarse), an_element("DS", str(value)))
    if Decimal(coarse) != value:
        assert not (
            is_coarse(rule, an_element("DS", str(value)))
            and made_of(rule, an_element("DS", str(value)), an_element("DS", str(value)))
        )


def test_what_no_line_of_a_table_names_is_never_kept() -> None:
    """A word that nobody thought of has no general one; capitals and blanks make no other word."""
    rule = a_rule("EthnicGroup", table={"Maori": "PACIFIC", "Samoan": "PACIFIC"}, otherwise="OTHER")
    way = way_of(rule)
    assert [way.coarser(word) for word in ("maori ", "SAMOAN", "Tongan")] == ["PACIFIC", "PACIFIC", None]
    assert made_of(rule, an_element("SH", "PACIFIC"), an_element("SH", "maori"))
    assert not made_of(rule, an_element("SH", "PACIFIC"), an_element("SH", "Tongan"))
    assert not is_coarse(rule, an_element("SH", "Tongan"))


def test_of_a_postal_code_the_first_digits_stay() -> None:
    """45 CFR 164.514(b)(2)(i)(B): three digits, and 000 where few people live; what is no ZIP code goes."""
    rule = a_rule("RegionOfResidence", digits=3, table={"036": "000"})
    way = way_of(rule)
    assert [way.coarser(zip_code) for zip_code in ("94110", "94110-1234", "03601", "Vermont", "941")] == [
        "941",
        "941",
        "000",
        None,
        None,
    ]
    assert is_coarse(rule, an_element("LO", "941")) and not is_coarse(rule, an_element("LO", "036"))


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"attribute": "PatientAge", "round": 5}, "treated by 'ages'"),
        ({"attribute": "PatientID", "table": {"a": "b"}}, "never kept"),
        ({"attribute": "PatientWeight", "table": {"70": "X"}}, "is a number"),
        ({"attribute": "PatientSex", "table": {"M": "MALE"}}, "is no value of PatientSex"),
        ({"attribute": "EthnicGroup", "table": {"a": "b", "A ": "c"}}, "a line twice"),
        ({"attribute": "EthnicGroup", "table": {"a": "x" * 17}}, "not legal for VR SH"),
        ({"attribute": "PatientWeight", "round": 5, "width": 5}, "one way is needed"),
        ({"attribute": "PatientWeight"}, "one way is needed"),
        ({"attribute": "OperatorsName", "table": {"a": "b"}}, "cannot be generalized"),
        ({"attribute": "PatientWeight", "round": 5, "bottom": 90, "top": 40}, "not above 'bottom'"),
        ({"attribute": "EthnicGroup", "table": {"a": "Māori"}}, "other characters than ASCII"),
    ],
)
def test_a_rule_that_cannot_be_obeyed_is_a_fault(rule: dict[str, Any], fault: str) -> None:
    """Every fault says what is wrong and what would be right."""
    with pytest.raises(ValidationError, match=re.escape(fault)):
        Generalization.model_validate(rule)


def an_element(vr: str, text: str) -> Element:
    raw = text.encode()
    return Element(0x00101030, vr, 0, len(raw), raw)
