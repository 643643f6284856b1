"""The clauses of a policy: a rule for an attribute, a private element kept, regions blacked out, a risk accepted.

Each is checked for itself here, so that a fault is found where it is written; what clauses mean beside each
other is :mod:`policies.model`. Serves PS3.15 Annex E and the value rules of PS3.5.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from policies.profile import Action
from policies.standard.attributes import Attribute, check_value, path_named
from policies.standard.beyond import BURNED_IN_RISKS, Risk, never_kept


def _one_line(text: str) -> str:
    if not text:
        raise ValueError("is empty; write a few words")
    if any(ord(character) < 32 for character in text):
        raise ValueError("has line breaks or control characters; write one line")
    return text


def _hexadecimal(value: object) -> object:
    if isinstance(value, str):
        digits = value.lower().removeprefix("0x").removeprefix("xx")
        try:
            return int(digits, 16)
        except ValueError:
            raise ValueError("is no hexadecimal number; write its digits, for example 0019") from None
    return value


def _odd(group: int) -> int:
    if not group & 1 or group < 9 or group == 0xFFFF:
        raise ValueError("is no private group; private groups are odd, for example 0019")
    return group


_AS_HEXADECIMAL = WithJsonSchema(
    {"type": ["string", "integer"], "pattern": "^(0[xX]|[xX]{2})?[0-9A-Fa-f]{1,4}$"}
)
Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Word = Annotated[str, Field(max_length=64), AfterValidator(_one_line)]
Reason = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
EventType = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9_ ]*$", max_length=16)]
"""Longitudinal Temporal Event Type (0012,0053), a CS; the standard defines ENROLLMENT and BASELINE."""


class Clause(BaseModel):
    """Base of everything a policy is made of: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class LegacyUids(Clause):
    """New UIDs as another de-identifier made them, without a key: for a trial that began with them.

    Whoever has an original UID can work out the new one.
    """

    method: Literal["ctp-hashuid"]
    """CTP's ``@hashuid``: the root, a dot and the MD5 of the original as a decimal number, cut to 64 characters."""
    root: Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$", max_length=40)]
    reason: Reason

    @field_validator("root")
    @classmethod
    def _of_the_trial(cls, root: str) -> str:
        if f"{root}.".startswith("1.2.840.10008."):
            raise ValueError("is the standard's own root; write the one that the trial's script has")
        return root


class Conditions(Clause):
    """For which instances a rule is: all that are given have to hold of what the instance says when it comes in.

    An instance that does not say it does not fulfil it. Text is compared without regard to capitals; of Image Type it
    is enough that one of its values is the one given.
    """

    sop_class: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)] | None = None
    modality: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")] | None = None
    manufacturer: Word | None = None
    image_type: Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.given:
            raise ValueError("'when' has no condition; write for example modality: CT, or leave 'when' out")
        return self

    @property
    def given(self) -> dict[str, str]:
        """The conditions that are given, by name."""
        named = ("sop_class", "modality", "manufacturer", "image_type")
        return {name: value for name in named if (value := getattr(self, name)) is not None}


class Rule(Clause):
    """What is said of one attribute: wherever it lies, or only below the sequences that are named before it.

    ``when`` says for which instances.
    """

    attribute: str
    when: Conditions | None = None

    @field_validator("attribute")
    @classmethod
    def _named(cls, attribute: str) -> str:
        path = path_named(attribute)
        found = path[-1]
        if any(one.private for one in path):
            raise ValueError("is private; name what is kept under 'private', the rest of it is removed")
        if found.written_by_us:
            raise ValueError("is written by the de-identifier itself; leave it out")
        return ".".join(one.written for one in path)

    @property
    def known(self) -> Attribute:
        """The attribute as the data dictionary knows it."""
        return path_named(self.attribute)[-1]

    @property
    def tag(self) -> int:
        """The attribute's tag."""
        return self.known.tag

    @property
    def path(self) -> tuple[int, ...]:
        """The tags of the sequences that lead to it, as far as they are named, and its own."""
        return tuple(one.tag for one in path_named(self.attribute))


class Override(Rule):
    """What happens to one attribute in place of what profile and options say; and why."""

    action: Action
    value: str | None = None
    reason: Reason

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found = self.known
        if found.repeats and self.action != Action.X:
            raise ValueError(
                f"{found.written} is of a repeating group, which always goes; write X, or leave it out"
            )
        if self.action in (Action.K, Action.C) and found.keyword in never_kept():
            raise ValueError(f"{found.written} is never kept: {never_kept()[found.keyword]}; write X, Z or D")
        if self.action == Action.U and found.vr != "UI":
            raise ValueError(f"{found.written} is no UID, so U is not possible; write D, Z or X")
        if self.action == Action.C and not found.cleanable:
            raise ValueError(f"{found.written} (VR {found.vr}) cannot be cleaned; write X, Z, D or K")
        if self.value is not None:
            if self.action != Action.D:
                raise ValueError("'value' is written only with action D; leave it out or write action: D")
            check_value(found, self.value)
        return self


class PrivateKeep(Clause):
    """A private element that is kept: by creator, wherever its block lies; ``element`` is the low byte."""

    creator: Word
    group: Annotated[
        int, Field(ge=0, le=0xFFFF), BeforeValidator(_hexadecimal), AfterValidator(_odd), _AS_HEXADECIMAL
    ]
    element: Annotated[int, Field(ge=0, le=0xFF), BeforeValidator(_hexadecimal), _AS_HEXADECIMAL]
    vr: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    reason: Reason


class Region(Clause):
    """A rectangle of pixels, counted from 0 at the upper left; without width or height it ends at the edge."""

    x: int = Field(default=0, ge=0, le=0xFFFF)
    y: int = Field(default=0, ge=0, le=0xFFFF)
    width: int | None = Field(default=None, ge=1, le=0xFFFF)
    height: int | None = Field(default=None, ge=1, le=0xFFFF)


class PixelRule(Clause):
    """Regions that are blacked out in images of one kind, and why. All conditions that are given have to hold."""

    sop_class: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)] | None = None
    risk: Risk | None = None
    modality: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")] | None = None
    manufacturer: Word | None = None
    model: Word | None = None
    rows: int | None = Field(default=None, ge=1, le=0xFFFF)
    columns: int | None = Field(default=None, ge=1, le=0xFFFF)
    regions: tuple[Region, ...]
    reason: Reason

    @field_validator("risk")
    @classmethod
    def _in_pixels(cls, risk: Risk | None) -> Risk | None:
        if risk is not None and risk not in BURNED_IN_RISKS:
            possible = ", ".join(sorted(BURNED_IN_RISKS))
            raise ValueError(f"{risk} is no matter of text in pixels; write one of {possible}")
        return risk

    @field_validator("regions")
    @classmethod
    def _some(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        if not regions:
            raise ValueError(
                "'regions' is empty; write what is blacked out, or accept the risk under 'accept' if nothing has to be"
            )
        return regions

    @model_validator(mode="after")
    def _conditional(self) -> Self:
        if not self.conditions:
            raise ValueError(
                "'regions' without a condition would match every image; write for example model: …"
            )
        return self

    @property
    def conditions(self) -> dict[str, str | int]:
        """The conditions that are given, by name."""
        named = ("sop_class", "risk", "modality", "manufacturer", "model", "rows", "columns")
        return {name: value for name in named if (value := getattr(self, name)) is not None}


class AcceptedRisk(Clause):
    """A kind of instances at risk that passes without review, and why that is right for this policy."""

    risk: Risk
    reason: Reason
