"""What README shows of the demo is what the demo prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.generated import ROOT


def excerpt() -> list[str]:
    """The lines that README quotes, without their indentation."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = re.search(r"<!-- excerpt of the demo -->\n```text\n(.*?)```", text, re.DOTALL)
    assert quoted, "README holds an excerpt of the demo"
    return [line.strip() for line in quoted[1].splitlines() if line.strip()]


@pytest.mark.vault
def test_the_demo_prints_what_readme_shows(tmp_path: Path) -> None:
    """The demo on its samples prints every line that README quotes, in the order in which it quotes them."""
    command = [sys.executable, "-m", "tce", "demo", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = iter(line.strip() for line in done.stdout.splitlines())
    assert [line for line in excerpt() if line not in printed] == []
