"""The trail shows every edit, removal and cut, and survives the death of its writer."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from tce.audit.trail import Trail
from tce.errors import AuditError


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    trail = Trail(tmp_path / "audit" / "trail.jsonl")
    for number in range(5):
        trail.append("policy.approved", actor="approver", detail={"policy": f"p-{number}"})
    return trail


def lines_of(trail: Trail) -> list[bytes]:
    return trail.path.read_bytes().splitlines(keepends=True)


def test_an_untouched_trail_is_whole(trail: Trail) -> None:
    """All records are there, in order, chained."""
    head = trail.verify()
    assert head.records == 5
    assert [record.n for record in trail.records()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("number", [0, 2, 4])
def test_an_edited_record_is_named(trail: Trail, number: int) -> None:
    """Changing one character anywhere is noticed."""
    lines = lines_of(trail)
    lines[number] = lines[number].replace(b'"approver"', b'"apprOver"')
    trail.path.write_bytes(b"".join(lines))
    with pytest.raises(AuditError, match=f"record {number + 1} was edited"):
        trail.verify()


@pytest.mark.parametrize("number", [0, 2])
def test_a_removed_record_is_noticed(trail: Trail, number: int) -> None:
    """A record cannot be taken out of the middle."""
    lines = lines_of(trail)
    del lines[number]
    trail.path.write_bytes(b"".join(lines))
    with pytest.raises(AuditError, match="removed"):
        trail.verify()


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_a_cut_at_the_end_is_noticed(trail: Trail, kept: int) -> None:
    """A shorter trail does not pass for a whole one, and nothing is added to it."""
    trail.path.write_bytes(b"".join(lines_of(trail)[:kept]))
    with pytest.raises(AuditError, match="cut"):
        trail.verify()
    with pytest.raises(AuditError, match="cut"):
        trail.append("x", actor="a")


def test_a_forged_chain_does_not_fit_the_head(trail: Trail, tmp_path: Path) -> None:
    """Records rewritten with right hashes are noticed by the head."""
    forged = Trail(tmp_path / "forged.jsonl")
    for _ in range(6):
        forged.append("policy.approved", actor="nobody")
    trail.path.write_bytes(forged.path.read_bytes())
    with pytest.raises(AuditError):
        trail.verify()


@pytest.mark.parametrize("content", [None, b"{}", b"not json"])
def test_a_missing_or_broken_head_is_noticed(trail: Trail, content: bytes | None) -> None:
    """Taking the head away does not hide a cut."""
    trail.head_path.unlink() if content is None else trail.head_path.write_bytes(content)
    with pytest.raises(AuditError):
        trail.verify()


def test_a_removed_trail_is_noticed(trail: Trail) -> None:
    """An empty folder is not an innocent trail."""
    trail.path.unlink()
    with pytest.raises(AuditError, match="missing"):
        trail.verify()


def test_a_record_left_unfinished_by_a_crash_is_cleared(trail: Trail) -> None:
    """A process killed while writing harms neither the trail nor the next record."""
    with trail.path.open("ab") as file:
        file.write(lines_of(trail)[0][:40])
    assert trail.verify().records == 5
    trail.append("x", actor="a")
    assert trail.verify().records == 6


def test_a_record_written_before_a_crash_is_kept(trail: Trail) -> None:
    """A process killed between record and head loses nothing."""
    head = trail.head_path.read_bytes()
    trail.append("export.delivered", actor="a")
    trail.head_path.write_bytes(head)
    assert trail.verify().records == 6
    trail.append("x", actor="a")
    assert [record.event for record in trail.records()][-2:] == ["export.delivered", "x"]
    assert trail.verify().records == 7


def _append_many(path: Path) -> None:
    for _ in range(20):
        Trail(path).append("x", actor="a")


def test_several_processes_share_one_trail(tmp_path: Path) -> None:
    """Records of processes that write at the same time form one chain."""
    path = tmp_path / "trail.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Trail(path).verify().records == 60


def test_reading_goes_on_where_it_ended(trail: Trail) -> None:
    """Who knows an end of the trail is shown only what came after it."""
    end, seen = trail.verify(), list[int]()
    trail.append("x", actor="a")
    trail.append("x", actor="a")
    assert trail.walk(end, lambda record: seen.append(record.n)) == trail.head()
    assert seen == [6, 7]


def test_reading_does_not_go_on_from_an_end_that_never_was(trail: Trail) -> None:
    """An end with another hash, or beyond the trail, is refused."""
    end = trail.head()
    trail.append("x", actor="a")
    for never in (replace(end, hash="f" * 64), replace(end, size=end.size + 10**6), replace(end, size=1)):
        with pytest.raises(AuditError):
            trail.walk(never, lambda record: None)


def test_a_line_is_plain_json(trail: Trail) -> None:
    """Any tool can read the trail."""
    assert json.loads(lines_of(trail)[0])["event"] == "policy.approved"


def test_writers_that_die_one_after_the_other_leave_a_whole_trail(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is killed between its record and the head; the next one's record does not make that look rewritten."""

    class Killed(BaseException):
        """Nothing of the program catches it."""

    whole = Trail._write_head

    def dies_after_its_record(self: Trail, head: object) -> None:
        if len(lines_of(self)) > before:
            raise Killed
        whole(self, head)  # type: ignore[arg-type]

    for _ in range(3):
        before = len(lines_of(trail))
        with monkeypatch.context() as patch:
            patch.setattr(Trail, "_write_head", dies_after_its_record)
            with pytest.raises(Killed):
                trail.append("policy.approved", actor="approver")
        assert trail.verify().records == before + 1
