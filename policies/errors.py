"""What this package raises, as one small tree; every leaf says what happened and what to do next.

::

    PolicyRoomError          base: ``what`` and ``next_step``
    ├── PolicyFault          a policy file that cannot be used: every fault of it, each with its line
    └── Refusal              an instance that is not passed on: reason code and sentence
        ├── Held             … because a person must look at it first
        └── Unconforming     … unless it can be mended

No message carries a value of an element, an identifier or a file name of the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class PolicyRoomError(Exception):
    """Base of everything that ``policies`` raises on purpose.

    ``what`` is one sentence: what happened and where. ``next_step`` is what the reader can do about it.
    """

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class Fault(NamedTuple):
    """One fault of a policy file. ``line`` counts from 1; 0 means the file as a whole."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}" if self.line else self.what


class PolicyFault(PolicyRoomError):
    """A policy that cannot be used. ``faults`` holds all of them, in the order of the file."""

    def __init__(self, source: str, faults: Iterable[Fault], *, next_step: str = "") -> None:
        self.source = source
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"the policy {source} has {count}:\n{lines}", next_step=next_step)


class Refusal(PolicyRoomError):
    """An instance that is not passed on. ``reason`` is a short code, stable for accounts and audit."""

    def __init__(self, reason: str, what: str, next_step: str = "") -> None:
        super().__init__(what, next_step=next_step)
        self.reason = reason


class Held(Refusal):
    """An instance that waits for a person's review, because what it may show cannot be decided here."""


class Unconforming(Refusal):
    """An encoding that the scan does not read. The engine has it mended; where that fails, it stays a refusal."""
