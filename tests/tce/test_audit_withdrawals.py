"""The trail is asked what was withdrawn: every withdrawal counts, and reading costs what was added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tce.audit.trail import Head, Record, Trail
from tce.audit.withdrawals import Told, destroyed_within, forgotten_by, taken_back_by, told_by
from tce.errors import AuditError, Outcome
from tests.tce.test_release import CASE_DIGEST, NOW, POLICY_DIGEST, an_approval
from vault.approvals import Approval

APPROVAL = Approval.from_json(json.dumps(an_approval("policy", POLICY_DIGEST)))  # an hour ago
OF_POLICY = {"policy": "thing", "version": "1", "digest": POLICY_DIGEST, "approval": "sha256:" + "a" * 64}


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    trail = Trail(tmp_path / "trail.jsonl")
    trail.append("policy.approved", actor="ann", detail=OF_POLICY)
    trail.append("policy.withdrawn", actor="ann", detail=OF_POLICY)
    return trail


def told(**changed: str) -> Told:
    """A withdrawal of the policy, now."""
    found = Told(1, NOW.isoformat(), "ann", "policy", "thing", "1", POLICY_DIGEST, OF_POLICY["approval"])
    return replace(found, **changed)  # type: ignore[arg-type]


def test_withdrawals_and_closings_are_told(trail: Trail) -> None:
    """Both kinds are found, each with what names it; a refused one is none."""
    detail = {"case": "lung-1", "version": "1", "digest": CASE_DIGEST}
    trail.append("case.closed", actor="bob", detail=detail)
    trail.append("case.closed", actor="bob", detail={"case": "x"}, outcome=Outcome.SERIOUS_FAILURE)
    found = told_by(trail)
    assert [(one.n, one.actor, one.kind, one.name, one.digest) for one in found] == [
        (2, "ann", "policy", "thing", POLICY_DIGEST),
        (3, "bob", "case", "lung-1", CASE_DIGEST),
    ]


def test_what_happened_to_a_case_is_told(trail: Trail) -> None:
    """Orders that were taken back and keys that were destroyed are told of the case, and up to the record asked for."""
    trail.append("case.forget-taken-back", actor="bob", detail={"case": "lung-1", "order": "sha256:a"})
    trail.append("case.key-destroyed", actor="kim", detail={"case": "lung-1", "key": "ways-back"})
    trail.append("case.key-destroyed", actor="kim", detail={"case": "lung-1", "key": "cases"})
    trail.append("case.key-destroyed", actor="kim", detail={"case": "lung-2", "key": "cases"})
    assert [(one.n, one.actor, one.order) for one in taken_back_by(trail, "lung-1")] == [
        (3, "bob", "sha256:a")
    ]
    assert not taken_back_by(trail, "lung-2")
    assert [sorted(destroyed_within(trail, "lung-1", n)) for n in (3, 4, 6)] == [
        [],
        ["ways-back"],
        ["cases", "ways-back"],
    ]
    assert forgotten_by(trail) == {"lung-1", "lung-2"}
    with pytest.raises(AuditError, match="shorter"):
        destroyed_within(trail, "lung-1", 7)


def test_what_is_added_is_told_too(trail: Trail) -> None:
    """A withdrawal by another process counts at the next question."""
    assert len(told_by(trail)) == 1
    trail.append("policy.withdrawn", actor="ann", detail=OF_POLICY)
    assert [one.n for one in told_by(Trail(trail.path))] == [2, 3]


def test_only_what_was_added_is_read(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process reads the trail once: nothing again while it stays, and only the rest once it grew."""
    starts: list[int] = []
    walk = Trail.walk

    def counted(self: Trail, start: Head, look: object) -> Head:
        starts.append(start.records)
        return walk(self, start, look)  # type: ignore[arg-type]

    monkeypatch.setattr(Trail, "walk", counted)
    for _ in range(3):
        told_by(trail)
    trail.append("x", actor="a")
    for _ in range(3):
        told_by(trail)
    assert starts == [0, 2]


def test_another_trail_in_its_place_is_read_from_the_beginning(trail: Trail, tmp_path: Path) -> None:
    """What was known of a trail that is gone is not mixed with the one that is there."""
    assert len(told_by(trail)) == 1
    other = Trail(tmp_path / "other.jsonl")
    for _ in range(5):
        other.append("case.closed", actor="ann", detail={"case": "c"})
    trail.path.write_bytes(other.path.read_bytes())
    trail.head_path.write_bytes(other.head_path.read_bytes())
    assert [one.kind for one in told_by(trail)] == ["case"] * 5


@pytest.mark.parametrize("read_before", [False, True])
def test_a_trail_that_is_not_whole_tells_nothing(trail: Trail, read_before: bool) -> None:
    """A cut or missing trail raises, also when it was whole before."""
    if read_before:
        told_by(trail)
    whole = trail.path.read_bytes()
    trail.path.write_bytes(whole[: whole.index(b"\n") + 1])
    with pytest.raises(AuditError):
        told_by(trail)
    trail.path.unlink()
    with pytest.raises(AuditError):
        told_by(trail)


def test_an_edited_trail_takes_nothing_back(trail: Trail) -> None:
    """An edit raises in a process that reads it first, and one that knew the trail keeps to what it knew."""
    edited = trail.path.read_bytes().replace(b"withdrawn", b"submitted")
    known = told_by(trail)
    trail.path.write_bytes(edited)
    assert told_by(trail) == known
    again = Trail(trail.path.with_name("again.jsonl"))
    again.path.write_bytes(edited)
    again.head_path.write_bytes(trail.head_path.read_bytes())
    with pytest.raises(AuditError, match="edited"):
        told_by(again)


@pytest.mark.parametrize(
    ("changed", "ends"),
    [
        ({}, True),
        ({"approval": APPROVAL.digest(), "time": APPROVAL.approved}, True),
        ({"time": APPROVAL.approved}, False),
        ({"time": APPROVAL.approved, "approval": ""}, True),
        ({"time": (NOW - timedelta(hours=2)).isoformat()}, False),
        ({"digest": CASE_DIGEST}, True),
        ({"name": "renamed"}, True),
        ({"name": "other", "digest": CASE_DIGEST}, False),
        ({"version": "2", "digest": CASE_DIGEST}, False),
        ({"kind": "case"}, False),
    ],
    ids=[
        "an earlier approval",
        "the very one in the same second",
        "another one of the same second",
        "an event that names none",
        "a later approval",
        "an older text of this version",
        "the same text",
        "another policy",
        "another version",
        "another kind",
    ],
)
def test_which_approvals_a_withdrawal_ends(changed: Mapping[str, str], ends: bool) -> None:
    """The approval that it names and every earlier one of the document; none that is given after it."""
    assert told(**changed).ends(APPROVAL) is ends


def test_a_trail_s_record_is_what_is_counted(trail: Trail) -> None:
    """The time and actor of a withdrawal are those of its record."""
    [record] = [one for one in trail.records() if one.event == "policy.withdrawn"]
    assert isinstance(record, Record)
    assert [(one.time, one.actor) for one in told_by(trail)] == [(record.time, record.actor)]
