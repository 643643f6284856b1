"""Digits that look like a known number by chance, and those that do not."""

from __future__ import annotations

import pytest

from policies.elements import encode
from policies.figures import stand_only_in_numbers

ORIENTATION, SLICE_LOCATION, COMMENTS = 0x00200037, 0x00201041, 0x00204000


def unknown(value: bytes) -> bool:
    return b"777" in value


@pytest.mark.parametrize("explicit", [True, False])
def test_digits_of_several_numbers_are_chance(explicit: bool) -> None:
    """What only a decimal string holds, across its points and back-slashes, is no number of anybody."""
    content = encode(SLICE_LOCATION, b"DS", b"12.5", explicit=explicit)
    content += encode(ORIENTATION, b"DS", rb"1.0000\0.0000\0.0000\0.0001", explicit=explicit)
    assert stand_only_in_numbers(content, b"10000", unknown)
    assert not stand_only_in_numbers(content, b"99999", unknown)


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (COMMENTS, b"LT", b"1.0000"),  # a text
        (COMMENTS, b"LT", b"DS\x06\x000.0001 10000"),  # a text that looks like an element
        (0x00091010, b"DS", b"1.0000"),  # private: nobody knows what it is
        (ORIENTATION, b"DS", b"1.0000 x"),  # not only numbers
        (ORIENTATION, b"DS", rb"1.0000\777"),  # a known number
    ],
)
def test_what_may_be_more_is_a_hit(explicit: bool, tag: int, vr: bytes, value: bytes) -> None:
    """One place that is not certainly a decimal string of unknown numbers is enough."""
    content = encode(ORIENTATION, b"DS", rb"1.0000\0", explicit=explicit)
    content += encode(tag, vr, value, explicit=explicit)
    assert not stand_only_in_numbers(content, b"10000", unknown)
