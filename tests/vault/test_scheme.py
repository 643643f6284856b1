"""Tests of the pseudonym scheme."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import independent_pseudonyms as independent
from vault.alphabets import Alphabet, characters
from vault.errors import BadIdentifier
from vault.keys import Kind
from vault.scheme import LEAST_BITS, LONGEST, Form, canonical, drawn, known_kind, pseudonym

FILE = json.loads(independent.VECTORS.read_text(encoding="utf-8"))
DIGESTS = st.binary(min_size=32, max_size=32)
FORMS = [
    Form(),
    Form("A"),
    Form("TRI-1"),
    Form(alphabet=Alphabet.LETTERS),
    Form("TR", Alphabet.LETTERS, 12),
    Form(alphabet=Alphabet.DIGITS),
    Form("S-", Alphabet.DIGITS, 16),
    Form(length=9),
]


def test_the_vectors_are_what_a_standard_library_computes() -> None:
    """The published vectors follow from the description alone, without any code of the project."""
    assert independent.vectors() == FILE["vectors"]


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda v: f"{v['kind']}-{v['digest'][:6]}")
def test_the_scheme_gives_the_published_pseudonyms(vector: dict[str, Any]) -> None:
    """Canonical form, digest and pseudonym are the published ones."""
    text = canonical(vector["kind"], vector["issuer"], vector["value"])
    digest = hmac.new(bytes.fromhex(FILE["key"]), text, hashlib.sha256).digest()
    assert digest.hex() == vector["digest"]
    form = Form(vector["prefix"], Alphabet(vector["alphabet"]), vector["length"])
    assert pseudonym(known_kind(vector["kind"]), digest, form) == vector["pseudonym"]


def test_every_kind_has_a_vector() -> None:
    """No kind of identifier can change its pseudonyms unnoticed."""
    assert {vector["kind"] for vector in FILE["vectors"]} == {str(kind) for kind in Kind}


def test_every_alphabet_has_vectors_at_its_bounds() -> None:
    """Each alphabet has a vector of the greatest length, and one of the least that it may have."""
    lengths: dict[str, set[int]] = {}
    for vector in FILE["vectors"]:
        if not vector["prefix"] and vector["kind"] not in ("uid", "days"):
            lengths.setdefault(vector["alphabet"], set()).add(vector["length"])
    assert {name: (min(found), max(found)) for name, found in lengths.items()} == {
        str(alphabet): (shortest(alphabet), LONGEST) for alphabet in Alphabet
    }


def shortest(alphabet: Alphabet) -> int:
    """The least length of an alphabet without a prefix, worked out from the number of its characters."""
    return next(n for n in range(8, 17) if len(characters(alphabet)) ** (n - 1) >= 2**LEAST_BITS)


@given(digest=DIGESTS)
def test_a_uid_is_legal_and_a_uuid_of_version_8(digest: bytes) -> None:
    """Every UID pseudonym is at most 64 characters, has no leading zero and is a UUID of version 8."""
    uid = pseudonym(Kind.UID, digest, Form())
    number = uid.removeprefix("2.25.")
    assert len(uid) <= 64
    assert str(int(number)) == number
    assert UUID(int=int(number)).version == 8


@given(digest=DIGESTS, form=st.sampled_from(FORMS))
def test_an_identifier_has_the_form_that_the_case_chose(digest: bytes, form: Form) -> None:
    """Every other pseudonym is prefix and characters of the alphabet, of the chosen length, so it is legal in SH."""
    text = pseudonym(Kind.PATIENT_ID, digest, form)
    assert len(text) == form.length <= 16
    assert text.startswith(form.prefix)
    assert set(text[len(form.prefix) :]) <= set(characters(form.alphabet))
    assert form.holds(text)


@given(digest=DIGESTS)
def test_an_offset_is_one_day_to_ten_years_back(digest: bytes) -> None:
    """A date is always moved, into the past, by at most 3650 days."""
    assert -3650 <= int(pseudonym(Kind.DATE_OFFSET, digest, Form())) <= -1


@given(digest=DIGESTS, form=st.sampled_from(FORMS), data=st.data())
def test_one_wrong_character_is_found(digest: bytes, form: Form, data: st.DataObject) -> None:
    """Whichever single character is misread, in prefix, body or check, the pseudonym has no longer the case's form."""
    text = pseudonym(Kind.PATIENT_ID, digest, form)
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.characters(codec="ascii").filter(lambda sign: sign != text[at]))
    assert not form.holds(text[:at] + wrong + text[at + 1 :])


@given(digest=DIGESTS, form=st.sampled_from(FORMS))
def test_neighbours_that_changed_places_are_found(digest: bytes, form: Form) -> None:
    """Whichever two neighbours change places, the prefix's and the check character among them, it is found."""
    text = pseudonym(Kind.PATIENT_ID, digest, form)
    for at in range(len(text) - 1):
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        assert form.holds(swapped) == (swapped == text)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_is_drawn_has_the_same_form(form: Form) -> None:
    """A drawn pseudonym looks like a derived one, and its UID is a UUID of version 4."""
    assert all(form.holds(drawn(Kind.PATIENT_ID, form)) for _ in range(50))
    assert UUID(int=int(drawn(Kind.UID, form).removeprefix("2.25."))).version == 4
    assert -3650 <= int(drawn(Kind.DATE_OFFSET, form)) <= -1
    assert drawn(Kind.UID, form) != drawn(Kind.UID, form)


@pytest.mark.parametrize(
    ("prefix", "alphabet", "length"),
    [
        ("", Alphabet.BASE32, 8),
        ("A", Alphabet.BASE32, 9),
        ("", Alphabet.LETTERS, 9),
        ("", Alphabet.DIGITS, 13),
        ("ABC", Alphabet.DIGITS, 16),
    ],
)
def test_too_few_bits_are_refused_and_told(prefix: str, alphabet: Alphabet, length: int) -> None:
    """A form in which two subjects could get one pseudonym is refused, with the bits that it has and those needed."""
    with pytest.raises(BadIdentifier) as refusal:
        Form(prefix, alphabet, length)
    assert "bits" in refusal.value.what
    assert str(LEAST_BITS) in refusal.value.what


@pytest.mark.parametrize("length", [7, 17, 0, -1])
def test_a_length_beside_the_vr_is_refused(length: int) -> None:
    """Pseudonyms have 8 to 16 characters: longer ones are not legal in SH."""
    with pytest.raises(BadIdentifier):
        Form(length=length)


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
        Form(prefix)
