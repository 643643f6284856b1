"""Switches pynetdicom's logging off, in this one place: by default it writes UIDs, names and whole data sets.

Importing this module is enough; every other module of the package imports it before it uses pynetdicom. It
also fixes the library's settings for the whole process, so that no caller can switch one on by accident.
"""

from __future__ import annotations

import logging

from pynetdicom import _config


def silence() -> None:
    """Take every handler off pynetdicom's loggers and stop them from reaching others. Safe to call again."""
    logger = logging.getLogger("pynetdicom")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    logger.disabled = True
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pynetdicom."):
            child = logging.getLogger(name)
            child.handlers.clear()
            child.disabled = True


# The handlers behind "standard" turn every data set into text, for the log, even when nobody listens.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False
# A file goes out as it lies on the disk, in pieces, without being decoded.
_config.STORE_SEND_CHUNKED_DATASET = True
silence()
