"""The site's rules for what stays in the spools of its Export Manager and its Receiver, for how long, and what is told.

No rule, no purge. What an export still needs stays under every rule: these rows say what may go once nobody needs it.
Who carries them out is :mod:`tce.purging`, in the lulls of both actors (:mod:`tce.lulls`), with ``tce exports purge``
and with ``tce receiver purge``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict, Field

HOUR = 3600.0
DAY = 24 * HOUR


class SpoolSettings(BaseModel):
    """What both spools have rules for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    unclaimed_hours: float = Field(
        default=24.0, gt=0, description="report instances that no manifest has named for so many hours"
    )
    unclaimed_days: int = Field(
        default=0, ge=0, description="days until instances that no manifest names go; 0: they stay"
    )
    failed_days: int = Field(
        default=0, ge=0, description="days until a failed export that nobody retried is cancelled; 0: never"
    )
    cancelled_days: int = Field(
        default=0, ge=0, description="days until what came for a cancelled export goes; 0: it stays"
    )


class ReceiverRetention(SpoolSettings):
    """What goes from the spool of the Receiver, and when. What no rule names stays; media never go."""

    written_days: int = Field(
        default=0, ge=0, description="days until what a written medium was made of goes; 0: it stays"
    )


class RetentionSettings(SpoolSettings):
    """What goes from the spool of the Export Manager, and when. What no rule names stays."""

    delivered: bool = Field(
        default=False,
        description="true: what a delivered export was made of goes after the retention_days of its case",
    )
    delayed_hours: float = Field(
        default=168.0,
        gt=0,
        description="report an export that a Delay Reason has held back for so many hours",
    )
    receiver: ReceiverRetention = ReceiverRetention()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are now. Times in seconds; None: there is no such rule.

    ``delivered`` holds cases with the time after which the originals of their delivered exports go; the exports of a
    Receiver have no case, which is the case "". ``unclaimed_report`` is also the time for which nothing goes that has
    just come: its manifest may follow.
    """

    delivered: Mapping[str, float] = field(default_factory=dict)
    cancelled: float | None = None
    failed: float | None = None
    unclaimed: float | None = None
    unclaimed_report: float = DAY
    delayed_report: float = 7 * DAY


def rules(settings: RetentionSettings, days_of_cases: Mapping[str, int]) -> Rules:
    """Return the rules that settings make for an Export Manager and these cases."""
    delivered = {case: days * DAY for case, days in days_of_cases.items()} if settings.delivered else {}
    return replace(_of_both(settings, delivered), delayed_report=settings.delayed_hours * HOUR)


def receiver_rules(settings: ReceiverRetention) -> Rules:
    """Return the rules that settings make for a Receiver."""
    return _of_both(settings, {"": settings.written_days * DAY} if settings.written_days else {})


def _of_both(settings: SpoolSettings, delivered: Mapping[str, float]) -> Rules:
    return Rules(
        delivered=delivered,
        cancelled=_seconds(settings.cancelled_days),
        failed=_seconds(settings.failed_days),
        unclaimed=_seconds(settings.unclaimed_days),
        unclaimed_report=settings.unclaimed_hours * HOUR,
    )


def _seconds(days: int) -> float | None:
    return days * DAY if days else None
