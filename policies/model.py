"""A policy as it is used: typed, frozen, free of contradictions, with a digest that an approval can sign.

A policy says what happens to attributes; it holds no key and no patient. Files are read by
:mod:`policies.loader`, which turns every fault found here into a line of the file. Serves PS3.15 Annex E: the
profile, its options (CID 7050) and what may be claimed of them in De-identification Method.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, field_serializer, model_validator
from pydantic_core import PydanticCustomError

from policies.clauses import (
    AcceptedRisk,
    Clause,
    Conditions,
    EventType,
    LegacyUids,
    Line,
    Override,
    PixelRule,
    PrivateKeep,
    Rule,
    Word,
)
from policies.disclosure.clause import STUDY_DATE, USUAL, Disclosure
from policies.inheritance import Inheritance
from policies.profile import Action, Stage, contradictions, resolve, resolve_beyond
from policies.quasi_identifiers import AgeBands, Generalization
from policies.standard.beyond import Risk
from policies.standard.tables import BASIC_CODE, Option, row_of

__all__ = [
    "AcceptedRisk",
    "Action",
    "AgeBands",
    "Blank",
    "Conditions",
    "Dates",
    "Disclosure",
    "Generalization",
    "LegacyUids",
    "Override",
    "PixelRule",
    "Policy",
    "PrivateKeep",
    "PseudonymSource",
    "Risk",
    "Stage",
]

_PATIENT_AGE = 0x00101010
_FULL = Option.RETAIN_LONGITUDINAL_FULL_DATES
_MODIFIED = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES


class Dates(StrEnum):
    """What happens to dates and times. Each is the policy's side of a temporal option of CID 7050."""

    REMOVE = "remove"
    SHIFT = "shift"
    TRUNCATE_TO_MONTH = "truncate-to-month"
    TRUNCATE_TO_QUARTER = "truncate-to-quarter"
    TRUNCATE_TO_YEAR = "truncate-to-year"
    STUDY_DAY = "study-day"
    KEEP = "keep"

    @property
    def moves(self) -> bool:
        """Whether every date of an instance moves by one number of days."""
        return self not in (Dates.REMOVE, Dates.KEEP)

    @property
    def option(self) -> Option | None:
        """The option of CID 7050 that this needs."""
        if self.moves:
            return _MODIFIED
        return _FULL if self is Dates.KEEP else None


class PseudonymSource(StrEnum):
    """Where pseudonyms, new UIDs and numbers of days come from.

    ``keyed`` derives them from the original, so that no store is needed; ``random`` has nothing of the original in
    them, as 45 CFR 164.514(c) asks for, and a store that keeps them the same.
    """

    KEYED = "keyed"
    RANDOM = "random"


class Blank(StrEnum):
    """What stands where a text is blanked: nothing, or a placeholder (PS3.15 Table E.1-1a, Z allows both)."""

    EMPTY = "empty"
    PLACEHOLDER = "placeholder"


_DATES_OF = {None: Dates.REMOVE, _MODIFIED: Dates.SHIFT, _FULL: Dates.KEEP}
_METHOD = {
    Dates.REMOVE: "DATES REMOVED",
    Dates.SHIFT: "DATES SHIFTED",
    Dates.TRUNCATE_TO_MONTH: "DATES TO MONTH",
    Dates.TRUNCATE_TO_QUARTER: "DATES TO QUARTER",
    Dates.TRUNCATE_TO_YEAR: "DATES TO YEAR",
    Dates.STUDY_DAY: "STUDY DAYS",
    Dates.KEEP: "DATES KEPT",
}
_METHOD_OF_LEGACY_UIDS = "UIDS HASHED WITHOUT A KEY (CTP HASHUID)"
_BIRTH_DATE = 0x00100030
_WRITTEN_ALWAYS = {
    (tag,) for tag in (0x00080020, 0x00080030, 0x00100010, 0x00100020, _PATIENT_AGE, 0x00200010)
}
"""Study Date and Time, name and ID of the patient, age, Study ID: written at their places in every instance."""

_NEWS: dict[str, object] = {"generalize": [], "blank": Blank.EMPTY, "disclosure": None, "legacy_uids": None}
_NEWS_OF_A_CLAUSE: dict[str, object] = {"when": None, "start": 0, "bounds": []}
"""Keys that came later, and what they are where a policy does not write them. There they are no part of what is signed,
so that approvals of policies from before still hold."""


def _without_news(fields: dict[str, Any]) -> dict[str, Any]:
    clauses = [fields["ages"], *fields["overrides"], *fields["generalize"]]
    for written, news in ((fields, _NEWS), *((one, _NEWS_OF_A_CLAUSE) for one in clauses if one)):
        for key, plain in news.items():
            if key in written and written[key] == plain:
                del written[key]
    return fields


def _retained_by(tag: int) -> Iterator[Option]:
    row = row_of(tag)
    yield from (option for option, action in row.options.items() if action == Action.K) if row else ()


def _done(rule: Override | Generalization) -> Action:
    """Return the action code: to generalize is to clean (PS3.15 Table E.1-1a, C)."""
    return rule.action if isinstance(rule, Override) else Action.C


class Policy(Clause):
    """One policy of one stage. Whoever holds one may rely on its parts not contradicting each other.

    - the profile is always the Basic Application Level Confidentiality Profile; ``options`` change it;
    - ``overrides`` change it further, attribute by attribute, each with a reason;
    - ``codes`` and ``method_text`` say what may be claimed of the result, and no more;
    - ``digest`` changes whenever anything of the policy does.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]*$", max_length=16)]
    extends: Inheritance | None = Field(default=None, exclude=True)
    stage: Stage
    title: Line
    description: Annotated[str, Field(min_length=1, max_length=2000)]
    options: frozenset[Option] = frozenset()
    overrides: tuple[Override, ...] = ()
    ages: AgeBands | None = None
    generalize: tuple[Generalization, ...] = ()
    dates: Dates = Dates.REMOVE
    event: EventType | None = None
    private: tuple[PrivateKeep, ...] = ()
    vocabulary: tuple[Word, ...] = ()
    accept: tuple[AcceptedRisk, ...] = ()
    pixels: tuple[PixelRule, ...] = ()
    pseudonyms: PseudonymSource = PseudonymSource.KEYED
    legacy_uids: LegacyUids | None = None
    minimum_cohort: int = Field(default=1, ge=1)
    disclosure: Disclosure | None = None
    clinical_trial: bool = False
    blank: Blank = Blank.EMPTY

    @model_validator(mode="before")
    @classmethod
    def _dates_of_options(cls, data: object) -> object:
        # Left out, dates follow the temporal option: to say it once is enough.
        if not isinstance(data, dict) or data.get("dates") is not None:
            return data
        written = data.get("options")
        listed = written if isinstance(written, list | tuple | set | frozenset) else ()
        chosen = [option for option in (_FULL, _MODIFIED) if option in listed]
        return {**data, "dates": _DATES_OF[chosen[0] if chosen else None]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = self._contradictions()
        if faults:
            words = "; ".join(f"{key}: {what}" for key, what in faults)
            raise PydanticCustomError("contradiction", "{words}", {"words": words, "faults": faults})
        return self

    @field_serializer("options")
    def _in_order(self, options: frozenset[Option]) -> list[Option]:
        return sorted(options)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of the policy's canonical JSON (sorted keys, no white space, UTF-8)."""
        fields = _without_news(self.model_dump(mode="json"))
        written = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(written.encode()).hexdigest()

    @property
    def accepted_risks(self) -> frozenset[Risk]:
        """The kinds of instances at risk that are not held for review."""
        return frozenset(accepted.risk for accepted in self.accept)

    @property
    def rules(self) -> tuple[Override | Generalization, ...]:
        """All that is said of single attributes."""
        return (*self.overrides, *self.generalize)

    @property
    def companions(self) -> frozenset[int]:
        """Attributes that go because they would tell what another one told before it was generalized.

        One that a rule of its own names is not among them.
        """
        named = {rule.tag for rule in self.rules}
        return frozenset(tag for rule in self.generalize for tag in rule.companions if tag not in named)

    @property
    def conditional(self) -> bool:
        """Whether it treats instances differently by what they say of themselves."""
        return any(rule.when for rule in self.rules)

    def applied(self, holds: Callable[[Conditions], bool]) -> Policy:
        """Return the policy for instances of one kind: rules whose conditions do not hold are left out.

        A rule with conditions goes before one without. What is claimed is said by the whole policy alone.
        """
        chosen: dict[str, tuple[Rule, ...]] = {}
        for name, rules in (("overrides", self.overrides), ("generalize", self.generalize)):
            those = [rule for rule in rules if rule.when is None or holds(rule.when)]
            chosen[name] = tuple(sorted(those, key=lambda rule: rule.when is None))
        return self.model_copy(update=chosen)

    @property
    def k(self) -> int:
        """How many patients of a cohort have to look alike: what is written, or what the largest risk asks for."""
        return max(self.minimum_cohort, self.disclosure.k if self.disclosure else 1)

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        """The attributes by which patients of a cohort are compared."""
        if self.disclosure is not None and self.disclosure.quasi_identifiers:
            return self.disclosure.quasi_identifiers
        # A shifted date is another one for each patient, and tells nothing.
        return tuple(name for name in USUAL if name != STUDY_DATE or self.dates is not Dates.SHIFT)

    @property
    def weakening(self) -> tuple[Override | Generalization, ...]:
        """The rules that leave more of an attribute than profile and options do."""
        return tuple(rule for rule in self.rules if self._weakens(rule))

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Codes of CID 7050 (scheme DCM; value and meaning) that are true of what this policy does to every instance.

        The profile comes first; it is not claimed where an override weakens it. An option is not claimed
        where an override takes away what it retains, or keeps as it is what it cleans (PS3.15 E.1.1). What is
        done to the pixels of some instances only is in :meth:`codes_of`.
        """
        return self.codes_of(pixels_cleaned=False)

    def codes_of(self, *, pixels_cleaned: bool) -> tuple[tuple[str, str], ...]:
        """Return the codes that are true of an instance whose pixels were cleaned by a pixel rule, or were not.

        Nothing distorts recognizable features yet, so that option is never claimed.
        """
        basic = () if self.weakening else (BASIC_CODE,)
        untrue = {option for rule in self.rules for option in self._belied_by(rule)}
        untrue |= {option for tag in self.companions for option in _retained_by(tag)}
        untrue.add(Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES)
        if not pixels_cleaned:
            untrue.add(Option.CLEAN_PIXEL_DATA)
        options = sorted(self.options - untrue, key=lambda option: option.code)
        return basic + tuple((option.code, option.meaning) for option in options)

    @property
    def method_text(self) -> tuple[str, ...]:
        """Values for De-identification Method (LO, at most 64 characters each)."""
        dates = f"{_METHOD[self.dates]} FROM {self.event}" if self.event else _METHOD[self.dates]
        texts = (f"{self.name} {self.version}", dates)
        # The same text for every instance: it is an attribute of the patient, who must not differ between instances.
        ages = () if self.ages is None else (self.ages.words,)
        uids = () if self.legacy_uids is None else (_METHOD_OF_LEGACY_UIDS,)
        return (*texts, *ages, *uids, *(rule.method for rule in self.generalize))

    @property
    def temporal_information(self) -> str:
        """The value of Longitudinal Temporal Information Modified (0028,0303)."""
        if self.dates.moves:
            return "MODIFIED"
        return "UNMODIFIED" if self.dates is Dates.KEEP else "REMOVED"

    def _code(self, tag: int) -> str | None:
        return resolve(tag, self.options) or resolve_beyond(tag, self.options)

    def _weakens(self, rule: Override | Generalization) -> bool:
        code = self._code(rule.tag)
        if code is None:
            return False
        enough = {Action.K: (Action.K,), Action.C: (Action.K, Action.C)}.get(_done(rule))
        return enough is not None and code not in enough

    def _belied_by(self, rule: Override | Generalization) -> Iterator[Option]:
        row = row_of(rule.tag)
        done = _done(rule)
        for option, action in row.options.items() if row else ():
            retains_no_more = action == Action.K and done not in (Action.K, Action.C)
            cleans_no_more = action == Action.C and done == Action.K and self._weakens(rule)
            if retains_no_more or cleans_no_more:
                yield option

    def _contradictions(self) -> list[tuple[str, str]]:
        faults = [("options", f"{what}; choose one of them") for what in contradictions(self.options)]
        faults += self._date_faults()
        if self.ages and Option.RETAIN_PATIENT_CHARACTERISTICS not in self.options:
            faults.append(
                (
                    "ages",
                    "bands need an age; write the option retain-patient-characteristics, or leave ages out",
                )
            )
        if self.private and Option.RETAIN_SAFE_PRIVATE not in self.options:
            faults.append(
                (
                    "private",
                    "elements are kept only by the option retain-safe-private; write it, or leave them out",
                )
            )
        if self.pixels and Option.CLEAN_PIXEL_DATA not in self.options:
            faults.append(
                (
                    "pixels",
                    "pixels are changed only by the option clean-pixel-data; write it, or leave them out",
                )
            )
        if self.disclosure is not None:
            faults += self.disclosure.faults_beside(
                shifted=self.dates is Dates.SHIFT, released=self.stage is Stage.ANONYMIZE
            )
        if self.stage is Stage.PSEUDONYMIZE and Option.RETAIN_UIDS in self.options:
            faults.append(
                (
                    "options",
                    "retain-uids leaves UIDs by which anybody finds the patient in the archive, and stage pseudonymize"
                    " replaces what identifies directly; leave the option out, or write stage: anonymize",
                )
            )
        return [*faults, *self._legacy_faults(), *self._override_faults()]

    def _legacy_faults(self) -> Iterator[tuple[str, str]]:
        if self.legacy_uids is None:
            return
        if Option.RETAIN_UIDS in self.options:
            yield "legacy_uids", "retain-uids leaves every UID as it is; write one of the two"
        if self.pseudonyms is PseudonymSource.RANDOM:
            yield (
                "legacy_uids",
                "such UIDs are made of the originals; write pseudonyms: keyed, or leave them out",
            )

    def _date_faults(self) -> Iterator[tuple[str, str]]:
        chosen = self.options & {_FULL, _MODIFIED}
        if len(chosen) < 2 and self.dates.option != next(iter(chosen), None):
            yield "dates", self._dates_fault(_DATES_OF[next(iter(chosen), None)])
        if self.dates is Dates.STUDY_DAY and not self.event:
            yield "dates", "'study-day' counts from an event; write event: ENROLLMENT, or event: BASELINE"
        if self.event and self.dates is not Dates.STUDY_DAY:
            yield "event", "only study days count from an event; write dates: study-day, or leave event out"

    def _dates_fault(self, expected: Dates) -> str:
        if self.dates is Dates.REMOVE or (
            expected is not Dates.REMOVE and self.dates.option != expected.option
        ):
            written = f"dates: {expected}"
            return f"'{self.dates}' contradicts the option {expected.option}; write {written}"
        return f"'{self.dates}' needs the option {self.dates.option}; write it, or dates: {expected}"

    def _temporal_fault(self, override: Override) -> str:
        """Return what is wrong with an override beside the policy's rules for ages and dates, or nothing."""
        if self.ages and override.tag == _PATIENT_AGE:
            return "is put into bands by 'ages'; write one of the two"
        if override.known.vr not in ("DA", "DT") or override.tag == _BIRTH_DATE:
            return ""
        if override.action == Action.K and self.dates.moves:
            return "would tell, beside shifted dates, by how much they are shifted; write X, Z, D or C"
        if override.action == Action.C and not self.dates.moves:
            return f"is cleaned by shifting it, and the policy's dates are '{self.dates}'; write X, Z or D"
        return ""

    def _twice(self) -> Iterator[tuple[str, str]]:
        seen: set[tuple[tuple[int, ...], str]] = set()
        for key, rules in (("overrides", self.overrides), ("generalize", self.generalize)):
            for place, rule in enumerate(rules):
                said = (rule.path, str(rule.when))
                if said in seen:
                    yield f"{key}.{place}", f"{rule.attribute} is overridden twice; write it once"
                seen.add(said)
                if rule.when and rule.path in _WRITTEN_ALWAYS:
                    yield (
                        f"{key}.{place}",
                        f"{rule.attribute} is written in every instance alike; leave 'when' out",
                    )

    def _override_faults(self) -> list[tuple[str, str]]:
        faults = list(self._twice())
        for place, override in enumerate(self.overrides):
            where = f"overrides.{place}"
            fault = self._temporal_fault(override)
            if fault:
                faults.append((where, f"{override.attribute} {fault}"))
            if override.tag == _BIRTH_DATE and override.action in (Action.K, Action.C):
                faults += [(where, what) for what in self._birth_date_faults()]
            if override.action == Action.K and self._code(override.tag) == Action.U:
                faults.append(
                    (
                        where,
                        f"{override.attribute} stays only by the option retain-uids; write that option",
                    )
                )
        return faults

    def _birth_date_faults(self) -> Iterator[str]:
        # With a birth date, an age tells the day of the examination again, and a date moved by at most a month or a
        # year is nearly the true one.
        if self.ages:
            yield "PatientBirthDate tells the age that 'ages' puts into bands; write Z, X or D"
        if self.dates is not Dates.KEEP:
            yield f"PatientBirthDate undoes dates: {self.dates}, together with an age; write Z, X or D"
