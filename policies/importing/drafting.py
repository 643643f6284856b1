"""Drafts a policy from what another de-identifier is told, and says what became of each line.

    base ─ the Basic Profile with cleaned reports ─┬─ options that moved dates, age bands or safe private elements need
                                                   └─ overrides: what the original treats more strictly, what it keeps
                                                      by name, and what an option would loosen unasked

Nothing ends looser than the profile unless a line of the original keeps that attribute by its name. Of several
outcomes the strictest counts. Whether a policy can say something is tried with the policy's own clauses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError
from pydicom.datadict import DicomDictionary, keyword_for_tag

from policies.clauses import Override, PrivateKeep
from policies.importing.blackening import drafted
from policies.importing.naming import keyword_of, vr_of
from policies.importing.original import Branch, Effect, Original, Outcome, Private, Rule, kinds
from policies.importing.outcomes import is_needed, kind_words, lines_of, profile_words, said, simple
from policies.importing.report import Fate, Line, Report
from policies.importing.telling import the_rest, warnings
from policies.model import Policy
from policies.profile import Action
from policies.quasi_identifiers import Generalization
from policies.rules import Rules
from policies.standard.attributes import attribute_named
from policies.standard.beyond import beyond, never_kept
from policies.standard.tables import Option, row_of, rows

_MODIFIED = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES
_CHARACTERISTICS = Option.RETAIN_PATIENT_CHARACTERISTICS
_PATIENT_AGE: Final = 0x00101010
_CONTENT_SEQUENCE: Final = 0x0040A730
_GONE: Final = (Effect.REMOVED, Effect.EMPTIED, Effect.CONSTANT)
_TOP_AGE: Final = 90
_CLEANED: Final = {"DA": "moved", "DT": "moved"}
_UNLIKE_A_CODE: Final = frozenset({Effect.UID, Effect.PSEUDONYM})


class Drafting:
    """One original on its way to a policy. ``fields`` are the draft's, ``report`` is what became of the lines."""

    def __init__(self, original: Original, *, name: str, version: str) -> None:
        self.original = original
        self._name, self._version = name, version
        self._options: set[str] = {Option.CLEAN_STRUCTURED_CONTENT}
        self._overrides: list[dict[str, Any]] = []
        self._tables: list[dict[str, Any]] = []
        self._private: list[dict[str, str]] = []
        self._lines: list[Line] = []
        self._more: list[Line] = []
        self._ages: dict[str, int] | None = None
        self._moves = False

    @cached_property
    def draft(self) -> tuple[dict[str, Any], Report]:
        """The fields of the policy, in the order in which a person reads them, and the report."""
        self._choose_dates()
        self._choose_ages()
        self._choose_private()
        base = self._base
        for tag in sorted(self._attributes()):
            self._attribute(tag, base)
        masks = list(self._masks())
        self._lines += the_rest(self.original)
        fields: dict[str, Any] = {
            "name": self._name,
            "version": self._version,
            "stage": "anonymize",
            "title": f"Imported from {self.original.dialect.words}"[:200],
            "description": (
                f"A draft, made from {self.original.dialect.words}. Read the report of the import, and look at every"
                " override, before you submit it."
            ),
            "options": sorted(map(str, self._options)),
            "dates": "shift" if self._moves else "remove",
        }
        more = {"ages": self._ages, "overrides": self._overrides, "generalize": self._tables}
        more |= {"private": self._private, "pixels": masks}
        fields |= {key: value for key, value in more.items() if value}
        lines = tuple(sorted(self._lines, key=lambda line: line.line))
        return fields, Report(lines, tuple(self._more), tuple(warnings(self.original, moves=self._moves)))

    # What the policy is before any override.

    @cached_property
    def _base(self) -> Rules:
        return self._rules(self._options, moves=self._moves)

    def _rules(self, options: set[str], *, moves: bool) -> Rules:
        fields = {"name": "x", "version": "0", "stage": "anonymize", "title": "x", "description": "x"}
        return Rules(
            Policy.model_validate(
                {**fields, "options": list(options), "dates": "shift" if moves else "remove"}
            )
        )

    @cached_property
    def _strict(self) -> Rules:
        """The Basic Profile with cleaned reports: what nobody may fall below unasked."""
        return self._rules({Option.CLEAN_STRUCTURED_CONTENT}, moves=False)

    def _choose_dates(self) -> None:
        if any(Effect.MOVED in rule.effects for rule in self.original.rules):
            self._moves = True
            self._options.add(_MODIFIED)

    def _choose_ages(self) -> None:
        rules = self._deciding(_PATIENT_AGE)
        if self._outcome(_PATIENT_AGE, rules) != Outcome(frozenset({Effect.BANDED}), by_profile=False):
            return
        width = rules[-1].width
        if 1 <= width <= 60:
            # CTP rounds to the nearest: the first band is half as wide, and the others begin in between.
            self._ages = {"width": width, "start": (width + 1) // 2, "top": _TOP_AGE}
            self._options.add(_CHARACTERISTICS)

    def _choose_private(self) -> None:
        original = self.original
        done = "all removed"
        fate = Fate.EXACT if original.private is Private.REMOVED else Fate.STRICTER
        if original.private is Private.SAFE:
            self._options.add(Option.RETAIN_SAFE_PRIVATE)
            done = "kept where Table E.3.10-1 of PS3.15 knows them to be safe"
            line = Line(original.private_line, "private elements", original.private, done, fate)
            self._more.append(line)
        self._lines.append(Line(original.private_line, "private elements", original.private, done, fate))
        for rule in original.rules:
            if rule.where.private is not None:
                self._private_rule(rule)

    def _private_rule(self, rule: Rule) -> None:
        assert rule.where.private is not None
        creator, group, element = rule.where.private
        told = said(rule.effects, rule)
        if rule.effects != {Effect.KEPT} or rule.sometimes:
            fate = Fate.EXACT if max(rule.effects, default=Effect.KEPT) <= Effect.EMPTIED else Fate.STRICTER
            self._lines.append(Line(rule.line, rule.where.words, told, "removed", fate))
            return
        entry = {
            "creator": creator,
            "group": f"{group:04X}",
            "element": f"{element:02X}",
            "reason": f"Line {rule.line} of the original keeps it by name.",
        }
        if Option.RETAIN_SAFE_PRIVATE not in self._options or _fault(PrivateKeep, entry):
            done = "removed; the option retain-safe-private would be needed, which keeps others too"
            self._lines.append(Line(rule.line, rule.where.words, told, done, Fate.STRICTER))
            return
        if entry not in self._private:
            self._private.append(entry)
            line = Line(rule.line, rule.where.words, told, "kept, and searched for the patient", Fate.EXACT)
            self._lines.append(line)
            self._more.append(line)

    # One attribute after the other.

    def _attributes(self) -> Iterator[int]:
        """Yield what has to be decided: what rules of the original name, and what an option chosen here loosens."""
        # A plain pattern matches attributes of the dictionary only; what no dictionary has is removed.
        patterns = [rule for rule in self.original.rules if not rule.where.named]
        named = {rule.where.tag for rule in self.original.rules if rule.where.tag is not None}
        listed = {tag for tag in rows() if not tag >> 16 & 1} | set(beyond())
        found = named | {
            tag for tag in listed if self._code(self._base, tag) != self._code(self._strict, tag)
        }
        if self._moves:
            found |= {tag for tag, entry in DicomDictionary.items() if entry[0] in ("DA", "DT", "TM")}
        if patterns:
            found |= {tag for tag in DicomDictionary if self._deciding(tag)}
        yield from (tag for tag in found if not tag >> 16 & 1 and tag >> 16 >= 8)

    def _deciding(self, tag: int) -> tuple[Rule, ...]:
        return self.original.deciding(tag, keyword_for_tag(tag), vr_of(tag))

    def _outcome(self, tag: int, rules: tuple[Rule, ...]) -> Outcome:
        return self.original.outcome(rules, tag)

    def _code(self, rules: Rules, tag: int) -> str:
        return rules.code((tag,), vr_of(tag)[:2].encode())

    def _attribute(self, tag: int, base: Rules) -> None:
        rules = self._deciding(tag)
        outcome = self._outcome(tag, rules)
        ours = self._code(base, tag)
        if attribute_named(keyword_of(tag)).written_by_us:
            self._told(rules, tag, outcome, "written by the de-identifier itself", Fate.NOT)
        elif not rules:
            self._unasked(tag, ours)
        elif not (self._by_kind(tag, kinds(rules), ours) or self._by_table(tag, rules, outcome)):
            self._by_rule(tag, rules, outcome, ours)

    def _by_kind(self, tag: int, branches: tuple[Branch, ...], ours: str) -> bool:
        """Draft each branch for the instances that it is for, and say whether a policy can have that."""
        entries: list[dict[str, Any]] = []
        lines: list[Line] = []
        more: list[Line] = []
        said = False
        for branch in branches:
            overrides, told, listed = self._apart(tag, branch.rule, ours)
            # Unsaid, another branch would decide about these instances too.
            reason = f"The Basic Profile decides here, and {lines_of(branches)} of the original elsewhere."
            profile = {"attribute": keyword_of(tag), "action": str(simple(ours)), "reason": reason}
            entry = overrides[0] if overrides else profile
            said = said or bool(overrides)
            if branch.when:
                entries.append({**entry, "when": dict(branch.when)})
            elif overrides:
                entries.append(entry)
            lines += [replace(line, done=line.done + kind_words(branch.when)) for line in told]
            more += [replace(line, done=line.done + kind_words(branch.when)) for line in listed]
        if not lines or any(_fault(Override, entry) for entry in entries) or self._contradicts(*entries):
            return False
        self._overrides += entries if said else []
        self._lines += lines
        self._more += more
        return True

    def _apart(
        self, tag: int, rule: Rule | None, ours: str
    ) -> tuple[list[dict[str, Any]], list[Line], list[Line]]:
        """Return what would be drafted for an attribute if a rule were the only one, or if there were none."""
        before = self._overrides, self._lines, self._more
        self._overrides, self._lines, self._more = [], [], []
        if rule is None:
            self._unasked(tag, ours)
        else:
            self._by_rule(tag, (rule,), Outcome(rule.effects, by_profile=False), ours)
        found = self._overrides, self._lines, self._more
        self._overrides, self._lines, self._more = before
        return found

    def _by_table(self, tag: int, rules: tuple[Rule, ...], outcome: Outcome) -> bool:
        """Draft a rule that is a table as one, and say whether a policy can have it."""
        rule = rules[0]
        entry: dict[str, Any] = {"attribute": keyword_of(tag), "table": dict(rule.table)}
        entry |= {"otherwise": rule.otherwise} if rule.otherwise is not None else {}
        entry["reason"] = f"Line {rule.line} of the original has this table."
        if (
            not rule.table
            or is_needed(tag)
            or _fault(Generalization, entry)
            or self._contradicts(tables=(entry,))
        ):
            return False
        self._tables.append(entry)
        line = self._line(
            rules, tag, outcome, "by the same table; what would tell the value beside it goes", Fate.EXACT
        )
        self._lines.append(line)
        self._more.append(line)
        return True

    def _unasked(self, tag: int, ours: str) -> None:
        """Take back what an option chosen here loosens, and no line of the original asked for."""
        strict = self._code(self._strict, tag)
        if ours != strict and ours in (Action.K, Action.C):
            reason = "No line of the original keeps or moves it, so it is treated as the Basic Profile does."
            self._override(tag, simple(strict), reason)

    def _by_rule(self, tag: int, rules: tuple[Rule, ...], outcome: Outcome, ours: str) -> None:
        effects = outcome.effects
        least = min(effects, default=Effect.KEPT)
        if effects == {Effect.KEPT} and not outcome.by_profile:
            self._kept(tag, rules, ours)
        elif effects and least in _GONE:
            self._gone(tag, rules, outcome, least, ours)
        elif effects == {Effect.MOVED} and not outcome.by_profile and vr_of(tag) in ("DA", "DT"):
            self._moved(tag, rules, outcome, ours)
        elif effects == {Effect.BANDED} and tag == _PATIENT_AGE and self._ages:
            done = f"the same bands, stored as their lower bounds, and one band from {_TOP_AGE} up"
            self._told(rules, tag, outcome, done, Fate.STRICTER)
            self._more.append(self._line(rules, tag, outcome, done, Fate.STRICTER))
        else:
            self._otherwise(tag, rules, outcome, ours)

    def _gone(self, tag: int, rules: tuple[Rule, ...], outcome: Outcome, least: Effect, ours: str) -> None:
        """The original removes, empties or overwrites it, or does so sometimes."""
        exact = outcome.effects <= set(_GONE) and not outcome.by_profile
        fate = Fate.EXACT if exact else Fate.STRICTER
        if is_needed(tag):
            replaced = ours in (Action.U, "Z", "D", "Z/D")
            done = (
                "replaced by a code of our own" if replaced else "kept: instances cannot be read without it"
            )
            self._told(rules, tag, outcome, done, Fate.LOOSER)
            return
        if ours not in (Action.K, Action.C, Action.U):
            if least is Effect.CONSTANT and exact and self._constant(tag, rules, ours):
                self._told(rules, tag, outcome, "replaced by the same text", Fate.EXACT)
                return
            done, looser = profile_words(tag, ours)
            shaped = vr_of(tag) == "SQ" and ours.endswith("D")
            if exact and (shaped or (looser and ours == "D")) and least is not Effect.CONSTANT:
                action = Action.X if least is Effect.REMOVED else Action.Z
                reason = f"Line {rules[0].line} of the original writes nothing in its place."
                looser = not self._override(tag, action, reason)
                done = done if looser else "removed as far as the standard allows"
            self._told(rules, tag, outcome, done, Fate.LOOSER if looser and exact else fate)
            return
        if least is Effect.CONSTANT and self._constant(tag, rules, ours):
            self._told(rules, tag, outcome, "replaced by the same text", fate)
            return
        action = Action.X if least is Effect.REMOVED else Action.Z
        reason = f"Line {rules[0].line} of the original does not let it stay."
        done = "removed as far as the standard allows" if action is Action.X else "emptied"
        if tag == _CONTENT_SEQUENCE:
            done += "; so manifests lose what they refer to: take this override out if you export with them"
        if self._override(tag, action, reason):
            self._told(rules, tag, outcome, done, fate)
        else:
            self._told(rules, tag, outcome, "cannot be taken out by a policy", Fate.LOOSER)

    def _constant(self, tag: int, rules: tuple[Rule, ...], ours: str) -> bool:
        """Have the fixed text of the original written, where it identifies nobody and is legal."""
        value = rules[-1].value
        if value is None or keyword_for_tag(tag) in never_kept() or len(rules) > 1 or vr_of(tag) == "UI":
            return False
        reason = f"Line {rules[0].line} of the original writes this text."
        return self._override(tag, Action.D, reason, value)

    def _kept(self, tag: int, rules: tuple[Rule, ...], ours: str) -> None:
        outcome = Outcome(frozenset({Effect.KEPT}), by_profile=False)
        if ours == Action.K:
            if self._code(self._strict, tag) == Action.K:
                self._told(rules, tag, outcome, "kept", Fate.EXACT)
            else:
                self._told(rules, tag, outcome, "kept", Fate.EXACT)
                self._more.append(self._line(rules, tag, outcome, "kept", Fate.EXACT))
            return
        if not all(rule.where.named for rule in rules):
            why = "as the profile does: a pattern keeps it, and not a line with its name"
            self._strictly(tag, ours, rules, outcome, why)
            return
        if ours == Action.C and self._code(self._strict, tag) == Action.C:
            self._told(rules, tag, outcome, "cleaned", Fate.STRICTER)
            return
        row = row_of(tag)
        descriptive = row is not None and row.options.get(Option.CLEAN_DESCRIPTORS) == Action.C
        action = Action.C if descriptive or ours == Action.C else Action.K
        done = "kept" if action is Action.K or vr_of(tag) == "TM" else _CLEANED.get(vr_of(tag), "cleaned")
        fate = Fate.EXACT if done == "kept" else Fate.STRICTER
        reason = f"Line {rules[0].line} of the original keeps it by name."
        if ours == action or self._override(tag, action, reason):
            self._told(rules, tag, outcome, done, fate)
            self._more.append(self._line(rules, tag, outcome, done, fate))
        else:
            self._strictly(tag, ours, rules, outcome, "as the profile does: no policy of ours may keep it")

    def _strictly(self, tag: int, ours: str, rules: tuple[Rule, ...], outcome: Outcome, done: str) -> None:
        self._unasked(tag, ours)
        self._told(rules, tag, outcome, done, Fate.STRICTER)

    def _moved(self, tag: int, rules: tuple[Rule, ...], outcome: Outcome, ours: str) -> None:
        done = "moved by a secret number of days of the patient"
        if not all(rule.where.named for rule in rules):
            self._strictly(
                tag,
                ours,
                rules,
                outcome,
                "as the profile does: a pattern moves it, and not a line with its name",
            )
        elif ours == Action.C or self._override(
            tag, Action.C, f"Line {rules[0].line} of the original moves it."
        ):
            self._told(rules, tag, outcome, done, Fate.EXACT)
            self._more.append(self._line(rules, tag, outcome, done, Fate.EXACT))
        else:
            self._strictly(tag, ours, rules, outcome, "as the profile does: such a date cannot be moved here")

    def _otherwise(self, tag: int, rules: tuple[Rule, ...], outcome: Outcome, ours: str) -> None:
        """Codes, computed values, and outcomes that depend on a condition."""
        strict = self._code(self._strict, tag)
        if outcome.effects <= _UNLIKE_A_CODE and (
            strict == Action.U or tag == 0x00100020 or tag == 0x00080050
        ):
            self._told(rules, tag, outcome, "replaced by a code of our own", Fate.EXACT)
        elif strict not in (Action.K, Action.C):
            self._unasked(tag, ours)
            self._told(rules, tag, outcome, "treated as the Basic Profile does", Fate.STRICTER)
        elif outcome.by_profile:
            self._told(rules, tag, outcome, "treated as the Basic Profile does", Fate.STRICTER)
        elif is_needed(tag):
            self._told(rules, tag, outcome, "kept: instances cannot be read without it", Fate.LOOSER)
        elif Effect.KEPT in outcome.effects and len(outcome.effects) == 1:
            self._told(rules, tag, outcome, "kept", Fate.EXACT)
        elif self._override(
            tag, Action.X, f"Line {rules[0].line} of the original computes it, which cannot be said here."
        ):
            self._told(rules, tag, outcome, "removed", Fate.STRICTER)
        else:
            self._told(rules, tag, outcome, "cannot be taken out by a policy", Fate.LOOSER)

    # Writing it down.

    def _override(self, tag: int, action: Action, reason: str, value: str | None = None) -> bool:
        """Add an override if a policy can have it, and say whether."""
        entry = {"attribute": keyword_of(tag), "action": str(action), "reason": reason}
        if value is not None:
            entry["value"] = value
        if _fault(Override, entry) or self._contradicts(entry):
            return False
        self._overrides.append(entry)
        return True

    def _contradicts(self, *overrides: Mapping[str, Any], tables: Sequence[Mapping[str, Any]] = ()) -> bool:
        fields = {"name": "x", "version": "0", "stage": "anonymize", "title": "x", "description": "x"}
        fields |= {"options": sorted(self._options), "dates": "shift" if self._moves else "remove"}  # type: ignore[dict-item]
        if self._ages:
            fields["ages"] = self._ages  # type: ignore[assignment]
        return _fault(Policy, {**fields, "overrides": list(overrides), "generalize": list(tables)})

    def _line(self, rules: tuple[Rule, ...], tag: int, outcome: Outcome, done: str, fate: Fate) -> Line:
        told = said(outcome.effects, *rules)
        if outcome.by_profile:
            told += ", or as the Basic Profile says"
        return Line(rules[0].line if rules else 0, keyword_of(tag), told, done, fate)

    def _told(self, rules: tuple[Rule, ...], tag: int, outcome: Outcome, done: str, fate: Fate) -> None:
        if rules:
            self._lines.append(self._line(rules, tag, outcome, done, fate))

    def _masks(self) -> Iterator[dict[str, Any]]:
        for one in map(drafted, self.original.masks):
            self._lines.append(one.line)
            if one.fields is not None and one.more is not None:
                self._options.add(Option.CLEAN_PIXEL_DATA)
                self._more.append(one.more)
                yield one.fields


def _fault(
    model: type[Override] | type[Generalization] | type[PrivateKeep] | type[Policy],
    entry: Mapping[str, Any],
) -> bool:
    try:
        model.model_validate(dict(entry))
    except ValidationError:
        return True
    return False
