"""What a person is told: one sentence and a next step, and never a value."""

from __future__ import annotations

import pytest

import media.errors
import policies.errors
import vault.errors
from tce.errors import (
    RULES,
    AuditError,
    Exit,
    Held,
    NotApproved,
    Outcome,
    TceError,
    UnknownCase,
    rule_of,
    to_person,
)


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (Held("x"), Exit.HELD),
        (NotApproved("x"), Exit.REFUSED),
        (UnknownCase("x"), Exit.REFUSED),
        (TceError("x"), Exit.REFUSED),
        (OSError(28, "x"), Exit.REFUSED),
        (ValueError("x"), Exit.REFUSED),
        (policies.errors.Held("at-risk", "x"), Exit.HELD),
        (policies.errors.Refusal("malformed", "x"), Exit.REFUSED),
        (vault.errors.Unreachable("x"), Exit.REFUSED),
        (media.errors.UnreadableMedium("x"), Exit.REFUSED),
    ],
)
def test_every_exception_has_an_exit_status(exc: Exception, status: Exit) -> None:
    """Scripts can tell refused from held."""
    assert rule_of(exc).exit == status


def test_a_broken_trail_is_a_major_failure() -> None:
    """The auditor's system sees it as what it is."""
    assert rule_of(AuditError("x")).outcome == Outcome.MAJOR_FAILURE


def leaves(kind: type[BaseException]) -> list[type[BaseException]]:
    """The errors of a tree that have none below them."""
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


@pytest.mark.parametrize("leaf", leaves(vault.errors.VaultRoomError), ids=lambda leaf: leaf.__name__)
def test_every_error_of_the_key_room_has_a_row(leaf: type[BaseException]) -> None:
    """How grave it is has been decided for each, by a row of its own or of its branch."""
    row = next(kind for kind, _ in RULES if issubclass(leaf, kind))
    assert row is not vault.errors.VaultRoomError
    assert issubclass(row, vault.errors.VaultRoomError)


@pytest.mark.parametrize(
    ("exc", "outcome"),
    [
        (vault.errors.BadRequest, Outcome.MINOR_FAILURE),
        (vault.errors.UnknownPseudonym, Outcome.MINOR_FAILURE),
        (vault.errors.SamePerson, Outcome.SERIOUS_FAILURE),
        (vault.errors.StoreUnavailable, Outcome.SERIOUS_FAILURE),
        (vault.errors.Withdrawn, Outcome.SERIOUS_FAILURE),
        (vault.errors.BadSignature, Outcome.MAJOR_FAILURE),
        (vault.errors.Tampered, Outcome.MAJOR_FAILURE),
        (vault.errors.InitializationLost, Outcome.MAJOR_FAILURE),
    ],
)
def test_a_slip_is_less_than_an_attempt_and_that_less_than_a_forgery(
    exc: type[vault.errors.VaultRoomError], outcome: Outcome
) -> None:
    """The auditor's system can tell mistyping, overstepping and tampering apart."""
    assert rule_of(exc("x")).outcome == outcome


def test_a_mapping_that_cannot_be_trusted_is_worse_than_a_login() -> None:
    """How grave a failure is, is decided by its kind, in one table."""
    outcomes = [rule_of(exc("x")).outcome for exc in (vault.errors.LoginFailed, vault.errors.Collision)]
    assert outcomes == [Outcome.SERIOUS_FAILURE, Outcome.MAJOR_FAILURE]


def test_the_project_s_errors_speak_for_themselves() -> None:
    """What happened and what to do next reach the person."""
    told = to_person(NotApproved("the policy is not approved", next_step="submit it"))
    assert (told.what, told.next_step) == ("the policy is not approved", "submit it")


@pytest.mark.parametrize(
    "exc", [ValueError("Miller^Anna"), KeyError("Miller^Anna"), RuntimeError("Miller^Anna")]
)
def test_the_text_of_a_foreign_exception_is_not_repeated(exc: Exception) -> None:
    """A library's message may quote the data, so only its type is told."""
    told = to_person(exc)
    assert "Miller" not in told.what + told.next_step
    assert type(exc).__name__ in told.what


def test_a_file_name_is_not_repeated() -> None:
    """The name of an identified file may be the patient's."""
    told = to_person(FileNotFoundError(2, "No such file", "/in/Miller^Anna.dcm"))
    assert "Miller" not in told.what + told.next_step
