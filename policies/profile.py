"""Which action of PS3.15 Table E.1-1 applies to an attribute under a set of options, and which stage owns it.

Pure functions over the tables: options are combined, compound codes are resolved by the attribute's Type in
the IOD (Table E.1-1a), and a code that would break the IOD is replaced by the nearest that does not (E.1.1).
What an action *does* to a value is the engine's concern, not decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from policies.standard.beyond import beyond
from policies.standard.iods import AttributeUse
from policies.standard.tables import Option, concepts, row_of


class Action(StrEnum):
    """The simple action codes of Table E.1-1a. Z, D, X and U treat a sequence whole; K and C its items."""

    D = "D"
    Z = "Z"
    X = "X"
    K = "K"
    C = "C"
    U = "U"


class Stage(StrEnum):
    """The two stages. Stage 1 pseudonymizes direct identifiers, stage 2 anonymizes what is left."""

    PSEUDONYMIZE = "pseudonymize"
    ANONYMIZE = "anonymize"


# Table E.1-1a: the simple action for each Type. Where a code has none for a Type, the nearest legal one
# stands: an empty value for X/D on Type 2, a dummy for Z on Type 1 (Z allows dummies).
_BY_TYPE: Mapping[str, Mapping[str, Action]] = {
    "Z": {"1": Action.D, "2": Action.Z, "3": Action.Z},
    "Z/D": {"1": Action.D, "2": Action.Z, "3": Action.Z},
    "X/Z": {"1": Action.D, "2": Action.Z, "3": Action.X},
    "X/D": {"1": Action.D, "2": Action.Z, "3": Action.X},
    "X/Z/D": {"1": Action.D, "2": Action.Z, "3": Action.X},
    "X/Z/U*": {"1": Action.K, "2": Action.Z, "3": Action.X},
}


def resolve(tag: int, options: Collection[Option]) -> str | None:
    """Return the action code of Table E.1-1 under ``options``, possibly compound, or None without a row.

    Rows of repeating groups and private groups are found by any of their tags.
    """
    row = row_of(tag)
    return None if row is None else _strongest(row.basic, row.options, options)


def resolve_beyond(tag: int, options: Collection[Option]) -> str | None:
    """Return the action for an attribute that the table forgets, or None where nothing is said of it."""
    row = beyond().get(tag)
    return None if row is None else _strongest(row.action, row.options, options)


def resolve_concept(code: str, scheme: str, value_type: str, options: Collection[Option]) -> str | None:
    """Return the action code of Table E.3.4-1 for a content item, or None without a row."""
    row = concepts().get((code, scheme, value_type))
    return None if row is None else _strongest(row.basic, row.options, options)


def compound(code: str, use: AttributeUse | None) -> Action:
    """Return the simple action for ``code`` where the IOD uses the attribute as ``use`` says.

    ``None`` means that the IOD does not define the attribute there. A conditional Type counts as the
    unconditional one, because the source has the attribute and the conditions are not known here. U* becomes
    K: the sequence stays and the UIDs in its items are replaced.
    """
    kind = "3" if use is None else use.type[0]
    if code == "X":
        return _removed(use)
    if code in _BY_TYPE:
        return _BY_TYPE[code][kind]
    return Action(code)


def contradictions(options: Collection[Option]) -> list[str]:
    """Return a sentence for each contradiction among ``options``; none of them can be obeyed together."""
    dates = {Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES}
    if dates <= set(options):
        return [
            f"{Option.RETAIN_LONGITUDINAL_FULL_DATES} keeps every date and"
            f" {Option.RETAIN_LONGITUDINAL_MODIFIED_DATES} shifts it (PS3.15 E.3.6)"
        ]
    return []


def owner(tag: int, stage1_options: Collection[Option]) -> Stage | None:
    """Return the stage that treats the row of ``tag``, or None without a row.

    Stage 1 owns what its options do not leave as it is (K) or merely clean (C); the rest is stage 2's.
    """
    code = resolve(tag, stage1_options)
    if code is None:
        return None
    return Stage.ANONYMIZE if code in (Action.K, Action.C) else Stage.PSEUDONYMIZE


def _strongest(basic: str, cells: Mapping[Option, str], options: Collection[Option]) -> str:
    # The standard gives no priority among options. To clean is what an option asks for explicitly, so it
    # wins over another option's wish to keep: a calibration date of a retained device is shifted like others.
    chosen = {action for option, action in cells.items() if option in options}
    for action in (Action.U, Action.C, Action.K):
        if action in chosen:
            return action
    return basic


def _removed(use: AttributeUse | None) -> Action:
    # E.1.1 makes the IOD's integrity our duty: Presentation Creation Date is X but Type 1, Responsible Person
    # X but Type 2C. A Type 1C attribute may go, because what its condition describes goes with it; and so may
    # any at the top level of an optional module (Overlay Data), because the module goes with it.
    if use is None or not (use.nested or use.mandatory_module):
        return Action.X
    return {"1": Action.D, "2": Action.Z, "2C": Action.Z}.get(use.type, Action.X)
