"""Clauses about quasi-identifiers: age bands, and generalization of any other attribute (standards: HIPAA, ISO 25237).

A quasi-identifier names nobody and, beside others, singles somebody out. It becomes coarser: a number is rounded or
put into a band, a word is looked up in a table. What no line of a table names is never kept. How a value is computed
is :mod:`policies.generalize`; whether it was is judged by :mod:`policies.coarseness`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from policies.clauses import Clause, Reason, Rule
from policies.standard.attributes import check_value
from policies.standard.beyond import never_kept
from policies.standard.rows import printed

_MOST_BOUNDS = 12
"""So many have a place in one value of De-identification Method (LO, 64 characters)."""
_OLDEST = 120
_TEXT = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"})
_NUMBERS = frozenset({"DS", "IS"})
_ELSEWHERE = {0x00101010: "ages", 0x00100030: "dates"}
_ENUMERATED = {0x00100040: ("M", "F", "O"), 0x00102203: ("ALTERED", "UNALTERED")}
"""Enumerated values of PS3.3 C.7.1.1 and C.7.2.2: a table leads to one of them."""
_POSTAL = re.compile(r"[0-9]{1,5}")

_COMPANIONS: Mapping[int, tuple[int, ...]] = {
    # Patient's Sex: neutered, gender identity, parameters for clinical use, pronouns, pregnancy, last menstruation.
    0x00100040: (
        *(0x00102203, 0x00100041, 0x00100042, 0x00100043, 0x00100044, 0x00100045, 0x00100046, 0x00100047),
        *(0x00100011, 0x00100014, 0x00100015, 0x001021C0, 0x001021D0),
    ),
    0x00101020: (0x00101021, 0x00101022),  # Patient's Size: its code, the body mass index
    0x00101030: (0x00101022,),  # Patient's Weight: the body mass index
    0x00102160: (0x00102161, 0x00102162),  # Ethnic Group: its codes, Ethnic Groups
    0x00102162: (0x00102160, 0x00102161),
    # Species and breed: their codes, strains, the registration; a breed tells the species.
    0x00102201: (
        *(0x00102202, 0x00102292, 0x00102293, 0x00102294, 0x00100212, 0x00100213, 0x00100216, 0x00100217),
        *(0x00100218, 0x00100219, 0x00100221, 0x00100223),
    ),
    0x00102292: (0x00102293, 0x00102294, 0x00100212, 0x00100216, 0x00100217, 0x00100219, 0x00100223),
    0x00102152: (0x00380400,),  # Region of Residence: Patient's Institution Residence
    0x00102150: (0x00102152,),  # Country of Residence: the region tells it
    # Institution Name: its address, codes, departments.
    0x00080080: (0x00080081, 0x00080082, 0x00081040, 0x00081041),
    # Manufacturer: the model tells it. The model: serial number and device identifiers look it up.
    0x00080070: (0x00081090, 0x0018100B, 0x0018100A),
    0x00081090: (0x0018100B, 0x0018100A),
}
"""Attributes that tell what another one told before it was generalized."""


class AgeBands(Clause):
    """Ages in bands, from ``top`` years up one band; those below ``start`` are one band as well.

    Either of equal ``width`` in years, counted from ``start``; or uneven, by ``bounds``: the lower bound of each band
    after the first one, the last of them the top code.
    """

    width: int | None = Field(default=None, ge=1, le=60)
    start: int = Field(default=0, ge=0, le=100)
    bounds: tuple[Annotated[int, Field(ge=1, le=_OLDEST)], ...] = ()
    top: int = Field(default=90, ge=2, le=_OLDEST)

    @model_validator(mode="before")
    @classmethod
    def _top_of_bounds(cls, data: object) -> object:
        bounds = data.get("bounds") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(bounds, list | tuple) or not bounds:
            return data
        if data.get("top") not in (None, bounds[-1]):
            return data
        return {**data, "top": bounds[-1]}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.bounds:
            self._check_bounds()
        elif self.width is None:
            raise ValueError(
                "'width' is missing; write the years of a band, or bounds: with where bands begin"
            )
        elif self.start + self.width >= self.top and self.start:
            raise ValueError("'top' leaves no band above 'start'; write the age from which all ages are one")
        elif self.width >= self.top:
            raise ValueError("'top' is not above 'width'; write the age from which all ages are one")
        return self

    def _check_bounds(self) -> None:
        if self.width is not None or self.start:
            raise ValueError("'bounds' say where each band begins; leave width and start out")
        if self.top != self.bounds[-1]:
            raise ValueError("'top' is the last of 'bounds'; leave it out")
        if any(after <= before for before, after in pairwise(self.bounds)):
            raise ValueError(
                "'bounds' do not rise; write the age at which each band begins, the lowest first"
            )
        if len(self.bounds) > _MOST_BOUNDS:
            raise ValueError(f"'bounds' are too many; write at most {_MOST_BOUNDS}")

    @property
    def lowers(self) -> tuple[int, ...]:
        """The lower bound of every band, rising; the first is 0, the last the top code."""
        if self.bounds:
            return (0, *self.bounds)
        assert self.width is not None
        return tuple(sorted({0, *range(self.start, self.top, self.width), self.top}))

    def band(self, years: int) -> tuple[int, int | None]:
        """Return the first and the last age of the band that holds ``years``; the top band has no last."""
        lowers = self.lowers
        place = max(at for at, lower in enumerate(lowers) if lower <= max(years, 0))
        return lowers[place], lowers[place + 1] - 1 if place + 1 < len(lowers) else None

    @property
    def words(self) -> str:
        """How De-identification Method names the bands."""
        if self.bounds:
            return f"AGE BANDS FROM 0 {' '.join(map(str, self.bounds))}+"
        start = f" FROM {self.start}" if self.start else ""
        wide = "AGES IN YEARS" if self.width == 1 else f"AGE BANDS OF {self.width} YEARS"
        return f"{wide}{start}, {self.top}+"


def _lines(table: object) -> object:
    return tuple(table.items()) if isinstance(table, Mapping) else table


Table = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_lines),
    PlainSerializer(dict, return_type=dict[str, str]),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
]
Step = Annotated[Decimal, Field(gt=0, le=1000, max_digits=9)]
Limit = Annotated[Decimal, Field(ge=0, le=100_000, max_digits=9)]


class Generalization(Rule):
    """How one quasi-identifier becomes coarser, wherever it lies. One of these ways:

    - ``table``: a word becomes another one, ``from: to``;
    - ``digits``: of a number of five digits (a ZIP code, also ZIP+4) the first ones stay; a table may change them;
    - ``round``: a number becomes the nearest multiple of it;
    - ``width``: a number becomes the lower bound of its band, counted from zero.

    From ``top`` up a number is ``top``, from ``bottom`` down ``bottom``. What no line of the table names, and what is
    no number, becomes ``otherwise``; where that is not written it goes.
    """

    table: Table = ()
    digits: int | None = Field(default=None, ge=1, le=4)
    round: Step | None = None
    width: Step | None = None
    bottom: Limit | None = None
    top: Limit | None = None
    otherwise: str | None = None
    reason: Reason | None = None

    @field_validator("table")
    @classmethod
    def _folded(cls, table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        seen = {folded(word) for word, _ in table}
        if len(seen) < len(table):
            raise ValueError("'table' has a line twice, capitals and blanks apart; write it once")
        return table

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self._check_attribute()
        words = bool(self.table) or self.digits is not None
        ways = [words, self.round is not None, self.width is not None]
        if sum(ways) != 1:
            raise ValueError("one way is needed; write table, digits, round or width, and no other of them")
        if words:
            self._check_words()
        else:
            self._check_numbers()
        for value in (*(after for _, after in self.table), self.otherwise):
            if value is not None:
                self._check_value(value)
        return self

    def _check_attribute(self) -> None:
        found = self.known
        if found.tag in _ELSEWHERE:
            raise ValueError(f"{found.written} is treated by '{_ELSEWHERE[found.tag]}'; write it there")
        if found.keyword in never_kept():
            raise ValueError(f"{found.written} is never kept: {never_kept()[found.keyword]}; leave it out")
        if found.vr not in _TEXT | _NUMBERS:
            raise ValueError(f"{found.written} (VR {found.vr}) cannot be generalized; write an override")

    def _check_words(self) -> None:
        if self.known.vr not in _TEXT:
            raise ValueError(f"{self.known.written} is a number; write round or width")
        if self.top is not None or self.bottom is not None:
            raise ValueError("'top' and 'bottom' are for numbers; leave them out")
        if self.digits is not None and any(_POSTAL.fullmatch(word) is None for word, _ in self.table):
            raise ValueError("'table' beside 'digits' changes the digits that stay; write digits: digits")

    def _check_numbers(self) -> None:
        if self.known.vr not in _NUMBERS:
            raise ValueError(f"{self.known.written} (VR {self.known.vr}) is no number; write a table")
        if self.bottom is not None and self.top is not None and self.bottom >= self.top:
            raise ValueError("'top' is not above 'bottom'; write the value from which all values are one")
        numbers = (self.round, self.width, self.bottom, self.top)
        if self.known.vr == "IS" and any(one is not None and one % 1 for one in numbers):
            raise ValueError(f"{self.known.written} is a whole number; write whole numbers")

    def _check_value(self, value: str) -> None:
        if not value.isascii() or "\\" in value or value != value.strip():
            raise ValueError(
                "a value of 'table' or 'otherwise' has other characters than ASCII, or a backslash"
            )
        possible = _ENUMERATED.get(self.tag)
        if possible is not None and value not in possible:
            raise ValueError(f"'{value}' is no value of {self.known.written}; write {', '.join(possible)}")
        try:
            check_value(self.known, value)
        except ValueError as wrong:
            raise ValueError(str(wrong).replace("'value'", "a value of 'table' or 'otherwise'")) from None

    @property
    def companions(self) -> tuple[int, ...]:
        """Attributes that would tell the exact value beside the general one."""
        return _COMPANIONS.get(self.tag, ())

    @property
    def method(self) -> str:
        """How De-identification Method names it, in at most 64 characters (LO)."""
        if self.digits is not None:
            way = f" TO {self.digits} DIGITS"
        elif self.table:
            way = " BY TABLE"
        else:
            way = f" ROUNDED TO {self.round}" if self.round is not None else f" BANDS OF {self.width}"
        way += " IN PART" if self.when else ""
        found = self.known
        return (found.written if len(found.written + way) <= 64 else printed(found.tag)) + way

    @property
    def words(self) -> str:
        """What becomes of a value, for people."""
        parts = []
        if self.digits is not None:
            parts.append(f"of a postal code the first {self.digits} digits")
        if self.table:
            groups = sorted({after for _, after in self.table})
            named = ", ".join(groups[:8]) + (", …" if len(groups) > 8 else "")
            parts.append(f"{len(self.table)} values by a table, which become {named}")
        if self.round is not None:
            parts.append(f"rounded to multiples of {self.round}")
        if self.width is not None:
            parts.append(f"bands of {self.width}, stored as their lower bound")
        if self.bottom is not None:
            parts.append(f"up to {self.bottom} all are {self.bottom}")
        if self.top is not None:
            parts.append(f"from {self.top} up all are {self.top}")
        parts.append(f"any other becomes {self.otherwise}" if self.otherwise else "any other goes")
        return "; ".join(parts)


def folded(word: str) -> str:
    """Return a word as tables are looked up: without regard to capitals, and to blanks around it."""
    return word.strip(" \0").casefold()
