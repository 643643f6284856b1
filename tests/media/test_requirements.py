"""What an instance must hold can be asked before anything is written."""

from __future__ import annotations

import pytest

from media.record_types import record_types
from media.requirements import missing, required_keys
from tests.media.builders import SOP_CLASSES, an_instance


@pytest.mark.parametrize("record", SOP_CLASSES)
def test_a_whole_instance_misses_nothing(record: str) -> None:
    """An instance with all keys of its record type can go onto a medium."""
    assert missing(an_instance(record)) == []


@pytest.mark.parametrize("record", SOP_CLASSES)
def test_each_type_1_key_is_missed(record: str) -> None:
    """Whichever Type 1 key is empty is named with its record, and only that one."""
    for level, key in required_keys(SOP_CLASSES[record]):
        found = missing(an_instance(record, **{key.keyword: [] if key.vr == "SQ" else ""}))
        assert [(one.record, one.key.keyword) for one in found] == [(level.name, key.keyword)]


def test_only_numbers_are_assignable() -> None:
    """A missing number hinders nothing, a missing date does."""
    found = missing(an_instance(StudyDate="", StudyID="", SeriesNumber=None, InstanceNumber=None))
    assert {one.key.keyword: one.assignable for one in found} == {
        "StudyDate": False,
        "StudyID": True,
        "SeriesNumber": True,
        "InstanceNumber": True,
    }


def test_a_key_is_named_as_a_person_looks_it_up() -> None:
    """The name of a key has keyword and tag."""
    key = next(key for key in record_types()["STUDY"].keys if key.keyword == "StudyDate")
    assert key.name == "StudyDate (0008,0020)"
