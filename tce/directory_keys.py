"""Which keys of a DICOMDIR a policy leaves empty, so that who approves it knows before the first medium is written.

What a medium needs is asked of :mod:`media.requirements`, what a policy leaves of :mod:`policies.emptied`: neither
knows the other. Numbers do not count: whoever writes a medium counts records that have none.
"""

from __future__ import annotations

from dataclasses import dataclass

from media.record_types import Source, sop_classes
from media.requirements import required_keys
from policies.emptied import Emptied
from policies.model import Policy


@dataclass(frozen=True, slots=True)
class EmptyKey:
    """One key, as ``StudyDate (0008,0020)``, of one type of record; ``sop_classes`` are those whose instances lack it.

    For a date or a time ``tce media write`` puts 1 January 1900, midnight, into the directory; ``hinders`` tells
    where nothing can stand in.
    """

    record: str
    key: str
    sop_classes: int
    hinders: bool


def empty_keys(policy: Policy) -> list[EmptyKey]:
    """Return the Type 1 keys that no instance has after this policy, by type of record."""
    emptied = Emptied(policy)
    found: dict[tuple[str, str, bool], int] = {}
    for sop_class_uid in sop_classes():
        for level, key in required_keys(sop_class_uid):
            if key.source is not Source.NUMBERED and emptied.leaves_nothing(sop_class_uid, key.tag, key.vr):
                name = (level.name, key.name, key.vr not in ("DA", "TM"))
                found[name] = found.get(name, 0) + 1
    return [EmptyKey(record, key, count, hinders) for (record, key, hinders), count in found.items()]


def in_words(keys: list[EmptyKey]) -> str:
    """Return what an approver should know of it; empty when there is nothing."""
    if not keys:
        return ""
    lines = ["On media"]
    for one in keys:
        what = "no medium takes them" if one.hinders else "media say 1900-01-01, 00:00 there"
        kinds = "1 SOP Class" if one.sop_classes == 1 else f"{one.sop_classes} SOP Classes"
        lines.append(
            f"- {one.key}, which a {one.record} record needs, is left empty in instances of {kinds}: {what}."
        )
    return "\n".join(lines) + "\n"
