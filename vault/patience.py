"""How long a request to the key server is repeated before it counts as failed.

A server that is restarted, elects a leader or is asked too much recovers by itself within seconds; a job of hours
must not end for that. Pauses double and have chance in them, so that many workers do not come back at one instant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """Pauses in seconds: the ``first``, the ``longest``, and what all of them together may take."""

    first: float = 0.1
    longest: float = 4.0
    together: float = 10.0

    def pause(self, attempt: int, waited: float, asked_for: float = 0.0) -> float | None:
        """Return the seconds to wait after the failed ``attempt`` (from 0), or None where patience ends.

        ``waited`` is what the attempts before have waited, ``asked_for`` the least that the server wants (Retry-After).
        """
        pause = min(self.first * 2.0**attempt, self.longest) * _chance.uniform(0.5, 1.0)
        pause = max(pause, asked_for)
        return pause if waited + pause <= self.together else None


NO_PATIENCE = Patience(together=0.0)
"""Ask once."""
