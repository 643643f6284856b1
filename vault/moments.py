"""Moments as they are written in records and tables: UTC, to the second, and sorting as text."""

from __future__ import annotations

from datetime import UTC, datetime

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def timestamp(moment: datetime | None = None) -> str:
    """A moment (now, if none is given) in writing. The moment must know its time zone."""
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime(_FORM)


def moment(written: str) -> datetime:
    """The moment that was written. Raises ValueError for any other form."""
    return datetime.strptime(written, _FORM).replace(tzinfo=UTC)
