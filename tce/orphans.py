"""Worker processes that end when the process that forked them is gone, even if it was killed.

A pool's idle workers would wait for ever for a parent that was killed, and keep its files and pipes open. What
they had begun is no loss: an instance gets its name only when it is complete.
"""

from __future__ import annotations

import os
import threading
import time

_EVERY = 0.5  # seconds


def end_with_parent() -> None:
    """Let the calling process end when its parent is gone."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(_EVERY)
        os._exit(1)

    threading.Thread(target=wait, name="ends with its parent", daemon=True).start()
