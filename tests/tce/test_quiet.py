"""The toolkits stay silent: tce.network.quiet."""

from __future__ import annotations

import subprocess
import sys

TALKATIVE = """
import logging
logging.basicConfig(level=logging.DEBUG)
import tce.network.quiet
from pydicom.dataset import Dataset
import pynetdicom._config
ds = Dataset()
ds.StudyInstanceUID = "CANARY^UID"
ds.PatientBirthDate = "CANARY-DATE"
logging.getLogger("pynetdicom.assoc").error("CANARY")
logging.getLogger("pydicom").warning("CANARY")
logging.getLogger("ours").warning("heard")
assert pynetdicom._config.LOG_HANDLER_LEVEL == "none"
"""


def test_neither_toolkit_writes_a_value() -> None:
    """With all logging switched on, odd values and the toolkits' own loggers write nothing; ours do."""
    done = subprocess.run([sys.executable, "-W", "always", "-c", TALKATIVE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "heard" in done.stderr
    assert "CANARY" not in done.stderr + done.stdout
