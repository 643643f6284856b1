"""When the auditor is alarmed: thresholds, windows and working hours, as a site sets them in ``tce.toml``.

The rules in force are written onto the trail too (event ``alerts.set``), in the form of :meth:`AlertRules.as_detail`:
so the alerts of a trail can be worked out again from the trail alone, also after the settings were changed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tce.errors import AuditError

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_DAYS: tuple[Day, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Hours = Annotated[float, Field(gt=0, le=8760)]


class AlertRules(BaseModel):
    """When the auditor is alarmed about re-identification and refusals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_zone: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="UTC", description="time zone of the working hours, such as Europe/Berlin"
    )
    working_days: tuple[Day, ...] = Field(
        default=("Mon", "Tue", "Wed", "Thu", "Fri"), description="days on which re-identification is usual"
    )
    working_hours: str = Field(
        default="07:00-19:00", description="hours at which it is usual; 00:00-24:00: at any hour"
    )
    sweep_patients: _Count = Field(
        default=20, description="one person asks for, approves or reveals so many patients …"
    )
    sweep_hours: _Hours = Field(default=24.0, description="… within these hours")
    reveals: _Count = Field(default=5, description="one person reveals so many times …")
    reveals_hours: _Hours = Field(default=24.0, description="… within these hours")
    refusals: _Count = Field(default=5, description="one person is refused so many times …")
    refusals_of_all: _Count = Field(default=20, description="… or all people together so many times …")
    refusals_hours: _Hours = Field(default=1.0, description="… within these hours")

    @model_validator(mode="after")
    def _a_zone_and_hours(self) -> AlertRules:
        try:
            self.zone()
        except (ValueError, KeyError, OSError):
            raise ValueError(
                "time_zone: this machine knows no such time zone; write one such as Europe/Berlin, or UTC"
            ) from None
        if not _HOURS.fullmatch(self.working_hours) or max(_minutes(self.working_hours)) > _MIDNIGHT:
            raise ValueError("working_hours: these are no hours; write them as 07:00-19:00")
        return self

    def zone(self) -> tzinfo:
        """Return the site's time zone."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)

    def is_odd(self, moment: datetime) -> bool:
        """Whether a moment lies outside the working days and hours. Hours may go over midnight (22:00-06:00)."""
        local = moment.astimezone(self.zone())
        begin, end = _minutes(self.working_hours)
        now = local.hour * 60 + local.minute
        inside = begin <= now < end if begin <= end else now >= begin or now < end
        return not inside or _DAYS[local.weekday()] not in self.working_days

    def as_detail(self) -> dict[str, str]:
        """Return the rules as they are written onto the trail."""
        return {
            name: " ".join(value) if isinstance(value, tuple) else str(value)
            for name, value in self.model_dump().items()
        }


def from_detail(detail: Mapping[str, str], number: int) -> AlertRules:
    """Return the rules that record ``number`` of the trail sets. Raises AuditError when these are none."""
    fields: dict[str, object] = {**detail, "working_days": detail.get("working_days", "").split()}
    try:
        return AlertRules.model_validate(fields)
    except ValidationError:
        raise AuditError(
            f"record {number} of the audit trail sets rules for alerts that cannot be read here",
            next_step="use the version of tce that wrote it, on a machine that knows the site's time zone",
        ) from None


def zone_of_this_machine() -> str:
    """Return the name of the machine's time zone, UTC where it does not tell."""
    named = os.environ.get("TZ", "").lstrip(":")
    if not named:
        with contextlib.suppress(OSError):
            named = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    try:
        return ZoneInfo(named).key.removeprefix("Etc/") if named else "UTC"
    except (ValueError, KeyError, OSError):
        return "UTC"


_MIDNIGHT = 24 * 60


def _minutes(hours: str) -> tuple[int, int]:
    begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in hours.split("-"))
    return begin, end
