"""What is written grows beside its place, and a full disk is told of in plain words."""

from __future__ import annotations

import errno

import pytest

from media.staging import cannot_write


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_of(code: int) -> None:
    """The sentence says that the disk is full, that nothing is left, and what to do."""
    refusal = cannot_write(OSError(code, "No space left on device"))
    assert "the disk is full, and nothing was left on it" in refusal.what
    assert "make room" in refusal.next_step
