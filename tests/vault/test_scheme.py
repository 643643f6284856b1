"""Tests of the pseudonym scheme."""

from __future__ import annotations

import hashlib
import hmac
import json
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import independent_pseudonyms as independent
from vault.errors import BadIdentifier
from vault.keys import Kind
from vault.scheme import LENGTH, canonical, check_character, checked_prefix, known_kind, pseudonym

FILE = json.loads(independent.VECTORS.read_text(encoding="utf-8"))
DIGESTS = st.binary(min_size=32, max_size=32)
ALPHABET = independent.ALPHABET


def test_the_vectors_are_what_a_standard_library_computes() -> None:
    """The published vectors follow from the description alone, without any code of the project."""
    assert independent.vectors() == FILE["vectors"]


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda v: f"{v['kind']}-{v['digest'][:6]}")
def test_the_scheme_gives_the_published_pseudonyms(vector: dict[str, str]) -> None:
    """Canonical form, digest and pseudonym are the published ones."""
    text = canonical(vector["kind"], vector["issuer"], vector["value"])
    digest = hmac.new(bytes.fromhex(FILE["key"]), text, hashlib.sha256).digest()
    assert digest.hex() == vector["digest"]
    assert pseudonym(known_kind(vector["kind"]), digest, vector["prefix"]) == vector["pseudonym"]


def test_every_kind_has_a_vector() -> None:
    """No kind of identifier can change its pseudonyms unnoticed."""
    assert {vector["kind"] for vector in FILE["vectors"]} == {str(kind) for kind in Kind}


@given(digest=DIGESTS)
def test_a_uid_is_legal_and_a_uuid_of_version_8(digest: bytes) -> None:
    """Every UID pseudonym is at most 64 characters, has no leading zero and is a UUID of version 8."""
    uid = pseudonym(Kind.UID, digest, "")
    number = uid.removeprefix("2.25.")
    assert len(uid) <= 64
    assert str(int(number)) == number
    assert UUID(int=int(number)).version == 8


@given(digest=DIGESTS, prefix=st.sampled_from(["", "A", "TRI-1"]))
def test_an_identifier_fits_the_shortest_vr(digest: bytes, prefix: str) -> None:
    """Every other pseudonym is 16 characters of the alphabet after its prefix, so it is legal in SH."""
    text = pseudonym(Kind.PATIENT_ID, digest, prefix)
    assert len(text) == LENGTH == 16
    assert text.startswith(prefix)
    assert set(text[len(prefix) :]) <= set(ALPHABET)


@given(digest=DIGESTS)
def test_an_offset_is_one_day_to_ten_years_back(digest: bytes) -> None:
    """A date is always moved, into the past, by at most 3650 days."""
    assert -3650 <= int(pseudonym(Kind.DATE_OFFSET, digest, "")) <= -1


@given(body=st.text(ALPHABET, min_size=15, max_size=15), wrong=st.sampled_from(ALPHABET), data=st.data())
def test_the_check_character_finds_one_wrong_character(body: str, wrong: str, data: st.DataObject) -> None:
    """Whichever single character is misread, the check character does not fit any more."""
    at = data.draw(st.integers(0, 14))
    other = body[:at] + wrong + body[at + 1 :]
    assert (check_character(other) == check_character(body)) == (other == body)


@given(body=st.text(ALPHABET, min_size=15, max_size=15))
def test_the_check_character_finds_neighbours_that_changed_places(body: str) -> None:
    """Whichever two neighbours change places, the check character among them, it is found."""
    whole = body + check_character(body)
    for at, (one, next_one) in enumerate(pairwise(whole)):
        if one != next_one:
            swapped = whole[:at] + next_one + one + whole[at + 2 :]
            assert check_character(swapped[:-1]) != swapped[-1]


def test_kind_issuer_and_value_do_not_run_into_each_other() -> None:
    """What moves from issuer to value, or from one kind to another, is another identifier."""
    forms = [
        canonical("patient", "A", "BC"),
        canonical("patient", "AB", "C"),
        canonical("patient", "", "ABC"),
        canonical("person", "", "ABC"),
    ]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize("value", ["", "   ", "\0\0", " \0\t"])
def test_an_empty_value_is_refused(value: str) -> None:
    """Two patients without an identifier never become one pseudonym."""
    with pytest.raises(BadIdentifier):
        canonical("patient", "HOSPITAL", value)


def test_an_issuer_with_nul_is_refused_without_being_quoted() -> None:
    """A NUL inside the issuer cannot forge another identifier, and the message does not repeat it."""
    with pytest.raises(BadIdentifier) as refusal:
        canonical("patient", "HOSP\0ITAL", "4711")
    assert "ITAL" not in str(refusal.value) + refusal.value.next_step


def test_an_unknown_kind_is_refused() -> None:
    """A kind without a key gets no pseudonym."""
    with pytest.raises(BadIdentifier):
        known_kind("fingerprint")


@pytest.mark.parametrize("prefix", ["abc", "TOOLONG", "-A", "A B", "A\\B", "A*"])
def test_a_prefix_that_is_not_legal_is_refused(prefix: str) -> None:
    """A prefix that would make a pseudonym too long or illegal in SH is refused."""
    with pytest.raises(BadIdentifier):
        checked_prefix(prefix)
