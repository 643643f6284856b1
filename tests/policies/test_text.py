"""Free text keeps known-safe words only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.text import Cleaner, shipped_vocabulary


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CT CHEST W CONTRAST", "CT CHEST W CONTRAST"),
        ("T1 SAG FSE + C, 5.0 mm", "T1 SAG FSE + C, 5.0 mm"),
        ("CT Thorax for Zbigniew Nowak", "CT Thorax"),
        ("Nowak, Zbigniew", ""),
        ("MRN 12345", ""),
        ("38yo, DOB 12.03.1985", ""),
        ("Ms Nowak seen at the", ""),
        ("nodule 12 mm, patient 47", "nodule 12 mm"),
        ("Müller knee", "knee"),
        ("", ""),
    ],
)
def test_only_safe_words_stay(text: str, kept: str) -> None:
    """Names, numbers without a unit, and words that say nothing alone go; the order of the rest stays."""
    assert Cleaner().clean(text) == kept


def test_a_word_that_names_the_subject_goes_even_if_it_is_safe() -> None:
    """A patient called like a body part loses that word."""
    assert Cleaner().clean("MR brain of Brain", frozenset({b"brain"})) == "MR"


def test_a_site_adds_its_own_words() -> None:
    """Words of the policy are safe too."""
    assert Cleaner(["Zephyr protocol"]).clean("ZEPHYR protocol 7") == "ZEPHYR protocol"


@given(st.text(max_size=60))
def test_nothing_but_the_vocabulary_comes_out(text: str) -> None:
    """Whatever goes in, each word that comes out is a safe word or a measure."""
    for word in Cleaner().clean(text).replace(",", " ").split():
        letters = "".join(character for character in word.lower() if character.isalpha())
        assert not letters or letters.isascii()
        assert len(letters) < 4 or any(safe in word.lower() for safe in shipped_vocabulary())


def test_the_vocabulary_is_plain() -> None:
    """The shipped words are lower case and of two signs at least, but for the letter of contrast."""
    for word in shipped_vocabulary():
        assert word == word.lower()
        assert len(word) > 1 or word == "c"
