"""The site's rules for what stays in the spool of its Export Manager, and for how long. No rule, no purge.

What an export still needs stays under every rule: these rows say what may go once nobody needs it. Who carries
them out is :mod:`tce.purging`, in the lulls of the Export Manager (:mod:`tce.lulls`) and with ``tce exports purge``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

HOUR = 3600.0
DAY = 24 * HOUR


class RetentionSettings(BaseModel):
    """What goes from the spool of the Export Manager, and when. What no rule names stays."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    unclaimed_hours: float = Field(
        default=24.0, gt=0, description="report instances that no manifest has named for so many hours"
    )
    delivered: bool = Field(
        default=False,
        description="true: what a delivered export was made of goes after the retention_days of its case",
    )
    cancelled_days: int = Field(
        default=0, ge=0, description="days until what came for a cancelled export goes; 0: it stays"
    )
    failed_days: int = Field(
        default=0, ge=0, description="days until a failed export that nobody retried is cancelled; 0: never"
    )
    unclaimed_days: int = Field(
        default=0, ge=0, description="days until instances that no manifest names go; 0: they stay"
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are now. Times in seconds; None: there is no such rule.

    ``delivered`` holds cases with the time after which the originals of their delivered exports go.
    ``unclaimed_report`` is also the time for which nothing goes that has just come: its manifest may follow.
    """

    delivered: Mapping[str, float] = field(default_factory=dict)
    cancelled: float | None = None
    failed: float | None = None
    unclaimed: float | None = None
    unclaimed_report: float = DAY


def rules(settings: RetentionSettings, days_of_cases: Mapping[str, int]) -> Rules:
    """Return the rules that settings make for these cases."""
    return Rules(
        delivered={case: days * DAY for case, days in days_of_cases.items()} if settings.delivered else {},
        cancelled=_seconds(settings.cancelled_days),
        failed=_seconds(settings.failed_days),
        unclaimed=_seconds(settings.unclaimed_days),
        unclaimed_report=settings.unclaimed_hours * HOUR,
    )


def _seconds(days: int) -> float | None:
    return days * DAY if days else None
