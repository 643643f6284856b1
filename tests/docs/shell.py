"""Commands of the documentation that run as they stand there: blocks that follow a mark ``<!-- name -->``."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def commands_of(page: str, name: str) -> str:
    """Return the block of a page that stands behind the mark of this name."""
    text = (ROOT / page).read_text("utf-8")
    [block] = re.findall(rf"<!-- {re.escape(name)} -->\n+```\n(.*?)```", text, re.S)
    return str(block)


def run_script(script: str, folder: Path, **variables: str) -> str:
    """Run commands in a folder with these variables; return what they print. Raises CalledProcessError."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr
