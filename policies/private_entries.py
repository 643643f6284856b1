"""What happens to a private element that may stay: decided by its VR, and by who vouches for it.

Nothing is kept that the same VR would not keep elsewhere: names, addresses and titles of application entities go,
UIDs are mapped, dates follow the policy, and every text is searched for the patient. What only the instance itself
calls safe is treated as if nobody had: its text keeps safe words only, and binary data and sequences go.
"""

from __future__ import annotations

from policies.elements import BULK_VRS, NUMBER_VRS, TEXT_VRS
from policies.legality import check_of_private
from policies.model import Dates
from policies.operations import (
    BandAge,
    KeepTime,
    MapUid,
    MoveDate,
)
from policies.pieces import CHANGE, DESCEND, KEEP_BULK, KEEP_LONG, REMOVE, Change, Entry, Table
from policies.private import PrivateElement, Said, Standing, tells_a_date
from policies.rules import Rules
from policies.standard.tables import Option
from policies.text_operations import (
    CleanText,
    DropKnown,
    MoveInText,
)

_SEARCHED = TEXT_VRS | {b"AS", b"CS", b"DS", b"IS"}


def private_entry(
    rules: Rules, name: PrivateElement, element: int, file_vr: bytes, said: Said, within: Table
) -> Entry:
    """Return the entry for a private element; ``within`` are the rules for the items of a sequence."""
    tag = name.group << 16 | element
    standing = rules.private.standing(name, said)
    vr = rules.private.vr(name, file_vr) if standing is not None else b""
    if standing is None or not vr:
        return Entry(tag, REMOVE)
    alone = standing is Standing.INSTANCE
    if vr == b"SQ":
        return Entry(tag, REMOVE) if alone else Entry(tag, DESCEND, None, within)
    if vr in BULK_VRS:
        return Entry(tag, REMOVE if alone else KEEP_BULK)
    if rules.dates is not Dates.KEEP and vr in NUMBER_VRS | {b"DS", b"IS"} and tells_a_date(name):
        # Seconds since 1970, days since the installation: nobody says what it counts, so it cannot be moved.
        return Entry(tag, REMOVE)
    if vr in NUMBER_VRS:
        return Entry(tag, KEEP_LONG)
    if vr == b"UI" and Option.RETAIN_UIDS in rules.options:
        return Entry(tag, KEEP_LONG)
    change = _change(rules, vr, standing)
    return Entry(tag, REMOVE) if change is None else Entry(tag, CHANGE, change)


def _change(rules: Rules, vr: bytes, standing: Standing) -> Change | None:
    """Return what happens to a value, None where it goes."""
    if vr == b"UI":
        return MapUid()
    if vr in (b"DA", b"DT", b"TM"):
        return _date_change(rules.dates, vr)
    if vr == b"AS" and rules.bands:
        return BandAge(rules.bands)
    if vr == b"AS" and standing is not Standing.POLICY:
        return None
    if vr in TEXT_VRS and standing is Standing.INSTANCE:
        return CleanText(vr, rules.cleaner, None)
    if vr not in _SEARCHED:
        return None
    dates = None if rules.dates is Dates.KEEP else MoveInText(vr, None, rules.dates.moves)
    return DropKnown(vr, None, dates, check_of_private(vr))


def _date_change(dates: Dates, vr: bytes) -> Change | None:
    if dates is Dates.KEEP:
        return DropKnown(vr, None, None, check_of_private(vr))
    if not dates.moves:
        return None
    return KeepTime(vr, None) if vr == b"TM" else MoveDate(vr, None)
