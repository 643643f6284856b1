"""The policies that canaries go through: the shipped ones, and test policies that let as much stay as each option
allows.
"""

from __future__ import annotations

from pydantic import ValidationError

from policies.loader import library, load_library
from policies.model import AcceptedRisk, AgeBands, Dates, Policy, Risk, Stage
from policies.standard.tables import Option

_FULL, _MODIFIED = Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES
_WHY = "a test lets everything pass that can"


def shipped(stage: Stage) -> list[Policy]:
    """Return the policies of the library for a stage."""
    return [_moving(policy) for policy in map(load_library, library()) if policy.stage == stage]


def _moving(policy: Policy) -> Policy:
    """Return a policy that truncates dates as one that shifts them.

    Truncated, the dates of a study that began on the first of January are those of the source, and a search cannot tell
    them from dates that were forgotten. Only where the number of days comes from is another.
    """
    return policy.model_copy(update={"dates": Dates.SHIFT}) if policy.dates.startswith("truncate") else policy


def of_stage_two() -> list[Policy]:
    """Return every policy of stage 2 that canaries go through."""
    return [*shipped(Stage.ANONYMIZE), *retaining()[0]]


def accepting(policy: Policy) -> Policy:
    """Return the same policy with every risk accepted, so that no SOP Class is held by its kind."""
    risks = tuple(AcceptedRisk(risk=risk, reason=_WHY) for risk in Risk)
    return policy.model_copy(update={"name": f"{policy.name}, risks accepted", "accept": risks})


def retaining() -> tuple[list[Policy], list[str]]:
    """Return a policy for each option alone and for all that go together, and the names of options that cannot be
    chosen.
    """
    possible, impossible = [], []
    for option in Option:
        try:
            possible.append(_with(option.value, {option}))
        except ValidationError:
            impossible.append(option.value)
    # To clean faces holds every head, so it would hide all the others.
    chosen = set().union(*(policy.options for policy in possible)) - {
        Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES
    }
    possible.append(_with("all-modified-dates", chosen - {_FULL}, prefix=""))
    possible.append(_with("all-full-dates", chosen - {_MODIFIED}, prefix=""))
    return possible, impossible


def _with(name: str, options: set[Option], prefix: str = "only-") -> Policy:
    banded = Option.RETAIN_PATIENT_CHARACTERISTICS in options and Option.CLEAN_GRAPHICS in options
    return Policy(
        name=f"{prefix}{name}"[:40],
        version="1",
        stage=Stage.ANONYMIZE,
        title=name,
        description=_WHY,
        options=frozenset(options),
        ages=AgeBands(width=5, top=90) if banded else None,
    )
