"""What verification takes for a pseudonym: what the scheme makes for the case, and nothing else."""

from __future__ import annotations

import secrets
from uuid import uuid4

import pytest

from policies.forms import Forms
from vault.alphabets import Alphabet
from vault.keys import Kind
from vault.scheme import Form, drawn, pseudonym

CHOICES = [
    Form(),
    Form("LN"),
    Form("TRI-1"),
    Form("LN", Alphabet.LETTERS, 13),
    Form("", Alphabet.DIGITS, 14),
    Form("", Alphabet.BASE32, 9),
]


def forms_of(form: Form) -> Forms:
    """What verification is told of a form."""
    return Forms(form.prefix, str(form.alphabet), form.length)


@pytest.mark.parametrize("form", CHOICES, ids=str)
def test_every_pseudonym_of_the_case_is_known(form: Form) -> None:
    """Whatever the scheme makes in a case's form is taken for a pseudonym, derived or drawn."""
    for _ in range(50):
        assert forms_of(form).is_pseudonym(pseudonym(Kind.PATIENT_ID, secrets.token_bytes(32), form))
        assert forms_of(form).is_pseudonym(drawn(Kind.FREE, form))


@pytest.mark.parametrize("form", CHOICES, ids=str)
def test_pseudonyms_of_other_cases_are_not(form: Form) -> None:
    """A pseudonym of another form, and one with a wrong character, are not taken for one of the case."""
    for other in CHOICES:
        if other != form and (other.length, other.alphabet) != (form.length, form.alphabet):
            assert not forms_of(form).is_pseudonym(pseudonym(Kind.FREE, secrets.token_bytes(32), other))
    one = pseudonym(Kind.FREE, secrets.token_bytes(32), form)
    assert not forms_of(form).is_pseudonym(one[:-1] + ("2" if one[-1] != "2" else "3"))
    assert not forms_of(form).is_pseudonym("")


def test_another_prefix_is_another_case() -> None:
    """Where the prefix is known it must stand there; where it is not, any that is legal will do."""
    text = pseudonym(Kind.FREE, bytes(range(32)), Form("LN"))
    assert Forms().is_pseudonym(text)
    assert Forms("LN").is_pseudonym(text)
    assert not Forms("LM").is_pseudonym(text)


def test_uids_from_a_key_and_from_chance_are_told_apart() -> None:
    """A case with a key has UIDs of UUID version 8, one that draws them of version 4; neither takes the other's."""
    derived = pseudonym(Kind.UID, secrets.token_bytes(32), Form())
    random = f"2.25.{uuid4().int}"
    assert Forms().is_derived(derived)
    assert not Forms().is_derived(random)
    assert Forms(drawn=True).is_derived(random)
    assert not Forms(drawn=True).is_derived(derived)


def test_what_a_list_brought_is_known_by_itself() -> None:
    """Imported pseudonyms and UIDs may have any form, and only they."""
    forms = Forms(imported=frozenset({"SUBJ-001", "1.2.3.4"}))
    assert forms.is_pseudonym("SUBJ-001")
    assert forms.is_derived("1.2.3.4")
    assert not forms.is_pseudonym("SUBJ-002")
    assert not forms.is_derived("1.2.3.5")
