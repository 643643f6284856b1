"""A preview as it is told: grouped by what happened and why, with original values or without.

Without values nothing in it comes from an instance but counts: no example, no word that went, no file name, and no
private creator that is not published, because any other may be a name. Words are those of the policy and the standard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom._private_dict import private_dictionaries
from pydicom.datadict import keyword_for_tag

from policies.analysis import Loss, Verdict
from policies.grounds import Because, Happened, Step
from policies.legible import legible
from policies.model import Policy, Stage
from policies.standard.rows import printed
from policies.standard.tables import safe_private
from policies.verify import Finding
from tce.cautions import of_policy
from tce.counts import counted
from tce.directory_keys import in_words as keys_in_words
from tce.preview import Kind, Preview, Row

_MOST_WORDS = 12
_DRAWN = (
    "Pseudonyms, new UIDs and numbers of days were drawn for this preview and are forgotten;"
    " they will be others when the stage runs."
)


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One attribute that came out in one way; ``examples`` and ``gone`` are empty without values."""

    attribute: str
    detail: str
    files: int
    values: int
    examples: tuple[tuple[str, str], ...] = ()
    gone: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Group:
    """All attributes to which the same happened on the same ground."""

    happened: Happened
    why: str
    lines: tuple[Line, ...]

    @property
    def heading(self) -> str:
        """What happened, as the beginning of a sentence."""
        return self.happened[0].upper() + self.happened[1:]

    @property
    def values(self) -> int:
        """How many values."""
        return sum(line.values for line in self.lines)


@dataclass(frozen=True, slots=True, repr=False)
class Turned:
    """All files that are not passed on for one reason; ``files`` is empty without values."""

    reason: str
    what: str
    next_step: str
    held: bool
    count: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """What a person or a program is told."""

    policy: Policy
    case: str
    with_values: bool
    files: int
    passed: int
    remarks: tuple[str, ...]
    groups: tuple[Group, ...]
    losses: tuple[Loss, ...]
    turned: tuple[Turned, ...]
    media: tuple[str, ...]
    findings: tuple[tuple[str, Finding], ...] = field(default=())
    """Each with the file's name, which is empty without values."""


def account_of(seen: Preview, *, case: str = "", with_values: bool) -> Account:
    """Return what is told of a preview."""
    name = namer(seen.policy, with_values)
    return Account(
        policy=seen.policy,
        case=case,
        with_values=with_values,
        files=len(seen.files),
        passed=len(seen.passed),
        remarks=tuple(_remarks(seen)),
        groups=_groups(seen, name, with_values),
        losses=tuple(seen.losses),
        turned=tuple(_turned(seen, with_values)),
        media=tuple(_media(seen)),
        findings=tuple((legible(file.name) if with_values else "", one) for file, one in seen.findings),
    )


def named_path(path: Sequence[Step], name: Callable[[Step], str]) -> str:
    """Return a path in words: ``RequestAttributesSequence > ScheduledProcedureStepID``."""
    return " > ".join(map(name, path))


def namer(policy: Policy, with_values: bool) -> Callable[[Step], str]:
    """Return what names a step of a path; without values, of private creators only those that somebody published."""
    published = {one.creator for one in policy.private} | {creator for creator, _, _ in safe_private()}

    def name(step: Step) -> str:
        tag, creator = step
        if not creator:
            return keyword_for_tag(tag) or printed(tag)
        known = with_values or creator in published or creator in private_dictionaries
        of = legible(creator) if known else "a creator that nobody published"
        return f"({tag >> 16:04X},xx{tag & 0xFF:02X}) of {of}"

    return name


def _groups(seen: Preview, name: Callable[[Step], str], with_values: bool) -> tuple[Group, ...]:
    found: dict[tuple[Happened, Because, str], list[tuple[Kind, Row]]] = {}
    for kind, row in seen.rows.items():
        found.setdefault((kind.happened, kind.ground.kind, kind.ground.words), []).append((kind, row))
    happenings, grounds = list(Happened), list(Because)
    ordered = sorted(
        found.items(),
        key=lambda pair: (happenings.index(pair[0][0]), grounds.index(pair[0][1]), pair[0][2]),
    )
    return tuple(
        Group(happened, why, _lines(rows, name, with_values)) for (happened, _, why), rows in ordered
    )


def _lines(rows: list[tuple[Kind, Row]], name: Callable[[Step], str], with_values: bool) -> tuple[Line, ...]:
    """Return the lines of a group; those that cannot be told apart by what is told become one."""
    lines: dict[tuple[str, str], Line] = {}
    for kind, row in sorted(rows, key=lambda pair: pair[0].path):
        key = (named_path(kind.path, name), kind.ground.reason)
        before = lines.get(key)
        examples = tuple((legible(one), legible(other)) for one, other in row.examples) if with_values else ()
        gone = (
            tuple((legible(word), n) for word, n in row.gone.most_common(_MOST_WORDS)) if with_values else ()
        )
        if before is None:
            lines[key] = Line(*key, row.files, row.values, examples, gone)
        else:
            files, values = max(before.files, row.files), before.values + row.values
            lines[key] = Line(*key, files, values, before.examples, before.gone)
    return tuple(lines.values())


def _remarks(seen: Preview) -> Iterator[str]:
    yield from of_policy(seen.policy)
    yield _DRAWN
    if seen.policy.stage is Stage.ANONYMIZE and seen.pseudonymized < len(seen.passed):
        yield (
            f"{len(seen.passed) - seen.pseudonymized} of {counted(len(seen.passed), 'file', 'files')} do not say that"
            " identities were removed. Stage 2 is for what stage 1 has made; stage 1 would have changed them before."
        )
    if seen.policy.minimum_cohort > 1 or seen.policy.disclosure is not None:
        yield "How many patients look alike is asked of all exports of a case, and not here."


def _turned(seen: Preview, with_values: bool) -> Iterator[Turned]:
    found: dict[tuple[str, str, str, bool], list[str]] = {}
    for one in seen.turned_down:
        key = (one.reason, one.what, one.next_step, one.held)
        found.setdefault(key, []).append(legible(one.file.name))
    for (reason, what, next_step, held), files in sorted(found.items()):
        yield Turned(reason, what, next_step, held, len(files), tuple(sorted(files)) if with_values else ())


def _media(seen: Preview) -> Iterator[str]:
    yield from keys_in_words(list(seen.never_there)).splitlines()[1:]
    for key in seen.missing_keys:
        had = "none of them had it before" if not key.had else f"{key.had} of them had it before"
        lacking = counted(key.count, "result", "results")
        yield f"- {key.keyword}, which a {key.record} record needs, is missing in {lacking}; {had}."


def as_json(account: Account) -> dict[str, Any]:
    """Return it for programs."""
    policy = account.policy
    return {
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "digest": policy.digest,
            "stage": policy.stage,
        },
        "case": account.case,
        "holds_original_values": account.with_values,
        "files": account.files,
        "passed": account.passed,
        "remarks": list(account.remarks),
        "not_passed": [
            {
                "reason": one.reason,
                "what": one.what,
                "next_step": one.next_step,
                "held": one.held,
                "count": one.count,
                **({"files": list(one.files)} if account.with_values else {}),
            }
            for one in account.turned
        ],
        "changes": [_group_json(group, account.with_values) for group in account.groups],
        "analysis": [
            {
                "need": loss.name,
                "rule": loss.rule,
                **{verdict.name.lower(): count for verdict, count in loss.tally.items()},
                "by": dict(loss.because),
            }
            for loss in account.losses
        ],
        "media": [line.removeprefix("- ") for line in account.media],
        "verification": [
            {
                "code": one.code,
                "where": one.where,
                "channel": one.channel,
                "what": one.what,
                **({"file": file} if account.with_values else {}),
            }
            for file, one in account.findings
        ],
    }


def _group_json(group: Group, with_values: bool) -> dict[str, Any]:
    return {
        "what": group.happened,
        "why": group.why,
        "attributes": [
            {
                "attribute": line.attribute,
                "detail": line.detail,
                "files": line.files,
                "values": line.values,
                **(
                    {"examples": [list(one) for one in line.examples], "words_gone": dict(line.gone)}
                    if with_values
                    else {}
                ),
            }
            for line in group.lines
        ],
    }


def verdict_words(loss: Loss) -> str:
    """Return how a need is met, in a few words."""
    named = {Verdict.MET: "met", Verdict.ROUGHLY: "roughly", Verdict.LOST: "lost"}
    return ", ".join(f"{named[verdict]} {count}" for verdict, count in loss.tally.items() if count)
