"""Names on a medium are legal and tell nothing."""

from __future__ import annotations

import uuid

import pytest

from media.errors import LabelFault
from media.fileset import component, fileset_id_from, fileset_uid, is_legal_file_id, require_legal_fileset_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [("case-7", "CASE_7"), ("Prüfung Thorax", "PRUFUNG_THORAX"), ("a" * 40, "A" * 16), ("  x..y ", "X_Y")],
)
def test_a_text_becomes_a_legal_fileset_id(text: str, expected: str) -> None:
    """A case's name becomes the nearest legal File-set ID."""
    assert fileset_id_from(text) == expected
    require_legal_fileset_id(expected)


@pytest.mark.parametrize("wrong", ["", "case", "A B", "A" * 17, "A-B", "Ä"])
def test_an_illegal_fileset_id_is_refused(wrong: str) -> None:
    """What ISO 9660 or PS3.10 forbids is refused with a way out."""
    with pytest.raises(LabelFault) as refusal:
        require_legal_fileset_id(wrong)
    assert refusal.value.next_step


@pytest.mark.parametrize(
    ("file_id", "legal"),
    [
        (("DICOM", "IM000001"), True),
        (("A",) * 8, True),
        ((), False),
        (("A",) * 9, False),
        (("image001",), False),
        (("IM1.DCM",), False),
        (("TOOLONG01",), False),
        (("..", "X"), False),
        (("A", ""), False),
    ],
)
def test_file_ids_are_judged(file_id: tuple[str, ...], legal: bool) -> None:
    """A File ID has 1 to 8 components of 1 to 8 capital letters, digits and underscores."""
    assert is_legal_file_id(file_id) is legal


def test_too_many_entries_are_refused() -> None:
    """A name never grows past eight characters."""
    assert component("IM", 999_999) == "IM999999"
    with pytest.raises(LabelFault):
        component("IM", 1_000_000)


def test_the_filesets_uid_depends_on_the_instances_alone() -> None:
    """The same instances in any order make the same UID, other instances another; it is a UUID of version 8."""
    uid = fileset_uid(["1.2", "1.3"])
    assert uid == fileset_uid(["1.3", "1.2"])
    assert uid != fileset_uid(["1.2", "1.4"])
    number = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert number.version == 8 and number.variant == uuid.RFC_4122
