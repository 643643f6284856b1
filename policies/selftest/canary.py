"""One canary, and the mint that makes them: unmistakable in any byte, reproducible from a seed.

Each kind of value has a mark of its own, so that one pass over the bytes finds them all and a remainder of one
as well: words begin with ``qzx``, numbers with ``1973`` and UIDs lie under an arc that nobody was given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

MARK = "qzx"
NUMBER_MARK = "1973"
UID_MARK = "1.2.840.99731."
_FIRST_DAY = date(1921, 1, 1)
DAYS = 3600
"""Planted dates lie in so many days; whoever shifts by more can take none of them for another."""


class Kind(StrEnum):
    """What a canary looks like, and so how it is searched for."""

    WORD = "word"
    NUMBER = "number"
    UID = "uid"
    DATE = "date"
    TIME = "time"
    DATE_TIME = "date-time"
    BYTES = "bytes"
    BITS = "bits"
    """Spelled by one bit of each pixel, above the stored bits."""
    TEXT = "text"
    """A text as it stands, in a form of something the header knows; searched for literally."""


class Until(StrEnum):
    """When a canary must be gone."""

    STAGE_1 = "stage 1"
    STAGE_2 = "stage 2"
    BY_RULE = "by the rule for its attribute"


@dataclass(frozen=True, slots=True)
class Canary:
    """A planted value. ``path`` leads to its attribute; ``where`` says it in words for a finding."""

    channel: str
    value: str | bytes
    kind: Kind
    until: Until
    where: str
    path: tuple[int, ...] = ()
    vr: str = ""
    concept: tuple[str, str, str] | None = None
    """Of a content item: code value, scheme and value type, which Table E.3.4-1 goes by."""


@dataclass
class Mint:
    """Makes values that stand nowhere else. The same seed gives the same values."""

    seed: int = 0
    _random: random.Random = field(init=False)
    _made: set[str] = field(init=False, default_factory=set)
    _day: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # reproducible, and no secret

    def word(self) -> str:
        """A word of twelve letters, capitalized like a name."""
        return self._new(
            lambda: MARK.capitalize() + "".join(self._random.choices("abdefgiklmnoprstuvwy", k=9))
        )

    def number(self) -> str:
        """A number of ten digits that an IS can hold."""
        return self._new(lambda: f"{NUMBER_MARK}{self._random.randrange(10**6):06d}")

    def uid(self) -> str:
        """A UID."""
        return self._new(lambda: f"{UID_MARK}{self._random.randrange(10**11, 10**12)}")

    def day(self) -> date:
        """A date between 1921 and 1930; they repeat after ten years' worth of them."""
        self._day += 1
        return _FIRST_DAY + timedelta(days=self._day * 7 % DAYS)

    def time(self) -> str:
        """A time of day with a fraction that no clock of a scanner gives."""
        return self._new(lambda: f"{self._clock()}.{self._random.randrange(100_001, 999_999):06d}")

    def date_time(self) -> str:
        """A DT with fraction and zone."""
        return f"{self.day():%Y%m%d}{self.time()}+0130"

    def letters(self, alphabet: str, count: int) -> str:
        """A name in another script."""
        return "".join(self._random.choices(alphabet, k=count))

    def octets(self, count: int) -> bytes:
        """Bytes that hold no text."""
        return self._random.randbytes(count)

    def choice(self, among: list[str]) -> str:
        """One of them."""
        return self._random.choice(among)

    def _clock(self) -> str:
        return f"{self._random.randrange(24):02d}{self._random.randrange(60):02d}{self._random.randrange(60):02d}"

    def _new(self, make: object) -> str:
        assert callable(make)
        while (value := make()) in self._made:
            pass
        self._made.add(value)
        return str(value)
