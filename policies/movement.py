"""By how many days the dates of an instance move: one number for all of them, from one of three places.

    shift               the patient's key                 one number for a patient
    truncate-to-…       the study's own Study Date        one number for a study: its date becomes the first of the
                                                          month, quarter or year
    study-day           the date of the patient's event   one number for a patient: the event becomes :data:`EPOCH`

Only where the number comes from differs, so within its reach every interval stays exact: doses decay, phases follow
each other and midnight passes as before. Serves PS3.15 E.3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from policies.errors import Refusal
from policies.model import Dates

EPOCH = date(1960, 1, 1)
"""The day that the event of every patient becomes. Statistics programs count their days from it, so a date read by
them is its study day; and nobody takes it for the true one."""

_FIRST_MONTH: Mapping[Dates, Callable[[int], int]] = {
    Dates.TRUNCATE_TO_MONTH: lambda month: month,
    Dates.TRUNCATE_TO_QUARTER: lambda month: month - (month - 1) % 3,
    Dates.TRUNCATE_TO_YEAR: lambda month: 1,
}

Events = Mapping[str, date]
"""The date of each patient's event, by the Patient ID that the stage reads."""


@dataclass(frozen=True, slots=True, repr=False)
class Movement:
    """A policy's rule for dates, with what it needs to know of patients."""

    dates: Dates
    events: Events

    @property
    def asks_key(self) -> bool:
        """Whether the number comes from the patient's key."""
        return self.dates is Dates.SHIFT

    def days(self, study_date: date | None, patient_id: str, *, dated: bool) -> int | None:
        """Return the number for an instance of a study, None where it comes from the key or nothing moves.

        ``study_date`` is None when the instance gives none that can have been; ``dated`` says whether the instance
        has any date.

        Raises:
            Refusal: ``no-study-date`` or ``no-event``: there is nothing to count from.
        """
        if self.dates in _FIRST_MONTH:
            if study_date is None and dated:
                raise Refusal(
                    "no-study-date",
                    "The instance has dates but no Study Date, so nothing says how far they move.",
                    next_step="Have the Study Date completed, or use a policy with dates: shift or dates: remove.",
                )
            return None if study_date is None else (self._truncated(study_date) - study_date).days
        if self.dates is Dates.STUDY_DAY:
            event = self.events.get(patient_id)
            if event is None:
                raise Refusal(
                    "no-event",
                    "The list of events has no date for this patient, so study days cannot be counted.",
                    next_step="Add the patient to the file of events, by the Patient ID that this stage reads.",
                )
            return (EPOCH - event).days
        return None

    def _truncated(self, day: date) -> date:
        return day.replace(month=_FIRST_MONTH[self.dates](day.month), day=1)
