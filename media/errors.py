"""What can go wrong with a medium, as exceptions that say what happened and what to do next.

::

    MediaError
    ├── LabelFault             the File-set ID or a text for the medium is not legal
    ├── UnreadableInstance     a file is not a readable DICOM instance
    ├── InstancesUnfit         instances cannot go onto a medium; every fault, before anything is written
    ├── OutputRefused          the place to write to is taken
    ├── MediumUnproven         the medium just written did not pass its own re-reading; it was not kept
    ├── UnreadableMedium       there is no medium here, or its DICOMDIR is not one
    ├── ProtectionRefused      a password, key or certificate may not be used to close or open a medium
    └── ClosedFile             a Secure DICOM File does not open: no key, another key, altered, cut off

No message holds a value of an instance or a file name of its source: both may identify a patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


class MediaError(Exception):
    """Base of all errors of this package: ``what`` happened and the ``next_step`` of the person who reads it."""

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class LabelFault(MediaError):
    """A name or text that shall go onto the medium is not legal there."""


class UnreadableInstance(MediaError):
    """A file is not DICOM Part 10, is truncated, or lacks what every instance has. ``reason`` is a short code."""

    def __init__(self, reason: str, what: str, *, next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.reason = reason


class OutputRefused(MediaError):
    """The output folder is not empty, or another process is writing it."""


class MediumUnproven(MediaError):
    """The re-reading of a medium just written found it wrong. Nothing was left at the output folder."""


class UnreadableMedium(MediaError):
    """What was given is not a medium, or its DICOMDIR cannot be read."""


class ProtectionRefused(MediaError):
    """A password, private key or certificate cannot or may not be used for a secure medium (PS3.15 D)."""


class ClosedFile(MediaError):
    """A Secure DICOM File does not open. ``reason`` is a short code; ``what`` goes on from the name of the file."""

    def __init__(self, reason: str, what: str, *, next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why one instance cannot go onto the medium.

    ``record`` is the type of the directory record concerned (empty where none is) and ``attribute`` the attribute
    as ``Keyword (gggg,eeee)`` (empty where none is). ``path`` is for programs; no message shows it.
    """

    path: Path = field(repr=False)
    what: str
    next_step: str
    record: str = ""
    attribute: str = ""


class InstancesUnfit(MediaError):
    """Some instances cannot go onto a medium. ``faults`` has every reason for every instance."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        counts = Counter(fault.what for fault in faults)
        files = len({fault.path for fault in faults})
        reasons = "; ".join(f"{what} ({_instances(count)})" for what, count in counts.items())
        steps = dict.fromkeys(fault.next_step for fault in faults if fault.next_step)
        super().__init__(
            f"{_instances(files)} cannot go onto a medium, nothing was written: {reasons}",
            next_step="; ".join(steps),
        )
        self.faults = tuple(faults)


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"
