"""Tests of the alphabets: every state of every table, so that the proof holds for pseudonyms of any length."""

from __future__ import annotations

from itertools import product

import pytest

from vault.alphabets import _TABLES, Alphabet, characters, check_character

SIZES = {Alphabet.BASE32: 32, Alphabet.LETTERS: 23, Alphabet.DIGITS: 10}


@pytest.mark.parametrize("alphabet", Alphabet)
def test_an_alphabet_has_no_character_twice(alphabet: Alphabet) -> None:
    """Each alphabet has as many different characters as its arithmetic has elements, capitals and digits only."""
    signs = characters(alphabet)
    assert len(set(signs)) == len(signs) == SIZES[alphabet]
    assert signs.isascii()
    assert signs.isalnum()
    assert signs == signs.upper()


@pytest.mark.parametrize("alphabet", [Alphabet.BASE32, Alphabet.LETTERS])
def test_what_looks_alike_is_left_out(alphabet: Alphabet) -> None:
    """No letter can be taken for a digit: I, L and O are missing where letters stand."""
    assert not set("ILO") & set(characters(alphabet))


@pytest.mark.parametrize("alphabet", Alphabet)
def test_one_wrong_character_ends_in_another_state(alphabet: Alphabet) -> None:
    """From each state, different characters lead to different states, and so do different states by one character."""
    table = _TABLES[alphabet]
    everything = list(range(SIZES[alphabet]))
    assert all(sorted(row) == everything for row in table)
    assert all(sorted(row[value] for row in table) == everything for value in everything)


@pytest.mark.parametrize("alphabet", Alphabet)
def test_neighbours_that_changed_places_end_in_another_state(alphabet: Alphabet) -> None:
    """From each state, two different characters end elsewhere in the other order; also the last one and the check."""
    table = _TABLES[alphabet]
    for state, one, other in product(range(SIZES[alphabet]), repeat=3):
        if one != other:
            assert table[table[state][one]][other] != table[table[state][other]][one]
    for state, last in product(range(SIZES[alphabet]), repeat=2):
        check = table[state][last]
        assert check == last or table[state][check] != last


@pytest.mark.parametrize("alphabet", Alphabet)
def test_the_check_character_is_of_the_alphabet(alphabet: Alphabet) -> None:
    """A pseudonym is of one alphabet from its prefix to its end."""
    assert check_character(characters(alphabet), alphabet) in characters(alphabet)
