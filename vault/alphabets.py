"""The alphabets that a case can choose for its pseudonyms, each with the arithmetic of its check character.

A check character is the last state of a walk through a table: from state 0, each character leads to the next state.
Each table is such that one wrong character, or two neighbours that changed places, end in another state; the check
character may be among them. ``tests/vault/test_alphabets.py`` goes through every state and proves it::

    base32    32 characters without I, L, O and U    x (state + character) in GF(2)[x] / (x^5 + x^2 + 1)
    letters   23 letters without I, L and O          2 (state + character) modulo 23
    digits    10 digits                              the quasigroup of H. M. Damm, of order 10
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Alphabet(StrEnum):
    """Which characters pseudonyms are made of."""

    BASE32 = "base32"
    LETTERS = "letters"
    DIGITS = "digits"


_CHARACTERS = {
    Alphabet.BASE32: "0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    Alphabet.LETTERS: "ABCDEFGHJKMNPQRSTUVWXYZ",
    Alphabet.DIGITS: "0123456789",
}
_DAMM = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)


def characters(alphabet: Alphabet) -> str:
    """The characters of an alphabet, in the order of their values."""
    return _CHARACTERS[alphabet]


def check_character(body: str, alphabet: Alphabet = Alphabet.BASE32) -> str:
    """The check character of a body of the alphabet."""
    table, values = _TABLES[alphabet], _VALUES[alphabet]
    state = 0
    for character in body:
        state = table[state][values[character]]
    return _CHARACTERS[alphabet][state]


def _doubled(element: int) -> int:
    """x times an element of GF(32)."""
    return (element << 1) ^ (0b100101 if element & 0b10000 else 0)


_VALUES = {
    alphabet: {character: value for value, character in enumerate(signs)}
    for alphabet, signs in _CHARACTERS.items()
}
_TABLES: dict[Alphabet, Sequence[Sequence[int]]] = {
    Alphabet.BASE32: [[_doubled(state ^ value) for value in range(32)] for state in range(32)],
    Alphabet.LETTERS: [[2 * (state + value) % 23 for value in range(23)] for state in range(23)],
    Alphabet.DIGITS: [[int(digit) for digit in row] for row in _DAMM],
}
