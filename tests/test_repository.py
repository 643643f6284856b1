"""What lies in the repository: files that people wrote, and the tables that the program makes from the standard."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_LARGEST = 1 << 20
_PACKED = (".whl", ".egg", ".zip", ".tar", ".tgz", ".dcm", ".iso", ".so", ".db", ".sqlite")
_CONFLICT = re.compile(rb"^(?:<{7} |={7}$|>{7} |\|{7} )", re.M)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout of git, so nothing says which files belong to it")
    return [_ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_file_holds_a_conflict(tracked: list[Path]) -> None:
    """What two people changed was put together by one of them, and not left as both wrote it."""
    torn = [path.name for path in tracked if path.is_file() and _CONFLICT.search(path.read_bytes())]
    assert torn == []


def test_a_conflict_would_be_seen() -> None:
    """The test above finds what git writes where it cannot decide."""
    ours, theirs = b"<" * 7 + b" HEAD", b">" * 7 + b" branch"
    assert _CONFLICT.search(b"a,b\n" + ours + b"\nc,d\n" + b"=" * 7 + b"\ne,f\n" + theirs + b"\n")


def test_nothing_foreign_or_large_is_kept(tracked: list[Path]) -> None:
    """No packed program, instance or database of somebody's lies here, and no file is larger than a mebibyte."""
    assert [path.name for path in tracked if path.suffix.lower() in _PACKED] == []
    assert [path.name for path in tracked if path.is_file() and path.stat().st_size > _LARGEST] == []
