"""Switches off, in this one place, what the DICOM toolkits say: they write UIDs, names and whole values.

pynetdicom logs every message; pydicom warns about odd values and quotes them. Importing this module is
enough, and every other module of the package imports it before it uses pynetdicom. It also fixes the
library's settings for the whole process, so that no caller can switch one on by accident.
"""

from __future__ import annotations

import logging
import warnings

from pynetdicom import _config

_TOOLKITS = ("pynetdicom", "pydicom")


def silence() -> None:
    """Cut the toolkits' loggers off from every handler, and drop their warnings. Safe to call again."""
    for toolkit in _TOOLKITS:
        for name in [toolkit, *logging.root.manager.loggerDict]:
            if name == toolkit or name.startswith(f"{toolkit}."):
                logger = logging.getLogger(name)
                logger.handlers[:] = [logging.NullHandler()]
                logger.propagate = False
                logger.disabled = True
        warnings.filterwarnings("ignore", module=rf"{toolkit}(\.|$)")


# The handlers behind "standard" turn every data set into text, for the log, even when nobody listens.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
# A file goes out as it lies on the disk, in pieces, without being decoded.
_config.STORE_SEND_CHUNKED_DATASET = True
silence()
